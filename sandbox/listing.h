/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - all objects of a kind as a list's reply shows them, in bytes that are ready to be sent.
 *
 * A kubelet asks for all containers and all pods every second, and between two questions little has
 * changed. So each object is packed once, by whoever makes replies, and lies with its neighbours in
 * a part of some ten kilobytes; a list is a reference to every part. Of what lists show only the
 * state ever changes: it is the last byte of an object's bytes (the packer's promise), and a new
 * state, a new object or one that goes make its part anew while lists that are on their way keep
 * the old. Nobody has to think of telling the listing: container.c and pod.c have one function each
 * by which a state changes.
 *
 * Newest first. An object that has become visible waits to be packed until somebody asks for a
 * list. Memory: what the objects' bytes need, once. Thread: all under the engine's lock.
 */
#ifndef UNICRI_SANDBOX_LISTING_H
#define UNICRI_SANDBOX_LISTING_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/piece.h"

#define LISTING_PART_ENTRIES 64
#define LISTING_PART_BYTES   ((size_t)16 * 1024) /* one entry may be larger, and is alone then */

struct listing_part;

/* Lives in the object. All zero: not visible. */
struct listing_entry {
    struct listing_part *part; /* NULL: hidden, or it waits */
    const uint8_t *bytes;      /* in its part's piece */
    size_t len;
    bool waits;
    TAILQ_ENTRY(listing_entry) link; /* while it waits */
};

TAILQ_HEAD(listing_part_head, listing_part);
TAILQ_HEAD(listing_entry_head, listing_entry);

struct listing {
    struct listing_part_head parts;    /* newest first */
    struct listing_entry_head waiting; /* oldest first */
    size_t n_parts, n_waiting;
};

void listing_init(struct listing *l);
/** listing_done() - all of its entries have been hidden. */
void listing_done(struct listing *l);
/** listing_show() - the object is visible and in this state, as the CRI numbers it. */
void listing_show(struct listing *l, struct listing_entry *e, uint8_t state);
/** listing_hide() - it is not, any more. */
void listing_hide(struct listing *l, struct listing_entry *e);
/** listing_put() - the bytes of one that waits; others have been served already: nothing. */
void listing_put(struct listing *l, struct listing_entry *e, const struct piece *packed,
                 uint8_t state);
/** listing_all() - references to all that is packed; caller: pieces_free(). Returns: how many. */
size_t listing_all(const struct listing *l, struct piece ***ret);
/** listing_some() - the same of these entries alone, none of which waits, copied. */
size_t listing_some(struct listing_entry *const *entries, size_t n, struct piece ***ret);

#endif
