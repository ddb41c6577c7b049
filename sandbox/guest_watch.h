/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_watch - core files of guests that crash, where the handler wants them (key crash_cores: how
 * many are kept of its containers, 0: none). A process `unicri-debug watch` traces such a guest
 * from its first instruction on, for which its tender waits a moment; it outlives the daemon, and
 * steps aside for a debugger. The file is the container's and goes with it.
 */
#ifndef UNICRI_SANDBOX_GUEST_WATCH_H
#define UNICRI_SANDBOX_GUEST_WATCH_H

#include "sandbox/runtime.h"

#define CRASH_CORES_MAX 64

/** guest_watch_wanted() - does the container's handler want core files of it? */
bool guest_watch_wanted(const struct container *c);
/** guest_watch_start() - nothing when the handler wants none, or for guests of other drivers. What
 * goes wrong is logged: it keeps no guest from running. */
void guest_watch_start(struct container *c);
/** guest_watch_stop() - make room for another debugger; a moment later there is none. */
void guest_watch_stop(const struct container *c);
/** guest_watch_ended() - the guest has: keep as many core files as the handler says, the newest.
 * Returns: what there is to say of this one, owned; NULL nothing. */
char *guest_watch_ended(struct container *c);

#endif
