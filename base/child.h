/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - the only way to start a program: posix_spawn (never a bare fork: the daemon has threads),
 * a pidfd, a deadline, a process group of its own, output with a bound.
 *
 * child_run() is for helpers that end within the call (plugins, runc, unpack). Anything that
 * outlives a call is a monitor process (sandbox/monitor).
 */
#ifndef UNICRI_BASE_CHILD_H
#define UNICRI_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/pidref.h"

#define CHILD_FDS_MAX 112

/* Descriptor `from` of ours becomes `to` in the child; all others are closed there. */
struct child_fd {
    int from;
    int to;
};

struct child_spec {
    const char *path;  /* absolute program; NULL: argv[0] looked up in PATH of the daemon */
    char *const *argv; /* borrowed, NULL terminated */
    char *const *env;  /* borrowed; NULL: an empty environment with PATH only */
    const char *cwd;   /* NULL: "/" */
    struct child_fd fds[CHILD_FDS_MAX];
    size_t n_fds;     /* 0, 1, 2 are /dev/null unless named here */
    bool new_session; /* setsid; else a process group of its own */
    bool end_group;   /* child_run(): when it ends, what it left in its process group is killed */
    /* child_run(): asked every second; true ends it as the deadline does, as CANCELLED. NULL: no.
     */
    bool (*given_up)(void *arg);
    void *given_up_arg;
};

/** child_spawn() - start it. The caller waits with child_wait() or leaves it to the reaper of its
 * owner. Errors: NOT_FOUND (program), DENIED, EXHAUSTED, each with the program's name. Thread: any.
 */
int child_spawn(const struct child_spec *spec, struct pidref *ret, struct err *err) MUST_CHECK;

struct child_status {
    bool exited; /* else ended by a signal */
    int code;    /* exit status or signal number */
};
/** child_wait() - reap it. Errors: DEADLINE (still running, not killed). */
int child_wait(struct pidref *p, deadline_t deadline, struct child_status *ret,
               struct err *err) MUST_CHECK;
/** child_kill_group() - SIGKILL to the process group of a child of ours. */
void child_kill_group(const struct pidref *p);

struct child_output {
    char *out; /* owned; NUL terminated */
    size_t out_len;
    char *errout; /* owned */
    size_t errout_len;
    bool truncated; /* more than the bound came; the rest was read and dropped */
};
void child_output_done(struct child_output *o);
static inline void child_output_cleanup(struct child_output *o)
{
    child_output_done(o);
}
#define autochild_output CLEANUP(child_output_cleanup) struct child_output

/**
 * child_run() - start, feed `input` (may be NULL), collect stdout and stderr up to max_bytes each,
 * reap. It ends when the *process* ends: what is in the pipes by then is read, and a grandchild
 * that holds them open is not waited for. At the deadline the process group is killed (DEADLINE
 * naming the program). A non-zero exit is success here: look at *ret_status.
 */
int child_run(const struct child_spec *spec, const char *input, size_t input_len, size_t max_bytes,
              deadline_t deadline, struct child_output *ret_output, struct child_status *ret_status,
              struct err *err) MUST_CHECK;
/** child_explain() - turn a non-zero end into an error: "runc: exit status 1: <last line of
 * stderr>". Returns -1. */
int child_explain(const char *what, const struct child_status *status,
                  const struct child_output *output, struct err *err);

#endif
