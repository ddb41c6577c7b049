/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exits - how the daemon learns that a workload has ended: by the exit files in RUN/exits, which
 * monitors write before they end. What counts is what lies there (at start, at any event, at each
 * tick), not that an event came. A monitor that has gone without a file is found from facts alone:
 * soon after its end while it is the daemon's own child, by the tick after a restart.
 */
#ifndef UNICRI_SANDBOX_EXITS_H
#define UNICRI_SANDBOX_EXITS_H

#include "sandbox/container.h"

/** exits_watch() - from now on; what is there already comes at once. */
int exits_watch(struct engine *engine, struct err *err) MUST_CHECK;
/** exits_take() - if the container's exit file is there: EXITED, the monitor reaped, the rest
 * cleaned up behind. Returns: whether it was. */
bool exits_take(struct container *c);
/** exits_forget() - remove the exit file of a container and the room that a monitor which was
 * killed had reserved for it. */
int exits_forget(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/** exits_scan() - all files. May block. */
void exits_scan(struct engine *engine);
/** exits_reconcile() - running containers whose monitor is gone. May block. */
void exits_reconcile(struct engine *engine);
/** exits_lost() - the monitor of a container is gone and left no file: kill what is left; EXITED
 * with 137 when something was, else with 255. */
void exits_lost(struct container *c, const char *message);
/** exits_deaf() - the workload was killed and has ended, but its monitor does not say so: end the
 * monitor too; EXITED with 137. May block. */
void exits_deaf(struct container *c);
/** exits_child_ended() - some child of the daemon has ended; if it was a monitor, what it held is
 * looked at soon. On the loop; cheap, and many calls make one look. */
void exits_child_ended(struct engine *engine);

#endif
