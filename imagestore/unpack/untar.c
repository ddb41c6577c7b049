/* SPDX-License-Identifier: Apache-2.0 */
/* untar - see untar.h. libarchive reads the tar; every effect on the file system is ours. */
#include "imagestore/unpack/untar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "imagestore/unpack/place.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define BLOCK           UINT64_C(4096)
#define TAR_BLOCK       512
#define ID_MAX          INT64_C(4294967294) /* -1 means "leave as it is" to the kernel */

/* A directory's time is set last: what is put into it changes it. */
struct dir_time {
    char *path; /* owned */
    struct timespec mtime;
};

struct untar {
    struct archive *a;
    untar_source source;
    void *arg;
    const struct untar_limits *limits;
    struct untar_totals totals;
    struct place place;
    struct dir_time *dirs; /* owned */
    size_t n_dirs, cap_dirs;
    uint64_t name_bytes;
    bool root_seen;
    uint64_t until_check; /* bytes to write before the next look at the free space */
    uint64_t source_bytes;
    bool padded;
    struct err source_err;
};

/* Some writers leave out what fills the last file's block and the end mark, and other readers do
 * not mind. So the end of the stream is filled up to a whole block; that nothing is missing is the
 * digest's matter. */
static la_ssize_t fill_last_block(struct untar *u, const void **ret)
{
    static const char zeros[TAR_BLOCK];
    size_t odd = (size_t)(u->source_bytes % TAR_BLOCK);
    if (u->padded || odd == 0)
        return 0;
    u->padded = true;
    *ret = zeros;
    return (la_ssize_t)(TAR_BLOCK - odd);
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **ret)
{
    struct untar *u = arg;
    ssize_t n = u->source(u->arg, ret, &u->source_err);
    if (n < 0)
        archive_set_error(a, EIO, "source");
    if (n == 0)
        return fill_last_block(u, ret);
    if (n > 0)
        u->source_bytes += (uint64_t)n;
    return n;
}

static int archive_failed(struct untar *u, const char *what, struct err *err)
{
    if (u->source_err.code != ERR_NONE) {
        *err = u->source_err;
        return -1;
    }
    const char *why = archive_error_string(u->a);
    return err_set(err, ERR_CORRUPT, "%s: %s", what, why ? why : "damaged tar");
}

static struct timespec mtime_of(struct archive_entry *e)
{
    if (!archive_entry_mtime_is_set(e))
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    struct timespec t = {.tv_sec = archive_entry_mtime(e), .tv_nsec = archive_entry_mtime_nsec(e)};
    if (t.tv_nsec < 0 || t.tv_nsec > 999999999)
        t.tv_nsec = 0;
    return t;
}

static bool keep_xattr(const char *name)
{
    return strcmp(name, "security.capability") == 0 ||
           (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
}

static int set_xattrs(struct archive_entry *e, const char *path, const char *leaf, struct err *err)
{
    const char *name;
    const void *value;
    size_t size;
    if (archive_entry_xattr_reset(e) > UNTAR_XATTRS_MAX)
        return err_set(err, ERR_INVALID, "entry '%.200s': more than %d extended attributes", path,
                       UNTAR_XATTRS_MAX);
    while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !keep_xattr(name))
            continue;
        if (size > UNTAR_XATTR_MAX || strlen(name) > 255)
            return err_set(err, ERR_INVALID, "entry '%.200s': extended attribute is too large",
                           path);
        if (lsetxattr(leaf, name, value, size, 0) < 0 && errno != ENOTSUP && errno != EPERM)
            return err_sys(err, "entry '%.200s': extended attribute '%.64s'", path, name);
    }
    return 0;
}

