/* SPDX-License-Identifier: Apache-2.0 */
/* tar_tree - tar_out_tree(): a tree that a hostile program may have made, entry by entry. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/strbuf.h"
#include "sandbox/tar_out.h"

#define OVERLAY_PREFIX "trusted.overlay."
#define WHITEOUT       ".wh."
#define OPAQUE         ".wh..wh..opq"

struct tree {
    struct tar_out *t;
    struct fs_walk walk;
    const char *prefix;
    bool layer;
};

/* The name of an entry of the current directory; "" is the directory itself. Owned. */
static char *full_name(const struct tree *w, const char *leaf)
{
    autostrbuf b = STRBUF_INIT;

    strbuf_adds(&b, w->prefix);
    for (size_t i = 1; i < w->walk.depth; i++)
        strbuf_addf(&b, "%s/", w->walk.frames[i].name);
    strbuf_adds(&b, leaf);
    return strbuf_detach(&b);
}

/* ------------------------------------------------------------------- attributes */

static bool wanted_xattr(const char *name)
{
    return str_eq(name, "security.capability") ||
           (str_has_prefix(name, "user.") && !str_has_prefix(name, "user.overlay."));
}

static void add_xattr(struct strbuf *pax, int fd, const char *name)
{
    autofree char *value = xmalloc(TAR_XATTR_MAX), *key = xasprintf("SCHILY.xattr.%s", name);
    ssize_t n = fgetxattr(fd, name, value, TAR_XATTR_MAX);

    if (n >= 0 && pax->len + (size_t)n < TAR_PAX_MAX_BYTES)
        tar_pax_add(pax, key, value, (size_t)n);
}

static void add_xattrs(struct strbuf *pax, int fd)
{
    autofree char *list = xmalloc(TAR_XATTR_MAX);
    ssize_t n = flistxattr(fd, list, TAR_XATTR_MAX);
    size_t count = 0;

    for (ssize_t at = 0; at < n && count < TAR_XATTRS_MAX; at += (ssize_t)strlen(list + at) + 1)
        if (wanted_xattr(list + at)) {
            add_xattr(pax, fd, list + at);
            count++;
        }
}

static bool overlay_says(int fd, const char *what)
{
    autofree char *name = xasprintf(OVERLAY_PREFIX "%s", what);
    char value = 0;

    return fgetxattr(fd, name, &value, 1) == 1 && value == 'y';
}

/* ----------------------------------------------------------------------- entries */

static int put_empty(struct tree *w, const char *leaf, struct err *err)
{
    autofree char *name = full_name(w, leaf);

    return tar_out_bytes(w->t, name, "", 0, err);
}

static int put_regular(struct tree *w, int dir, const char *leaf, struct tar_entry *e,
                       struct err *err)
{
    autofd int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    autostrbuf pax = STRBUF_INIT;

    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : err_sys(err, "open '%.200s'", e->name);
    if (fstat(fd, &e->st) < 0)
        return err_sys(err, "look at '%.200s'", e->name);
    if (!S_ISREG(e->st.st_mode))
        return 0; /* replaced meanwhile */
    add_xattrs(&pax, fd);
    e->pax = pax.s;
    e->pax_len = pax.len;
    if (tar_out_head(w->t, e, err) < 0)
        return -1;
    return tar_out_content(w->t, fd, (uint64_t)e->st.st_size, err);
}

static int put_link(struct tree *w, int dir, const char *leaf, const struct tar_entry *e,
                    struct err *err)
{
    struct tar_entry link = *e;
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, leaf, target, sizeof(target) - 1);

    if (n < 0)
        return errno == ENOENT || errno == EINVAL ? 0 : err_sys(err, "read '%.200s'", e->name);
    target[n] = '\0';
    link.link = target;
    return tar_out_head(w->t, &link, err);
}

/* Sockets are nobody's without the process that listens. */
static int put_entry(struct tree *w, int dir, const char *leaf, const struct stat *st,
                     struct err *err)
{
    autofree char *name = full_name(w, leaf);
    struct tar_entry e = {.name = name, .st = *st};

    if (w->layer && S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)) {
        autofree char *whiteout = xasprintf(WHITEOUT "%s", leaf);

        return put_empty(w, whiteout, err);
    }
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        e.type = '0';
        return put_regular(w, dir, leaf, &e, err);
    case S_IFLNK:
        e.type = '2';
        return put_link(w, dir, leaf, &e, err);
    case S_IFCHR:
    case S_IFBLK:
        e.type = S_ISCHR(st->st_mode) ? '3' : '4';
        return tar_out_head(w->t, &e, err);
    case S_IFIFO:
        e.type = '6';
        return tar_out_head(w->t, &e, err);
    default:
        return 0;
    }
}

/* The directory that the walk stands in. */
static int put_dir(struct tree *w, int fd, struct err *err)
{
    autofree char *name = full_name(w, "");
    autostrbuf pax = STRBUF_INIT;
    struct tar_entry e = {.name = name, .type = '5'};
    char redirect[2];

    if (fstat(fd, &e.st) < 0)
        return err_sys(err, "look at '%.200s'", name);
    if (w->layer && (fgetxattr(fd, OVERLAY_PREFIX "redirect", redirect, sizeof(redirect)) >= 0 ||
                     errno == ERANGE))
        return err_set(err, ERR_UNSUPPORTED,
                       "'%.200s' is a renamed directory of the image: overlayfs keeps it as a "
                       "reference, which an archive cannot hold",
                       name);
    if (*name) {
        add_xattrs(&pax, fd);
        e.pax = pax.s;
        e.pax_len = pax.len;
        if (tar_out_head(w->t, &e, err) < 0)
            return -1;
    }
    return w->layer && overlay_says(fd, "opaque") ? put_empty(w, OPAQUE, err) : 0;
}

static int scan(struct tree *w, struct err *err)
{
    int fd = openat(w->walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    struct stat st;

    if (!d) {
        (void)err_sys(err, "open a directory");
        (void)close_fd(fd);
        return -1;
    }
    if (put_dir(w, fd, err) < 0)
        return -1;
    while ((e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            fs_walk_subdir(&w->walk, e->d_name);
        else if (put_entry(w, fd, e->d_name, &st, err) < 0)
            return -1;
    }
    return 0;
}

static int step(struct tree *w, bool *done, struct err *err)
{
    struct fs_frame *f = fs_walk_top(&w->walk);
    char *name = NULL;

    if (f->scan) {
        f->scan = false;
        return scan(w, err);
    }
    if (f->next < f->n) {
        if (w->walk.depth >= TAR_DEPTH_MAX)
            return err_set(err, ERR_EXHAUSTED, "more than %d directories deep", TAR_DEPTH_MAX);
        return fs_walk_down(&w->walk, f->subdirs[f->next++], err) == FS_DOWN_ERROR ? -1 : 0;
    }
    *done = w->walk.depth == 1;
    if (*done || fs_walk_up(&w->walk, &name, err) < 0)
        return *done ? 0 : -1;
    free(name);
    return 0;
}

int tar_out_tree(struct tar_out *t, const char *prefix, int dirfd, bool layer, struct err *err)
{
    struct tree w = {.t = t, .prefix = prefix, .layer = layer};
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    bool done = false;

    if (fd < 0)
        return err_sys(err, "open a directory");
    rc = fs_walk_init(&w.walk, fd, err);
    while (rc == 0 && !done)
        rc = step(&w, &done, err);
    fs_walk_done(&w.walk);
    return rc;
}
