/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oom - has the kernel killed for memory in the workload's cgroup? The counter is read before the
 * start and at the end, while the cgroup still exists, so no watch is needed and no kill is too
 * fast to be seen.
 */
#include <fcntl.h>
#include <string.h>

#include "sandbox/monitor/state.h"

static int64_t counter(const char *dir, const char *file)
{
    static const char key[] = "oom_kill ";
    char path[PATH_MAX + 32], content[512];
    struct text t = TEXT(path);

    text_str(&t, dir);
    text_str(&t, "/");
    text_str(&t, file);
    if (read_small(AT_FDCWD, path, content, sizeof(content)) < 0)
        return -1;
    for (char *line = content; line; line = strchr(line, '\n')) {
        int64_t n;
        char *end;

        line += *line == '\n';
        if (strncmp(line, key, sizeof(key) - 1) != 0)
            continue;
        end = strchr(line, '\n');
        if (end)
            *end = '\0';
        return text_number(line + sizeof(key) - 1, 0, INT64_MAX, &n) ? n : -1;
    }
    return -1;
}

int64_t oom_kills(const struct monitor *m)
{
    int64_t n;

    if (!m->spec.cgroup_memory)
        return 0;
    n = counter(m->spec.cgroup_memory, "memory.events");
    if (n < 0)
        n = counter(m->spec.cgroup_memory, "memory.oom_control"); /* cgroup v1 */
    return n < 0 ? 0 : n;
}
