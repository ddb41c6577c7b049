/* SPDX-License-Identifier: Apache-2.0 */
/* runs - see runs.h. */
#include "sandbox/debug/runs.h"

/* Each time gaps of twice the size; the widest merges all, so it ends. */
static void merge(struct runs *r)
{
    while (r->n == RUNS_MAX) {
        size_t last = 0;

        r->gap *= 2;
        for (size_t i = 1; i < r->n; i++) {
            if (r->v[i].begin - r->v[last].end <= r->gap)
                r->v[last].end = r->v[i].end;
            else
                r->v[++last] = r->v[i];
        }
        r->n = last + 1;
    }
}

void runs_add(struct runs *r, uint64_t begin, uint64_t end)
{
    if (begin >= end)
        return;
    if (r->n > 0 && begin - r->v[r->n - 1].end <= r->gap) {
        r->v[r->n - 1].end = end;
        return;
    }
    merge(r);
    r->v[r->n].begin = begin;
    r->v[r->n++].end = end;
}

uint64_t runs_bytes(const struct runs *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->v[i].end - r->v[i].begin;
    return n;
}
