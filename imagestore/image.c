/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image - the immutable, reference counted image and its row. An image that changes (a tag more, a
 * tag less) is replaced by a new one; whoever holds the old one keeps it whole.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "imagestore/manifest.h"
#include "imagestore/registry.h"
#include "imagestore/store.h"

/* The facade shows the plain struct; the count lies behind it. */
struct counted_image {
    struct image image;
    atomic_uint refs;
    nsec_t pulled_at;
};

static struct counted_image *counted(const struct image *image)
{
    return (struct counted_image *)(uintptr_t)image;
}

static struct image *image_new(void)
{
    struct counted_image *c = XNEW(struct counted_image);
    atomic_init(&c->refs, 1);
    c->pulled_at = clock_wall();
    return &c->image;
}

struct image *image_ref(struct image *image)
{
    (void)atomic_fetch_add(&counted(image)->refs, 1);
    return image;
}

void image_unref(struct image *image)
{
    if (!image || atomic_fetch_sub(&counted(image)->refs, 1) != 1)
        return;
    free(image->id);
    free(image->artifact_type);
    strv_free(image->tags);
    strv_free(image->digests);
    image_config_done(&image->config);
    kvs_done(&image->annotations);
    strv_free(image->layers);
    free(image->config_json);
    free(counted(image));
}

void image_list_free(struct image **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        image_unref(list[i]);
    free(list);
}

static int read_config(struct image *image, struct err *err)
{
    autostrv char **diff_ids = NULL;
    return image_config_parse(image->config_json, strlen(image->config_json), &image->config,
                              &diff_ids, err);
}

static int read_manifest(struct image *image, const char *text, struct err *err)
{
    if (!text || !text[0])
        return 0;
    autojson *j = json_parse(text, strlen(text), MANIFEST_MAX_BYTES, "image row", err);
    const char *type = NULL;
    if (!j || json_opt_string(j, "artifactType", &type, err) < 0)
        return -1;
    if (type) {
        free(image->artifact_type);
        image->artifact_type = xstrdup(type);
    }
    return json_opt_kvs(j, "annotations", ANNOTATIONS_MAX, &image->annotations, err);
}

static bool is_pinned(const struct imagestore *s, const struct image *image)
{
    for (size_t i = 0; s->pinned && s->pinned[i]; i++)
        if (str_eq(s->pinned[i], image->id) || strv_contains(image->tags, s->pinned[i]) ||
            strv_contains(image->digests, s->pinned[i]))
            return true;
    return false;
}

struct image *image_from_row(const struct imagestore *s, const struct image_row *row,
                             struct err *err)
{
    struct image *image = image_new();
    counted(image)->pulled_at = row->pulled_at;
    image->artifact_type = xstrdup("");
    image->id = xstrdup(row->id);
    image->tags = strv_dup(row->tags);
    image->digests = strv_dup(row->digests);
    image->layers = strv_dup(row->layers);
    image->size = row->size;
    image->pinned = is_pinned(s, image);
    image->config_json = xstrdup(row->config);
    if (!digest_is_valid(image->id) || read_config(image, err) < 0 ||
        read_manifest(image, row->manifest, err) < 0) {
        if (!digest_is_valid(image->id))
            (void)err_set(err, ERR_CORRUPT, "image row with a bad id");
        image_unref(image);
        return NULL;
    }
    return image;
}

int image_put_row(struct imagestore *s, const struct image *image, struct err *err)
{
    autojson *j = json_object();
    json_put_kvs(j, "annotations", &image->annotations);
    json_put_string(j, "artifactType", image->artifact_type);
    autofree char *manifest = json_text(j);
    struct image_row row = {.id = image->id,
                            .config = image->config_json,
                            .manifest = manifest,
                            .size = image->size,
                            .pinned = image->pinned,
                            .pulled_at = counted(image)->pulled_at,
                            .tags = image->tags,
                            .digests = image->digests,
                            .layers = image->layers};
    return db_image_put(s->db, &row, err);
}

static struct image *image_copy(const struct image *from)
{
    struct image *image = image_new();
    struct err why = ERR_INIT;
    counted(image)->pulled_at = counted(from)->pulled_at;
    image->id = xstrdup(from->id);
    image->tags = strv_dup(from->tags);
    image->digests = strv_dup(from->digests);
    image->layers = strv_dup(from->layers);
    image->size = from->size;
    image->artifact_type = xstrdup(from->artifact_type);
    image->config_json = xstrdup(from->config_json);
    kvs_dup(&image->annotations, &from->annotations);
    if (read_config(image, &why) < 0)
        abort(); /* it was parsed once already */
    return image;
}

static void add_all(char ***to, char *const *from)
{
    for (size_t i = 0; from && from[i]; i++)
        if (!strv_contains(*to, from[i]))
            strv_push(to, from[i]);
}

struct image *image_merged(const struct imagestore *s, const struct image *fresh,
                           const struct image *old)
{
    struct image *image = image_copy(old ? old : fresh);
    if (old) {
        add_all(&image->tags, fresh->tags);
        add_all(&image->digests, fresh->digests);
        counted(image)->pulled_at = clock_wall();
    }
    image->pinned = is_pinned(s, image);
    return image;
}

struct image *image_without_tags(const struct imagestore *s, const struct image *from,
                                 char *const *tags)
{
    struct image *image = image_copy(from);
    strv_free(image->tags);
    image->tags = NULL;
    for (size_t i = 0; from->tags && from->tags[i]; i++)
        if (!strv_contains(tags, from->tags[i]))
            strv_push(&image->tags, from->tags[i]);
    image->pinned = is_pinned(s, image);
    return image;
}

struct image *image_build(const char *id, const char *artifact_type, char *config_json,
                          struct image_config *config, char **diff_ids, uint64_t size,
                          const struct kvs *annotations)
{
    struct image *image = image_new();
    image->id = xstrdup(id);
    image->artifact_type = xstrdup(artifact_type);
    image->config_json = config_json;
    image->config = *config;
    *config = (struct image_config){0};
    image->layers = diff_ids;
    image->size = size;
    kvs_dup(&image->annotations, annotations);
    return image;
}
