/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists - pods and containers as bytes (listing.h): first those that wait are packed, without the
 * lock, then the list is taken under it. So what was visible when a caller came is in its list.
 */
#include <stddef.h>

#include "base/strbuf.h"
#include "sandbox/container.h"

#define OBJECT_OF(entry, type, member) ((type *)(void *)((char *)(entry)-offsetof(type, member)))

static bool wants_all(const struct list_filter *f)
{
    return !f || (!(f->id && *f->id) && !(f->pod_id && *f->pod_id) && f->state < 0 &&
                  !(f->labels && f->labels->n));
}

static void pack_pods(struct engine *engine, pod_pack_fn *pack)
{
    struct listing *l = &engine->listed_pods;
    struct listing_entry *e;
    struct pod_view *views;
    size_t n = 0;

    mutex_lock(&engine->lock);
    views = xcalloc(l->n_waiting + 1, sizeof(*views));
    TAILQ_FOREACH (e, &l->waiting, link)
        pod_view_fill(OBJECT_OF(e, struct pod, entry), &views[n++]);
    mutex_unlock(&engine->lock);
    for (size_t i = 0; i < n; i++) {
        struct pod *pod = views[i].hold;
        struct piece *packed = pack(&views[i]);

        mutex_lock(&engine->lock);
        listing_put(l, &pod->entry, packed, pod_cri_state(pod));
        mutex_unlock(&engine->lock);
        piece_unref(packed);
    }
    pod_views_free(views, n);
}

size_t pod_list_packed(struct engine *engine, const struct list_filter *filter, pod_pack_fn *pack,
                       struct piece ***ret)
{
    struct listing_entry **entries;
    struct pod *pod;
    size_t n = 0;

    pack_pods(engine, pack);
    mutex_lock(&engine->lock);
    if (wants_all(filter)) {
        n = listing_all(&engine->listed_pods, ret);
    } else {
        entries = xcalloc(engine->pods_by_id.live + 1, sizeof(struct listing_entry *));
        TAILQ_FOREACH (pod, &engine->pods, link)
            if (pod->entry.part && pod_matches(pod, filter))
                entries[n++] = &pod->entry;
        n = listing_some(entries, n, ret);
        free(entries);
    }
    mutex_unlock(&engine->lock);
    return n;
}

static void pack_containers(struct engine *engine, container_pack_fn *pack)
{
    struct listing *l = &engine->listed_containers;
    struct container_view *views;
    struct listing_entry *e;
    size_t n = 0;

    mutex_lock(&engine->lock);
    views = xcalloc(l->n_waiting + 1, sizeof(*views));
    TAILQ_FOREACH (e, &l->waiting, link)
        container_view_fill(OBJECT_OF(e, struct container, listed), &views[n++]);
    mutex_unlock(&engine->lock);
    for (size_t i = 0; i < n; i++) {
        struct container *c = views[i].hold;
        struct piece *packed = pack(&views[i]);

        mutex_lock(&engine->lock);
        listing_put(l, &c->listed, packed, container_cri_state(c));
        mutex_unlock(&engine->lock);
        piece_unref(packed);
    }
    container_views_free(views, n);
}

size_t container_list_packed(struct engine *engine, const struct list_filter *filter,
                             container_pack_fn *pack, struct piece ***ret)
{
    struct listing_entry **entries;
    struct container *c;
    size_t n = 0;

    pack_containers(engine, pack);
    mutex_lock(&engine->lock);
    if (wants_all(filter)) {
        n = listing_all(&engine->listed_containers, ret);
    } else {
        entries = xcalloc(engine->containers_by_id.live + 1, sizeof(struct listing_entry *));
        TAILQ_FOREACH (c, &engine->containers, link)
            if (c->listed.part && container_matches(c, filter))
                entries[n++] = &c->listed;
        n = listing_some(entries, n, ret);
        free(entries);
    }
    mutex_unlock(&engine->lock);
    return n;
}
