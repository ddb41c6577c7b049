/* SPDX-License-Identifier: Apache-2.0 */
/* state - see state.h. A forbidden move is a bug of ours; it aborts in release builds too. */
#include "base/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool in_range(const struct state_table *t, int s)
{
    return s >= 0 && (size_t)s < t->n && t->rows[s].name;
}

bool state_may(const struct state_table *t, int from, int to)
{
    return in_range(t, from) && in_range(t, to) && (t->rows[from].to & STATE_BIT(to)) != 0;
}

const char *state_name(const struct state_table *t, int s)
{
    return in_range(t, s) ? t->rows[s].name : "?";
}

int state_find(const struct state_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->rows[i].name && strcmp(t->rows[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

void state_move(const struct state_table *t, int *state, int to, const char *id)
{
    if (!state_may(t, *state, to)) {
        log_error("%s '%s': forbidden move %s -> %s", t->what, id, state_name(t, *state),
                  state_name(t, to));
        abort();
    }
    log_debug("%s '%s': %s -> %s", t->what, id, state_name(t, *state), state_name(t, to));
    *state = to;
}
