/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull - the story of one pull, told once: name -> manifest -> config -> layers -> commit. It knows
 * nothing of who waits for it; that is pull_job.c. Nothing of a failed pull stays on disk, but
 * finished layers do for a while when it was the registry that could not be reached (kept.h).
 */
#include "imagestore/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/artifact.h"
#include "imagestore/disk.h"
#include "imagestore/kept.h"
#include "imagestore/layer.h"
#include "imagestore/manifest.h"

#define PARALLEL_MAX 64

/* One layer of the image that is being pulled. */
struct pull_layer {
    const struct descriptor *blob;
    const char *diff_id;
    bool pinned; /* there already, held by a pin */
    bool twice;  /* the same as an earlier one */
    struct layer_result result;
};

struct pull {
    struct imagestore *s;
    struct registry *registry;
    const struct reference *ref;
    atomic_bool *stop;
    struct http *http;               /* of the pull's own thread */
    char top_digest[DIGEST_LEN + 1]; /* of what the name stands for: index or manifest */
    char manifest_digest[DIGEST_LEN + 1];
    uint64_t manifest_bytes;
    struct manifest manifest;
    struct image *image; /* half made, ours */
    struct pull_layer *layers;
    size_t n_layers;
    /* shared by the layer threads */
    struct mutex lock;
    size_t next GUARDED;
    uint64_t unpacked GUARDED;
    bool failed GUARDED;
    struct err err GUARDED;
};

/* --------------------------------------------------- manifest and config */

static int get_manifest(struct pull *p, struct err *err)
{
    automanifest_blob top = {0}, inner = {0};
    const char *what = p->ref->digest ? p->ref->digest : p->ref->tag;
    if (registry_manifest(p->registry, p->http, what, false, &top, err) < 0 ||
        manifest_parse(top.body, top.len, top.media_type, p->s->config->guest_platforms,
                       &p->manifest, err) < 0)
        return -1;
    memcpy(p->top_digest, top.digest, sizeof(p->top_digest));
    memcpy(p->manifest_digest, top.digest, sizeof(p->manifest_digest));
    p->manifest_bytes = top.len;
    if (!p->manifest.is_index)
        return 0;
    struct descriptor chosen = p->manifest.chosen;
    struct manifest m = {0};
    p->manifest.chosen = (struct descriptor){0};
    manifest_done(&p->manifest);
    int r = registry_manifest(p->registry, p->http, chosen.digest, false, &inner, err);
    if (r == 0 && inner.len != chosen.size)
        r = err_set(err, ERR_CORRUPT, "manifest %s: %zu bytes instead of %llu", chosen.digest,
                    inner.len, (unsigned long long)chosen.size);
    if (r == 0)
        r = manifest_parse(inner.body, inner.len, inner.media_type, p->s->config->guest_platforms,
                           &m, err);
    if (r == 0 && m.is_index)
        r = err_set(err, ERR_INVALID, "index %s names another index", p->top_digest);
    for (size_t i = 0; r == 0 && i < chosen.annotations.n; i++) /* the manifest's own win */
        if (!kvs_get(&m.annotations, chosen.annotations.v[i].key))
            kvs_set(&m.annotations, chosen.annotations.v[i].key, chosen.annotations.v[i].value);
    memcpy(p->manifest_digest, chosen.digest, sizeof(p->manifest_digest));
    descriptor_done(&chosen);
    p->manifest = m;
    p->manifest_bytes += inner.len;
    return r;
}

static int check_layers(struct pull *p, char *const *diff_ids, struct err *err)
{
    size_t n = strv_len(diff_ids);
    if (n != p->manifest.n_layers)
        return err_set(err, ERR_INVALID, "manifest has %zu layers, its config %zu",
                       p->manifest.n_layers, n);
    if (n > (size_t)p->s->config->max_layers)
        return err_set(err, ERR_EXHAUSTED, "image has %zu layers, more than %lld", n,
                       (long long)p->s->config->max_layers);
    return 0;
}

