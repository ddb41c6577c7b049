/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs - one piece of work at a time per key, and duplicates that join it.
 *
 * A key names an object (a pod's name tuple, an id), `what` the request (a spec's hash, "start",
 * "remove"). The first caller runs the work on its own thread, to its end, whether or not its
 * client is still there. While it runs, a caller with the same key and the same `what` waits and
 * gets the same answer; one with another `what` waits until the work has ended and then runs its
 * own. Waiting ends at the waiter's own deadline or cancellation, which never disturbs the work.
 *
 *     struct job *job;
 *     if (jobs_enter(jobs, key, what, caller, &job, ret_id, err) <= 0) return ...;   joined (0) or
 * failed (-1)
 *     ... the work ...
 *     jobs_leave(job, rc, id, err);
 */
#ifndef UNICRI_SANDBOX_JOBS_H
#define UNICRI_SANDBOX_JOBS_H

#include "base/id.h"
#include "sandbox/sandbox.h"

struct jobs;
struct job;

#define JOBS_CANCEL_POLL                                                                           \
    (100 * NSEC_PER_MSEC) /* how soon a waiter notices that its client has gone */

struct jobs *jobs_new(void);
/** jobs_free() - no job may be running. */
void jobs_free(struct jobs *jobs);

/**
 * jobs_enter() - run the work, or wait for the one who does.
 * Returns: 1 and *ret_job: the caller runs it and must call jobs_leave(); 0: joined one that
 * succeeded, its result copied to ret_id (ID_LEN + 1 bytes, may be NULL); -1: joined one that
 * failed (its error), or DEADLINE or CANCELLED while waiting. `caller` NULL: no deadline of its
 * own.
 */
int jobs_enter(struct jobs *jobs, const char *key, const char *what, const struct caller *caller,
               struct job **ret_job, char *ret_id, struct err *err) MUST_CHECK;
/** jobs_leave() - the work has ended: rc 0 or -1 with `err`; `id` may be NULL. Returns: rc, for the
 * caller's return. */
int jobs_leave(struct job *job, int rc, const char *id, const struct err *err);
/** jobs_running() - how many, for metrics and tests. */
size_t jobs_running(struct jobs *jobs);

/** caller_check() - has the caller's deadline passed or its client gone? Errors: DEADLINE,
 * CANCELLED. `what` is put in front. */
int caller_check(const struct caller *caller, const char *what, struct err *err) MUST_CHECK;
/** caller_deadline() - DEADLINE_NEVER for NULL. */
deadline_t caller_deadline(const struct caller *caller);

#endif