/* Owner before mode before attributes: chown clears set-uid bits and capabilities. */
static int set_meta(struct archive_entry *e, const char *path, const char *leaf, bool link,
                    struct err *err)
{
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
    if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
        return err_set(err, ERR_INVALID, "entry '%.200s': user or group id out of range", path);
    if (fchownat(AT_FDCWD, leaf, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, "entry '%.200s': owner", path);
    if (!link && fchmodat(AT_FDCWD, leaf, archive_entry_perm(e) & 07777, 0) < 0)
        return err_sys(err, "entry '%.200s': mode", path);
    return set_xattrs(e, path, leaf, err);
}

static int set_time(const char *leaf, struct timespec mtime, const char *path, struct err *err)
{
    const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
    if (utimensat(AT_FDCWD, leaf, t, AT_SYMLINK_NOFOLLOW) < 0 && errno != EINVAL)
        return err_sys(err, "entry '%.200s': time", path);
    return 0;
}

/* Others need the rest of the disk: those who stop and remove things among them. */
static int check_free(struct untar *u, struct err *err)
{
    u->until_check = UNTAR_FREE_STEP;
    return untar_check_free(u->limits, err);
}

int untar_check_free(const struct untar_limits *limits, struct err *err)
{
    struct statvfs fs;
    if (!limits->min_free)
        return 0;
    if (statvfs(".", &fs) < 0)
        return err_sys(err, "free space");
    uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes < limits->min_free)
        return err_set(err, ERR_EXHAUSTED,
                       "no space for it: %" PRIu64 " bytes are free, %" PRIu64 " are to stay free",
                       bytes, limits->min_free);
    if (fs.f_files && fs.f_favail < UNTAR_FREE_INODES)
        return err_set(err, ERR_EXHAUSTED, "no space for it: %" PRIu64 " inodes are free",
                       (uint64_t)fs.f_favail);
    return 0;
}

static int spend(struct untar *u, uint64_t n, struct err *err)
{
    if (u->until_check < n)
        return check_free(u, err);
    u->until_check -= n;
    return 0;
}

static int add_bytes(struct untar *u, uint64_t n, struct err *err)
{
    uint64_t blocks = (n + BLOCK - 1) / BLOCK * BLOCK;
    if (spend(u, blocks, err) < 0)
        return -1;
    u->totals.bytes += blocks;
    if (u->totals.bytes > u->limits->max_bytes)
        return err_set(err, ERR_EXHAUSTED, "layer unpacks to more than %llu bytes",
                       (unsigned long long)u->limits->max_bytes);
    return 0;
}

/* ------------------------------------------------------------- entries */

static int write_at(int fd, const char *p, size_t n, int64_t offset, const char *path,
                    struct err *err)
{
    while (n) {
        ssize_t w = pwrite(fd, p, n, offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EFBIG)
            return err_set(err, ERR_EXHAUSTED, "entry '%.200s': file is too large", path);
        if (w < 0)
            return err_sys(err, "entry '%.200s': write", path);
        p += w;
        n -= (size_t)w;
        offset += w;
    }
    return 0;
}

static int write_data(struct untar *u, int fd, const char *path, int64_t size, struct err *err)
{
    const void *data;
    size_t n;
    la_int64_t offset, end = 0;
    for (;;) {
        int r = archive_read_data_block(u->a, &data, &n, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK)
            return archive_failed(u, path, err);
        if (offset < 0 || (uint64_t)offset > u->limits->max_bytes)
            return err_set(err, ERR_EXHAUSTED, "entry '%.200s': file is too large", path);
        if (n == 0)
            continue;
        if (add_bytes(u, n, err) < 0 || write_at(fd, data, n, offset, path, err) < 0)
            return -1;
        end = offset + (la_int64_t)n;
    }
    if (size > end && ftruncate(fd, size) < 0) /* a hole at the end */
        return err_sys(err, "entry '%.200s': size", path);
    return 0;
}

static int put_file(struct untar *u, struct archive_entry *e, const char *path, const char *leaf,
                    struct err *err)
{
    int64_t size = archive_entry_size(e);
    if (size < 0 || (uint64_t)size > u->limits->max_bytes)
        return err_set(err, ERR_EXHAUSTED, "entry '%.200s': file is too large", path);
    autofd int fd =
        openat(AT_FDCWD, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, "entry '%.200s': create", path);
    return write_data(u, fd, path, size, err);
}

static int put_hardlink(struct untar *u, const char *target, const char *path, const char *leaf,
                        struct err *err)
{
    char clean[PATH_MAX];
    if (place_clean(target, true, clean, err) < 0)
        return err_wrap(err, "hard link '%.200s'", path);
    char *slash = strrchr(clean, '/');
    const char *name = slash ? slash + 1 : clean;
    if (slash)
        *slash = '\0';
    autofd int dir = place_open_dir(&u->place, slash ? clean : "", O_PATH);
    struct stat st;
    if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(err, ERR_INVALID, "hard link '%.200s': target '%.200s' is not in the layer",
                       path, target);
    if (S_ISDIR(st.st_mode) || is_whiteout(&st))
        return err_set(err, ERR_INVALID, "hard link '%.200s': target '%.200s' is not a file", path,
                       target);
    if (linkat(dir, name, AT_FDCWD, leaf, 0) < 0)
        return err_sys(err, "hard link '%.200s'", path);
    return 0;
}

