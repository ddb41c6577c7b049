/* SPDX-License-Identifier: Apache-2.0 */
/* store - the tables of store.h, and what only reads them: find, list, usage. */
#include "imagestore/store.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/disk.h"
#include "imagestore/kept.h"
#include "imagestore/reference.h"

#define ID_PREFIX_MIN     4
#define MIN_FREE_FRACTION 8 /* of a small disk */

/* --------------------------------------------------------------- tables */

struct image *store_image_by_id(struct imagestore *s, const char *id)
{
    for (size_t i = 0; i < s->n_images; i++)
        if (str_eq(s->images[i]->id, id))
            return s->images[i];
    return NULL;
}

struct store_layer *store_layer_find(struct imagestore *s, const char *diff_id)
{
    for (size_t i = 0; i < s->n_layers; i++)
        if (str_eq(s->layers[i].diff_id, diff_id))
            return &s->layers[i];
    return NULL;
}

char *store_layer_path(const struct imagestore *s, const char *diff_id)
{
    return path_join(s->layers_dir, digest_hex(diff_id));
}

uint64_t store_min_free(const struct imagestore *s)
{
    struct statvfs fs;
    uint64_t wanted = s->config->min_free_bytes;
    if (statvfs(s->layers_dir, &fs) < 0)
        return wanted;
    uint64_t most = (uint64_t)fs.f_blocks * fs.f_frsize / MIN_FREE_FRACTION;
    return wanted < most ? wanted : most;
}

void store_put_layer(struct imagestore *s, const char *diff_id, uint64_t size, uint64_t inodes)
{
    if (store_layer_find(s, diff_id))
        return;
    s->layers = xrealloc_array(s->layers, s->n_layers + 1, sizeof(*s->layers));
    s->layers[s->n_layers++] = (struct store_layer){xstrdup(diff_id), size, inodes, 0};
}

void store_forget_layer(struct imagestore *s, const char *diff_id)
{
    struct store_layer *l = store_layer_find(s, diff_id);
    if (!l)
        return;
    free(l->diff_id);
    *l = s->layers[--s->n_layers];
}

void store_forget_image(struct imagestore *s, const char *id)
{
    for (size_t i = 0; i < s->n_images; i++) {
        if (!str_eq(s->images[i]->id, id))
            continue;
        image_unref(s->images[i]);
        s->n_images--;
        memmove(&s->images[i], &s->images[i + 1], (s->n_images - i) * sizeof(struct image *));
        return;
    }
}

static bool shares_tag(const struct image *a, char *const *tags)
{
    for (size_t i = 0; tags && tags[i]; i++)
        if (strv_contains(a->tags, tags[i]))
            return true;
    return false;
}

void store_put_image(struct imagestore *s, struct image *image)
{
    bool placed = false;
    for (size_t i = 0; i < s->n_images; i++) {
        struct image *old = s->images[i];
        if (str_eq(old->id, image->id)) {
            s->images[i] = image;
            placed = true;
        } else if (shares_tag(old, image->tags)) {
            s->images[i] = image_without_tags(s, old, image->tags);
        } else {
            continue;
        }
        image_unref(old);
    }
    if (placed)
        return;
    s->images = xrealloc_array(s->images, s->n_images + 1, sizeof(struct image *));
    s->images[s->n_images++] = image;
}

bool store_pin(struct imagestore *s, const char *diff_id)
{
    autofree char *path = store_layer_path(s, diff_id);
    mutex_lock(&s->lock);
    struct store_layer *l = store_layer_find(s, diff_id);
    if (l)
        l->pins++;
    mutex_unlock(&s->lock);
    struct stat st;
    if (l && (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))) {
        log_warn("layer %s: its directory has gone, it is fetched again", diff_id);
        store_unpin(s, diff_id);
        return false;
    }
    return l != NULL;
}

void store_unpin(struct imagestore *s, const char *diff_id)
{
    mutex_lock(&s->lock);
    struct store_layer *l = store_layer_find(s, diff_id);
    if (l && l->pins)
        l->pins--;
    mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------- find, list */

/* Exact: an id, or a reference among tags or digests. */
static struct image *find_exact(struct imagestore *s, const char *name, const char *reference)
    NEEDS(s->lock)
{
    for (size_t i = 0; i < s->n_images; i++) {
        struct image *image = s->images[i];
        if (str_eq(image->id, name) || str_eq(digest_hex(image->id), name) ||
            (reference &&
             (strv_contains(image->tags, reference) || strv_contains(image->digests, reference))))
            return image;
    }
    return NULL;
}

static struct image *find_prefix(struct imagestore *s, const char *name, bool *ret_ambiguous)
    NEEDS(s->lock)
{
    struct image *found = NULL;
    const char *hex = str_has_prefix(name, DIGEST_PREFIX) ? name + sizeof(DIGEST_PREFIX) - 1 : name;
    size_t n = strlen(hex);
    if (n < ID_PREFIX_MIN || strspn(hex, "0123456789abcdef") != n)
        return NULL;
    for (size_t i = 0; i < s->n_images; i++) {
        if (strncmp(digest_hex(s->images[i]->id), hex, n) != 0)
            continue;
        *ret_ambiguous = found != NULL;
        if (found)
            return NULL;
        found = s->images[i];
    }
    return found;
}

struct image *imagestore_find(struct imagestore *s, const char *name, struct err *err)
{
    autoreference ref = {0};
    struct err ignored = ERR_INIT; /* what is no reference may still be an id */
    autofree char *text = NULL;
    bool ambiguous = false;
    if (reference_parse(name, &ref, &ignored) == 0)
        text = reference_text(&ref);
    mutex_lock(&s->lock);
    struct image *image = find_exact(s, name, text);
    if (!image)
        image = find_prefix(s, name, &ambiguous);
    if (image)
        image = image_ref(image);
    mutex_unlock(&s->lock);
    if (!image)
        (void)err_set(err, ERR_NOT_FOUND, "image '%.300s': %s", name,
                      ambiguous ? "prefix of several ids" : "not found");
    return image;
}

size_t imagestore_list(struct imagestore *s, struct image ***ret)
{
    mutex_lock(&s->lock);
    size_t n = s->n_images;
    struct image **list = xcalloc(n + 1, sizeof(struct image *));
    for (size_t i = 0; i < n; i++)
        list[i] = image_ref(s->images[i]);
    mutex_unlock(&s->lock);
    *ret = list;
    return n;
}

void image_fs_info_done(struct image_fs_info *info)
{
    free(info->mountpoint);
    *info = (struct image_fs_info){0};
}

int imagestore_fs_info(struct imagestore *s, struct image_fs_info *ret, struct err *err)
{
    (void)err;
    struct image_fs_info info = {.timestamp = clock_wall(), .mountpoint = xstrdup(s->root)};
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_layers; i++) {
        info.used_bytes += s->layers[i].size;
        info.used_inodes += s->layers[i].inodes;
    }
    kept_usage(s, &info.used_bytes, &info.used_inodes);
    disks_usage(s, &info.used_bytes, &info.used_inodes);
    mutex_unlock(&s->lock);
    *ret = info;
    return 0;
}
