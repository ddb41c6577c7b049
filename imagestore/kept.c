/* SPDX-License-Identifier: Apache-2.0 */
/* kept - see kept.h. */
#include "imagestore/kept.h"

#include "base/fs.h"

struct kept_layer {
    struct kept_layer *next;
    char *diff_id; /* owned */
    struct layer_result result;
    nsec_t since;
};

static void free_layer(struct kept_layer *k)
{
    free(k->diff_id);
    layer_result_done(&k->result);
    free(k);
}

static void remove_layer(const struct imagestore *s, struct kept_layer *k)
{
    autofree char *path = path_join(s->layers_dir, k->result.tmp);
    store_remove_dir(path);
    free_layer(k);
}

static bool is_welcome(const struct imagestore *s, const struct kept_layer *fresh) NEEDS(s->lock)
{
    uint64_t bytes = fresh->result.size;
    for (const struct kept_layer *k = s->kept; k; k = k->next) {
        bytes += k->result.size;
        if (str_eq(k->diff_id, fresh->diff_id))
            return false;
    }
    return bytes <= s->config->max_image_bytes;
}

void kept_put(struct imagestore *s, const char *diff_id, struct layer_result *result)
{
    struct kept_layer *k = XNEW(struct kept_layer);
    *k = (struct kept_layer){.diff_id = xstrdup(diff_id), .result = *result, .since = clock_mono()};
    *result = (struct layer_result){0};
    mutex_lock(&s->lock);
    bool welcome = is_welcome(s, k);
    if (welcome) {
        k->next = s->kept;
        s->kept = k;
    }
    mutex_unlock(&s->lock);
    if (!welcome)
        remove_layer(s, k);
}

bool kept_take(struct imagestore *s, const char *diff_id, struct layer_result *ret)
{
    mutex_lock(&s->lock);
    struct kept_layer **p = &s->kept, *k;
    while ((k = *p) && !str_eq(k->diff_id, diff_id))
        p = &k->next;
    if (k)
        *p = k->next;
    mutex_unlock(&s->lock);
    if (!k)
        return false;
    *ret = k->result;
    k->result = (struct layer_result){0};
    free_layer(k);
    return true;
}

void kept_expire(struct imagestore *s, nsec_t age)
{
    struct kept_layer *old = NULL, *k;
    nsec_t now = clock_mono();
    mutex_lock(&s->lock);
    for (struct kept_layer **p = &s->kept; (k = *p);) {
        if (now - k->since < age) {
            p = &k->next;
            continue;
        }
        *p = k->next;
        k->next = old;
        old = k;
    }
    mutex_unlock(&s->lock);
    while ((k = old)) {
        old = k->next;
        remove_layer(s, k);
    }
}

void kept_usage(const struct imagestore *s, uint64_t *bytes, uint64_t *inodes)
{
    for (const struct kept_layer *k = s->kept; k; k = k->next) {
        *bytes += k->result.size;
        *inodes += k->result.inodes;
    }
}

NO_TSA void kept_free(struct imagestore *s) /* nobody else has it any more */
{
    struct kept_layer *k;
    while ((k = s->kept)) {
        s->kept = k->next;
        free_layer(k);
    }
}
