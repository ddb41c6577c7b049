/* SPDX-License-Identifier: Apache-2.0 */
/* init_client - see init_client.h. */
#include "sandbox/init_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strbuf.h"

#define INIT_TIMEOUT          (10 * NSEC_PER_SEC)
#define INIT_REPORT_MAX_BYTES 512
#define REPORT_FD             3
#define USER_FD               4
#define HOLD_FD               5

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

/* Read until the writer closes or ends its line; bounded in bytes and time. */
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

/* Start it and take its report: *ret_child is a child of ours, to be waited for. */
static int start(struct engine *engine, char **argv, int user_fd, int hold_fd,
                 struct pidref *ret_child, struct process *ret, struct err *err)
{
    char text[INIT_REPORT_MAX_BYTES] = "";
    struct child_status status;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");

    autofd int in = ends[0], out = ends[1];
    struct child_spec spec = {.path = engine->init_program,
                              .argv = argv,
                              .fds = {{out, REPORT_FD}},
                              .n_fds = 1,
                              .new_session = true};

    if (user_fd >= 0)
        spec.fds[spec.n_fds++] = (struct child_fd){user_fd, USER_FD};
    if (hold_fd >= 0)
        spec.fds[spec.n_fds++] = (struct child_fd){hold_fd, HOLD_FD};
    if (child_spawn(&spec, ret_child, err) < 0)
        return -1;
    out = close_fd(out);
    if (read_report(in, deadline_in(INIT_TIMEOUT), text, sizeof(text), err) == 0 &&
        parse_report(text, ret, err) == 0)
        return 0;
    child_kill_group(ret_child);
    if (child_wait(ret_child, deadline_in(INIT_TIMEOUT), &status, NULL) < 0)
        log_warn("unicri-init %d does not end", ret_child->pid);
    pidref_done(ret_child);
    return -1;
}

static char **arguments(int user_fd)
{
    char **argv = NULL;

    strv_push(&argv, "unicri-init");
    strv_take(&argv, xasprintf("--report-fd=%d", REPORT_FD));
    if (user_fd >= 0)
        strv_take(&argv, xasprintf("--user-fd=%d", USER_FD));
    return argv;
}

int init_start(struct engine *engine, char *const *cgroup_dirs, int user_fd, struct process *ret,
               struct err *err)
{
    autostrv char **argv = arguments(user_fd);
    autopidref child = PIDREF_NONE;
    struct child_status status;

    for (; cgroup_dirs && *cgroup_dirs; cgroup_dirs++)
        strv_take(&argv, xasprintf("--cgroup=%s", *cgroup_dirs));
    if (start(engine, argv, user_fd, -1, &child, ret, err) < 0)
        return -1;
    return child_wait(&child, deadline_in(INIT_TIMEOUT), &status, err);
}

int ns_holder_start(struct engine *engine, int flags, int user_fd, struct ns_holder *ret,
                    struct err *err)
{
    autostrv char **argv = arguments(user_fd);
    struct process self;
    int ends[2];

    strv_take(&argv, xasprintf("--hold-fd=%d", HOLD_FD));
    strv_take(&argv, xasprintf("--new=%d", flags));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");

    autofd int in = ends[0], out = ends[1];

    *ret = NS_HOLDER_NONE;
    if (start(engine, argv, user_fd, in, &ret->child, &self, err) < 0)
        return -1;
    ret->hold = TAKE_FD(out);
    return 0;
}

char *ns_holder_file(const struct ns_holder *holder, const char *name)
{
    return xasprintf("/proc/%d/%s", holder->child.pid, name);
}

void ns_holder_end(struct ns_holder *holder)
{
    struct child_status status;
    struct err err = ERR_INIT;

    if (holder->hold < 0)
        return;
    holder->hold = close_fd(holder->hold);
    if (child_wait(&holder->child, deadline_in(INIT_TIMEOUT), &status, &err) < 0) {
        log_warn("holder of namespaces: %s", err.msg);
        child_kill_group(&holder->child);
    }
    pidref_done(&holder->child);
}
