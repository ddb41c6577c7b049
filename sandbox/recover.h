/* SPDX-License-Identifier: Apache-2.0 */
/* recover - the tables from the rows, and rows and facts brought together after a crash or a
 * reboot. Used once, by engine_open(). */
#ifndef UNICRI_SANDBOX_RECOVER_H
#define UNICRI_SANDBOX_RECOVER_H

#include "sandbox/engine.h"

/** recover() - never fails because of one record: it is logged and left to a client's removal.
 * Errors: the database itself. */
int recover(struct engine *engine, struct err *err) MUST_CHECK;

/* What is known of a container whose row says that it should live. */
struct container_facts {
    bool exit_file; /* RUN/exits/ID is there */
    bool monitor;   /* its monitor lives */
    bool answers;   /* ... and says that the workload runs */
    bool populated; /* something lives in its cgroup */
    bool same_boot; /* the row is of this boot */
};
enum verdict { VERDICT_RUNNING, VERDICT_EXITED, VERDICT_LOST, VERDICT_REBOOTED };
/** recover_verdict() - total over all combinations. Memory only. */
enum verdict recover_verdict(const struct container_facts *facts);

#endif
