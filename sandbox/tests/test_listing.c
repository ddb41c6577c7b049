/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as bytes: after any number of changes they are what packing all objects anew would give. */
#include "base/tests/testing.h"

#include "sandbox/listing.h"

#define OBJECTS 600
#define LARGEST (3 * LISTING_PART_BYTES)

struct object {
    struct listing_entry entry;
    unsigned number;
    uint8_t state;
    bool visible;
};

struct world {
    struct listing listing;
    struct object objects[OBJECTS];
    struct object *newest_first[OBJECTS]; /* as they were put */
    size_t n;
    unsigned seed;
};

static unsigned any(struct world *w, unsigned below)
{
    w->seed = w->seed * 1664525 + 1013904223;
    return (w->seed >> 8) % below;
}

/* Number, length, filling, state. */
static struct piece *pack(const struct object *o, uint8_t state)
{
    size_t len = o->number % 97 == 96 ? LARGEST : 8 + o->number % 700;
    struct piece *piece = piece_new(len);

    memset(piece->bytes, (int)(o->number % 251), len);
    memcpy(piece->bytes, &o->number, sizeof(o->number));
    piece->bytes[len - 1] = state;
    return piece;
}

static void forget(struct world *w, const struct object *o)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->newest_first[i] == o) {
            memmove(&w->newest_first[i], &w->newest_first[i + 1],
                    (w->n - i - 1) * sizeof(struct object *));
            w->n--;
            return;
        }
}

static void serve_waiting(struct world *w)
{
    struct listing_entry *e;

    while ((e = TAILQ_FIRST(&w->listing.waiting))) {
        struct object *o = (struct object *)(void *)e; /* its first member */
        struct piece *packed = pack(o, 0xff);

        listing_put(&w->listing, e, packed, o->state);
        listing_put(&w->listing, e, packed, 0xff); /* another one who was asked: too late */
        piece_unref(packed);
        memmove(&w->newest_first[1], &w->newest_first[0], w->n * sizeof(struct object *));
        w->newest_first[0] = o;
        w->n++;
    }
    assert_int_equal(w->listing.n_waiting, 0);
}

static void assert_same(struct piece **pieces, size_t n, struct object *const *objects,
                        size_t count)
{
    size_t piece = 0, at = 0;

    for (size_t i = 0; i < count; i++) {
        struct piece *fresh = pack(objects[i], objects[i]->state);

        if (piece < n && at == pieces[piece]->len) {
            piece++;
            at = 0;
        }
        assert_true(piece < n && at + fresh->len <= pieces[piece]->len);
        assert_memory_equal(pieces[piece]->bytes + at, fresh->bytes, fresh->len);
        at += fresh->len;
        piece_unref(fresh);
    }
    assert_int_equal(piece, count ? n - 1 : n);
    if (n)
        assert_int_equal(at, pieces[n - 1]->len);
}

static void check(struct world *w)
{
    struct piece **pieces;
    size_t n;

    serve_waiting(w);
    n = listing_all(&w->listing, &pieces);
    assert_int_equal(n, w->listing.n_parts);
    assert_same(pieces, n, w->newest_first, w->n);
    pieces_free(pieces, n);
}

static void change(struct world *w)
{
    struct object *o = &w->objects[any(w, OBJECTS)];

    switch (any(w, 4)) {
    case 0: /* comes, or is told of again */
    case 1:
        if (!o->visible) {
            o->number += OBJECTS;
            o->state = 0;
        }
        o->visible = true;
        listing_show(&w->listing, &o->entry, o->state);
        break;
    case 2:
        if (!o->visible)
            break;
        o->state = (uint8_t)any(w, 4);
        listing_show(&w->listing, &o->entry, o->state);
        break;
    default: /* goes, perhaps without having been there */
        o->visible = false;
        forget(w, o);
        listing_hide(&w->listing, &o->entry);
    }
}

static struct world *world_new(unsigned seed)
{
    struct world *w = XNEW(struct world);

    listing_init(&w->listing);
    w->seed = seed;
    for (unsigned i = 0; i < OBJECTS; i++)
        w->objects[i].number = i;
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < OBJECTS; i++)
        listing_hide(&w->listing, &w->objects[i].entry);
    assert_int_equal(w->listing.n_parts, 0);
    assert_int_equal(w->listing.n_waiting, 0);
    listing_done(&w->listing);
    free(w);
}

static void test_changes(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct world *w = world_new(seed);

        for (int i = 0; i < 4000; i++) {
            change(w);
            if (any(w, 16) == 0)
                check(w);
        }
        check(w);
        world_free(w);
    }
}

/* A list that is on its way stays as it was when it was asked for. */
static void test_old_lists(void **state)
{
    struct world *w = world_new(7);
    struct piece **pieces;
    uint8_t *copies[OBJECTS];
    size_t n;

    (void)state;
    for (int i = 0; i < 2000; i++)
        change(w);
    serve_waiting(w);
    n = listing_all(&w->listing, &pieces);
    assert_true(n > 1 && n < OBJECTS);
    for (size_t i = 0; i < n; i++) {
        copies[i] = xmalloc(pieces[i]->len);
        memcpy(copies[i], pieces[i]->bytes, pieces[i]->len);
    }
    for (int i = 0; i < 2000; i++)
        change(w);
    check(w);
    world_free(w);
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(copies[i], pieces[i]->bytes, pieces[i]->len);
        free(copies[i]);
    }
    pieces_free(pieces, n);
}

/* What came and went leaves no crumbs: parts are as few as what is there needs. */
static void test_parts(void **state)
{
    struct world *w = world_new(3);

    (void)state;
    for (size_t i = 0; i < OBJECTS; i++) {
        w->objects[i].number = 42;
        w->objects[i].visible = true;
        listing_show(&w->listing, &w->objects[i].entry, 0);
    }
    check(w);
    assert_true(w->listing.n_parts <= OBJECTS / LISTING_PART_ENTRIES + 1);
    for (size_t i = 0; i < OBJECTS; i++)
        if (i % 40) {
            forget(w, &w->objects[i]);
            listing_hide(&w->listing, &w->objects[i].entry);
        }
    check(w);
    assert_int_equal(w->n, OBJECTS / 40);
    assert_true(w->listing.n_parts <= 2);
    world_free(w);
}

static void test_some(void **state)
{
    struct world *w = world_new(5);
    struct listing_entry *entries[OBJECTS];
    struct object *objects[OBJECTS];
    struct piece **pieces;
    size_t n = 0, n_pieces;

    (void)state;
    n_pieces = listing_some(entries, 0, &pieces);
    assert_int_equal(n_pieces, 0);
    pieces_free(pieces, 0);
    for (int i = 0; i < 3000; i++)
        change(w);
    serve_waiting(w);
    for (size_t i = 0; i < w->n; i += 2) {
        objects[n] = w->newest_first[i];
        entries[n] = &objects[n]->entry;
        n++;
    }
    n_pieces = listing_some(entries, n, &pieces);
    assert_same(pieces, n_pieces, objects, n);
    for (size_t i = 0; i < n_pieces; i++)
        assert_true(pieces[i]->len <= LISTING_PART_BYTES || pieces[i]->len == LARGEST);
    pieces_free(pieces, n_pieces);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_old_lists),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
