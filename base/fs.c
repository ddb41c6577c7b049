/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - see fs.h: whole files, single directories, locks. Walks over trees live in fs_tree.c.
 * Everything opened here has O_CLOEXEC. Fault points: fs.write, fs.rename, fs.mkdir.
 */
#include "base/fs.h"

#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/fault.h"
#include "base/id.h"

#define READ_CHUNK_BYTES 4096
#define OPENAT2_TRIES    16
#define LOCK_PAUSE       (10 * NSEC_PER_MSEC)

int fs_read_fd(int fd, size_t max_bytes, char **ret, size_t *ret_len, struct err *err)
{
    size_t cap = READ_CHUNK_BYTES, len = 0;
    autofree char *buf = try_alloc(cap, err);

    if (!buf)
        return -1;
    for (;;) {
        ssize_t n;

        if (len + 1 == cap) {
            char *bigger = realloc(buf, cap * 2);

            if (!bigger)
                return err_set(err, ERR_EXHAUSTED, "read: out of memory at %zu bytes", len);
            buf = bigger;
            cap *= 2;
        }
        n = read(fd, buf + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read");
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max_bytes)
            return err_set(err, ERR_EXHAUSTED, "read: larger than %zu bytes", max_bytes);
    }
    buf[len] = '\0';
    *ret = TAKE_PTR(buf);
    if (ret_len)
        *ret_len = len;
    return 0;
}

int fs_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_len,
                 struct err *err)
{
    autofd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    if (fs_read_fd(fd, max_bytes, ret, ret_len, err))
        return err_wrap(err, "'%s'", path);
    return 0;
}

int fs_write_all(int fd, const void *data, size_t len, struct err *err)
{
    const char *p = data;

    FAULT_POINT("fs.write");
    do {
        ssize_t n =
            write(fd, p, len); /* once even for nothing: a file of /proc or a cgroup may refuse */

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "write");
        if (n == 0 && len > 0)
            return err_errno(err, EIO, "write");
        p += n;
        len -= (size_t)n;
    } while (len > 0);
    return 0;
}

int fs_write_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                  struct err *err)
{
    const int flags = O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY;
    int fd = openat(dirfd, path, flags);

    if (fd < 0 && errno == ENOENT) {
        fd = openat(dirfd, path, flags | O_CREAT, mode);
        if (fd >= 0 && fchmod(fd, mode)) {
            (void)close_fd(fd);
            return err_sys(err, "set mode of '%s'", path);
        }
    }
    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    if (fs_write_all(fd, data, len, err)) {
        (void)close_fd(fd);
        return err_wrap(err, "'%s'", path);
    }
    if (close(fd)) /* quota and network filesystems report here */
        return err_sys(err, "close '%s'", path);
    return 0;
}

static char *temporary_neighbour(const char *path)
{
    const char *slash = strrchr(path, '/');
    char id[ID_LEN + 1];

    id_new(id);
    return xasprintf("%.*s.tmp-%.16s", slash ? (int)(slash - path + 1) : 0, path, id);
}

/* The directory that holds `path`, for fsync. */
static int sync_parent(int dirfd, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    autofree char *dir = NULL;

    if (!slash)
        dir = xstrdup(".");
    else
        dir = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
    return fs_sync_dir(dirfd, dir, err);
}

static int fill_temporary(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                          bool durable, struct err *err)
{
    autofd int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(err, "create '%s'", path);
    if (fs_write_all(fd, data, len, err))
        return -1;
    if (fchmod(fd, mode)) /* exactly this mode, whatever the umask */
        return err_sys(err, "chmod");
    if (durable && fdatasync(fd))
        return err_sys(err, "sync");
    if (close(TAKE_FD(fd)))
        return err_sys(err, "close");
    return 0;
}

static int rename_over(int dirfd, const char *from, const char *to, struct err *err)
{
    FAULT_POINT("fs.rename");
    if (renameat(dirfd, from, dirfd, to))
        return err_sys(err, "rename");
    return 0;
}

