/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network - a pod's network: the row that says a DEL is owed is written before ADD and goes only
 * when a DEL has succeeded.
 *
 * A DEL that fails does not hold up StopPodSandbox: the row stays as an orphan, and the engine's
 * tick tries it again with growing pauses, with the configuration that was used at ADD, even when
 * the pod and its namespace are gone.
 */
#ifndef UNICRI_SANDBOX_NETWORK_H
#define UNICRI_SANDBOX_NETWORK_H

#include "sandbox/pod.h"

#define DEBT_PAUSE_FIRST (10 * NSEC_PER_SEC)
#define DEBT_PAUSE_MAX   (600 * NSEC_PER_SEC)

/** network_add() - Errors: UNAVAILABLE, DEADLINE naming the plugin. */
int network_add(struct pod *pod, struct err *err) MUST_CHECK;
/** network_release() - DEL, or the debt of it. Fails only when the row cannot be written. */
int network_release(struct pod *pod, struct err *err) MUST_CHECK;
/** network_load() - the stored result back into a pod found at start. */
void network_load(struct pod *pod);

struct debts *debts_new(void);
void debts_free(struct debts *debts);
/** debt_add() - a DEL is owed for this pod id; first tried after `pause`. */
void debt_add(struct engine *engine, const char *pod_id, nsec_t pause);
/** debts_work() - try those that are due. May block. */
void debts_work(struct engine *engine);
size_t debts_count(struct engine *engine);

#endif
