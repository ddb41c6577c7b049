/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graft - put a mount into the tree of another one: a volume into the root file system of a guest.
 * The tree is an image's: its symbolic links lead anywhere, but are followed as if the tree were
 * the root. What is missing on the way is made as the VMM's uid, whose tree it is, and where that
 * may.
 *
 * The child is alone in its root by now, so that nothing here could be led to a file of the node.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define DIRECTORY_MODE 0755
#define FILE_MODE      0644

static int look(int base, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
}

/* The directory in which the last name of the path is to be made. */
static int parent_of(int base, char *path, const char **ret_name)
{
    char *slash = strrchr(path, '/');

    *slash = '\0';
    *ret_name = slash + 1;
    return look(base, *path ? path : ".");
}

static int make_one(int base, const char *path, bool directory)
{
    char copy[PATH_MAX];
    const char *name;
    int dir, rc;

    memcpy(copy, path, strlen(path) + 1);
    dir = parent_of(base, copy, &name);
    if (dir < 0)
        return -1;
    if (directory) {
        rc = mkdirat(dir, name, DIRECTORY_MODE);
    } else {
        rc = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (rc >= 0)
            close(rc);
    }
    close(dir);
    return rc < 0 && errno != EEXIST ? -1 : 0;
}

/* Each directory above, then the point itself. A link that leads nowhere stays one: an error. */
static int make_point(int base, const char *path, bool directory)
{
    char copy[PATH_MAX];
    int fd;

    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(copy, path, i);
        copy[i] = '\0';
        fd = look(base, copy);
        if (fd < 0 && (errno != ENOENT || make_one(base, copy, true) < 0))
            return -1;
        if (fd >= 0)
            close(fd);
    }
    fd = look(base, path);
    if (fd < 0 && errno == ENOENT && make_one(base, path, directory) == 0)
        fd = look(base, path);
    return fd;
}

void root_graft(const struct monitor *m, const struct root_entry *e, int tree)
{
    struct stat st;
    int base, point;

    if (fstat(tree, &st) < 0)
        start_child_failed_at(m, "volume", e->path);
    base = open(e->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        start_child_failed_at(m, "root for volumes", e->base);
    (void)setfsgid((gid_t)m->spec.gid);
    (void)setfsuid((uid_t)m->spec.uid);
    point = make_point(base, e->path, S_ISDIR(st.st_mode));
    (void)setfsuid(0);
    (void)setfsgid(0);
    if (point < 0)
        start_child_failed_at(m, "make the mount point of volume", e->path);
    if (syscall(SYS_move_mount, tree, "", point, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        start_child_failed_at(m, "put the volume in place", e->path);
    close(point);
    close(base);
}
