/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_run - child_run() of child.h: one poll loop over the three pipes and the pidfd.
 *
 * The end is the end of the process, not of its pipes. Our ends are non-blocking, so a child that
 * neither reads nor writes costs no more than the deadline. SIGPIPE is held back in this thread
 * while we write.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/child.h"
#include "base/strbuf.h"

#define RUN_CHUNK_BYTES  16384
#define LOOK_PAUSE       NSEC_PER_SEC
#define RUN_KILL_SECONDS 5 /* how long a killed process may take to vanish */

enum { SLOT_IN, SLOT_OUT, SLOT_ERR, SLOT_PROCESS, N_SLOTS };

struct run {
    struct pidref process;
    int fds[3]; /* owned; our ends of the pipes, -1 when closed */
    const char *input;
    size_t input_left;
    struct strbuf bufs[3]; /* [SLOT_OUT], [SLOT_ERR] */
    size_t max_bytes;
    bool truncated;
};

static void run_done(struct run *r)
{
    for (int i = 0; i < 3; i++) {
        r->fds[i] = close_fd(r->fds[i]);
        strbuf_done(&r->bufs[i]);
    }
    pidref_done(&r->process);
}

static bool is_taken(const struct child_spec *spec, int to)
{
    for (size_t i = 0; i < spec->n_fds; i++) {
        if (spec->fds[i].to == to)
            return true;
    }
    return false;
}

/* A pipe for descriptor `fd` of the child: our end into the run, the child's into theirs[fd]. */
static int make_pipe(struct run *r, int fd, int theirs[3], struct err *err)
{
    int ends[2], ours;

    if (pipe2(ends, O_CLOEXEC))
        return err_sys(err, "make a pipe");
    ours = fd == SLOT_IN ? 1 : 0;
    r->fds[fd] = ends[ours];
    theirs[fd] = ends[!ours];
    if (fcntl(r->fds[fd], F_SETFL, O_NONBLOCK))
        return err_sys(err, "set up a pipe");
    return 0;
}

static int start(struct run *r, const struct child_spec *spec, bool feed, int theirs[3],
                 struct err *err)
{
    struct child_spec s = *spec;

    for (int fd = 0; fd < 3; fd++) {
        if (is_taken(spec, fd) || (fd == SLOT_IN && !feed))
            continue;
        if (s.n_fds == CHILD_FDS_MAX)
            return err_set(err, ERR_INVALID, "more than %d descriptors", CHILD_FDS_MAX);
        if (make_pipe(r, fd, theirs, err))
            return -1;
        s.fds[s.n_fds++] = (struct child_fd){.from = theirs[fd], .to = fd};
    }
    return child_spawn(&s, &r->process, err);
}

static void feed_input(struct run *r)
{
    ssize_t n = write(r->fds[SLOT_IN], r->input, r->input_left);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        r->input += n;
        r->input_left -= (size_t)n;
    }
    if (n < 0 || r->input_left == 0) /* EPIPE: the child does not want the rest */
        r->fds[SLOT_IN] = close_fd(r->fds[SLOT_IN]);
}

/* Returns: bytes read, 0 at the end or when nothing is there. */
static size_t take_output(struct run *r, int slot, size_t at_most)
{
    struct strbuf *b = &r->bufs[slot];
    char chunk[RUN_CHUNK_BYTES];
    size_t room = r->max_bytes - b->len;
    ssize_t n = read(r->fds[slot], chunk, at_most < sizeof(chunk) ? at_most : sizeof(chunk));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0) {
        r->fds[slot] = close_fd(r->fds[slot]);
        return 0;
    }
    if ((size_t)n > room)
        r->truncated = true;
    strbuf_add(b, chunk, (size_t)n < room ? (size_t)n : room);
    return (size_t)n;
}

/* What is in the pipes now and not more: a grandchild may go on writing for ever. */
static void drain(struct run *r)
{
    for (int slot = SLOT_OUT; slot <= SLOT_ERR; slot++) {
        int there = 0;
        size_t left;

        if (r->fds[slot] < 0 || ioctl(r->fds[slot], FIONREAD, &there))
            continue;
        for (left = (size_t)there; left > 0 && r->fds[slot] >= 0;) {
            size_t n = take_output(r, slot, left);

            if (n == 0)
                break;
            left -= n;
        }
    }
}

