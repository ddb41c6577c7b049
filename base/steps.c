/* SPDX-License-Identifier: Apache-2.0 */
/* steps - see steps.h for the contract of rows, ups and downs. */
#include "base/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

#define POINT_NAME_MAX 96

static int pass_point(const struct step_table *t, size_t i, const char *when, struct err *err)
{
#ifdef UNICRI_FAULTS
    char name[POINT_NAME_MAX];

    (void)snprintf(name, sizeof(name), "%s.%s.%s", t->name, t->steps[i].name, when);
    FAULT_POINT(name);
#else
    (void)t, (void)i, (void)when, (void)err;
#endif
    return 0;
}

static int record(const struct step_table *t, void *object, size_t done, struct err *err)
{
    if (t->record && t->record(object, done, err))
        return err_wrap(err, "record step %zu", done);
    return 0;
}

static int one_up(const struct step_table *t, void *object, size_t i, struct err *err)
{
    const struct step *s = &t->steps[i];

    if (record(t, object, i + 1, err))
        return -1;
    if (pass_point(t, i, "before", err))
        return -1;
    if (s->up && s->up(object, err))
        return -1;
    return pass_point(t, i, "after", err);
}

int steps_up(const struct step_table *t, void *object, size_t *done, size_t to, struct err *err)
{
    while (*done < to && *done < t->n) {
        size_t i = (*done)++; /* from here on step i may have happened */

        if (one_up(t, object, i, err))
            return err_wrap(err, "%s", t->steps[i].name);
    }
    return 0;
}

static int one_down(const struct step_table *t, void *object, size_t i, struct err *err)
{
    const struct step *s = &t->steps[i];

    if (pass_point(t, i, "undo", err))
        return -1;
    if (s->down && s->down(object, err))
        return -1;
    return record(t, object, i, err);
}

int steps_down(const struct step_table *t, void *object, size_t *done, size_t to, struct err *err)
{
    if (*done > t->n)
        *done = t->n; /* a row written by a version with more steps: all that this one knows is
                         undone */
    while (*done > to) {
        if (one_down(t, object, *done - 1, err))
            return err_wrap(err, "undo %s", t->steps[*done - 1].name);
        (*done)--;
    }
    return 0;
}

size_t step_find(const struct step_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->steps[i].name, name) == 0)
            return i;
    }
    (void)fprintf(stderr, "unicri: table '%s' has no step '%s'\n", t->name, name);
    abort();
}
