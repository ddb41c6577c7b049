/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_leftovers - what a killed debugger has left in an spt guest is taken out: by the daemon
 * when the debugger, its child, has ended, or by the next daemon. Everybody writes down first what
 * he changes (debug/leftovers.h).
 */
#ifndef UNICRI_SANDBOX_GUEST_LEFTOVERS_H
#define UNICRI_SANDBOX_GUEST_LEFTOVERS_H

#include "sandbox/runtime.h"

/** guest_leftovers_open() - the container's file, for a debugger. Returns: a descriptor, owned by
 * the caller, or -1. */
int guest_leftovers_open(const struct container *c, struct err *err);
/** guest_leftovers_undo() - unless somebody traces the guest, whose affair it is then. What fails
 * is logged. */
void guest_leftovers_undo(const struct container *c);
/** guest_leftovers_adopted() - the same for a debugger that has outlived its daemon: it has a
 * moment to notice, then it is killed. In the background. */
void guest_leftovers_adopted(struct container *c);

#endif
