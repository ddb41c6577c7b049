/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit - the last step of a pull and its opposite, the removal of layers that nothing needs.
 * Everything that changes rows or layer directories after start is in here, under the `commit`
 * lock.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/disk.h"
#include "imagestore/kept.h"
#include "imagestore/store.h"

/* ----------------------------------------------------------- collection */

static bool layer_is_needed(struct imagestore *s, const struct store_layer *l) NEEDS(s->lock)
{
    if (l->pins)
        return true;
    for (size_t i = 0; i < s->n_images; i++)
        if (strv_contains(s->images[i]->layers, l->diff_id))
            return true;
    for (size_t i = 0; i < s->n_holds; i++)
        if (strv_contains(s->holds[i].layers, l->diff_id))
            return true;
    return false;
}

void store_remove_dir(const char *path)
{
    struct err why = ERR_INIT;
    if (fs_remove_tree(AT_FDCWD, path, &why) < 0)
        log_warn("remove '%s': %s", path, why.msg);
}

/* The row first, then out of the way by one rename, then slowly away: whatever is cut short is
 * rubbish by name. */
static int retire_layer(struct imagestore *s, const char *diff_id, char ***trash, struct err *err)
{
    if (db_layer_delete(s->db, diff_id, err) < 0)
        return -1;
    char id[ID_LEN + 1];
    id_new(id);
    autofree char *path = store_layer_path(s, diff_id);
    char *tmp = xasprintf("%s/" STORE_TMP_PREFIX "%.16s", s->layers_dir, id);
    if (rename(path, tmp) == 0)
        strv_take(trash, tmp);
    else
        free(tmp);
    mutex_lock(&s->lock);
    store_forget_layer(s, diff_id);
    mutex_unlock(&s->lock);
    return 0;
}

/* commit must be held */
static void collect_committed(struct imagestore *s, char ***trash)
{
    autostrv char **dead = NULL;
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_layers; i++)
        if (!layer_is_needed(s, &s->layers[i]))
            strv_push(&dead, s->layers[i].diff_id);
    mutex_unlock(&s->lock);
    for (size_t i = 0; dead && dead[i]; i++) {
        struct err why = ERR_INIT;
        if (retire_layer(s, dead[i], trash, &why) < 0)
            log_warn("remove layer %s: %s", dead[i], why.msg);
    }
}

void store_collect(struct imagestore *s)
{
    autostrv char **trash = NULL;
    holds_expire(s);
    kept_expire(s, KEPT_TIME);
    mutex_lock(&s->commit);
    collect_committed(s, &trash);
    mutex_unlock(&s->commit);
    disks_collect(s, false);
    for (size_t i = 0; trash && trash[i]; i++)
        store_remove_dir(trash[i]);
}

/* --------------------------------------------------------------- commit */

static int sync_dirs(struct imagestore *s, char *const *tmp, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!tmp[i])
            continue;
        autofd int fd = open(s->layers_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_sys(err, "open '%s'", s->layers_dir);
        return fs_sync_tree(fd, err); /* one syncfs() for all of them */
    }
    return 0;
}

static int commit_layer(struct imagestore *s, const struct store_layer *l, const char *tmp,
                        struct err *err)
{
    autofree char *from = path_join(s->layers_dir, tmp);
    autofree char *to = store_layer_path(s, l->diff_id);
    mutex_lock(&s->lock);
    bool known = store_layer_find(s, l->diff_id) != NULL;
    mutex_unlock(&s->lock);
    struct stat st;
    if (known && lstat(to, &st) == 0)
        return fs_remove_tree(AT_FDCWD, from, err); /* another pull was first */
    FAULT_POINT("image.rename");
    if (rename(from, to) < 0 && (errno == EEXIST || errno == ENOTEMPTY)) {
        if (fs_remove_tree(AT_FDCWD, to, err) < 0) /* a directory without a row is rubbish */
            return -1;
        if (rename(from, to) < 0)
            return err_sys(err, "rename '%s'", from);
    } else if (lstat(to, &st) < 0) {
        return err_sys(err, "rename '%s' to '%s'", from, to);
    }
    return 0;
}

static int commit_layers(struct imagestore *s, const struct store_layer *layers, char *const *tmp,
                         size_t n, struct err *err)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!tmp[i])
            continue;
        if (commit_layer(s, &layers[i], tmp[i], err) < 0)
            return -1;
        any = true;
    }
    if (any && fs_sync_dir(AT_FDCWD, s->layers_dir, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!tmp[i])
            continue;
        autofree char *path = xasprintf("layers/%s", digest_hex(layers[i].diff_id));
        struct layer_row row = {layers[i].diff_id, path, layers[i].size, layers[i].inodes};
        FAULT_POINT("image.layer_row");
        if (db_layer_put(s->db, &row, err) < 0)
            return -1;
        mutex_lock(&s->lock);
        store_put_layer(s, layers[i].diff_id, layers[i].size, layers[i].inodes);
        mutex_unlock(&s->lock);
    }
    return 0;
}

static struct image *commit_image(struct imagestore *s, const struct image *fresh, struct err *err)
{
    mutex_lock(&s->lock);
    struct image *image = image_merged(s, fresh, store_image_by_id(s, fresh->id));
    mutex_unlock(&s->lock);
    int fault = 0;
#ifdef UNICRI_FAULTS
    fault = fault_hit("image.row");
#endif
    if ((fault && err_errno(err, fault, "image.row") < 0) || image_put_row(s, image, err) < 0) {
        image_unref(image);
        return NULL;
    }
    mutex_lock(&s->lock);
    store_put_image(s, image_ref(image));
    mutex_unlock(&s->lock);
    return image;
}

struct image *store_commit(struct imagestore *s, struct image *fresh,
                           const struct store_layer *layers, char *const *tmp, size_t n,
                           struct err *err)
{
    struct image *image = NULL;
    autostrv char **trash = NULL;
    if (sync_dirs(s, tmp, n, err) == 0) {
        mutex_lock(&s->commit);
        if (commit_layers(s, layers, tmp, n, err) == 0)
            image = commit_image(s, fresh, err);
        if (!image)
            collect_committed(s, &trash); /* layers recorded for nothing */
        mutex_unlock(&s->commit);
    }
    for (size_t i = 0; trash && trash[i]; i++)
        store_remove_dir(trash[i]);
    image_unref(fresh);
    return image;
}

/* -------------------------------------------------------------- removal */

int imagestore_remove(struct imagestore *s, const char *name, struct err *err)
{
    struct err why = ERR_INIT;
    autostrv char **trash = NULL;
    autoimage *image = imagestore_find(s, name, &why);
    if (!image)
        return 0;
    if (image->pinned)
        return err_set(err, ERR_DENIED,
                       "remove image '%.300s': it is pinned by the option image.pinned", name);
    holds_expire(s);
    kept_expire(s, KEPT_TIME);
    mutex_lock(&s->commit);
    int r = db_image_delete(s->db, image->id, err);
    if (r == 0) {
        mutex_lock(&s->lock);
        store_forget_image(s, image->id);
        mutex_unlock(&s->lock);
        collect_committed(s, &trash);
    }
    mutex_unlock(&s->commit);
    if (r == 0)
        disks_collect(s, false);
    for (size_t i = 0; trash && trash[i]; i++)
        store_remove_dir(trash[i]);
    return r < 0 ? err_wrap(err, "remove image '%.300s'", name) : 0;
}
