/* SPDX-License-Identifier: Apache-2.0 */
/*
 * initrd - vmm_initrd_write(): the image's initial file system with the container's volumes behind
 * it. Linux reads one segment after the other, whatever compresses the first; Unikraft stops at the
 * first trailer, so there the volumes go before it.
 *
 * Volumes are trees that others may be changing right now: no link in them is followed, nothing but
 * directories, files and links is copied, and all of it is bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/strbuf.h"
#include "vmm/cpio.h"
#include "vmm/private.h"

#define INITRD_MAX_BYTES   (UINT64_C(2) << 30)
#define VOLUMES_DEPTH_MAX  64
#define LINK_MAX_BYTES     4095
#define PARENT_MODE        (S_IFDIR | 0755)
#define PARENT_MODE_SHARED (S_IFDIR | 01777)

struct writer {
    struct cpio cpio;
    char **have;   /* names that need not be made: owned strv */
    char **wanted; /* the directories above the volumes: owned strv */
};

/* ---------------------------------------------------------------- the image's part */

static int copy_bytes(int in, int out, uint64_t len, struct err *err)
{
    off_t at = 0;

    while ((uint64_t)at < len) {
        ssize_t n = sendfile(out, in, &at, (size_t)(len - (uint64_t)at));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "copy the image's initrd");
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "the image's initrd became shorter");
    }
    return 0;
}

/* A directory, or a link that stands for one, which the archive brings itself. */
static void note(void *arg, const char *name, mode_t mode)
{
    struct writer *w = arg;

    while (*name == '/' || (name[0] == '.' && name[1] == '/'))
        name++;
    if ((S_ISDIR(mode) || S_ISLNK(mode)) && strv_contains(w->wanted, name) &&
        !strv_contains(w->have, name))
        strv_push(&w->have, name);
}

static int take_image(struct writer *w, const struct family *family, int initrd, int out,
                      struct err *err)
{
    struct err why = ERR_INIT;
    uint64_t size, trailer = 0;
    struct stat st;

    if (fstat(initrd, &st) < 0)
        return err_sys(err, "look at the image's initrd");
    size = (uint64_t)st.st_size;
    if (size > INITRD_MAX_BYTES)
        return err_set(err, ERR_UNSUPPORTED, "the image's initrd has %llu bytes, at most %llu",
                       (unsigned long long)size, (unsigned long long)INITRD_MAX_BYTES);
    if (cpio_scan(initrd, size, note, w, &trailer, &why) == 0 && family->one_segment)
        return copy_bytes(initrd, out, trailer, err);
    if (family->one_segment)
        return err_set(err, ERR_UNSUPPORTED,
                       "the image's initrd: %s; volumes can be put into no other for unikernels of "
                       "type '%s'",
                       why.msg, family->name);
    return copy_bytes(initrd, out, size, err);
}

/* ---------------------------------------------------------------- volumes */

/* Absolute, without "." and "..": as the parts of a name in an archive, "" for the root. Owned. */
static char *clean(const char *path, struct err *err)
{
    autofree char *copy = xstrdup(path);
    autostrbuf out = STRBUF_INIT;
    char *save = NULL;

    if (*path != '/') {
        err_set(err, ERR_INVALID, "is no absolute path");
        return NULL;
    }
    for (char *t = strtok_r(copy, "/", &save); t; t = strtok_r(NULL, "/", &save)) {
        if (str_eq(t, ".") || str_eq(t, "..")) {
            err_set(err, ERR_INVALID, "a path with '%s'", t);
            return NULL;
        }
        strbuf_addf(&out, "%s%s", out.len ? "/" : "", t);
    }
    if (!out.len) {
        err_set(err, ERR_UNSUPPORTED, "a guest's root cannot be replaced by a volume");
        return NULL;
    }
    return strbuf_detach(&out);
}

static void want_parents(struct writer *w, const char *name)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        autofree char *parent = xstrndup(name, (size_t)(slash - name));

        if (!strv_contains(w->wanted, parent))
            strv_push(&w->wanted, parent);
    }
}

static int put_parents(struct writer *w, struct err *err)
{
    for (char **p = w->wanted; p && *p; p++) {
        bool shared = str_eq(*p, "tmp") || str_eq(*p, "var/tmp");
        struct stat st = {.st_mode = shared ? PARENT_MODE_SHARED : PARENT_MODE};

        if (!strv_contains(w->have, *p) && cpio_directory(&w->cpio, *p, &st, err) < 0)
            return -1;
    }
    return 0;
}

static int put_file(struct writer *w, int dir, const char *entry, const char *name, struct err *err)
{
    autofd int fd = openat(dir, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "open '%s'", name);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_STATE, "'%s' was replaced meanwhile", name);
    return cpio_file(&w->cpio, name, &st, fd, err);
}

static int put_link(struct writer *w, int dir, const char *entry, const char *name,
                    const struct stat *st, struct err *err)
{
    char target[LINK_MAX_BYTES + 1];
    ssize_t n = readlinkat(dir, entry, target, sizeof(target));

    if (n < 0)
        return err_sys(err, "read link '%s'", name);
    if ((size_t)n == sizeof(target))
        return err_set(err, ERR_INVALID, "link '%s': too long", name);
    target[n] = '\0';
    return cpio_symlink(&w->cpio, name, st, target, err);
}

