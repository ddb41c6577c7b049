/* SPDX-License-Identifier: Apache-2.0 */
/* fs_usage - fs_disk_usage() of fs.h: what a tree occupies, while it may be changing. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/fs_walk.h"

#define USAGE_DEPTH_MAX     100000 /* 100 bytes of memory each */
#define USAGE_CHECK_ENTRIES 256    /* the clock is read once in so many entries */
#define STAT_BLOCK_BYTES    512

/* Inodes with several names that were counted: open addressing, ino 0 is a free slot. */
struct seen {
    struct seen_inode {
        uint64_t dev, ino;
    } * v;
    size_t n, cap;
};

static size_t slot_of(const struct seen *s, uint64_t dev, uint64_t ino)
{
    size_t i = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) ^ dev) & (s->cap - 1);

    while (s->v[i].ino && (s->v[i].ino != ino || s->v[i].dev != dev))
        i = (i + 1) & (s->cap - 1);
    return i;
}

static void grow(struct seen *s)
{
    struct seen old = *s;

    s->cap = old.cap ? 2 * old.cap : 64;
    s->v = xcalloc(s->cap, sizeof(*s->v));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.v[i].ino)
            s->v[slot_of(s, old.v[i].dev, old.v[i].ino)] = old.v[i];
    }
    free(old.v);
}

static bool is_new(struct seen *s, uint64_t dev, uint64_t ino)
{
    size_t i;

    if (2 * s->n >= s->cap)
        grow(s);
    i = slot_of(s, dev, ino);
    if (s->v[i].ino)
        return false;
    s->v[i].dev = dev;
    s->v[i].ino = ino;
    s->n++;
    return true;
}

struct usage {
    struct fs_walk walk;
    struct seen seen;
    deadline_t deadline;
    uint64_t bytes, inodes;
};

static void count(struct usage *u, const struct stat *st)
{
    if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 && !is_new(&u->seen, st->st_dev, st->st_ino))
        return;
    u->bytes += (uint64_t)st->st_blocks * STAT_BLOCK_BYTES;
    u->inodes++;
}

static int check_deadline(const struct usage *u, struct err *err)
{
    if (deadline_passed(u->deadline))
        return err_set(err, ERR_DEADLINE, "disk usage: not finished in time");
    return 0;
}

static int scan(struct usage *u, struct err *err)
{
    int fd = openat(u->walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    struct stat st;

    if (!d) {
        (void)err_sys(err, "open a directory");
        (void)close_fd(fd);
        return -1;
    }
    if (check_deadline(u, err))
        return -1;
    if (fstat(fd, &st) == 0)
        count(u, &st);
    for (size_t i = 1; (e = readdir(d)); i++) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (i % USAGE_CHECK_ENTRIES == 0 && check_deadline(u, err))
            return -1;
        if (e->d_type == DT_DIR) {
            fs_walk_subdir(&u->walk, e->d_name);
            continue;
        }
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue; /* removed meanwhile */
        if (S_ISDIR(st.st_mode))
            fs_walk_subdir(&u->walk, e->d_name);
        else
            count(u, &st);
    }
    return 0;
}

static int walk(struct usage *u, struct err *err)
{
    for (;;) {
        struct fs_frame *f = fs_walk_top(&u->walk);

        if (f->scan) {
            f->scan = false;
            if (scan(u, err))
                return -1;
        } else if (f->next < f->n) {
            char *name = f->subdirs[f->next++];

            /* A mount below, or a directory that went away, is not counted. */
            if (fs_walk_down(&u->walk, name, err) == FS_DOWN_ERROR)
                return -1;
            if (u->walk.depth > USAGE_DEPTH_MAX)
                return err_set(err, ERR_EXHAUSTED, "disk usage: more than %d directories deep",
                               USAGE_DEPTH_MAX);
        } else if (u->walk.depth > 1) {
            char *name;

            if (fs_walk_up(&u->walk, &name, err))
                return -1;
            free(name);
        } else {
            return 0;
        }
    }
}

int fs_disk_usage(int dirfd, const char *path, deadline_t deadline, uint64_t *ret_bytes,
                  uint64_t *ret_inodes, struct err *err)
{
    struct usage u = {.deadline = deadline};
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    r = fs_walk_init(&u.walk, fd, err) ? -1 : walk(&u, err);
    fs_walk_done(&u.walk);
    free(u.seen.v);
    if (r)
        return err_wrap(err, "'%s'", path);
    *ret_bytes = u.bytes;
    *ret_inodes = u.inodes;
    return 0;
}