static int pump(struct run *r, const struct child_spec *spec, deadline_t deadline, struct err *err)
{
    for (;;) {
        deadline_t look = spec->given_up ? deadline_in(LOOK_PAUSE) : DEADLINE_NEVER;
        struct pollfd p[N_SLOTS] = {
            [SLOT_IN] = {.fd = r->fds[SLOT_IN], .events = POLLOUT},
            [SLOT_OUT] = {.fd = r->fds[SLOT_OUT], .events = POLLIN},
            [SLOT_ERR] = {.fd = r->fds[SLOT_ERR], .events = POLLIN},
            [SLOT_PROCESS] = {.fd = r->process.fd, .events = POLLIN},
        };
        int n = poll(p, N_SLOTS, deadline_poll_ms(deadline < look ? deadline : look));

        if (n < 0 && errno != EINTR)
            return err_sys(err, "poll");
        if (n > 0) {
            if (p[SLOT_IN].revents)
                feed_input(r);
            for (int slot = SLOT_OUT; slot <= SLOT_ERR; slot++) {
                if (p[slot].revents)
                    (void)take_output(r, slot, RUN_CHUNK_BYTES);
            }
            if (p[SLOT_PROCESS].revents) {
                drain(r);
                return 0;
            }
        }
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE, "did not end in time, killed");
        if (spec->given_up && deadline_passed(look) && spec->given_up(spec->given_up_arg))
            return err_set(err, ERR_CANCELLED, "nobody waits for it any more, killed");
    }
}

static int run(struct run *r, const struct child_spec *spec, bool feed, deadline_t deadline,
               struct child_status *status, struct err *err)
{
    int theirs[3] = {-1, -1, -1};
    int ret = start(r, spec, feed, theirs, err);

    for (int i = 0; i < 3; i++)
        (void)close_fd(theirs[i]); /* else we would hold the pipes open ourselves */
    if (ret)
        return -1;
    ret = pump(r, spec, deadline, err);
    if (ret) {
        struct child_status ignored;

        /* One that does not even die (a dead disk) stays a zombie of ours until the daemon ends. */
        child_kill_group(&r->process);
        (void)!child_wait(&r->process, deadline_in(RUN_KILL_SECONDS * NSEC_PER_SEC), &ignored,
                          NULL);
        return err_wrap(err, "'%s'", spec->path ? spec->path : spec->argv[0]);
    }
    if (spec->end_group) /* not reaped yet: the number is still the group's */
        child_kill_group(&r->process);
    return child_wait(&r->process, DEADLINE_NEVER, status, err); /* it has ended: no wait */
}

/* SIGPIPE goes to the thread that wrote; held back here, and taken off again when it came from us.
 */
static void hold_sigpipe(sigset_t *former, bool *was_pending)
{
    sigset_t set;

    (void)sigpending(&set);
    *was_pending = sigismember(&set, SIGPIPE) == 1;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, former);
}

static void release_sigpipe(const sigset_t *former, bool was_pending)
{
    const struct timespec none = {0, 0};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    if (!was_pending) {
        while (sigtimedwait(&set, NULL, &none) < 0 && errno == EINTR)
            ;
    }
    (void)pthread_sigmask(SIG_SETMASK, former, NULL);
}

int child_run(const struct child_spec *spec, const char *input, size_t input_len, size_t max_bytes,
              deadline_t deadline, struct child_output *ret_output, struct child_status *ret_status,
              struct err *err)
{
    struct run r = {
        .process = PIDREF_NONE,
        .fds = {-1, -1, -1},
        .input = input,
        .input_left = input_len,
        .bufs = {STRBUF_INIT, STRBUF_INIT, STRBUF_INIT},
        .max_bytes = max_bytes,
    };
    sigset_t former;
    bool was_pending;
    int ret;

    hold_sigpipe(&former, &was_pending);
    ret = run(&r, spec, input != NULL, deadline, ret_status, err);
    release_sigpipe(&former, was_pending);
    if (ret == 0) {
        ret_output->out_len = r.bufs[SLOT_OUT].len;
        ret_output->out = strbuf_detach(&r.bufs[SLOT_OUT]);
        ret_output->errout_len = r.bufs[SLOT_ERR].len;
        ret_output->errout = strbuf_detach(&r.bufs[SLOT_ERR]);
        ret_output->truncated = r.truncated;
    }
    run_done(&r);
    return ret;
}