static int put_symlink(struct archive_entry *e, const char *path, const char *leaf, struct err *err)
{
    const char *target = archive_entry_symlink(e);
    if (!target || !target[0] || strlen(target) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "link '%.200s': empty or too long", path);
    return symlinkat(target, AT_FDCWD, leaf) < 0 ? err_sys(err, "link '%.200s'", path) : 0;
}

static int remember_dir(struct untar *u, const char *path, struct timespec mtime, struct err *err)
{
    u->name_bytes += strlen(path) + sizeof(struct dir_time) + 16;
    if (u->name_bytes > UNTAR_NAMES_MAX)
        return err_set(err, ERR_EXHAUSTED, "layer has too many directory names");
    if (u->n_dirs == u->cap_dirs) {
        u->cap_dirs = u->cap_dirs ? 2 * u->cap_dirs : 256;
        u->dirs = xrealloc_array(u->dirs, u->cap_dirs, sizeof(*u->dirs));
    }
    u->dirs[u->n_dirs++] = (struct dir_time){xstrdup(path), mtime};
    return 0;
}

static int put_dir(struct untar *u, struct archive_entry *e, const char *path, const char *leaf,
                   bool kept, struct err *err)
{
    if (!kept && mkdirat(AT_FDCWD, leaf, 0700) < 0)
        return err_sys(err, "entry '%.200s': directory", path);
    if (set_meta(e, path, leaf, false, err) < 0)
        return -1;
    return remember_dir(u, path, mtime_of(e), err);
}

static int put_root(struct untar *u, struct archive_entry *e, struct err *err)
{
    if (archive_entry_filetype(e) != AE_IFDIR || archive_entry_hardlink(e))
        return err_set(err, ERR_INVALID, "entry '/': not a directory");
    u->root_seen = true;
    u->place.standing = false;
    if (fchdir(u->place.root) < 0)
        return err_sys(err, "entry '/'");
    return put_dir(u, e, "", ".", true, err);
}

/* ----------------------------------------------------------- whiteouts */

static int put_whiteout(struct untar *u, struct archive_entry *e, const char *path,
                        const char *leaf, struct err *err)
{
    if (archive_entry_filetype(e) == AE_IFDIR)
        return err_set(err, ERR_INVALID, "whiteout '%.200s': is a directory", path);
    if (strcmp(leaf, WHITEOUT_OPAQUE) == 0)
        return place_mark(&u->place, 'O', u->place.parent, err);
    const char *name = leaf + sizeof(WHITEOUT_PREFIX) - 1;
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, ERR_INVALID, "whiteout '%.200s': names nothing", path);
    struct stat st;
    if (fstatat(AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        /* made by this layer: only what lies below goes */
        if (!S_ISDIR(st.st_mode))
            return 0;
        autofree char *dir =
            u->place.parent[0] ? xasprintf("%s/%s", u->place.parent, name) : xstrdup(name);
        return place_mark(&u->place, 'O', dir, err);
    }
    u->totals.inodes++;
    if (mknodat(AT_FDCWD, name, S_IFCHR | 0600, makedev(0, 0)) < 0)
        return err_sys(err, "whiteout '%.200s'", path);
    return 0;
}

/* Returns: 1 for names to pass over (bookkeeping of older graph drivers), 0 for others, -1 for
 * misuse. */
static int check_whiteout_names(const char *path, const char *leaf, struct err *err)
{
    for (const char *p = path; p < leaf; p += strcspn(p, "/") + 1) {
        if (strncmp(p, WHITEOUT_META, sizeof(WHITEOUT_META) - 1) == 0)
            return 1;
        if (strncmp(p, WHITEOUT_PREFIX, sizeof(WHITEOUT_PREFIX) - 1) == 0)
            return err_set(err, ERR_INVALID, "entry '%.200s': lies in a whiteout", path);
    }
    return strncmp(leaf, WHITEOUT_META, sizeof(WHITEOUT_META) - 1) == 0 &&
           strcmp(leaf, WHITEOUT_OPAQUE) != 0;
}

/* ---------------------------------------------------------------- story */

