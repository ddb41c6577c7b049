/* SPDX-License-Identifier: Apache-2.0 */
/* runs - which parts of an address range have contents, as few pieces as are wanted: small gaps are
 * taken in, and larger ones when there would be too many pieces. */
#ifndef UNICRI_SANDBOX_DEBUG_RUNS_H
#define UNICRI_SANDBOX_DEBUG_RUNS_H

#include <stddef.h>
#include <stdint.h>

#define RUNS_MAX 1024
#define RUNS_GAP UINT64_C(65536) /* bytes: gaps up to here are taken in at once */

struct runs {
    size_t n;
    uint64_t gap; /* as large as is taken in now */
    struct {
        uint64_t begin, end;
    } v[RUNS_MAX];
};
#define RUNS_INIT                                                                                  \
    {                                                                                              \
        .gap = RUNS_GAP                                                                            \
    }

/** runs_add() - pieces come in ascending order and do not overlap. */
void runs_add(struct runs *r, uint64_t begin, uint64_t end);
uint64_t runs_bytes(const struct runs *r);

#endif
