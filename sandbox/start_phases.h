/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_phases - how long each phase of a container's start took: kept with the container, shown in
 * its verbose status, and counted as unicri_guest_start_seconds, by the monitor (VMM) that ran it.
 *
 * A phase is told as soon as it is over; they are counted together when the start has gone well,
 * the last one (the guest's own boot) when its first byte of output is known. The row keeps what
 * was known when the VMM was executed: after a restart of the daemon the later ones are missing.
 */
#ifndef UNICRI_SANDBOX_START_PHASES_H
#define UNICRI_SANDBOX_START_PHASES_H

#include "base/json.h"
#include "base/metrics.h"
#include "sandbox/container.h"

#define START_DRIVERS 7 /* rows of start_phase_metrics: one for each of vmm_driver_names() */
extern struct metric start_phase_metrics[START_DRIVERS][START_PHASES];

/** phase_over() - one that began at `since` is over; several times of one phase add up. */
void phase_over(struct container *c, enum start_phase phase, nsec_t since);
/** phases_count() - the start has gone well: count what is known so far, once. */
void phases_count(struct container *c);
/** phase_boot() - the guest's first byte of output came `took` after its VMM was executed. */
void phase_boot(struct container *c, nsec_t took);

/* For the row. */
void phases_put(const struct container *c, json_t *o);
void phases_get(struct container *c, const json_t *o);

#endif
