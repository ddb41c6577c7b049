/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_processes - the processes of a control group and of those below it (a container may have
 * made some): how many they are, and what they have open. A process may end while it is looked at;
 * it then counts for nothing.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "sandbox/stats.h"

#define DEPTH_MAX     8
#define GROUPS_MAX    256  /* what a container makes of them beyond that is not counted */
#define PROCESSES_MAX 256  /* looked into, each */
#define FILES_MAX     8192 /* looked at, in all */

struct walk {
    uint64_t processes;
    unsigned groups;
    pid_t *pids; /* NULL: not wanted */
    size_t n_pids;
};

static void take_pids(struct walk *w, int dir)
{
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    autofree char *line = NULL;
    size_t size = 0;
    FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;

    if (!f) {
        (void)close_fd(fd);
        return;
    }
    while (getline(&line, &size, f) > 0) {
        uint64_t pid;

        if (!cgroup_stat_digits(line, "\n", &pid))
            continue;
        w->processes++;
        if (w->pids && w->n_pids < PROCESSES_MAX)
            w->pids[w->n_pids++] = (pid_t)pid;
    }
    (void)fclose(f);
}

/* The kernel counts the directories in a group's link count: one without any is not searched. */
static void walk(struct walk *w, int dir, unsigned depth)
{
    struct stat st;
    const struct dirent *e;

    take_pids(w, dir);
    if (++w->groups >= GROUPS_MAX || depth == DEPTH_MAX || fstat(dir, &st) < 0 || st.st_nlink <= 2)
        return;

    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (!d)
        (void)close_fd(fd);
    while (d && (e = readdir(d)) && w->groups < GROUPS_MAX) {
        autofd int below = -1;

        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        below = openat(dir, e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (below >= 0)
            walk(w, below, depth + 1);
    }
}

static bool walk_from(const struct cgroups *c, const char *path, struct walk *w)
{
    autofd int dir = cgroup_stat_open(c, c->v2 ? "" : "pids", path);

    if (dir < 0)
        return false;
    walk(w, dir, 0);
    return true;
}

bool cgroup_processes_count(const struct cgroups *c, const char *path, uint64_t *ret)
{
    struct walk w = {0};

    if (!walk_from(c, path, &w))
        return false;
    *ret = w.processes;
    return true;
}

static void count_files(pid_t pid, uint64_t *files, uint64_t *sockets)
{
    char path[64], target[16];
    const struct dirent *e;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);

    autodir DIR *d = opendir(path);

    while (d && *files < FILES_MAX && (e = readdir(d))) {
        ssize_t n;

        if (e->d_name[0] == '.')
            continue;
        ++*files;
        n = readlinkat(dirfd(d), e->d_name, target, sizeof(target));
        *sockets += n >= 7 && memcmp(target, "socket:", 7) == 0;
    }
}

static void put(struct usage_detail *d, enum usage_counter counter, uint64_t value)
{
    d->v[counter] = value;
    d->known |= UINT64_C(1) << counter;
}

void cgroup_processes_read(const struct cgroups *c, const char *path, pid_t root,
                           struct usage_detail *ret)
{
    autofree pid_t *pids = xcalloc(PROCESSES_MAX, sizeof(*pids));
    struct walk w = {.pids = pids};
    uint64_t files = 0, sockets = 0;
    struct rlimit limit;

    if (!walk_from(c, path, &w))
        return;
    put(ret, USAGE_PROCESSES, w.processes);
    for (size_t i = 0; i < w.n_pids; i++)
        count_files(pids[i], &files, &sockets);
    if (w.processes <= PROCESSES_MAX && files < FILES_MAX) {
        put(ret, USAGE_FILES, files);
        put(ret, USAGE_SOCKETS, sockets);
    }
    if (root > 0 && prlimit(root, RLIMIT_NOFILE, NULL, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY)
        put(ret, USAGE_NOFILE, limit.rlim_cur);
}
