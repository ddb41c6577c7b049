/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - all memory of one RPC: the unpacked request and the reply are cut from it and go away
 * together.
 *
 * It has a bound, so that a request of a few bytes per element cannot unfold into gigabytes: as an
 * allocator for protobuf-c it then returns NULL, which makes the unpacking fail. arena_alloc()
 * itself aborts beyond the bound only when told to build (replies are made of our own data). Every
 * block remembers its size: wire.c tells by it whether a string holds a NUL byte. Thread: one.
 */
#ifndef UNICRI_CRI_ARENA_H
#define UNICRI_CRI_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/mem.h"

#define ARENA_CHUNK_BYTES       ((size_t)16 * 1024)
#define ARENA_REQUEST_MAX_BYTES ((size_t)64 * 1024 * 1024)

struct arena {
    struct arena_chunk *chunks;
    size_t used, limit;           /* bytes handed out; 0 = no limit */
    bool exhausted;               /* the limit was met */
    ProtobufCAllocator allocator; /* hands out blocks of this arena */
};

void arena_init(struct arena *arena, size_t limit);
void arena_done(struct arena *arena);

/** arena_alloc() - zeroed, aligned for any type. Aborts without memory; does not look at the limit.
 */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
#define ARENA_NEW(arena, type)      ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, n) ((type *)arena_alloc((arena), (n) * sizeof(type)))

/** arena_text() - a copy of s as text that may go into a reply: what is not UTF-8 is scrubbed (a
 * client refuses a whole list for one bad byte). NULL becomes "". */
char *arena_text(struct arena *arena, const char *s) __attribute__((returns_nonnull));
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF(2, 3);
/** arena_block_size() - what was asked for when `block` was cut. */
size_t arena_block_size(const void *block);

#endif
