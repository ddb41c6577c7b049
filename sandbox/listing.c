/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - see listing.h. A part is a table of its entries and one piece with their bytes one
 * behind the other. Pieces never change: after each change to the table compose() makes a new one.
 * Two neighbours that have become small are made one, so that many objects that came and went leave
 * no more parts than those that are there need.
 */
#include "sandbox/listing.h"

#include <string.h>

struct listing_part {
    struct piece *piece; /* a reference; NULL only while the table changes */
    size_t n;
    struct listing_entry *entries[LISTING_PART_ENTRIES]; /* newest first */
    TAILQ_ENTRY(listing_part) link;
};

void listing_init(struct listing *l)
{
    *l = (struct listing){0};
    TAILQ_INIT(&l->parts);
    TAILQ_INIT(&l->waiting);
}

void listing_done(struct listing *l)
{
    struct listing_part *part;

    while ((part = TAILQ_FIRST(&l->parts))) {
        TAILQ_REMOVE(&l->parts, part, link);
        piece_unref(part->piece);
        free(part);
    }
}

static size_t bytes_of(struct listing_entry *const *entries, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += entries[i]->len;
    return bytes;
}

static struct piece *join(struct listing_entry *const *entries, size_t n)
{
    struct piece *piece = piece_new(bytes_of(entries, n));
    uint8_t *at = piece->bytes;

    for (size_t i = 0; i < n; i++) {
        memcpy(at, entries[i]->bytes, entries[i]->len);
        at += entries[i]->len;
    }
    return piece;
}

/* A new piece from the table; the entries' bytes may come from anywhere. */
static void compose(struct listing_part *part)
{
    struct piece *old = part->piece;
    const uint8_t *at;

    part->piece = join(part->entries, part->n);
    at = part->piece->bytes;
    for (size_t i = 0; i < part->n; i++) {
        part->entries[i]->part = part;
        part->entries[i]->bytes = at;
        at += part->entries[i]->len;
    }
    piece_unref(old);
}

static void drop_part(struct listing *l, struct listing_part *part)
{
    TAILQ_REMOVE(&l->parts, part, link);
    l->n_parts--;
    piece_unref(part->piece);
    free(part);
}

/* Nobody but the part holds a piece that has just been composed: it may still be written. */
static void set_state(struct listing_entry *e, uint8_t state)
{
    size_t at = (size_t)(e->bytes - e->part->piece->bytes) + e->len - 1;

    e->part->piece->bytes[at] = state;
}

static void stop_waiting(struct listing *l, struct listing_entry *e)
{
    if (!e->waits)
        return;
    e->waits = false;
    l->n_waiting--;
    TAILQ_REMOVE(&l->waiting, e, link);
}

void listing_show(struct listing *l, struct listing_entry *e, uint8_t state)
{
    if (!e->part) {
        if (e->waits)
            return;
        e->waits = true;
        l->n_waiting++;
        TAILQ_INSERT_TAIL(&l->waiting, e, link);
    } else if (e->bytes[e->len - 1] != state) {
        compose(e->part);
        set_state(e, state);
    }
}

void listing_put(struct listing *l, struct listing_entry *e, const struct piece *packed,
                 uint8_t state)
{
    struct listing_part *part = TAILQ_FIRST(&l->parts);

    if (!e->waits)
        return;
    stop_waiting(l, e);
    if (!part || part->n == LISTING_PART_ENTRIES ||
        part->piece->len + packed->len > LISTING_PART_BYTES) {
        part = XNEW(struct listing_part);
        TAILQ_INSERT_HEAD(&l->parts, part, link);
        l->n_parts++;
    }
    memmove(&part->entries[1], &part->entries[0], part->n * sizeof(struct listing_entry *));
    part->entries[0] = e;
    part->n++;
    e->bytes = packed->bytes;
    e->len = packed->len;
    compose(part);
    set_state(e, state);
}

/* Returns: whether `next` has become a part of `part`. */
static bool merge(struct listing *l, struct listing_part *part, struct listing_part *next)
{
    if (!part || !next || part->n + next->n > LISTING_PART_ENTRIES / 2 ||
        part->piece->len + next->piece->len > LISTING_PART_BYTES / 2)
        return false;
    memcpy(&part->entries[part->n], next->entries, next->n * sizeof(struct listing_entry *));
    part->n += next->n;
    compose(part);
    drop_part(l, next);
    return true;
}

static void take_out(struct listing *l, struct listing_entry *e)
{
    struct listing_part *part = e->part;
    size_t i = 0;

    while (part->entries[i] != e)
        i++;
    part->n--;
    memmove(&part->entries[i], &part->entries[i + 1],
            (part->n - i) * sizeof(struct listing_entry *));
    e->part = NULL;
    e->bytes = NULL;
    e->len = 0;
    if (part->n == 0) {
        drop_part(l, part);
        return;
    }
    compose(part);
    if (!merge(l, part, TAILQ_NEXT(part, link)))
        (void)merge(l, TAILQ_PREV(part, listing_part_head, link), part);
}

void listing_hide(struct listing *l, struct listing_entry *e)
{
    stop_waiting(l, e);
    if (e->part)
        take_out(l, e);
}

size_t listing_all(const struct listing *l, struct piece ***ret)
{
    struct listing_part *part;
    size_t n = 0;

    *ret = xcalloc(l->n_parts + 1, sizeof(struct piece *));
    TAILQ_FOREACH (part, &l->parts, link)
        (*ret)[n++] = piece_ref(part->piece);
    return n;
}

size_t listing_some(struct listing_entry *const *entries, size_t n, struct piece ***ret)
{
    size_t pieces = 0, from = 0, bytes = 0;

    *ret = xcalloc(n + 1, sizeof(struct piece *));
    for (size_t i = 0; i < n; i++) {
        if (i > from && bytes + entries[i]->len > LISTING_PART_BYTES) {
            (*ret)[pieces++] = join(entries + from, i - from);
            from = i;
            bytes = 0;
        }
        bytes += entries[i]->len;
    }
    if (n > from)
        (*ret)[pieces++] = join(entries + from, n - from);
    return pieces;
}
