/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk - see disk.h, and image_disk_open() of the facade. The first that wants a disk builds it,
 * without a lock; whoever else wants it waits for that.
 */
#include "imagestore/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/disk_tool.h"
#include "imagestore/kept.h"
#include "imagestore/layers.h"

/* ---------------------------------------------------------------- the table */

static struct store_disk *find(struct imagestore *s, const char *name) NEEDS(s->lock)
{
    for (size_t i = 0; i < s->n_disks; i++)
        if (str_eq(s->disks[i].name, name))
            return &s->disks[i];
    return NULL;
}

static void put(struct imagestore *s, const char *name, const char *image_id, uint64_t bytes,
                bool building) NEEDS(s->lock)
{
    s->disks = xrealloc_array(s->disks, s->n_disks + 1, sizeof(*s->disks));
    s->disks[s->n_disks++] = (struct store_disk){xstrdup(name), xstrdup(image_id), bytes, building};
}

static void forget(struct imagestore *s, const char *name) NEEDS(s->lock)
{
    struct store_disk *d = find(s, name);

    if (!d)
        return;
    free(d->name);
    free(d->image_id);
    *d = s->disks[--s->n_disks];
}

void disks_usage(const struct imagestore *s, uint64_t *bytes, uint64_t *inodes)
{
    for (size_t i = 0; i < s->n_disks; i++) {
        *bytes += s->disks[i].bytes;
        *inodes += !s->disks[i].building;
    }
}

NO_TSA void disks_free(struct imagestore *s)
{
    for (size_t i = 0; i < s->n_disks; i++) {
        free(s->disks[i].name);
        free(s->disks[i].image_id);
    }
    free(s->disks);
}

/* --------------------------------------------------------------- collection */

static bool is_held(struct imagestore *s, const char *image_id) NEEDS(s->lock)
{
    for (size_t i = 0; i < s->n_holds; i++)
        if (str_eq(s->holds[i].image_id, image_id))
            return true;
    return false;
}

static bool is_needed(struct imagestore *s, const struct store_disk *d, bool spare) NEEDS(s->lock)
{
    return d->building || is_held(s, d->image_id) || (!spare && store_image_by_id(s, d->image_id));
}

/* The row first: a file without one is rubbish by definition. */
static int retire(struct imagestore *s, const char *name, struct err *err)
{
    autofree char *path = path_join(s->disks_dir, name);

    if (db_disk_delete(s->db, name, err) < 0)
        return -1;
    mutex_lock(&s->lock);
    forget(s, name);
    mutex_unlock(&s->lock);
    return fs_remove(AT_FDCWD, path, err);
}

void disks_collect(struct imagestore *s, bool spare)
{
    autostrv char **dead = NULL;

    mutex_lock(&s->commit);
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_disks; i++)
        if (!is_needed(s, &s->disks[i], spare))
            strv_push(&dead, s->disks[i].name);
    mutex_unlock(&s->lock);
    for (size_t i = 0; dead && dead[i]; i++) {
        struct err why = ERR_INIT;

        if (retire(s, dead[i], &why) < 0)
            log_warn("remove disk '%s': %s", dead[i], why.msg);
    }
    mutex_unlock(&s->commit);
}

/* -------------------------------------------------------------------- start */

static void load_row(struct imagestore *s, const struct disk_row *row)
{
    autofree char *path = path_join(s->disks_dir, row->name);
    struct err why = ERR_INIT;
    struct stat st;

    if (name_is_safe(row->name) && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size == row->size) {
        mutex_lock(&s->lock);
        put(s, row->name, row->image_id, row->bytes, false);
        mutex_unlock(&s->lock);
        return;
    }
    log_warn("disk '%s': its file is missing or has another size; it is made again when needed",
             row->name);
    if (db_disk_delete(s->db, row->name, &why) < 0)
        log_warn("disk '%s': %s", row->name, why.msg);
}

