/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_tree - fs_remove_tree() of fs.h. The walk itself is fs_walk.c's; here is what is done on the
 * way.
 *
 * Memory is bounded as well: a directory's subdirectories are taken in batches, and what lies
 * deeper than TREE_DEPTH_MAX is renamed into the top directory and meets the walk there again.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/id.h"

#define TREE_DEPTH_MAX   512
#define TREE_BATCH_MAX   1024
#define TREE_TRIES_MAX   5
#define TREE_HOISTED_LEN 24

struct removal {
    struct fs_walk walk;
    int top;          /* owned; the top directory, where deep ones are moved to */
    struct err first; /* the first failure; the rest is removed all the same */
};

static void note(struct removal *r, const struct err *e)
{
    if (r->first.code == ERR_NONE)
        r->first = *e;
    fs_walk_top(&r->walk)->failed = true;
}

static void note_errno(struct removal *r, int sys, const char *name)
{
    struct err e = ERR_INIT;

    (void)err_errno(&e, sys, "remove '%s'", name);
    note(r, &e);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Removes what is no directory and remembers a batch of what is. */
static void scan(struct removal *r)
{
    struct fs_frame *f = fs_walk_top(&r->walk);
    int fd = openat(r->walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t batch = 0;
    struct dirent *e;

    f->scan = false;
    if (!d) {
        note_errno(r, errno, f->name ? f->name : ".");
        (void)close_fd(fd);
        return;
    }
    while ((e = readdir(d))) {
        if (is_dots(e->d_name))
            continue;
        if (e->d_type != DT_DIR) {
            if (unlinkat(r->walk.fd, e->d_name, 0) == 0 || errno == ENOENT)
                continue;
            if (errno != EISDIR) {
                note_errno(r, errno, e->d_name);
                continue;
            }
        }
        if (batch++ == TREE_BATCH_MAX) {
            f->scan = true;
            return;
        }
        fs_walk_subdir(&r->walk, e->d_name);
    }
}

/* Too deep: moved to the top, which then is read again. */
static void hoist(struct removal *r, const char *name)
{
    char id[ID_LEN + 1];

    id_new(id);
    id[TREE_HOISTED_LEN] = '\0';
    if (renameat(r->walk.fd, name, r->top, id) && errno != ENOENT)
        note_errno(r, errno, name);
    else
        r->walk.frames[0].scan = true;
}

static void enter(struct removal *r, char *name)
{
    struct err e = ERR_INIT;
    autofree char *shown = xstrdup(name);

    switch (fs_walk_down(&r->walk, name, &e)) {
    case FS_DOWN_OK:
        return;
    case FS_DOWN_ERROR:
        note(r, &e);
        return;
    case FS_DOWN_MOUNT:
        (void)err_set(&e, ERR_STATE, "remove '%s': something is mounted there", shown);
        note(r, &e);
        return;
    case FS_DOWN_GONE:
        if (unlinkat(r->walk.fd, shown, 0) && errno != ENOENT) /* became a file or a link */
            note_errno(r, errno, shown);
        return;
    }
}

/* Leaves an emptied directory and removes it; tries again when somebody filled it meanwhile. */
static int leave(struct removal *r, struct err *err)
{
    autofree char *name = NULL;
    struct fs_frame f = *fs_walk_top(&r->walk);

    if (fs_walk_up(&r->walk, &name, err))
        return -1;
    if (f.failed) {
        fs_walk_top(&r->walk)->failed = true;
        return 0;
    }
    if (unlinkat(r->walk.fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if ((errno == ENOTEMPTY || errno == EEXIST) && f.tries < TREE_TRIES_MAX) {
        struct err e = ERR_INIT;

        if (fs_walk_down(&r->walk, xstrdup(name), &e) == FS_DOWN_OK) {
            fs_walk_top(&r->walk)->tries = f.tries + 1;
            return 0;
        }
        errno = ENOTEMPTY;
    }
    note_errno(r, errno, name);
    return 0;
}

static int empty_top(struct removal *r, struct err *err)
{
    for (;;) {
        struct fs_frame *f = fs_walk_top(&r->walk);

        if (f->next < f->n) {
            char *name = f->subdirs[f->next++];

            if (r->walk.depth < TREE_DEPTH_MAX) {
                enter(r, name);
            } else {
                hoist(r, name);
                free(name);
            }
        } else if (f->scan && (!f->failed || f->tries++ < TREE_TRIES_MAX)) {
            scan(r);
        } else if (r->walk.depth > 1) {
            if (leave(r, err))
                return -1;
        } else {
            break;
        }
    }
    if (r->first.code != ERR_NONE) {
        if (err)
            *err = r->first;
        return -1;
    }
    return 0;
}

/* A mount at the path itself must not be emptied: its content is somebody's volume. */
static int refuse_mount(int fd, struct err *err)
{
    autofd int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct fs_place here, above;

    if (parent < 0)
        return err_sys(err, "open the parent");
    if (fs_place_of(fd, &here, err) || fs_place_of(parent, &above, err))
        return -1;
    if (here.mount != above.mount)
        return err_set(err, ERR_STATE, "something is mounted there");
    return 0;
}

static int remove_once(int dirfd, const char *path, int fd, struct err *err)
{
    struct removal r = {.walk = {.fd = -1}, .top = -1, .first = ERR_INIT};
    int ret;

    if (refuse_mount(fd, err)) {
        (void)close_fd(fd);
        return -1;
    }
    r.top = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (r.top < 0) {
        (void)err_sys(err, "duplicate a descriptor");
        (void)close_fd(fd);
        return -1;
    }
    ret = fs_walk_init(&r.walk, fd, err) ? -1 : empty_top(&r, err);
    fs_walk_done(&r.walk);
    (void)close_fd(r.top);
    if (ret == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) && errno != ENOENT)
        return err_sys(err, "remove");
    return ret;
}

int fs_remove_tree(int dirfd, const char *path, struct err *err)
{
    for (int i = 0;; i++) {
        struct err e = ERR_INIT;
        int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0) {
            if (errno == ENOENT)
                return 0;
            if (errno == ENOTDIR || errno == ELOOP)
                return fs_remove(dirfd, path, err);
            return err_sys(err, "open '%s'", path);
        }
        if (remove_once(dirfd, path, fd, &e) == 0)
            return 0;
        if ((e.sys != ENOTEMPTY && e.sys != EEXIST) || i == TREE_TRIES_MAX) {
            if (err)
                *err = e;
            return err_wrap(err, "remove '%s'", path);
        }
    }
}
