/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap - objects by id: a hash table of borrowed pointers whose keys live in the objects.
 * Thread: none of its own; the engine's tables are used under the engine's lock.
 */
#ifndef UNICRI_SANDBOX_IDMAP_H
#define UNICRI_SANDBOX_IDMAP_H

#include <stddef.h>

struct idmap {
    struct idmap_slot {
        const char *key; /* borrowed; NULL: free, IDMAP_GONE: was used */
        void *value;
    } * slots; /* owned */
    size_t size, used, live;
};

void idmap_done(struct idmap *m);
/** idmap_put() - `key` must not be there yet and must outlive its entry. */
void idmap_put(struct idmap *m, const char *key, void *value);
/** idmap_get() - NULL when absent. */
void *idmap_get(const struct idmap *m, const char *key);
/** idmap_remove() - absent is fine. */
void idmap_remove(struct idmap *m, const char *key);

#endif
