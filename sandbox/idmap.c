/* SPDX-License-Identifier: Apache-2.0 */
/* idmap - see idmap.h. Open addressing, at most two thirds full, tombstones swept when it grows. */
#include "sandbox/idmap.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define IDMAP_MIN 64

static const char gone[] = "";

static uint64_t hash(const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
    return h;
}

void idmap_done(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}

static struct idmap_slot *find(const struct idmap *m, const char *key)
{
    for (size_t i = hash(key) & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
        struct idmap_slot *s = &m->slots[i];

        if (!s->key || (s->key != gone && strcmp(s->key, key) == 0))
            return s;
    }
}

static void grow(struct idmap *m)
{
    struct idmap old = *m;

    m->size = IDMAP_MIN;
    while (m->size < 3 * (old.live + 1))
        m->size *= 2;
    m->slots = xcalloc(m->size, sizeof(*m->slots));
    m->used = m->live;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].key && old.slots[i].key != gone)
            *find(m, old.slots[i].key) = old.slots[i];
    free(old.slots);
}

void idmap_put(struct idmap *m, const char *key, void *value)
{
    if (3 * (m->used + 1) > 2 * m->size)
        grow(m);

    struct idmap_slot *s = find(m, key);

    assert(!s->key);
    *s = (struct idmap_slot){key, value};
    m->used++;
    m->live++;
}

void *idmap_get(const struct idmap *m, const char *key)
{
    return m->size ? find(m, key)->value : NULL;
}

void idmap_remove(struct idmap *m, const char *key)
{
    struct idmap_slot *s = m->size ? find(m, key) : NULL;

    if (!s || !s->key)
        return;
    *s = (struct idmap_slot){gone, NULL};
    m->live--;
}
