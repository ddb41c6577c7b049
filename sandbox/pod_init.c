/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_init - the only process a pod may have of its own: pid 1 of a PID namespace that its
 * containers share. It reaps and waits, nothing else. `unicri-init` makes the namespace, tells the
 * pid by a pipe and leaves the child behind.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/pod.h"

#define INIT_TIMEOUT          (10 * NSEC_PER_SEC)
#define INIT_REPORT_MAX_BYTES 512

char *pod_init_cgroup(const struct pod *pod)
{
    return xasprintf("%s/%s", pod->cgroup, pod->cgroup_ours ? "init" : pod->id);
}

/* "ok PID START_TIME\n" or "error ERRNO TEXT\n" */
static int parse_report(char *text, struct process *ret, struct err *err)
{
    const char *p = text;
    unsigned long long start;
    int pid, code;

    text[strcspn(text, "\n")] = '\0';
    if (scan_text(&p, "ok ") && scan_int(&p, &pid) && pid > 1 && scan_text(&p, " ") &&
        scan_u64(&p, UINT64_MAX, &start) && !*p) {
        *ret = (struct process){.pid = pid, .start_time = start};
        return 0;
    }
    p = text;
    if (scan_text(&p, "error ") && scan_int(&p, &code))
        return err_errno(err, code > 0 ? code : EIO, "unicri-init: %s", text);
    return err_set(err, ERR_INTERNAL, "unicri-init: ended without a report");
}

/* Read until the writer closes; bounded in bytes and time. */
static int read_report(int fd, deadline_t deadline, char *text, size_t size, struct err *err)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc = poll(&p, 1, deadline_poll_ms(deadline));

        if (rc == 0)
            return err_set(err, ERR_DEADLINE, "unicri-init: no report in time");
        if (rc < 0 && errno == EINTR)
            continue;

        ssize_t n = rc < 0 ? -1 : read(fd, text + len, size - 1 - len);

        if (n < 0)
            return err_sys(err, "read the report of unicri-init");
        len += (size_t)n;
        text[len] = '\0';
        if (n == 0 || strchr(text, '\n') || len == size - 1)
            return 0;
    }
}

static int spawn(struct pod *pod, char *const *dirs, struct process *ret, struct err *err)
{
    deadline_t deadline = deadline_in(INIT_TIMEOUT);
    autostrv char **argv = NULL;
    autopidref child = PIDREF_NONE;
    char text[INIT_REPORT_MAX_BYTES] = "";
    struct child_status status;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");

    autofd int in = ends[0], out = ends[1];

    strv_push(&argv, "unicri-init");
    strv_push(&argv, "--report-fd=3");
    for (; dirs && *dirs; dirs++)
        strv_take(&argv, xasprintf("--cgroup=%s", *dirs));

    struct child_spec spec = {.path = pod->engine->init_program,
                              .argv = argv,
                              .fds = {{out, 3}},
                              .n_fds = 1,
                              .new_session = true};

    if (child_spawn(&spec, &child, err) < 0)
        return -1;
    out = close_fd(out);

    int rc = read_report(in, deadline, text, sizeof(text), err);

    if (rc < 0)
        child_kill_group(&child);
    if (child_wait(&child, deadline_in(INIT_TIMEOUT), &status, rc < 0 ? NULL : err) < 0)
        return -1;
    return rc < 0 ? -1 : parse_report(text, ret, err);
}

int pod_init_start(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    autofree char *cgroup = pod_init_cgroup(pod);
    autostrv char **dirs = NULL;
    struct process init;

    mutex_lock(&engine->lock);
    init = pod->init;
    mutex_unlock(&engine->lock);
    if (process_alive(&init))
        return 0;
    if (init.pid)
        return err_set(
            err, ERR_STATE,
            "the init process of the shared PID namespace has ended; the pod must be replaced");
    if (cgroup_create(&engine->cgroups, cgroup, NULL, err) < 0)
        return -1;
    dirs = cgroup_dirs(&engine->cgroups, cgroup);
    if (spawn(pod, dirs, &init, err) < 0)
        return err_wrap(err, "init of the shared PID namespace");
    mutex_lock(&engine->lock);
    pod->init = init;
    mutex_unlock(&engine->lock);
    return pod_save_runtime(pod, err);
}

/* Its cgroup is unique to the pod, so it is found even when the daemon ended before its pid was
 * recorded. */
int pod_init_stop(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    autofree char *cgroup = pod_init_cgroup(pod);

    if (!cgroup_exists(&engine->cgroups, cgroup))
        return 0;
    if (cgroup_kill(&engine->cgroups, cgroup, deadline_in(KILL_TIMEOUT), err) < 0 ||
        cgroup_remove(&engine->cgroups, cgroup, deadline_in(CGROUP_REMOVE_TIMEOUT), err) < 0)
        return -1;
    mutex_lock(&engine->lock);
    pod->init = (struct process){0};
    mutex_unlock(&engine->lock);
    return 0;
}
