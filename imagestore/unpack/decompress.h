/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decompress - a blob on a descriptor as a stream of plain bytes: gzip (several members too), zstd
 * (several frames, a window of at most 128 MiB) or nothing, told apart by the first bytes. Both
 * sides are hashed and counted.
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_DECOMPRESS_H
#define UNICRI_IMAGESTORE_UNPACK_DECOMPRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"

#define DECOMPRESS_WINDOW_LOG_MAX 27

struct decompress;

/** decompress_new() - `max_out` bounds the plain bytes. Reads nothing yet. */
struct decompress *decompress_new(int fd, uint64_t max_out);
/** decompress_raw() - before the first read: the bytes are taken as they are, whatever they look
 * like. */
void decompress_raw(struct decompress *d);
void decompress_free(struct decompress *d);
/**
 * decompress_next() - the next piece, valid until the next call. Returns: its length, 0 at the end,
 * -1. Errors: CORRUPT (damaged, cut off, garbage behind it), UNSUPPORTED (another compression, by
 * name), EXHAUSTED (max_out).
 */
ssize_t decompress_next(struct decompress *d, const void **ret, struct err *err);

struct decompress_totals {
    uint64_t in, out;
    char compressed[80], plain[80]; /* digests */
};
/** decompress_end() - after the end was seen. */
void decompress_end(struct decompress *d, struct decompress_totals *ret);

#endif
