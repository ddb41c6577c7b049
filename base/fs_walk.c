/* SPDX-License-Identifier: Apache-2.0 */
/* fs_walk - see fs_walk.h. */
#include "base/fs_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

int fs_place_of(int fd, struct fs_place *ret, struct err *err)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &stx))
        return err_sys(err, "stat a directory");
    ret->dev = (uint64_t)stx.stx_dev_major << 32 | stx.stx_dev_minor;
    ret->ino = stx.stx_ino;
    ret->mount = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : ret->dev;
    return 0;
}

static void push(struct fs_walk *w, const struct fs_place *place, char *name)
{
    if (w->depth == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 16;
        w->frames = xrealloc_array(w->frames, w->cap, sizeof(*w->frames));
    }
    w->frames[w->depth++] = (struct fs_frame){.place = *place, .name = name, .scan = true};
}

static void drop_subdirs(struct fs_frame *f)
{
    for (size_t i = f->next; i < f->n; i++)
        free(f->subdirs[i]);
    free(f->subdirs);
    f->subdirs = NULL;
    f->n = f->cap = f->next = 0;
}

int fs_walk_init(struct fs_walk *w, int fd, struct err *err)
{
    struct fs_place place;

    *w = (struct fs_walk){.fd = fd};
    if (fs_place_of(fd, &place, err))
        return -1;
    push(w, &place, NULL);
    return 0;
}

void fs_walk_done(struct fs_walk *w)
{
    for (size_t i = 0; i < w->depth; i++) {
        drop_subdirs(&w->frames[i]);
        free(w->frames[i].name);
    }
    free(w->frames);
    (void)close_fd(w->fd);
    *w = (struct fs_walk){.fd = -1};
}

void fs_walk_subdir(struct fs_walk *w, const char *name)
{
    struct fs_frame *f = fs_walk_top(w);

    if (f->next == f->n)
        f->next = f->n = 0; /* all visited: their slots are free */
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 8;
        f->subdirs = xrealloc_array(f->subdirs, f->cap, sizeof(*f->subdirs));
    }
    f->subdirs[f->n++] = xstrdup(name);
}

enum fs_down fs_walk_down(struct fs_walk *w, char *name, struct err *err)
{
    autofree char *owned = name;
    autofd int fd = openat(w->fd, owned, DIR_FLAGS);
    struct fs_place place;

    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            return FS_DOWN_GONE;
        (void)err_sys(err, "open '%s'", owned);
        return FS_DOWN_ERROR;
    }
    if (fs_place_of(fd, &place, err))
        return FS_DOWN_ERROR;
    if (place.mount != fs_walk_top(w)->place.mount)
        return FS_DOWN_MOUNT;
    push(w, &place, TAKE_PTR(owned));
    (void)close_fd(w->fd);
    w->fd = TAKE_FD(fd);
    return FS_DOWN_OK;
}

int fs_walk_up(struct fs_walk *w, char **ret_name, struct err *err)
{
    autofd int fd = openat(w->fd, "..", DIR_FLAGS);
    const struct fs_place *parent = &w->frames[w->depth - 2].place;
    struct fs_frame *f = fs_walk_top(w);
    struct fs_place place;

    if (fd < 0)
        return err_sys(err, "open the parent of '%s'", f->name);
    if (fs_place_of(fd, &place, err))
        return -1;
    if (memcmp(&place, parent, sizeof(place)) != 0)
        return err_set(err, ERR_STATE, "'%s': was moved meanwhile", f->name);
    drop_subdirs(f);
    *ret_name = f->name;
    w->depth--;
    (void)close_fd(w->fd);
    w->fd = TAKE_FD(fd);
    return 0;
}
