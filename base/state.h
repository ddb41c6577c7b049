/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state - state machines that are checked: one enum, one const table, one setter per kind of
 * object.
 *
 *     static const struct state_row pod_states[] = {
 *         [POD_CREATING] = {"CREATING", STATE_BIT(POD_READY) | STATE_BIT(POD_REMOVING)}, ...
 *     };
 */
#ifndef UNICRI_BASE_STATE_H
#define UNICRI_BASE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_BIT(s) (UINT32_C(1) << (s))

struct state_row {
    const char *name;
    uint32_t to; /* bits of the states that may follow */
};
struct state_table {
    const char *what; /* "pod", "container" */
    const struct state_row *rows;
    size_t n;
};

bool state_may(const struct state_table *t, int from, int to);
const char *state_name(const struct state_table *t, int s); /* "?" when out of range */
/** state_find() - by name, as stored in a row. Returns: -1 when there is none. */
int state_find(const struct state_table *t, const char *name);
/** state_move() - the one writer of a state field: asserts the transition, logs it at debug level
 * with `id`. */
void state_move(const struct state_table *t, int *state, int to, const char *id);

#endif
