/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reap - statuses of children, and killing what a failed start left behind. The monitor is a
 * subreaper: whatever the runtime leaves becomes its child, so `children` in /proc names every
 * process there is to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

bool reap(struct monitor *m, int *ret_status)
{
    int status;
    pid_t pid;

    if (m->phase == PHASE_STARTING) {
        /* a VMM is its own starter: its status is the workload's and waits until the start is
         * reported */
        if (m->starter == 0 || m->spec.mode == MODE_VMM)
            return false;
        if (waitpid(m->starter, ret_status, WNOHANG) != m->starter)
            return false;
        m->starter = 0;
        return true;
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->helper_pid)
            helper_ended(m, status);
        if (pid != m->pid)
            continue;
        clock_gettime(CLOCK_REALTIME, &m->finished);
        m->wait_status = status;
        m->oom = oom_kills(m) > m->oom_before;
        m->helper_failed = m->helper_failed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        m->phase = PHASE_DRAINING;
    }
    return false;
}

/* Kill the pids of a list in a file: one of blank or newline between them. Returns: how many there
 * were. */
static int kill_listed(const char *path)
{
    char buf[4096], *save = NULL;
    int n = 0;

    if (read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
        return 0;
    for (char *s = strtok_r(buf, " \n", &save); s; s = strtok_r(NULL, " \n", &save)) {
        int64_t pid;

        if (text_number(s, 2, INT32_MAX, &pid)) {
            kill((pid_t)pid, SIGKILL);
            n++;
        }
    }
    return n;
}

static int kill_children(void)
{
    char path[64];
    struct text t = TEXT(path);

    text_str(&t, "/proc/self/task/");
    text_num(&t, getpid());
    text_str(&t, "/children");
    return kill_listed(path);
}

static void kill_cgroup(const char *dir)
{
    char path[PATH_MAX + 32];
    struct text t = TEXT(path);

    text_str(&t, dir);
    text_str(&t, "/cgroup.kill");
    if (write_small(AT_FDCWD, path, "1") == 0)
        return;
    t = (struct text)TEXT(path);
    text_str(&t, dir);
    text_str(&t, "/cgroup.procs");
    (void)kill_listed(path);
}

void reap_kill_all(struct monitor *m)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int64_t end = now_ms() + KILL_MS;

    if (m->helper_pid > 0)
        kill(m->helper_pid, SIGKILL);
    if (m->starter > 0) {
        kill(-m->starter, SIGKILL);
        kill(m->starter, SIGKILL);
    }
    do {
        for (size_t i = 0; i < m->spec.n_cgroup_kill; i++)
            kill_cgroup(m->spec.cgroup_kill[i]);
        kill_children();
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (waitpid(-1, NULL, WNOHANG) < 0)
            return; /* no children any more */
        nanosleep(&pause, NULL);
    } while (now_ms() < end);
}