static int put_entry(struct writer *w, struct fs_walk *walk, int dir, const char *entry,
                     const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, "look at '%s'", name); /* removed meanwhile */
    if (S_ISDIR(st.st_mode))
        fs_walk_subdir(walk, entry);
    else if (S_ISREG(st.st_mode))
        return put_file(w, dir, entry, name, err);
    else if (S_ISLNK(st.st_mode))
        return put_link(w, dir, entry, name, &st, err);
    else
        return err_set(err, ERR_UNSUPPORTED,
                       "'%s' is a socket, a pipe or a device, which cannot be copied into a guest",
                       name);
    return 0;
}

/* The directory itself and what lies in it, but for directories, which are remembered. */
static int put_directory(struct writer *w, struct fs_walk *walk, const char *name, struct err *err)
{
    int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    struct stat st;

    if (!d || fstat(fd, &st) < 0) {
        (void)err_sys(err, "open directory '%s'", name);
        if (!d)
            (void)close_fd(fd);
        return -1;
    }
    if (cpio_directory(&w->cpio, name, &st, err) < 0)
        return -1;
    while ((e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        autofree char *below = path_join(name, e->d_name);

        if (put_entry(w, walk, fd, e->d_name, below, err) < 0)
            return -1;
        if (fs_walk_top(walk)->n > w->cpio.entries_max)
            return err_set(err, ERR_UNSUPPORTED, "more than %u directories", w->cpio.entries_max);
    }
    return 0;
}

static int enter(struct fs_walk *walk, struct strbuf *name, char *sub, struct err *err)
{
    autofree char *shown = xstrdup(sub);

    if (walk->depth > VOLUMES_DEPTH_MAX) {
        free(sub);
        return err_set(err, ERR_UNSUPPORTED, "more than %d directories deep", VOLUMES_DEPTH_MAX);
    }
    switch (fs_walk_down(walk, sub, err)) {
    case FS_DOWN_OK:
        strbuf_addf(name, "/%s", shown);
        return 0;
    case FS_DOWN_GONE:
        return 0;
    case FS_DOWN_MOUNT:
        return err_set(err, ERR_UNSUPPORTED,
                       "something is mounted at '%s' in it, which is not copied into a guest",
                       shown);
    case FS_DOWN_ERROR:
        break;
    }
    return -1;
}

static int put_tree(struct writer *w, struct fs_walk *walk, struct strbuf *name, struct err *err)
{
    for (;;) {
        struct fs_frame *f = fs_walk_top(walk);

        if (f->scan) {
            f->scan = false;
            if (put_directory(w, walk, name->s, err) < 0)
                return -1;
        } else if (f->next < f->n) {
            if (enter(walk, name, f->subdirs[f->next++], err) < 0)
                return -1;
        } else if (walk->depth > 1) {
            autofree char *left = NULL;

            if (fs_walk_up(walk, &left, err) < 0)
                return -1;
            name->len -= strlen(left) + 1;
            name->s[name->len] = '\0';
        } else {
            return 0;
        }
    }
}

static int put_volume(struct writer *w, const struct vmm_tree *tree, const char *name,
                      struct err *err)
{
    autostrbuf path = STRBUF_INIT;
    struct fs_walk walk;
    struct stat st;
    char self[64];
    int fd, rc;

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", tree->fd);
    if (fstat(tree->fd, &st) < 0)
        return err_sys(err, "look at it");
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED, "is neither a directory nor a file");
    fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open it");
    if (S_ISREG(st.st_mode)) {
        rc = cpio_file(&w->cpio, name, &st, fd, err);
        (void)close_fd(fd);
        return rc;
    }
    strbuf_adds(&path, name);
    rc = fs_walk_init(&walk, fd, err) < 0 ? -1 : put_tree(w, &walk, &path, err);
    fs_walk_done(&walk);
    return rc;
}

static int put_volumes(struct writer *w, const struct vmm_tree *trees, char *const *names, size_t n,
                       int out, struct err *err)
{
    if (cpio_begin(&w->cpio, out, VMM_VOLUMES_MAX_BYTES, VMM_VOLUMES_MAX_FILES, err) < 0 ||
        put_parents(w, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (put_volume(w, &trees[i], names[i], err) < 0)
            return err_wrap(err, "volume '%s'", trees[i].path);
    return cpio_end(&w->cpio, err);
}

int vmm_initrd_write(const struct guest *guest, int initrd_fd, const struct vmm_tree *trees,
                     size_t n, int out_fd, struct err *err)
{
    const struct family *family = family_find(guest->family, err);
    autostrv char **names = NULL;
    struct writer w = {.have = NULL};
    int rc = family ? 0 : -1;

    for (size_t i = 0; i < n && rc == 0; i++) {
        char *name = clean(trees[i].path, err);

        if (!name)
            return err_wrap(err, "volume '%s'", trees[i].path);
        strv_take(&names, name);
        want_parents(&w, name);
    }
    if (rc == 0 && initrd_fd >= 0)
        rc = take_image(&w, family, initrd_fd, out_fd, err);
    if (rc == 0)
        rc = put_volumes(&w, trees, names, n, out_fd, err);
    strv_free(w.have);
    strv_free(w.wanted);
    return rc;
}
