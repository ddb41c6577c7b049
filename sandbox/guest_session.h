/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_session - guests whose VMM itself serves a debugger (vmm_driver.debug_begin, dump), where
 * tracing the VMM would tell nothing of the guest. The daemon asks the VMM over its API and hands
 * the other end of what it asked for to unicri-debug.
 *
 * While a session lasts a file stands in the container's run directory, from before its beginning
 * to behind its end: a daemon that finds it at its start ends the session, so that no guest stands
 * still for a debugger that is gone.
 */
#ifndef UNICRI_SANDBOX_GUEST_SESSION_H
#define UNICRI_SANDBOX_GUEST_SESSION_H

#include "sandbox/runtime.h"

/** guest_gdb_begin() - the guest stands still. Returns: a socket that speaks GDB's protocol, or -1.
 * One at a time; guest_gdb_end() ends it, after a failure there is none. Errors: STATE (another
 * debugger is at it), those of vmm_driver.debug_begin. Blocks a few seconds at most, as all here.
 */
int guest_gdb_begin(struct container *c, struct err *err);
/** guest_gdb_end() - the guest goes on without a trace. What goes wrong is logged. */
void guest_gdb_end(struct container *c);
/** guest_core_begin() - the guest stands still while it is read. Returns: a pipe out of which comes
 * an ELF core file, or -1. */
int guest_core_begin(struct container *c, struct err *err);
/** guest_gdb_adopted() - runtime_ops.adopted: end a session that a killed daemon has left. */
void guest_gdb_adopted(struct container *c);

#endif
