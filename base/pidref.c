/* SPDX-License-Identifier: Apache-2.0 */
/* pidref - see pidref.h. The pidfd is taken first and the start time read after: then both speak of
 * one process. */
#include "base/pidref.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/mem.h"

#define STAT_MAX_BYTES    4096
#define STAT_FIELDS_TO_22 19 /* between the state (3) and the start time (22) */

/* Reads state and start time. Returns: false when there is no such process. */
static bool read_stat(pid_t pid, char *state, uint64_t *start_time)
{
    char path[32], buf[STAT_MAX_BYTES];
    const char *p;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, buf, sizeof(buf) - 1);
    (void)close_fd(fd);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    p = strrchr(buf, ')'); /* the name may hold anything, blanks and parentheses too */
    if (!p || p[1] != ' ' || !p[2])
        return false;
    *state = p[2];
    p += 2;
    for (int i = 0; i < STAT_FIELDS_TO_22; i++) {
        p = strchr(p, ' ');
        if (!p)
            return false;
        p++;
    }
    *start_time = strtoull(p, NULL, 10); /* the kernel's own number */
    return true;
}

static bool is_dead(char state)
{
    return state == 'Z' || state == 'X' || state == 'x';
}

uint64_t pid_start_time(pid_t pid)
{
    uint64_t t;
    char state;

    if (pid <= 0 || !read_stat(pid, &state, &t) || is_dead(state))
        return 0;
    return t;
}

static int hold(pid_t pid, struct pidref *ret, char *state, struct err *err)
{
    struct pidref p = {.pid = pid, .fd = -1};

    if (pid <= 0)
        return err_set(err, ERR_NOT_FOUND, "process %d: no such process", (int)pid);
    p.fd = pidfd_open(pid, 0);
    if (p.fd < 0 && (errno == ESRCH || errno == EINVAL)) /* EINVAL: a thread's number by now */
        return err_set(err, ERR_NOT_FOUND, "process %d: no such process", (int)pid);
    if (p.fd < 0)
        return err_sys(err, "process %d: open", (int)pid);
    if (!read_stat(pid, state, &p.start_time)) {
        (void)close_fd(p.fd);
        return err_set(err, ERR_NOT_FOUND, "process %d: no such process", (int)pid);
    }
    *ret = p;
    return 0;
}

int pidref_open(pid_t pid, uint64_t start_time, struct pidref *ret, struct err *err)
{
    struct pidref p;
    char state;

    if (hold(pid, &p, &state, err))
        return -1;
    if (is_dead(state) || (start_time && start_time != p.start_time)) {
        pidref_done(&p);
        return err_set(err, ERR_NOT_FOUND, "process %d: %s", (int)pid,
                       is_dead(state) ? "has ended" : "another process has that number now");
    }
    *ret = p;
    return 0;
}

int pidref_open_child(pid_t pid, struct pidref *ret, struct err *err)
{
    char state;

    return hold(pid, ret, &state, err);
}

void pidref_done(struct pidref *p)
{
    (void)close_fd(p->fd);
    *p = PIDREF_NONE;
}

/* With a pidfd: it becomes readable when the process ends, reaped or not. Returns as poll(2). */
static int poll_end(int fd, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, timeout_ms);
}

bool pidref_alive(const struct pidref *p)
{
    int r;

    if (p->pid <= 0)
        return false;
    if (p->fd < 0) {
        uint64_t t = pid_start_time(p->pid);

        return t != 0 && (p->start_time == 0 || p->start_time == t);
    }
    do {
        r = poll_end(p->fd, 0);
    } while (r < 0 && errno == EINTR);
    return r == 0;
}

int pidref_kill(const struct pidref *p, int sig, struct err *err)
{
    autopidref held = PIDREF_NONE;
    int fd = p->fd;

    if (p->pid <= 0)
        return 0;
    if (fd < 0) {
        struct err e = ERR_INIT;

        if (pidref_open(p->pid, p->start_time, &held, &e)) {
            if (e.code == ERR_NOT_FOUND)
                return 0;
            return err_set(err, e.code, "%s", e.msg);
        }
        fd = held.fd;
    }
    if (pidfd_send_signal(fd, sig, NULL, 0) && errno != ESRCH)
        return err_sys(err, "send signal %d to process %d", sig, (int)p->pid);
    return 0;
}

int pidref_wait_gone(const struct pidref *p, deadline_t deadline, struct err *err)
{
    autopidref held = PIDREF_NONE;
    int fd = p->fd;

    if (p->pid <= 0)
        return 0;
    if (fd < 0) {
        struct err e = ERR_INIT;

        if (pidref_open(p->pid, p->start_time, &held, &e)) {
            if (e.code == ERR_NOT_FOUND)
                return 0;
            return err_set(err, e.code, "%s", e.msg);
        }
        fd = held.fd;
    }
    for (;;) {
        int r = poll_end(fd, deadline_poll_ms(deadline));

        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return err_sys(err, "wait for process %d", (int)p->pid);
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE, "process %d: still running", (int)p->pid);
    }
}
