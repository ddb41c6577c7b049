/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_idmap - layers as a user namespace sees them. Overlayfs itself cannot be idmapped, its
 * lower layers can (Linux 5.19): a private copy of the mount that holds all layers gets the
 * namespace's mapping, and the overlay is made of directories below that copy. One mount for any
 * number of layers, and on Linux 6.15 and newer it is attached nowhere. Older kernels want their
 * lower layers in the mount namespace: there it lies at DIR/layers while the overlay is made.
 */
#include "imagestore/rootfs_idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/strbuf.h"

int mount_copy(const char *path, int userns_fd, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd};
    autofd int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open_tree '%s'", path);
    if (userns_fd < 0)
        return TAKE_FD(fd);
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        if (errno == EINVAL || errno == EOPNOTSUPP || errno == EPERM)
            return err_set(err, ERR_UNSUPPORTED,
                           "the filesystem of '%s' cannot be mounted with mapped ids (%s)", path,
                           strerrorname_np(errno));
        return err_sys(err, "map the ids of '%s'", path);
    }
    return TAKE_FD(fd);
}

int layer_stack_idmap(struct imagestore *s, int userns_fd, struct layer_stack *stack, int *ret_copy,
                      struct err *err)
{
    autofd int copy = mount_copy(s->layers_dir, userns_fd, err);

    if (copy < 0)
        return -1;
    for (size_t i = 0; i < stack->n; i++) {
        const char *name = strrchr(stack->paths[i], '/') + 1;
        int fd = openat(copy, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
            return err_sys(err, "open layer '%s'", name);
        (void)close_fd(stack->fds[i]);
        stack->fds[i] = fd;
        /* The path would lead to the layer without the mapping. */
        free(stack->paths[i]);
        stack->paths[i] = xasprintf("/proc/self/fd/%d", fd);
    }
    *ret_copy = TAKE_FD(copy);
    return 0;
}

int layer_copy_attach(int copy, const char *dir, struct err *err)
{
    autofree char *place = path_join(dir, "layers");

    if (fs_mkdir(AT_FDCWD, place, 0700, err) < 0)
        return -1;
    if (move_mount(copy, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "attach mapped layers at '%s'", place);
    return 0;
}

/* The directory is only ever removed empty: what could be mounted there is everybody's layers. */
int layer_copy_detach(const char *dir, struct err *err)
{
    autofree char *place = path_join(dir, "layers");

    while (umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (errno != EINVAL && errno != ENOENT)
        return err_sys(err, "unmount '%s'", place);
    if (rmdir(place) < 0 && errno != ENOENT)
        return err_sys(err, "remove '%s'", place);
    return 0;
}

int rootfs_idmap_check(struct imagestore *s, int userns_fd, struct err *err)
{
    struct utsname host;
    unsigned long long major = 0, minor = 0;
    const char *p = host.release;

    if (uname(&host) < 0)
        return err_sys(err, "uname");
    if (scan_u64(&p, UINT16_MAX, &major) && scan_text(&p, "."))
        (void)scan_u64(&p, UINT16_MAX, &minor);
    if (major < 5 || (major == 5 && minor < 19))
        return err_set(err, ERR_UNSUPPORTED,
                       "Linux %s has no overlays of layers with mapped ids; 5.19 has",
                       host.release);

    autofd int copy = mount_copy(s->layers_dir, userns_fd, err);

    return copy < 0 ? -1 : 0;
}
