/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_client - the daemon's end of unicri-init (sandbox/monitor/init.c): start it, take its
 * report. It makes the namespaces that a thread of the daemon cannot make: a PID namespace with its
 * process 1, a user namespace, and whatever belongs to one.
 */
#ifndef UNICRI_SANDBOX_INIT_CLIENT_H
#define UNICRI_SANDBOX_INIT_CLIENT_H

#include "base/child.h"
#include "sandbox/engine.h"

/** init_start() - process 1 of a new PID namespace, which lives on.
 * @cgroup_dirs: it enters these; may be NULL.
 * @user_fd: the user namespace that owns the new one; -1: the node's.
 * Errors: DEADLINE; the kernel's in unicri-init's words. */
int init_start(struct engine *engine, char *const *cgroup_dirs, int user_fd, struct process *ret,
               struct err *err) MUST_CHECK;

/* New namespaces, while somebody holds them. */
struct ns_holder {
    struct pidref child;
    int hold; /* closed, the child ends */
};
/** ns_holder_start() - @flags: CLONE_NEW*, made in the user namespace `user_fd` (-1: the node's).
 * The child ends with the daemon at the latest. */
int ns_holder_start(struct engine *engine, int flags, int user_fd, struct ns_holder *ret,
                    struct err *err) MUST_CHECK;
/** ns_holder_file() - "/proc/PID/NAME", owned. */
char *ns_holder_file(const struct ns_holder *holder, const char *name);
/** ns_holder_end() - what is not pinned or open by now is gone. Zeroed memory is not a holder. */
void ns_holder_end(struct ns_holder *holder);
#define NS_HOLDER_NONE ((struct ns_holder){.child = PIDREF_NONE, .hold = -1})
static inline void ns_holder_cleanup(struct ns_holder *h)
{
    ns_holder_end(h);
}
#define autons_holder CLEANUP(ns_holder_cleanup) struct ns_holder

#endif
