/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place - see place.h. The process stands in the parent directory of the entry at hand, so that
 * every call below names one component only and no link can lead it astray.
 */
#include "imagestore/unpack/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "imagestore/unpack/report.h"
#include "imagestore/unpack/untar.h"

bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int place_mark(struct place *p, char kind, const char *path, struct err *err)
{
    size_t len = strlen(path);
    if (++p->n_marks > UNPACK_MARKS_MAX || p->marks->len + len > UNPACK_REPORT_MAX_BYTES - 4096)
        return err_set(err, ERR_EXHAUSTED, "layer has more than %d opaque or implied directories",
                       UNPACK_MARKS_MAX);
    strbuf_addc(p->marks, kind);
    strbuf_add(p->marks, path, len + 1);
    return 0;
}

static int clean_component(const char *name, const char *part, size_t n, char *out, size_t *len,
                           struct err *err)
{
    if (n == 2 && part[0] == '.' && part[1] == '.')
        return err_set(err, ERR_INVALID, "entry '%.200s': name with '..'", name);
    if (n > NAME_MAX)
        return err_set(err, ERR_INVALID, "entry '%.64s...': a component is longer than %d bytes",
                       name, NAME_MAX);
    if (*len + n + 2 > PATH_MAX)
        return err_set(err, ERR_INVALID, "entry '%.64s...': name is longer than %d bytes", name,
                       PATH_MAX);
    if (*len)
        out[(*len)++] = '/';
    memcpy(out + *len, part, n);
    *len += n;
    out[*len] = '\0';
    return 0;
}

int place_clean(const char *name, bool link, char ret[PATH_MAX], struct err *err)
{
    size_t len = 0, depth = 0;
    ret[0] = '\0';
    if (name[0] == '\0')
        return err_set(err, ERR_INVALID, "entry with an empty name");
    if (name[0] == '/' && !link && name[strspn(name, "/.")] != '\0')
        return err_set(err, ERR_INVALID, "entry '%.200s': absolute name", name);
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n && !(n == 1 && *p == '.')) {
            if (++depth > UNTAR_DEPTH_MAX)
                return err_set(err, ERR_INVALID, "entry '%.64s...': deeper than %d directories",
                               name, UNTAR_DEPTH_MAX);
            if (clean_component(name, p, n, ret, &len, err) < 0)
                return -1;
        }
        p += n;
        while (*p == '/')
            p++;
    }
    return 0;
}

static int open_beneath(int dirfd, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    return (int)syscall(SYS_openat2, dirfd, path[0] ? path : ".", &how, sizeof(how));
}

int place_open_dir(const struct place *p, const char *path, int flags)
{
    return open_beneath(p->root, path, (uint64_t)flags | O_DIRECTORY);
}

static int explain_parent(const char *path, const char *part, struct err *err)
{
    switch (errno) {
    case EXDEV:
    case ELOOP:
        return err_set(err, ERR_INVALID, "entry '%.200s': '%.200s' is a link out of the layer",
                       path, part);
    case ENOTDIR:
    case EEXIST:
        return err_set(err, ERR_INVALID, "entry '%.200s': '%.200s' is not a directory", path, part);
    default:
        return err_sys(err, "entry '%.200s': directory '%.200s'", path, part);
    }
}

/* Make one missing directory `part` (a clean prefix of path, beneath dir). */
static int make_parent(struct place *p, int dir, const char *part, const char *path,
                       struct err *err)
{
    const char *slash = strrchr(part, '/');
    const char *name = slash ? slash + 1 : part;
    struct stat st;
    char mark = 'I';
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!is_whiteout(&st)) {
            errno = S_ISLNK(st.st_mode) ? EXDEV : ENOTDIR;
            return explain_parent(path, part, err);
        }
        if (unlinkat(dir, name, 0) < 0) /* what lay below was to go, this is new */
            return explain_parent(path, part, err);
        mark = 'O';
    }
    if (mkdirat(dir, name, 0755) < 0 || fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
        return explain_parent(path, part, err);
    p->implied++;
    return place_mark(p, mark, part, err);
}