static uint64_t image_size(const struct pull *p)
{
    uint64_t size = p->manifest.config.size + p->manifest_bytes;
    for (size_t i = 0; i < p->manifest.n_layers; i++) {
        uint64_t n = p->manifest.layers[i].size;
        size = size + n < size ? UINT64_MAX / 2 : size + n;
    }
    return size;
}

/* KraftKit says on the layer which of its files is the kernel, which the initrd. */
static void adopt_layer_annotations(struct manifest *m)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct kvs *from = &m->layers[i].annotations;

        for (size_t k = 0; k < from->n && m->annotations.n < ANNOTATIONS_MAX; k++)
            if (str_has_prefix(from->v[k].key, "org.unikraft.") &&
                !kvs_get(&m->annotations, from->v[k].key))
                kvs_set(&m->annotations, from->v[k].key, from->v[k].value);
    }
}

static void name_image(struct pull *p)
{
    autofree char *name = reference_name(p->ref), *text = reference_text(p->ref);
    strv_take(&p->image->digests, xasprintf("%s@%s", name, p->top_digest));
    if (p->ref->tag)
        strv_push(&p->image->tags, text);
}

/* An artifact has the manifest's digest for an id; its config is of no use here. */
static int plan_artifact(struct pull *p, struct err *err)
{
    autostrv char **ids = NULL;
    struct image_config config = {0};
    autofree char *json = artifact_config(p->manifest.artifact_type);
    autostrv char **none = NULL;
    if (artifact_plan(&p->manifest, &ids, err) < 0 || check_layers(p, ids, err) < 0 ||
        image_config_parse(json, strlen(json), &config, &none, err) < 0)
        return -1;
    p->image = image_build(p->manifest_digest, p->manifest.artifact_type, TAKE_PTR(json), &config,
                           TAKE_PTR(ids), image_size(p), &p->manifest.annotations);
    name_image(p);
    return 0;
}

static int get_config(struct pull *p, struct err *err)
{
    const struct descriptor *d = &p->manifest.config;
    autofree char *json = NULL;
    autostrv char **diff_ids = NULL;
    struct image_config config = {0};
    if (registry_blob_text(p->registry, p->http, d->digest, d->size, CONFIG_MAX_BYTES, &json, err) <
            0 ||
        image_config_parse(json, (size_t)d->size, &config, &diff_ids, err) < 0)
        return -1;
    if (check_layers(p, diff_ids, err) < 0) {
        image_config_done(&config);
        return -1;
    }
    adopt_layer_annotations(&p->manifest);
    p->image = image_build(d->digest, "", TAKE_PTR(json), &config, TAKE_PTR(diff_ids),
                           image_size(p), &p->manifest.annotations);
    name_image(p);
    return 0;
}

/* --------------------------------------------------------------- layers */

static int count_unpacked(struct pull *p, uint64_t size, struct err *err)
{
    mutex_lock(&p->lock);
    p->unpacked += size;
    uint64_t sum = p->unpacked;
    mutex_unlock(&p->lock);
    if (sum > p->s->config->max_image_bytes)
        return err_set(err, ERR_EXHAUSTED, "image unpacks to more than %llu bytes",
                       (unsigned long long)p->s->config->max_image_bytes);
    return 0;
}

