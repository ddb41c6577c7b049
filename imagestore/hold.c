/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold - which directories keep which layers from removal. Each hold is a file
 * ROOT/images/holds/SHA256-OF-DIR, so that a new daemon knows them all; it ends by hold_drop() or
 * when its directory has gone.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/manifest.h"
#include "imagestore/store.h"

#define HOLD_MAX_BYTES (256 * 1024)

static char *hold_file(const char *dir)
{
    char digest[DIGEST_LEN + 1];
    digest_of(dir, strlen(dir), digest);
    return xstrdup(digest_hex(digest));
}

static void hold_free(struct store_hold *h)
{
    free(h->dir);
    free(h->image_id);
    strv_free(h->layers);
}

static struct store_hold *find_hold(struct imagestore *s, const char *dir) NEEDS(s->lock)
{
    for (size_t i = 0; i < s->n_holds; i++)
        if (str_eq(s->holds[i].dir, dir))
            return &s->holds[i];
    return NULL;
}

static void put_hold(struct imagestore *s, const char *dir, const char *image_id, char **layers)
    NEEDS(s->lock)
{
    struct store_hold *h = find_hold(s, dir);
    if (h) {
        free(h->image_id);
        strv_free(h->layers);
        h->image_id = xstrdup(image_id);
        h->layers = layers;
        return;
    }
    s->holds = xrealloc_array(s->holds, s->n_holds + 1, sizeof(*s->holds));
    s->holds[s->n_holds++] = (struct store_hold){xstrdup(dir), xstrdup(image_id), layers};
}

static void forget_hold(struct imagestore *s, const char *dir) NEEDS(s->lock)
{
    struct store_hold *h = find_hold(s, dir);
    if (!h)
        return;
    hold_free(h);
    *h = s->holds[--s->n_holds];
}

static int load_one(struct imagestore *s, const char *name, struct err *err)
{
    autofree char *path = path_join(s->holds_dir, name);
    autofree char *text = NULL;
    size_t len = 0;
    const char *dir = NULL, *image_id = NULL;
    autostrv char **layers = NULL;
    if (fs_read_file(AT_FDCWD, path, HOLD_MAX_BYTES, &text, &len, err) < 0)
        return -1;
    autojson *j = json_parse(text, len, HOLD_MAX_BYTES, "hold", err);
    if (!j || json_need_string(j, "dir", &dir, err) < 0 ||
        json_opt_string(j, "image", &image_id, err) < 0 ||
        json_opt_strv(j, "layers", MANIFEST_LAYERS_MAX, &layers, err) < 0)
        return -1;
    mutex_lock(&s->lock);
    put_hold(s, dir, image_id ? image_id : "", TAKE_PTR(layers));
    mutex_unlock(&s->lock);
    return 0;
}

int holds_load(struct imagestore *s, struct err *err)
{
    autodir DIR *d = opendir(s->holds_dir);
    if (!d)
        return err_sys(err, "open '%s'", s->holds_dir);
    const struct dirent *e;
    while ((e = readdir(d))) {
        struct err why = ERR_INIT;
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        if (e->d_name[0] == '.') { /* what a killed daemon left of an atomic write */
            (void)unlinkat(dirfd(d), e->d_name, 0);
            continue;
        }
        if (load_one(s, e->d_name, &why) == 0)
            continue;
        log_warn("ignoring hold '%s': %s", e->d_name, why.msg);
        (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    return 0;
}

int hold_take(struct imagestore *s, const struct image *image, const char *dir, struct err *err)
{
    /* first in memory, so that nothing is collected while the file is written */
    mutex_lock(&s->lock);
    for (size_t i = 0; image->layers && image->layers[i]; i++) {
        if (store_layer_find(s, image->layers[i]))
            continue;
        mutex_unlock(&s->lock);
        return err_set(err, ERR_NOT_FOUND, "image '%s': layer %s is not there", image->id,
                       image->layers[i]);
    }
    put_hold(s, dir, image->id, strv_dup(image->layers));
    mutex_unlock(&s->lock);
    autojson *j = json_object();
    json_put_string(j, "dir", dir);
    json_put_string(j, "image", image->id);
    json_put_strv(j, "layers", image->layers);
    autofree char *text = json_text(j), *name = hold_file(dir);
    autofree char *path = path_join(s->holds_dir, name);
    if (fs_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false, err) < 0) {
        mutex_lock(&s->lock);
        forget_hold(s, dir);
        mutex_unlock(&s->lock);
        return err_wrap(err, "hold the layers of image '%s'", image->id);
    }
    return 0;
}

int hold_drop(struct imagestore *s, const char *dir, struct err *err)
{
    autofree char *name = hold_file(dir);
    autofree char *path = path_join(s->holds_dir, name);
    if (fs_remove(AT_FDCWD, path, err) < 0)
        return -1;
    mutex_lock(&s->lock);
    forget_hold(s, dir);
    mutex_unlock(&s->lock);
    return 0;
}

bool hold_matches(struct imagestore *s, const char *dir, const struct image *image)
{
    mutex_lock(&s->lock);
    const struct store_hold *h = find_hold(s, dir);
    size_t n = strv_len(image->layers);
    bool same = h && strv_len(h->layers) == n;
    for (size_t i = 0; same && i < n; i++)
        same = str_eq(h->layers[i], image->layers[i]);
    mutex_unlock(&s->lock);
    return same;
}

void holds_expire(struct imagestore *s)
{
    autostrv char **dirs = NULL;
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_holds; i++)
        strv_push(&dirs, s->holds[i].dir);
    mutex_unlock(&s->lock);
    for (size_t i = 0; dirs && dirs[i]; i++) {
        struct err why = ERR_INIT;
        if (access(dirs[i], F_OK) == 0 || errno != ENOENT)
            continue;
        if (hold_drop(s, dirs[i], &why) < 0)
            log_warn("hold of '%s': %s", dirs[i], why.msg);
    }
}
