/* SPDX-License-Identifier: Apache-2.0 */
/*
 * piece - bytes that never change, shared by reference: what has been written once goes out to any
 * number of readers without a copy. Thread: any.
 */
#ifndef UNICRI_BASE_PIECE_H
#define UNICRI_BASE_PIECE_H

#include <stdint.h>

#include "base/mem.h"

struct piece {
    _Atomic unsigned refs;
    size_t len;
    uint8_t bytes[]; /* written by its maker alone, before anybody else has a reference */
};

/** piece_new() - `len` bytes to be filled in, with one reference. Aborts without memory. */
struct piece *piece_new(size_t len) __attribute__((returns_nonnull));
struct piece *piece_ref(struct piece *piece) __attribute__((returns_nonnull));
/** piece_unref() - NULL is fine. */
void piece_unref(struct piece *piece);
/** pieces_free() - a reference each, and the array. */
void pieces_free(struct piece **pieces, size_t n);

#endif
