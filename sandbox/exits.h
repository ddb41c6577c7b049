/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exits - how the daemon learns that a workload has ended: by the exit files in RUN/exits, which
 * monitors write before they end. What counts is what lies there (at start, at any event, at each
 * tick), not that an event came. A monitor that has gone without a file is found by the tick, from
 * facts alone.
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
/** exits_lost() - the monitor of a container is gone and left no file: kill what is left,
 * EXITED(255). */
void exits_lost(struct container *c, const char *message);

#endif