int fs_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    bool durable, struct err *err)
{
    autofree char *tmp = temporary_neighbour(path);

    if (fill_temporary(dirfd, tmp, data, len, mode, durable, err) ||
        rename_over(dirfd, tmp, path, err)) {
        (void)unlinkat(dirfd, tmp, 0);
        return err_wrap(err, "replace '%s'", path);
    }
    if (durable && sync_parent(dirfd, path, err))
        return err_wrap(err, "replace '%s'", path);
    return 0;
}

int fs_mkdir(int dirfd, const char *path, mode_t mode, struct err *err)
{
    struct stat st;

    FAULT_POINT("fs.mkdir");
    if (mkdirat(dirfd, path, mode) == 0)
        return fchmodat(dirfd, path, mode, 0) ? err_sys(err, "set mode of '%s'", path) : 0;
    if (errno != EEXIST)
        return err_sys(err, "make directory '%s'", path);
    if (fstatat(dirfd, path, &st, 0))
        return err_sys(err, "make directory '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_EXISTS, "make directory '%s': a file of that name exists", path);
    return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
    autofree char *copy = xstrdup(path);

    for (char *p = copy + strspn(copy, "/"); *p;) {
        char *end = p + strcspn(p, "/"), *next = end + strspn(end, "/");

        if (*next) { /* a parent: */
            *end = '\0';
            if (fs_mkdir(AT_FDCWD, copy, mode, err))
                return -1;
            *end = '/';
        } else if (fs_mkdir(AT_FDCWD, copy, mode, err)) {
            return -1;
        }
        p = next;
    }
    return 0;
}

int fs_remove(int dirfd, const char *path, struct err *err)
{
    if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR || errno == EPERM) {
        int saved = errno;

        if (unlinkat(dirfd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno == ENOTDIR)
            errno = saved; /* a file that may not be removed: the first answer says why */
    }
    return err_sys(err, "remove '%s'", path);
}

int fs_sync_tree(int dirfd, struct err *err)
{
    if (syncfs(dirfd))
        return err_sys(err, "sync the filesystem");
    return 0;
}

int fs_sync_dir(int dirfd, const char *path, struct err *err)
{
    autofd int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    if (fsync(fd))
        return err_sys(err, "sync '%s'", path);
    return 0;
}

int fs_open_in_root(int rootfd, const char *path, int flags, mode_t mode, struct err *err)
{
    bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = creates ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };

    /* EAGAIN: a rename raced with "..", the kernel could not prove that the path stayed inside. */
    for (int i = 0; i < OPENAT2_TRIES; i++) {
        long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    if (errno == ENOSYS)
        return err_set(err, ERR_UNSUPPORTED, "open '%s': the kernel lacks openat2 (Linux 5.6)",
                       path);
    return err_sys(err, "open '%s'", path);
}

int fs_free_bytes(const char *path, uint64_t *ret, struct err *err)
{
    struct statvfs vfs;

    if (statvfs(path, &vfs))
        return err_sys(err, "statfs '%s'", path);
    *ret = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return 0;
}

static int lock_open(const char *path, int flags, struct err *err)
{
    autofd int fd = open(path, flags | O_CLOEXEC, 0600);
    deadline_t deadline = deadline_in(FS_LOCK_PATIENCE);

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, "lock '%s'", path);
        if (deadline_passed(deadline))
            return err_set(err, ERR_STATE, "lock '%s': held by another process", path);
        clock_sleep_until(deadline_in(LOCK_PAUSE));
    }
    return TAKE_FD(fd);
}

int fs_lock(const char *path, struct err *err)
{
    return lock_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, err);
}

int fs_lock_dir(const char *path, struct err *err)
{
    return lock_open(path, O_RDONLY | O_DIRECTORY, err);
}

char *path_join(const char *a, const char *b)
{
    size_t len = strlen(a);

    while (len > 1 && a[len - 1] == '/')
        len--;
    while (*b == '/')
        b++;
    if (len == 1 && a[0] == '/')
        len = 0;
    else if (len == 0)
        return xstrdup(b);
    return xasprintf("%.*s/%s", (int)len, a, b);
}

bool name_is_safe(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '/')
            return false;
    }
    return true;
}
