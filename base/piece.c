/* SPDX-License-Identifier: Apache-2.0 */
/* piece - see piece.h. */
#include "base/piece.h"

#include <stdatomic.h>

struct piece *piece_new(size_t len)
{
    struct piece *piece = xmalloc(sizeof *piece + len);

    atomic_init(&piece->refs, 1);
    piece->len = len;
    return piece;
}

struct piece *piece_ref(struct piece *piece)
{
    (void)atomic_fetch_add(&piece->refs, 1);
    return piece;
}

void piece_unref(struct piece *piece)
{
    if (piece && atomic_fetch_sub(&piece->refs, 1) == 1)
        free(piece);
}

void pieces_free(struct piece **pieces, size_t n)
{
    for (size_t i = 0; i < n; i++)
        piece_unref(pieces[i]);
    free(pieces);
}