static int throw_away(struct imagestore *s, struct err *err)
{
    autodir DIR *d = opendir(s->disks_dir);
    const struct dirent *e;

    if (!d)
        return err_sys(err, "open '%s'", s->disks_dir);
    while ((e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        mutex_lock(&s->lock);
        bool known = find(s, e->d_name) != NULL;
        mutex_unlock(&s->lock);
        if (!known && unlinkat(dirfd(d), e->d_name, 0) < 0)
            log_warn("remove '%s/%s': %s", s->disks_dir, e->d_name, strerrordesc_np(errno));
    }
    return 0;
}

int disks_load(struct imagestore *s, struct err *err)
{
    struct disk_row *rows = NULL;
    size_t n = 0;

    if (db_disks_load(s->db, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        load_row(s, &rows[i]);
    disk_rows_free(rows, n);
    if (throw_away(s, err) < 0)
        return -1;
    disks_collect(s, false);
    return 0;
}

/* ----------------------------------------------------------------- building */

/* A disk that is wanted. */
struct want {
    struct imagestore *s;
    const struct image *image;
    enum image_disk_kind kind;
    const char *directory;
    char *name; /* owned */
};

static char *disk_name(const struct image *image, enum image_disk_kind kind, const char *directory)
{
    autofree char *key = xasprintf("%s\n%s\n%s", image->id, image_disk_kind_name(kind), directory);
    char digest[DIGEST_LEN + 1];

    digest_of(key, strlen(key), digest);
    return xasprintf("%s.%s", digest_hex(digest), image_disk_kind_name(kind));
}

static void bounds(struct imagestore *s, const struct image *image, struct disk_plan *plan)
{
    mutex_lock(&s->lock);
    for (size_t i = 0; image->layers && image->layers[i]; i++) {
        const struct store_layer *l = store_layer_find(s, image->layers[i]);

        plan->data_bytes += l ? l->size : 0;
        plan->data_inodes += l ? l->inodes : 0;
    }
    mutex_unlock(&s->lock);
}

static int check_space(struct imagestore *s, uint64_t need, struct err *err)
{
    uint64_t margin = store_min_free(s), have = 0;

    if (fs_free_bytes(s->disks_dir, &have, err) < 0)
        return -1;
    if (have >= margin && have - margin >= need)
        return 0;
    kept_expire(s, 0); /* what might be of use gives way */
    disks_collect(s, true);
    if (fs_free_bytes(s->disks_dir, &have, err) < 0)
        return -1;
    if (have >= margin && have - margin >= need)
        return 0;
    return err_set(err, ERR_EXHAUSTED,
                   "no space in '%s': up to %llu bytes are needed, %llu are free, %llu of which "
                   "are to stay free",
                   s->disks_dir, (unsigned long long)need, (unsigned long long)have,
                   (unsigned long long)margin);
}

static int make(const struct want *w, int output, deadline_t deadline, struct err *err)
{
    struct disk_plan plan = {.kind = w->kind, .output = output};
    autofd int mnt = rootfs_detached(w->s, w->image, err);

    if (mnt < 0)
        return -1;
    autofd int source =
        fs_open_in_root(mnt, *w->directory ? w->directory : ".", O_PATH | O_DIRECTORY, 0, err);

    if (source < 0)
        return err_wrap(err, "directory '%s'", w->directory);
    if (fstat(source, &plan.root) < 0)
        return err_sys(err, "directory '%s'", w->directory);
    plan.image = mnt;
    plan.source = source;
    bounds(w->s, w->image, &plan);
    if (check_space(w->s, plan.data_bytes, err) < 0)
        return -1;
    FAULT_POINT("image.disk");
    return disk_make(w->s, &plan, deadline, err);
}

/* Whole and synced under its name, then its row. */
static int commit(const struct want *w, const char *tmp, int fd, uint64_t *ret_bytes,
                  struct err *err)
{
    struct imagestore *s = w->s;
    autofree char *path = path_join(s->disks_dir, w->name);
    struct stat st;

    if (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "sync '%s'", tmp);
    FAULT_POINT("image.disk_rename");
    if (rename(tmp, path) < 0)
        return err_sys(err, "rename '%s' to '%s'", tmp, path);
    struct disk_row row = {.name = w->name,
                           .image_id = w->image->id,
                           .kind = (char *)(uintptr_t)image_disk_kind_name(w->kind),
                           .directory = (char *)(uintptr_t)w->directory,
                           .size = (uint64_t)st.st_size,
                           .bytes = (uint64_t)st.st_blocks * 512};

    if (fs_sync_dir(AT_FDCWD, s->disks_dir, err) < 0)
        return -1;
    FAULT_POINT("image.disk_row");
    if (db_disk_put(s->db, &row, err) < 0)
        return -1;
    *ret_bytes = row.bytes;
    return 0;
}

static int build(const struct want *w, deadline_t deadline, uint64_t *ret_bytes, struct err *err)
{
    char id[ID_LEN + 1];

    id_new(id);
    autofree char *tmp = xasprintf("%s/" STORE_TMP_PREFIX "%.16s", w->s->disks_dir, id);
    autofd int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    nsec_t start = clock_mono();

    if (fd < 0)
        return err_sys(err, "create '%s'", tmp);
    deadline = deadline_min(deadline, deadline_in(w->s->config->disk_timeout));
    if (make(w, fd, deadline, err) < 0 || commit(w, tmp, fd, ret_bytes, err) < 0) {
        (void)unlink(tmp);
        return -1;
    }
    metric_observe(&image_disk_seconds_metric, clock_mono() - start);
    return 0;
}

/* Returns: 1 it is there, 0 the caller has to build it, -1. */
static int claim(const struct want *w, deadline_t deadline, struct err *err)
{
    struct imagestore *s = w->s;
    bool in_time = true;
    int r = 0;

    mutex_lock(&s->lock);
    const struct store_disk *d = find(s, w->name);
    while (d && d->building && in_time) {
        in_time = cond_wait(&s->changed, &s->lock, deadline);
        d = find(s, w->name);
    }
    if (d)
        r = d->building ? -1 : 1;
    else
        put(s, w->name, w->image->id, 0, true);
    mutex_unlock(&s->lock);
    return r < 0 ? err_set(err, ERR_DEADLINE, "another build of it did not end in time") : r;
}

static void release(const struct want *w, bool done, uint64_t bytes)
{
    struct imagestore *s = w->s;

    mutex_lock(&s->lock);
    forget(s, w->name);
    if (done)
        put(s, w->name, w->image->id, bytes, false);
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

/* Returns: fd; -2 when the file has gone and the row with it; -1. */
static int open_disk(const struct want *w, struct err *err)
{
    autofree char *path = path_join(w->s->disks_dir, w->name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno != ENOENT)
        return err_sys(err, "open '%s'", path);
    log_warn("disk '%s' has gone, it is made again", w->name);
    mutex_lock(&w->s->commit);
    int r = retire(w->s, w->name, err);
    mutex_unlock(&w->s->commit);
    return r < 0 ? -1 : -2;
}

static int have(const struct want *w, deadline_t deadline, struct err *err)
{
    for (;;) {
        int r = claim(w, deadline, err);
        uint64_t bytes = 0;

        if (r < 0)
            return -1;
        if (r == 0) {
            r = build(w, deadline, &bytes, err);
            release(w, r == 0, bytes);
            if (r < 0)
                return -1;
        }
        r = open_disk(w, err);
        if (r != -2)
            return r;
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE, "it goes as often as it is made");
    }
}

int image_disk_open(struct imagestore *s, const struct image *image, enum image_disk_kind kind,
                    const char *directory, deadline_t deadline, struct err *err)
{
    struct want w = {.s = s, .image = image, .kind = kind};

    if (strlen(directory) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "directory of an image: its name is too long");
    w.directory = directory + strspn(directory, "/");
    w.name = disk_name(image, kind, w.directory);
    int fd = have(&w, deadline, err);
    free(w.name);
    return fd < 0 ? err_wrap(err, "%s disk of image '%s'", image_disk_kind_name(kind), image->id)
                  : fd;
}