static int put_node(struct untar *u, struct archive_entry *e, const char *path, const char *leaf,
                    struct err *err)
{
    const char *hardlink = archive_entry_hardlink(e);
    unsigned type = archive_entry_filetype(e);
    bool kept = false;
    if (!hardlink && (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFSOCK)) {
        u->totals.skipped++;
        return 0;
    }
    if (place_clear(&u->place, path, leaf, !hardlink && type == AE_IFDIR, &kept, err) < 0)
        return -1;
    if (hardlink)
        return put_hardlink(u, hardlink, path, leaf, err);
    u->totals.inodes++;
    int r = spend(u, BLOCK, err);
    if (r < 0)
        return -1;
    if (type == AE_IFDIR)
        return add_bytes(u, kept ? 0 : BLOCK, err) < 0 ? -1 : put_dir(u, e, path, leaf, kept, err);
    if (type == AE_IFREG)
        r = put_file(u, e, path, leaf, err);
    else if (type == AE_IFLNK)
        r = put_symlink(e, path, leaf, err);
    else if (type == AE_IFIFO)
        r = mknodat(AT_FDCWD, leaf, S_IFIFO | 0600, 0) < 0 ? err_sys(err, "fifo '%.200s'", path)
                                                           : 0;
    else
        r = err_set(err, ERR_UNSUPPORTED, "entry '%.200s': unknown type", path);
    if (r < 0 || set_meta(e, path, leaf, type == AE_IFLNK, err) < 0)
        return -1;
    return set_time(leaf, mtime_of(e), path, err);
}

static int put_entry(struct untar *u, struct archive_entry *e, struct err *err)
{
    char path[PATH_MAX];
    const char *name = archive_entry_pathname(e), *leaf = NULL;
    if (++u->totals.entries > u->limits->max_entries)
        return err_set(err, ERR_EXHAUSTED, "layer has more than %llu entries",
                       (unsigned long long)u->limits->max_entries);
    if (!name)
        return err_set(err, ERR_INVALID, "entry %llu: unreadable name",
                       (unsigned long long)u->totals.entries);
    if (place_clean(name, false, path, err) < 0)
        return -1;
    if (!path[0])
        return put_root(u, e, err);
    const char *slash = strrchr(path, '/');
    int skip = check_whiteout_names(path, slash ? slash + 1 : path, err);
    if (skip != 0) {
        u->totals.skipped += skip > 0;
        return skip < 0 ? -1 : 0;
    }
    if (place_enter(&u->place, path, &leaf, err) < 0)
        return -1;
    if (strncmp(leaf, WHITEOUT_PREFIX, sizeof(WHITEOUT_PREFIX) - 1) == 0)
        return put_whiteout(u, e, path, leaf, err);
    return put_node(u, e, path, leaf, err);
}

static int read_entries(struct untar *u, struct err *err)
{
    struct archive_entry *e;
    for (;;) {
        int r = archive_read_next_header(u->a, &e);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return archive_failed(u, "tar", err);
        if (put_entry(u, e, err) < 0)
            return -1;
    }
}

static void finish_dirs(struct untar *u)
{
    for (size_t i = 0; i < u->n_dirs; i++) {
        autofd int fd = place_open_dir(&u->place, u->dirs[i].path, O_RDONLY);
        const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, u->dirs[i].mtime};
        if (fd >= 0)
            (void)futimens(fd, t); /* replaced meanwhile, or a time no file system can hold */
    }
}

static int run(struct untar *u, struct err *err)
{
    /* The process stays in the C locale: names come out as the bytes they are. In a UTF-8 locale
     * libarchive would bring those of PAX headers into another Unicode form. */
    if (archive_read_support_format_tar(u->a) != ARCHIVE_OK ||
        archive_read_support_format_empty(u->a) != ARCHIVE_OK ||
        archive_read_open(u->a, u, NULL, on_read, NULL) != ARCHIVE_OK)
        return archive_failed(u, "tar", err);
    if (read_entries(u, err) < 0)
        return -1;
    const void *rest;
    ssize_t n; /* padding belongs to the digest */
    while ((n = u->source(u->arg, &rest, err)) > 0)
        ;
    if (n < 0)
        return -1;
    finish_dirs(u);
    u->totals.inodes += u->place.implied;
    u->totals.bytes += u->place.implied * BLOCK;
    return u->root_seen ? 0 : place_mark(&u->place, 'I', "", err);
}

int untar(untar_source source, void *arg, const struct untar_limits *limits, struct strbuf *marks,
          struct untar_totals *ret, struct err *err)
{
    struct untar *u = XNEW(struct untar);
    *u = (struct untar){.source = source, .arg = arg, .limits = limits, .source_err = ERR_INIT};
    u->place.marks = marks;
    u->place.root = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    u->a = archive_read_new();
    int r = u->place.root >= 0 && u->a ? run(u, err) : err_sys(err, "open the target");
    if (r == 0)
        *ret = u->totals;
    (void)archive_read_free(u->a);
    for (size_t i = 0; i < u->n_dirs; i++)
        free(u->dirs[i].path);
    free(u->dirs);
    (void)close_fd(u->place.root);
    free(u);
    return r;
}
