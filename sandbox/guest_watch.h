/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_watch - core files of guests that crash, where the handler wants them (key crash_cores: how
 * many are kept of its containers, 0: none). A process `unicri-debug watch` traces such a guest
 * from its first instruction on, for which its tender waits a moment; it outlives the daemon, and
 * steps aside for a debugger. Where the VMM writes core files itself it holds such a guest at its
 * end instead (vmm_spec.hold_end), and the daemon has the file written (guest_stands.h). The file
 * is the container's and goes with it.
 */
#ifndef UNICRI_SANDBOX_GUEST_WATCH_H
#define UNICRI_SANDBOX_GUEST_WATCH_H

#include "sandbox/runtime.h"

#define CRASH_CORES_MAX 64

/** guest_watch_wanted() - is such a process to watch the container's guest? */
bool guest_watch_wanted(const struct container *c);
/** guest_tracer() - who traces this process; 0: nobody, or it is gone. */
pid_t guest_tracer(const struct process *vmm);
/** guest_tracer_is() - by its command line, which only root writes: is it `unicri-debug COMMAND`?
 */
bool guest_tracer_is(pid_t pid, const char *command);
/** guest_watch_start() - nothing when it is not wanted. What goes wrong is logged: it keeps no
 * guest from running. */
void guest_watch_start(struct container *c);
/** guest_watch_stop() - make room for another debugger; a moment later there is none. */
void guest_watch_stop(const struct container *c);
/** guest_watch_holds() - is the guest's VMM to hold it at its end? */
bool guest_watch_holds(const struct container *c);
/** guest_watch_dump() - a guest that has crashed and is held: its core file is written, or it is
 * noted why not. Returns: false while another writes it: to be called again. Blocks. */
bool guest_watch_dump(struct container *c);
/** guest_watch_ended() - the guest has: keep as many core files as the handler says, the newest.
 * Returns: what there is to say of this one, owned; NULL nothing. */
char *guest_watch_ended(struct container *c);

#endif
