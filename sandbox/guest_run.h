/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_run - what running a VMM takes beside its plan: the plan put into the monitor's words
 * (guest_put.c), and the way to the VMM's API (guest_control.c).
 *
 * The VMM is hostile: its socket may be anything, its answers anything, its file of how the guest
 * ended anything.
 */
#ifndef UNICRI_SANDBOX_GUEST_RUN_H
#define UNICRI_SANDBOX_GUEST_RUN_H

#include "sandbox/runtime.h"

/** guest_put() - limits of the container's cgroup, and the plan in the monitor's words; the
 * monitor's plan gets copies of all descriptors. Errors: EXHAUSTED. */
int guest_put(struct container *c, const struct vmm_plan *plan, struct monitor_plan *m,
              struct err *err) MUST_CHECK;

/** guest_start_files() - vmm_start_files() for what the container is told. */
int guest_start_files(struct container *c, struct vmm_tree ret[VMM_START_FILES], size_t *ret_n,
                      struct err *err) MUST_CHECK;

/** guest_driver() - by c->runtime_name; NULL when this build has it no more. */
const struct vmm_driver *guest_driver(const struct container *c);
/** guest_listen() - the socket on which the VMM will take its one client, in the container's run
 * directory; the one of an earlier attempt goes. Returns: fd or -1. */
int guest_listen(const struct container *c, struct err *err);
/** guest_record_open() - the file in which the VMM tells how its guest ended, empty, the jail's
 * own. Returns: fd or -1. */
int guest_record_open(const struct container *c, struct err *err);
/** guest_record_read() - what stands there: of much, a bounded part of its beginning and of its
 * end; owned; NULL when there is none. */
char *guest_record_read(const struct container *c);
/** guest_record_add() - a line that the VMM would have written there. */
void guest_record_add(const struct container *c, const char *line);
/** guest_connect() - to the API of the guest's VMM. Returns: fd or -1. Errors: UNAVAILABLE. */
int guest_connect(const struct container *c, deadline_t deadline, struct err *err);
/** guest_lives() - whether its VMM has not ended yet. */
bool guest_lives(const struct container *c);
/** guest_started() - runtime_ops.started: wait until the VMM's API says that the guest runs.
 * Errors: those of vmm_driver.ready; the VMM's last words when it has ended. */
int guest_started(struct container *c, struct err *err) MUST_CHECK;
/** guest_stop() - runtime_ops.stop: ask the guest to shut down; only err tells of a failure: no
 * signal would do better. */
void guest_stop(struct container *c, deadline_t deadline, struct err *err);

#endif
