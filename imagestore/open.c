/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open - a store's start and end. At start the rows are held against what is on disk: rubbish is
 * thrown away, an image with a missing layer is dropped (a new pull brings it back).
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/disk.h"
#include "imagestore/kept.h"
#include "imagestore/reference.h"
#include "imagestore/store.h"

static bool is_known_dir(struct imagestore *s, const char *name)
{
    autofree char *diff_id = xasprintf(DIGEST_PREFIX "%s", name);
    if (!digest_is_valid(diff_id))
        return str_eq(name, "empty");
    mutex_lock(&s->lock);
    bool known = store_layer_find(s, diff_id) != NULL;
    mutex_unlock(&s->lock);
    return known;
}

static int throw_away(struct imagestore *s, struct err *err)
{
    autodir DIR *d = opendir(s->layers_dir);
    if (!d)
        return err_sys(err, "open '%s'", s->layers_dir);
    const struct dirent *e;
    while ((e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || is_known_dir(s, e->d_name))
            continue;
        autofree char *path = path_join(s->layers_dir, e->d_name);
        store_remove_dir(path);
    }
    return 0;
}

static int load_layers(struct imagestore *s, char ***missing, struct err *err)
{
    struct layer_row *rows = NULL;
    size_t n = 0;
    if (db_layers_load(s->db, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        if (!digest_is_valid(rows[i].diff_id)) {
            log_warn("ignoring layer row '%s': not a digest", rows[i].diff_id);
            continue;
        }
        autofree char *path = store_layer_path(s, rows[i].diff_id);
        if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
            log_warn("layer %s: its directory is missing", rows[i].diff_id);
            strv_push(missing, rows[i].diff_id);
            continue;
        }
        mutex_lock(&s->lock);
        store_put_layer(s, rows[i].diff_id, rows[i].size, rows[i].inodes);
        mutex_unlock(&s->lock);
    }
    layer_rows_free(rows, n);
    return 0;
}

/* Returns: the layer that is missing, or NULL. */
static const char *missing_layer(struct imagestore *s, char *const *layers) NEEDS(s->lock)
{
    for (size_t i = 0; layers && layers[i]; i++)
        if (!store_layer_find(s, layers[i]))
            return layers[i];
    return NULL;
}

static void load_image(struct imagestore *s, const struct image_row *row)
{
    struct err why = ERR_INIT;
    struct image *image = image_from_row(s, row, &why);
    const char *missing = NULL;
    mutex_lock(&s->lock);
    if (image)
        missing = missing_layer(s, image->layers);
    if (image && !missing)
        store_put_image(s, image);
    mutex_unlock(&s->lock);
    if (image && !missing)
        return;
    log_warn("image %s is dropped: %s%s", row->id, missing ? "missing layer " : why.msg,
             missing ? missing : "");
    image_unref(image);
    if (db_image_delete(s->db, row->id, &why) < 0)
        log_warn("image %s: %s", row->id, why.msg);
}

static int load_images(struct imagestore *s, struct err *err)
{
    struct image_row *rows = NULL;
    size_t n = 0;
    if (db_images_load(s->db, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        load_image(s, &rows[i]);
    image_rows_free(rows, n);
    return 0;
}

/* Rows of layers that are not there, once the images that named them are gone. */
static void drop_rows(struct imagestore *s, char *const *missing)
{
    for (size_t i = 0; missing && missing[i]; i++) {
        struct err why = ERR_INIT;
        if (db_layer_delete(s->db, missing[i], &why) < 0)
            log_warn("layer %s: %s", missing[i], why.msg);
    }
}

/* Returns: owned by the caller, NULL with err. */
static char *find_program(const char *configured, const char *name, struct err *err)
{
    char exe[4096];
    if (configured && configured[0])
        return xstrdup(configured);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n < 0) {
        (void)err_sys(err, "find %s beside the daemon", name);
        return NULL;
    }
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    return xasprintf("%.*s/%s", (int)(slash ? slash - exe : 0), exe, name);
}

static int find_programs(struct imagestore *s, struct err *err)
{
    s->unpack_program = find_program(s->config->unpack_program, "unicri-unpack", err);
    s->mkdisk_program = find_program(s->config->mkdisk_program, "unicri-mkdisk", err);
    return s->unpack_program && s->mkdisk_program ? 0 : -1;
}

/* Names are compared in their normal form. */
static int take_pinned(struct imagestore *s, struct err *err)
{
    char *const *names = s->config->pinned;
    for (size_t i = 0; names && names[i]; i++) {
        autoreference ref = {0};
        if (digest_is_valid(names[i])) {
            strv_push(&s->pinned, names[i]);
            continue;
        }
        if (reference_parse(names[i], &ref, err) < 0)
            return err_wrap(err, "image.pinned");
        strv_take(&s->pinned, reference_text(&ref));
    }
    return 0;
}

static int open_store(struct imagestore *s, struct err *err)
{
    autofree char *empty = path_join(s->layers_dir, "empty");
    autostrv char **missing = NULL;
    if (take_pinned(s, err) < 0 || find_programs(s, err) < 0 ||
        fs_mkdirs(s->holds_dir, 0700, err) < 0 || fs_mkdirs(s->disks_dir, 0700, err) < 0 ||
        fs_mkdirs(s->layers_dir, 0711, err) < 0 || fs_mkdir(AT_FDCWD, empty, 0755, err) < 0 ||
        load_layers(s, &missing, err) < 0 || load_images(s, err) < 0 || throw_away(s, err) < 0 ||
        holds_load(s, err) < 0)
        return -1;
    drop_rows(s, missing);
    store_collect(s);
    return disks_load(s, err);
}

struct imagestore *imagestore_open(const struct imagestore_config *config, const char *root,
                                   struct db *db, struct err *err)
{
    struct imagestore *s = XNEW(struct imagestore);
    s->config = config;
    s->db = db;
    s->root = xstrdup(root);
    s->layers_dir = path_join(root, "layers");
    s->holds_dir = path_join(root, "images/holds");
    s->disks_dir = path_join(root, "disks");
    mutex_init(&s->commit);
    mutex_init(&s->lock);
    cond_init(&s->changed);
    if (open_store(s, err) < 0) {
        imagestore_close(s);
        (void)err_wrap(err, "image store '%s'", root);
        return NULL;
    }
    return s;
}

NO_TSA void imagestore_close(struct imagestore *s) /* nobody else has it any more */
{
    if (!s)
        return;
    pulls_stop(s);
    for (size_t i = 0; i < s->n_images; i++)
        image_unref(s->images[i]);
    for (size_t i = 0; i < s->n_layers; i++)
        free(s->layers[i].diff_id);
    for (size_t i = 0; i < s->n_holds; i++) {
        free(s->holds[i].dir);
        free(s->holds[i].image_id);
        strv_free(s->holds[i].layers);
    }
    kept_free(s);
    disks_free(s);
    free(s->images);
    free(s->layers);
    free(s->holds);
    mutex_done(&s->commit);
    mutex_done(&s->lock);
    cond_done(&s->changed);
    free(s->root);
    free(s->layers_dir);
    free(s->holds_dir);
    free(s->disks_dir);
    free(s->unpack_program);
    free(s->mkdisk_program);
    strv_free(s->pinned);
    free(s);
}
