/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs - root filesystems of images: which directories an overlay (overlay.c) is made of, where
 * it lies, and who holds its layers meanwhile.
 *
 * A layer that is opaque at its root ends the stack there, since overlayfs itself looks at that
 * mark in directories below the root only. Of equal layers only the uppermost counts.
 *
 * With the ids of a user namespace the layers are seen through an idmapped copy of their mount
 * (rootfs_idmap.c); overlayfs itself has no mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/overlay.h"
#include "imagestore/rootfs_idmap.h"

static const char *const parts[] = {"rootfs", "upper", "work"};

/* Is `path` the root of a mount? */
static bool is_mounted(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* ------------------------------------------------------- layers to mount */

/* What is to be mounted, as `userns_fd` sees it (-1: as it is). */
struct source {
    struct layer_stack stack;
    int copy;   /* of the mount that the layers are on, with mapped ids; -1 without */
    bool empty; /* an image without layers: the stack is one empty directory */
};
#define SOURCE_INIT ((struct source){.copy = -1})

static void source_done(struct source *s)
{
    layer_stack_done(&s->stack);
    s->copy = close_fd(s->copy);
}

/* @pad: at least two directories, which overlayfs wants where it is not given a writable one; one
 * layer alone is no root filesystem, for its whiteouts. */
static int source_open(struct imagestore *s, const struct image *image, int userns_fd, bool pad,
                       struct source *ret, struct err *err)
{
    autofree char *empty = path_join(s->layers_dir, "empty");
    if (layer_stack_open(s, image, &ret->stack, err) < 0)
        return -1;
    ret->empty = ret->stack.n == 1 && str_eq(ret->stack.paths[0], empty);
    if (pad && ret->stack.n == 1 && !ret->empty &&
        layer_stack_add(&ret->stack, TAKE_PTR(empty), err) < 0)
        return -1;
    return userns_fd < 0 ? 0 : layer_stack_idmap(s, userns_fd, &ret->stack, &ret->copy, err);
}

/* The one empty directory, read-only. Returns: a mount that hangs nowhere, or -1. */
static int empty_open(struct imagestore *s, int userns_fd, struct err *err)
{
    autofree char *path = path_join(s->layers_dir, "empty");
    autofd int mnt = mount_copy(path, userns_fd, err);
    return mnt < 0 || mount_restrict(mnt, err) < 0 ? -1 : TAKE_FD(mnt);
}

int rootfs_detached(struct imagestore *s, const struct image *image, struct err *err)
{
    struct source source = SOURCE_INIT;
    int mnt = -1;
    if (source_open(s, image, -1, true, &source, err) == 0)
        mnt = source.empty ? empty_open(s, -1, err) : overlay_detached(&source.stack, err);
    source_done(&source);
    return mnt < 0 ? err_wrap(err, "image '%s'", image->id) : mnt;
}

/* -------------------------------------------------- the places of a mount */

struct place {
    char *target, *upper, *work; /* owned */
    int upper_fd, work_fd;
};

static void place_done(struct place *p)
{
    (void)close_fd(p->upper_fd);
    (void)close_fd(p->work_fd);
    free(p->target);
    free(p->upper);
    free(p->work);
}

/* The upper directory's owner and mode are those of "/": take them from the uppermost layer. */
static int make_upper(const struct place *p, const struct layer_stack *stack, struct err *err)
{
    struct stat st;
    if (fstat(stack->fds[0], &st) < 0 || fchown(p->upper_fd, st.st_uid, st.st_gid) < 0 ||
        fchmod(p->upper_fd, st.st_mode & 07777) < 0)
        return err_sys(err, "prepare '%s'", p->upper);
    return 0;
}

static int make_dirs(struct place *p, const struct layer_stack *stack, struct err *err)
{
    struct stat st;
    bool fresh = lstat(p->upper, &st) < 0;
    if (fs_mkdir(AT_FDCWD, p->target, 0755, err) < 0 ||
        fs_mkdir(AT_FDCWD, p->upper, 0755, err) < 0 || fs_mkdir(AT_FDCWD, p->work, 0755, err) < 0)
        return -1;
    p->upper_fd = open(p->upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    p->work_fd = open(p->work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->upper_fd < 0 || p->work_fd < 0)
        return err_sys(err, "open '%s'", p->upper);
    return fresh ? make_upper(p, stack, err) : 0;
}

static int mount_writable(const struct layer_stack *stack, const char *dir, struct err *err)
{
    struct place p = {.target = path_join(dir, "rootfs"),
                      .upper = path_join(dir, "upper"),
                      .work = path_join(dir, "work"),
                      .upper_fd = -1,
                      .work_fd = -1};
    int r = make_dirs(&p, stack, err);
    if (r == 0)
        r = overlay_mount(&(struct overlay){.stack = stack,
                                            .target = p.target,
                                            .upper = p.upper,
                                            .work = p.work,
                                            .upper_fd = p.upper_fd,
                                            .work_fd = p.work_fd},
                          err);
    place_done(&p);
    return r;
}

static int mount_readonly(const struct layer_stack *stack, const char *dir, struct err *err)
{
    autofree char *target = path_join(dir, "rootfs");
    const struct overlay o = {.stack = stack, .target = target, .upper_fd = -1, .work_fd = -1};
    return fs_mkdir(AT_FDCWD, target, 0755, err) < 0 ? -1 : overlay_mount(&o, err);
}

static int mount_empty(struct imagestore *s, const char *dir, int userns_fd, struct err *err)
{
    autofree char *target = path_join(dir, "rootfs");
    autofd int mnt = empty_open(s, userns_fd, err);
    if (mnt < 0 || fs_mkdir(AT_FDCWD, target, 0755, err) < 0)
        return -1;
    if (move_mount(mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "mount at '%s'", target);
    return 0;
}

/* ---------------------------------------------------------------- the facade */

static int unmount(const char *dir, struct err *err)
{
    autofree char *target = path_join(dir, "rootfs");
    while (is_mounted(target))
        if (umount2(target, MNT_DETACH) < 0)
            return err_sys(err, "unmount '%s'", target);
    return 0;
}

/* A mapped copy of the layers is attached for the while when the kernel insists. */
static int mount_source(const struct source *source, const char *dir, bool writable,
                        struct err *err)
{
    int (*mount)(const struct layer_stack *stack, const char *dir, struct err *err) =
        writable ? mount_writable : mount_readonly;
    if (source->copy < 0)
        return mount(&source->stack, dir, err);
    if (!fault_hit("rootfs.attach_layers") && mount(&source->stack, dir, NULL) == 0)
        return 0;
    if (layer_copy_attach(source->copy, dir, err) < 0)
        return -1;
    struct err why = ERR_INIT;
    int r = mount(&source->stack, dir, err);
    if (layer_copy_detach(dir, &why) < 0)
        log_warn("%s", why.msg); /* rootfs_unmount() tries again */
    return r;
}

static int mount_image(struct imagestore *s, const struct image *image, const char *dir,
                       bool writable, int userns_fd, struct err *err)
{
    struct source source = SOURCE_INIT;
    int r = source_open(s, image, userns_fd, !writable, &source, err);
    if (r == 0)
        r = source.empty && !writable ? mount_empty(s, dir, userns_fd, err)
                                      : mount_source(&source, dir, writable, err);
    source_done(&source);
    return r;
}

static int mount_held(struct imagestore *s, const struct image *image, const char *dir,
                      bool writable, int userns_fd, struct err *err)
{
    autofree char *target = path_join(dir, "rootfs");
    if (is_mounted(target)) {
        if (hold_matches(s, dir, image))
            return 0;
        return err_set(err, ERR_EXISTS, "'%s': another image is mounted there", target);
    }
    FAULT_POINT("rootfs.mount");
    if (fs_mkdirs(dir, 0711, err) < 0 || hold_take(s, image, dir, err) < 0)
        return -1;
    if (mount_image(s, image, dir, writable, userns_fd, err) < 0) {
        struct err why = ERR_INIT;
        if (rootfs_unmount(s, dir, &why) < 0)
            log_warn("clean up '%s': %s", dir, why.msg);
        return err_wrap(err, "root filesystem of image '%s'", image->id);
    }
    return 0;
}

int rootfs_mount(struct imagestore *s, const struct image *image, const char *dir, int userns_fd,
                 struct err *err)
{
    return mount_held(s, image, dir, true, userns_fd, err);
}

int rootfs_mount_readonly(struct imagestore *s, const struct image *image, const char *dir,
                          int userns_fd, struct err *err)
{
    return mount_held(s, image, dir, false, userns_fd, err);
}

int rootfs_unmount(struct imagestore *s, const char *dir, struct err *err)
{
    FAULT_POINT("rootfs.unmount");
    if (unmount(dir, err) < 0 || layer_copy_detach(dir, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        autofree char *path = path_join(dir, parts[i]);
        if (fs_remove_tree(AT_FDCWD, path, err) < 0)
            return -1;
    }
    if (hold_drop(s, dir, err) < 0)
        return -1;
    store_collect(s);
    return 0;
}

int rootfs_hold(struct imagestore *s, const struct image *image, const char *dir, struct err *err)
{
    if (fs_mkdirs(dir, 0711, err) < 0)
        return -1;
    return hold_take(s, image, dir, err);
}
