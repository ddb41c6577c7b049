/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_debug - a guest of QEMU for a debugger, over QMP: QEMU's own server of GDB's protocol, on a
 * socket that is passed to it, and its own writer of core files, on a pipe. Nothing is opened, no
 * address is listened on; QEMU's filter of system calls stays as it is.
 *
 * However a session ended, a moment's session of our own takes its breakpoints out: QEMU forgets
 * them by GDB's `D` only.
 */
#include "vmm/qemu_debug.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/strbuf.h"
#include "vmm/qmp.h"

#define NAME             "gdb"
#define DETACH           "$D;1#b0"
#define DETACHED         "$OK#9a"
#define ANSWER_MAX       4096
#define MONITOR(command) "{\"command-line\":\"" command "\"}"
/* While a debugger lets the guest go in steps, the record would fill up. */
#define TRACE(enable) "{\"name\":\"vm_state_notify\",\"enable\":" enable "}"

/* Commands for people: their answers are words. */
static int monitor(struct qmp *q, const char *arguments, const char *want, struct err *err)
{
    struct qmp_message m;

    if (qmp_ask(q, "human-monitor-command", arguments, -1, &m, err) < 0)
        return -1;
    if (!strstr(m.words, want))
        return err_set(err, ERR_UNAVAILABLE, "QEMU says: %s", m.words);
    return 0;
}

static int serve(struct qmp *q, int gdb_fd, struct err *err)
{
    /* One that was served before goes, with its socket. */
    if (monitor(q, MONITOR("gdbserver none"), "Disabled", err) < 0 ||
        qmp_ask(q, "getfd", "{\"fdname\":\"" NAME "\"}", gdb_fd, NULL, err) < 0 ||
        qmp_ask(q, "chardev-add",
                "{\"id\":\"" NAME
                "\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":{\"type\":"
                "\"fd\",\"data\":{\"str\":\"" NAME "\"}},\"server\":false}}}",
                -1, NULL, err) < 0)
        return -1;
    return monitor(q, MONITOR("gdbserver chardev:" NAME), "Waiting", err);
}

int qemu_debug_begin(int fd, int gdb_fd, deadline_t deadline, struct err *err)
{
    autoqmp *q = qmp_open(fd, deadline, err);

    return !q || qmp_ask(q, "trace-event-set-state", TRACE("false"), -1, NULL, err) < 0 ||
                   serve(q, gdb_fd, err) < 0
               ? -1
               : 0;
}

/* What comes is looked through for one answer; a stop may be told of before. */
static int wait_detached(int fd, deadline_t deadline, struct err *err)
{
    char text[ANSWER_MAX + 1];
    size_t len = 0;

    while (len < ANSWER_MAX) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc = poll(&p, 1, deadline_poll_ms(deadline));
        ssize_t n;

        if (rc < 0 && errno == EINTR)
            continue;
        if (rc == 0)
            return err_set(err, ERR_DEADLINE, "QEMU's debugger does not answer");
        n = rc < 0 ? -1 : recv(fd, text + len, ANSWER_MAX - len, MSG_DONTWAIT);
        if (n <= 0)
            return err_set(err, ERR_UNAVAILABLE, "QEMU's debugger hung up");
        len += (size_t)n;
        text[len] = '\0';
        if (memmem(text, len, DETACHED, strlen(DETACHED)))
            return 0;
    }
    return err_set(err, ERR_CORRUPT, "QEMU's debugger talks nonsense");
}

static int detach(struct qmp *q, deadline_t deadline, struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(err, "make a socket");

    autofd int ours = ends[0];
    autofd int theirs = ends[1];

    if (serve(q, theirs, err) < 0)
        return -1;
    theirs = close_fd(theirs);
    if (send(ours, DETACH, strlen(DETACH), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)strlen(DETACH))
        return err_set(err, ERR_UNAVAILABLE, "QEMU's debugger hung up");
    return wait_detached(ours, deadline, err);
}

int qemu_debug_end(int fd, deadline_t deadline, char ret[VMM_RECORD_LINE], struct err *err)
{
    autoqmp *q = qmp_open(fd, deadline, err);
    struct qmp_message m;
    int rc;

    *ret = '\0';
    if (!q)
        return -1;
    rc = detach(q, deadline, err);
    if (monitor(q, MONITOR("gdbserver none"), "Disabled", rc < 0 ? NULL : err) < 0 ||
        qmp_ask(q, "trace-event-set-state", TRACE("true"), -1, NULL, rc < 0 ? NULL : err) < 0 ||
        qmp_ask(q, "query-status", NULL, -1, &m, rc < 0 ? NULL : err) < 0)
        return -1;
    if (str_eq(m.words, "running"))
        return rc;
    if (str_eq(m.words, "paused") || str_eq(m.words, "debug"))
        return qmp_ask(q, "cont", NULL, -1, NULL, rc < 0 ? NULL : err) < 0 ? -1 : rc;
    /* As QEMU would have written it. */
    (void)snprintf(ret, VMM_RECORD_LINE, "vm_state_notify running 0 reason 0 (%.32s)\n", m.words);
    return rc;
}

int qemu_dump(int fd, int out_fd, deadline_t deadline, struct err *err)
{
    autoqmp *q = qmp_open(fd, deadline, err);

    return !q || qmp_ask(q, "getfd", "{\"fdname\":\"core\"}", out_fd, NULL, err) < 0 ||
                   qmp_ask(q, "dump-guest-memory",
                           "{\"paging\":false,\"protocol\":\"fd:core\",\"detach\":true}", -1, NULL,
                           err) < 0
               ? -1
               : 0;
}
