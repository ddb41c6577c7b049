/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps - durable effects as a table {name, up, down}. The ups forward build a thing, the downs
 * backward are rollback, stop, remove and crash recovery alike.
 *
 * Before the up of step i runs, record(i + 1) is called: the row says "step i may have happened".
 * So after a crash the downs start at the recorded number and every `down` must accept "never was"
 * and "half done". A `down` that fails stops the walk; the row keeps the number and the walk is
 * tried again later.
 *
 * Fault points "TABLE.STEP.before", "TABLE.STEP.after" (up) and "TABLE.STEP.undo" are passed on the
 * way (base/fault.h).
 */
#ifndef UNICRI_BASE_STEPS_H
#define UNICRI_BASE_STEPS_H

#include <stddef.h>

#include "base/err.h"

struct step {
    const char *name;
    int (*up)(void *object, struct err *err);   /* NULL: nothing to do */
    int (*down)(void *object, struct err *err); /* NULL: nothing to undo; idempotent */
};
struct step_table {
    const char *name; /* "pod", "container" */
    const struct step *steps;
    size_t n;
    /* Make `done` durable; 0 = nothing exists. May be NULL. */
    int (*record)(void *object, size_t done, struct err *err);
};

/** steps_up() - run the ups from `*done` to `to` (at most t->n). On failure `*done` counts the step
 * that failed, the error names it. */
int steps_up(const struct step_table *t, void *object, size_t *done, size_t to,
             struct err *err) MUST_CHECK;
/** steps_down() - run the downs from `*done` - 1 to `to`. On failure `*done` is where it stopped.
 */
int steps_down(const struct step_table *t, void *object, size_t *done, size_t to,
               struct err *err) MUST_CHECK;
/** step_find() - the index of a step by name, asserted to exist. */
size_t step_find(const struct step_table *t, const char *name);

#endif
