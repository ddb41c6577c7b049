/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - a list of chunks, blocks cut from the newest one. A block is a header with its size, then
 * the bytes; freeing single blocks does nothing. Large blocks get a chunk of their own behind the
 * newest one.
 */
#include "cri/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"

#define ALIGNMENT 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap, len;
    _Alignas(ALIGNMENT) unsigned char data[];
};

struct header {
    _Alignas(ALIGNMENT) size_t size;
};

static void *cut(struct arena_chunk *chunk, size_t size, size_t whole)
{
    struct header *header = (struct header *)(void *)(chunk->data + chunk->len);

    chunk->len += whole;
    header->size = size;
    return header + 1;
}

/* Returns: NULL only when the system has no memory. */
static void *arena_cut(struct arena *arena, size_t size)
{
    size_t whole = sizeof(struct header) + ((size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
    struct arena_chunk *first = arena->chunks, *chunk;

    arena->used += whole;
    if (first && first->cap - first->len >= whole)
        return cut(first, size, whole);
    bool own = whole > ARENA_CHUNK_BYTES / 4;
    size_t cap = own ? whole : ARENA_CHUNK_BYTES;
    chunk = calloc(1, sizeof *chunk + cap);
    if (!chunk)
        return NULL;
    chunk->cap = cap;
    if (own && first) {
        chunk->next = first->next;
        first->next = chunk;
    } else {
        chunk->next = first;
        arena->chunks = chunk;
    }
    return cut(chunk, size, whole);
}

static void *allocator_alloc(void *arg, size_t size)
{
    struct arena *arena = arg;

    if (arena->limit &&
        (size > arena->limit || arena->used + size + sizeof(struct header) > arena->limit)) {
        arena->exhausted = true;
        return NULL;
    }
    return arena_cut(arena, size);
}

static void allocator_free(void *arg, void *block)
{
    (void)arg;
    (void)block;
}

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
    arena->allocator = (ProtobufCAllocator){
        .alloc = allocator_alloc, .free = allocator_free, .allocator_data = arena};
}

void arena_done(struct arena *arena)
{
    struct arena_chunk *next;

    for (struct arena_chunk *chunk = arena->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunks = NULL;
    arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *block = arena_cut(arena, size);

    if (!block)
        abort();
    return block;
}

size_t arena_block_size(const void *block)
{
    return ((const struct header *)block - 1)->size;
}

char *arena_text(struct arena *arena, const char *s)
{
    size_t len = s ? strlen(s) : 0;
    char *copy = arena_alloc(arena, len + 1);

    if (s)
        memcpy(copy, s, len + 1);
    if (!str_is_utf8(copy, len))
        utf8_scrub(copy);
    return copy;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    return arena_text(arena, text);
}