static int plan_layers(struct pull *p, struct err *err)
{
    p->n_layers = p->manifest.n_layers;
    p->layers = xcalloc(p->n_layers + 1, sizeof(*p->layers));
    for (size_t i = 0; i < p->n_layers; i++) {
        struct pull_layer *l = &p->layers[i];
        l->blob = &p->manifest.layers[i];
        l->diff_id = p->image->layers[i];
        for (size_t j = 0; j < i && !l->twice; j++)
            l->twice = str_eq(p->layers[j].diff_id, l->diff_id);
        if (!l->twice)
            l->pinned = store_pin(p->s, l->diff_id);
        if (!l->twice && !l->pinned && kept_take(p->s, l->diff_id, &l->result) &&
            count_unpacked(p, l->result.size, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_missing(const struct pull_layer *l)
{
    return !l->pinned && !l->twice && !l->result.tmp;
}

static int check_space(struct pull *p, struct err *err)
{
    uint64_t need = 0, have = 0;
    for (size_t i = 0; i < p->n_layers; i++) {
        if (!is_missing(&p->layers[i]))
            continue;
        uint64_t n = p->layers[i].blob->size;
        need = need + n < need ? UINT64_MAX / 2 : need + n;
    }
    if (need > p->s->config->max_image_bytes)
        return err_set(err, ERR_EXHAUSTED,
                       "image is larger than %llu bytes: its layers have %llu compressed",
                       (unsigned long long)p->s->config->max_image_bytes, (unsigned long long)need);
    if (need == 0)
        return 0;
    uint64_t margin = store_min_free(p->s);
    if (fs_free_bytes(p->s->layers_dir, &have, err) < 0)
        return -1;
    if (have < margin || have - margin < need) {
        kept_expire(p->s, 0); /* what might be of use gives way */
        disks_collect(p->s, true);
        if (fs_free_bytes(p->s->layers_dir, &have, err) < 0)
            return -1;
    }
    if (have < margin || have - margin < need)
        return err_set(err, ERR_EXHAUSTED,
                       "no space in '%s': at least %llu bytes are needed, %llu are free, %llu of "
                       "which are to stay free",
                       p->s->layers_dir, (unsigned long long)need, (unsigned long long)have,
                       (unsigned long long)margin);
    return 0;
}

static struct pull_layer *next_layer(struct pull *p)
{
    struct pull_layer *l = NULL;
    mutex_lock(&p->lock);
    while (!p->failed && !l && p->next < p->n_layers) {
        if (is_missing(&p->layers[p->next]))
            l = &p->layers[p->next];
        p->next++;
    }
    mutex_unlock(&p->lock);
    return l;
}

/* The first error counts; it stops the other layers, whose "given up" is of no interest. */
static void layer_failed(struct pull *p, const struct err *err)
{
    mutex_lock(&p->lock);
    if (!p->failed)
        p->err = *err;
    p->failed = true;
    mutex_unlock(&p->lock);
    atomic_store(p->stop, true);
}

static void *layer_thread(void *arg)
{
    struct pull *p = arg;
    autohttp struct http *http = registry_http(p->registry);
    struct pull_layer *l;
    while ((l = next_layer(p))) {
        struct err why = ERR_INIT;
        if (layer_fetch(p->s, p->registry, http, l->blob, l->diff_id, p->stop, &l->result, &why) <
                0 ||
            count_unpacked(p, l->result.size, &why) < 0)
            layer_failed(p, &why);
    }
    return NULL;
}

static int fetch_layers(struct pull *p, struct err *err)
{
    pthread_t threads[PARALLEL_MAX];
    size_t missing = 0, n = 0;
    for (size_t i = 0; i < p->n_layers; i++)
        missing += is_missing(&p->layers[i]);
    size_t want = (size_t)p->s->config->parallel_layers;
    want = want < 1 ? 1 : want > PARALLEL_MAX ? PARALLEL_MAX : want;
    struct err why = ERR_INIT;
    /* this thread is one of them: a lack of threads makes a pull slower, not impossible */
    while (n + 1 < want && n + 1 < missing &&
           thread_start("pull-layer", layer_thread, p, &threads[n], &why) == 0)
        n++;
    if (missing)
        (void)layer_thread(p);
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    mutex_lock(&p->lock);
    bool failed = p->failed;
    if (failed)
        *err = p->err;
    mutex_unlock(&p->lock);
    return failed ? -1 : 0;
}

static int open_layer(struct pull *p, const struct pull_layer *l)
{
    autofree char *path = l->result.tmp ? path_join(p->s->layers_dir, l->result.tmp)
                                        : store_layer_path(p->s, l->diff_id);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Directories that a layer only implied look like those of the layers below; see
 * layer_adopt_dirs(). */
static int adopt_dirs(struct pull *p, struct err *err)
{
    int *fds = xcalloc(p->n_layers + 1, sizeof(int));
    size_t n = 0;
    int r = 0;
    for (; n < p->n_layers && r == 0; n++) {
        fds[n] = p->layers[n].twice ? -1 : open_layer(p, &p->layers[n]);
        if (fds[n] < 0 && !p->layers[n].twice)
            r = err_sys(err, "open layer %s", p->layers[n].diff_id);
        else if (p->layers[n].result.tmp)
            layer_adopt_dirs(fds[n], p->layers[n].result.implied, fds, n);
    }
    while (n > 0)
        (void)close_fd(fds[--n]);
    free(fds);
    return r;
}

/* --------------------------------------------------------------- the end */

static struct image *commit(struct pull *p, struct err *err)
{
    struct store_layer *layers = xcalloc(p->n_layers + 1, sizeof(*layers));
    char **tmp = xcalloc(p->n_layers + 1, sizeof(*tmp));
    for (size_t i = 0; i < p->n_layers; i++) {
        const struct pull_layer *l = &p->layers[i];
        layers[i] = (struct store_layer){.diff_id = (char *)(uintptr_t)l->diff_id,
                                         .size = l->result.size,
                                         .inodes = l->result.inodes};
        tmp[i] = l->result.tmp;
    }
    struct image *half = image_ref(p->image); /* keeps the names above alive */
    struct image *image = store_commit(p->s, half, layers, tmp, p->n_layers, err);
    free(layers);
    free(tmp);
    return image;
}

/* @why: of a pull that failed; NULL: the layers are committed. */
static void clean_up(struct pull *p, const struct err *why)
{
    for (size_t i = 0; i < p->n_layers; i++) {
        struct pull_layer *l = &p->layers[i];
        if (l->pinned)
            store_unpin(p->s, l->diff_id);
        if (why && why->code == ERR_UNAVAILABLE && l->result.tmp) {
            kept_put(p->s, l->diff_id, &l->result);
        } else if (why && l->result.tmp) {
            autofree char *path = path_join(p->s->layers_dir, l->result.tmp);
            store_remove_dir(path);
        }
        layer_result_done(&l->result);
    }
    kept_expire(p->s, why && why->code == ERR_EXHAUSTED ? 0 : KEPT_TIME);
    free(p->layers);
    manifest_done(&p->manifest);
    image_unref(p->image);
    http_free(p->http);
    mutex_done(&p->lock);
}

/* Does the store already have what the tag stands for now? A HEAD tells, and costs no pull at
 * registries that count them. */
static struct image *have_already(struct pull *p)
{
    struct err ignored = ERR_INIT; /* whatever fails here, the pull proper will tell */
    automanifest_blob head = {0};
    if (!p->ref->tag)
        return NULL;
    autofree char *text = reference_text(p->ref), *name = reference_name(p->ref);
    autoimage *image = imagestore_find(p->s, text, &ignored);
    if (!image || !strv_contains(image->tags, text) ||
        registry_manifest(p->registry, p->http, p->ref->tag, true, &head, &ignored) < 0 ||
        !head.digest[0])
        return NULL;
    autofree char *digest = xasprintf("%s@%s", name, head.digest);
    bool whole = strv_contains(image->digests, digest);
    for (size_t i = 0; whole && image->layers && image->layers[i]; i++) {
        whole = store_pin(p->s, image->layers[i]);
        if (whole)
            store_unpin(p->s, image->layers[i]);
    }
    return whole ? TAKE_PTR(image) : NULL;
}

static struct image *run(struct pull *p, struct err *err)
{
    struct image *image = have_already(p);
    if (image)
        return image;
    if (get_manifest(p, err) < 0 ||
        (p->manifest.artifact_type ? plan_artifact(p, err) : get_config(p, err)) < 0)
        return NULL;
    if (plan_layers(p, err) < 0 || check_space(p, err) < 0 || fetch_layers(p, err) < 0 ||
        adopt_dirs(p, err) < 0)
        return NULL;
    return commit(p, err);
}

struct image *pull_run(struct imagestore *s, struct registry *registry, const struct reference *ref,
                       atomic_bool *stop, struct err *err)
{
    struct pull p = {.s = s, .registry = registry, .ref = ref, .stop = stop, .err = ERR_INIT};
    mutex_init(&p.lock);
    p.http = registry_http(registry);
    struct image *image = run(&p, err);
    clean_up(&p, image ? NULL : err);
    return image;
}