/* The slow way: component by component. Returns: a descriptor of the directory. */
static int make_parents(struct place *p, const char *parent, const char *path, struct err *err)
{
    char part[PATH_MAX];
    autofd int dir = open_beneath(p->root, ".", O_PATH | O_DIRECTORY);
    if (dir < 0)
        return explain_parent(path, ".", err);
    for (const char *end = parent; *end;) {
        end += strcspn(end, "/");
        (void)snprintf(part, sizeof(part), "%.*s", (int)(end - parent), parent);
        int next = open_beneath(p->root, part, O_PATH | O_DIRECTORY);
        if (next < 0 && (errno == ENOENT || errno == ENOTDIR)) {
            if (make_parent(p, dir, part, path, err) < 0)
                return -1;
            next = open_beneath(p->root, part, O_PATH | O_DIRECTORY);
        }
        if (next < 0)
            return explain_parent(path, part, err);
        (void)close_fd(dir);
        dir = next;
        end += *end == '/';
    }
    return TAKE_FD(dir);
}

int place_enter(struct place *p, const char *path, const char **ret_leaf, struct err *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    *ret_leaf = slash ? slash + 1 : path;
    if (p->standing && strlen(p->parent) == n && memcmp(p->parent, path, n) == 0)
        return 0;
    p->standing = false;
    memcpy(p->parent, path, n);
    p->parent[n] = '\0';
    autofd int dir = place_open_dir(p, p->parent, O_PATH);
    if (dir < 0 && errno != ENOENT && errno != ENOTDIR)
        return explain_parent(path, p->parent, err);
    if (dir < 0 && (dir = make_parents(p, p->parent, path, err)) < 0)
        return -1;
    if (fchdir(dir) < 0)
        return explain_parent(path, p->parent, err);
    p->standing = true;
    return 0;
}

/* The first entry of a directory: unlinked when it is no directory, else its name is returned. */
static int next_child(DIR *d, char ret[NAME_MAX + 1])
{
    const struct dirent *e;
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM)
            return -1;
        (void)snprintf(ret, NAME_MAX + 1, "%s", e->d_name);
        return 1;
    }
    return 0;
}

/* Removes a tree with one open directory at a time: down into the first child until one is empty,
 * then from the top. */
static int remove_tree(const char *leaf)
{
    char child[NAME_MAX + 1] = "", above[NAME_MAX + 1];
    for (;;) {
        int fd = openat(AT_FDCWD, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int up = -1, r;
        (void)snprintf(above, sizeof(above), "%s", leaf);
        for (;;) {
            DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
            r = d ? next_child(d, child) : -1;
            if (r != 1) {
                if (d)
                    (void)closedir(d);
                break;
            }
            int next = openat(fd, child, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            (void)close_fd(up);
            up = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
            (void)snprintf(above, sizeof(above), "%s", child);
            (void)closedir(d);
            fd = next;
        }
        int at = up < 0 ? AT_FDCWD : up;
        int n = r == 0 ? unlinkat(at, above, AT_REMOVEDIR) : -1;
        (void)close_fd(up);
        if (n < 0)
            return -1;
        if (at == AT_FDCWD)
            return 0;
    }
}

int place_clear(struct place *p, const char *path, const char *leaf, bool dir, bool *ret_kept,
                struct err *err)
{
    struct stat st;
    *ret_kept = false;
    if (fstatat(AT_FDCWD, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, "entry '%.200s'", path);
    if (S_ISDIR(st.st_mode) && dir) {
        *ret_kept = true;
        return 0;
    }
    int r = S_ISDIR(st.st_mode) ? remove_tree(leaf) : unlinkat(AT_FDCWD, leaf, 0);
    if (r < 0)
        return err_sys(err, "entry '%.200s': replace what is there", path);
    /* a later parent may lead through what was here; this one stays valid */
    if (is_whiteout(&st) && dir)
        return place_mark(p, 'O', path, err);
    return 0;
}
