/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs - overlay root filesystems and holds. Layers are given to the kernel one by one
 * ("lowerdir+"). Kernels that do not know it (before Linux 6.8) get them in the one page of options
 * of mount(2), whose names are kept short: descriptor numbers, looked up in /proc/self/fd by a
 * thread that has this as its own current directory. 400 layers need some 2400 bytes so. One
 * fsconfig() string would not do: it ends at 255 bytes.
 *
 * A layer that is opaque at its root ends the stack there, since overlayfs itself looks at that
 * mark in directories below the root only. Of equal layers only the uppermost counts.
 *
 * Without a writable layer an overlay is made as a mount that hangs nowhere (rootfs_detached()), so
 * that whatever is killed while it is in use leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "imagestore/rootfs_idmap.h"

#define OPTION_MAX_BYTES 255  /* of one fsconfig() string */
#define PAGE_OPTIONS_MAX 4095 /* of mount(2), on the smallest pages */

static const char *const parts[] = {"rootfs", "upper", "work"};

/* Is `path` the root of a mount? */
static bool is_mounted(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* What the kernel says about a failed step, where it says anything. */
static int explain(int fs, const char *what, struct err *err)
{
    int sys = errno;
    char text[256];
    ssize_t n = fs >= 0 ? read(fs, text, sizeof(text) - 1) : -1;
    if (n <= 0)
        return err_errno(err, sys, "overlay: %s", what);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)err_errno(err, sys, "overlay: %s", what);
    return err_wrap(err, "kernel says '%s'", text);
}

/* A name for a directory that fits into one option and means nothing else to overlayfs. */
static char *option_path(const char *path, int fd)
{
    return strlen(path) <= OPTION_MAX_BYTES && !strpbrk(path, ":,\\")
               ? xstrdup(path)
               : xasprintf("/proc/self/fd/%d", fd);
}

struct overlay {
    const struct layer_stack *stack;
    char *dir, *upper, *work, *target; /* owned; all NULL without a writable layer */
    int upper_fd, work_fd;
};

static int set_string(int fs, const char *key, const char *value)
{
    return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
}

/*
 * Before Linux 6.5 overlayfs itself did not read options one by one: the kernel collected whatever
 * it was given, lowerdir+ too, and only the mount failed. Such a kernel takes a key that does not
 * exist.
 */
static bool takes_any_key(int fs)
{
    char complaint[256];
    if (set_string(fs, "unicri.probe", "1") == 0)
        return true;
    (void)!read(fs, complaint, sizeof(complaint)); /* it must not explain a later failure */
    return false;
}

/* Returns: 0, -1 with err, or 1 when this kernel does not know lowerdir+. */
static int configure(int fs, const struct overlay *o, struct err *err)
{
    if (takes_any_key(fs))
        return 1;
    for (size_t i = 0; i < o->stack->n; i++) {
        autofree char *name = option_path(o->stack->paths[i], o->stack->fds[i]);
        if (set_string(fs, "lowerdir+", name) < 0) {
            if (i == 0 && errno == EINVAL)
                return 1;
            return explain(fs, name, err);
        }
    }
    if (o->upper) {
        autofree char *upper = option_path(o->upper, o->upper_fd);
        autofree char *work = option_path(o->work, o->work_fd);
        if (set_string(fs, "upperdir", upper) < 0 || set_string(fs, "workdir", work) < 0)
            return explain(fs, "upper directory", err);
    }
    (void)set_string(fs, "index", "off"); /* lower layers are shared; unknown to some kernels */
    if (set_string(fs, "source", "unicri") < 0 && errno != EINVAL)
        return explain(fs, "source", err);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return explain(fs, "create", err);
    return 0;
}

/* Returns: 0 and *ret_mnt, a mount that hangs nowhere yet; -1; or 1 as configure() does. */
static int create_new(const struct overlay *o, unsigned attributes, int *ret_mnt, struct err *err)
{
    autofd int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return errno == ENOSYS ? 1 : err_sys(err, "overlay: fsopen");
    int r = configure(fs, o, err);
    if (r != 0)
        return r;
    int mnt = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    if (mnt < 0)
        return explain(fs, "fsmount", err);
    *ret_mnt = mnt;
    return 0;
}

static int mount_new(const struct overlay *o, struct err *err)
{
    autofd int mnt = -1;
    int r = create_new(o, 0, &mnt, err);
    if (r != 0)
        return r;
    if (move_mount(mnt, "", AT_FDCWD, o->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "overlay: mount at '%s'", o->target);
    return 0;
}

/* What the thread of an old style mount does, and what became of it. */
struct old_mount {
    const struct overlay *o;
    const char *target;
    bool detached;      /* in a mount namespace of the thread's own; `mnt` is what stays of it */
    int mnt;            /* owned by the caller */
    const char *failed; /* the step; NULL: none did */
    int sys;
};

static void old_options(const struct overlay *o, const int *fds, struct strbuf *options)
{
    for (size_t i = 0; i < o->stack->n; i++)
        strbuf_addf(options, "%s%d", i ? ":" : "index=off,lowerdir=", fds[i]);
    if (o->upper)
        strbuf_addf(options, ",upperdir=%d,workdir=%d", o->upper_fd, o->work_fd);
}

/* A mount namespace of its own, and the layers as they are seen in there: an overlay takes no
 * directory of another namespace's mounts. */
static bool old_mount_alone(struct old_mount *m, int *fds)
{
    m->failed = "new mount namespace";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    m->failed = "open a layer";
    for (size_t i = 0; i < m->o->stack->n; i++)
        if ((fds[i] = open(m->o->stack->paths[i], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
            return false;
    m->failed = NULL;
    return true;
}

static void old_mount_do(struct old_mount *m, const int *fds)
{
    autostrbuf options = STRBUF_INIT;
    old_options(m->o, fds, &options);
    if (!m->detached && unshare(CLONE_FS) < 0)
        m->failed = "unshare";
    else if (chdir("/proc/self/fd") < 0)
        m->failed = "enter /proc/self/fd";
    else if (mount("unicri", m->target, "overlay", 0, options.s) < 0)
        m->failed = "mount";
    else if (m->detached &&
             (m->mnt = open_tree(AT_FDCWD, m->target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0)
        m->failed = "open_tree";
    m->sys = errno;
}

static void *old_mount_thread(void *arg)
{
    struct old_mount *m = arg;
    size_t n = m->o->stack->n;
    if (!m->detached) {
        old_mount_do(m, m->o->stack->fds);
        return NULL;
    }
    int *fds = xcalloc(n, sizeof(int));
    for (size_t i = 0; i < n; i++)
        fds[i] = -1;
    if (old_mount_alone(m, fds))
        old_mount_do(m, fds);
    else
        m->sys = errno;
    for (size_t i = 0; i < n; i++)
        (void)close_fd(fds[i]);
    free(fds);
    return NULL;
}

/* @ret_mnt: NULL to mount at o->target; else as create_new() does. */
static int mount_old(const struct overlay *o, int *ret_mnt, struct err *err)
{
    autostrbuf options = STRBUF_INIT;
    old_options(o, o->stack->fds, &options); /* others of the same number are as long, or nearly */
    if (options.len > PAGE_OPTIONS_MAX)
        return err_set(err, ERR_EXHAUSTED, "overlay: %zu layers are too many for this kernel",
                       o->stack->n);
    /* a place that exists serves as any other where nobody else will see it */
    struct old_mount m = {.o = o,
                          .target = ret_mnt ? o->stack->paths[0] : o->target,
                          .detached = ret_mnt != NULL,
                          .mnt = -1};
    pthread_t thread;
    if (thread_start("mount", old_mount_thread, &m, &thread, err) < 0)
        return -1;
    (void)pthread_join(thread, NULL);
    if (m.failed)
        return err_errno(err, m.sys, "overlay: %s at '%s'", m.failed, m.target);
    if (ret_mnt)
        *ret_mnt = m.mnt;
    return 0;
}

/* The upper directory's owner and mode are those of "/": take them from the uppermost layer. */
static int make_upper(struct overlay *o, struct err *err)
{
    struct stat st;
    if (fstat(o->stack->fds[0], &st) < 0 || fchown(o->upper_fd, st.st_uid, st.st_gid) < 0 ||
        fchmod(o->upper_fd, st.st_mode & 07777) < 0)
        return err_sys(err, "prepare '%s'", o->upper);
    return 0;
}

static int make_dirs(struct overlay *o, struct err *err)
{
    if (fs_mkdirs(o->dir, 0711, err) < 0)
        return -1;
    struct stat st;
    bool fresh = lstat(o->upper, &st) < 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        autofree char *path = path_join(o->dir, parts[i]);
        if (fs_mkdir(AT_FDCWD, path, 0755, err) < 0)
            return -1;
    }
    o->upper_fd = open(o->upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    o->work_fd = open(o->work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (o->upper_fd < 0 || o->work_fd < 0)
        return err_sys(err, "open '%s'", o->upper);
    return fresh ? make_upper(o, err) : 0;
}

static int mount_overlay(const struct layer_stack *stack, const char *dir, struct err *err)
{
    struct overlay o = {.stack = stack,
                        .dir = xstrdup(dir),
                        .upper = path_join(dir, "upper"),
                        .work = path_join(dir, "work"),
                        .target = path_join(dir, "rootfs"),
                        .upper_fd = -1,
                        .work_fd = -1};
    int r = make_dirs(&o, err);
    if (r == 0)
        r = fault_hit("rootfs.old_kernel") ? 1 : mount_new(&o, err);
    if (r > 0)
        r = mount_old(&o, NULL, err);
    (void)close_fd(o.upper_fd);
    (void)close_fd(o.work_fd);
    free(o.dir);
    free(o.upper);
    free(o.work);
    free(o.target);
    return r;
}

/* ---------------------------------------------------------------- read-only */

#define READONLY_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)

static int restrict_mount(int mnt, struct err *err)
{
    struct mount_attr attr = {.attr_set = READONLY_ATTRIBUTES};
    return mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0
               ? err_sys(err, "make the mount read-only")
               : 0;
}

/* An image without layers: its one empty directory. */
static int detach_empty(const char *path, struct err *err)
{
    autofd int mnt = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (mnt < 0)
        return err_sys(err, "open_tree '%s'", path);
    return restrict_mount(mnt, err) < 0 ? -1 : TAKE_FD(mnt);
}

static int detach_overlay(const struct layer_stack *stack, struct err *err)
{
    const struct overlay o = {.stack = stack, .upper_fd = -1, .work_fd = -1};
    autofd int mnt = -1;
    int r = fault_hit("rootfs.old_kernel") ? 1 : create_new(&o, READONLY_ATTRIBUTES, &mnt, err);
    if (r > 0 && (r = mount_old(&o, &mnt, err)) == 0)
        r = restrict_mount(mnt, err);
    return r < 0 ? -1 : TAKE_FD(mnt);
}

int rootfs_detached(struct imagestore *s, const struct image *image, struct err *err)
{
    struct layer_stack stack = {0};
    autofree char *empty = path_join(s->layers_dir, "empty");
    if (layer_stack_open(s, image, &stack, err) < 0)
        return -1;
    int mnt = -1;
    if (stack.n == 1 && str_eq(stack.paths[0], empty))
        mnt = detach_empty(empty, err);
    /* overlayfs wants two directories; one layer alone is none of them, for its whiteouts */
    else if (stack.n > 1 || layer_stack_add(&stack, xstrdup(empty), err) == 0)
        mnt = detach_overlay(&stack, err);
    layer_stack_done(&stack);
    return mnt < 0 ? err_wrap(err, "image '%s'", image->id) : mnt;
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

/* With ids mapped where a namespace is given; attached for the while when the kernel insists. */
static int mount_stack(struct imagestore *s, struct layer_stack *stack, const char *dir,
                       int userns_fd, struct err *err)
{
    autofd int copy = -1;
    if (userns_fd < 0)
        return mount_overlay(stack, dir, err);
    if (layer_stack_idmap(s, userns_fd, stack, &copy, err) < 0)
        return -1;
    if (!fault_hit("rootfs.attach_layers") && mount_overlay(stack, dir, NULL) == 0)
        return 0;
    if (layer_copy_attach(copy, dir, err) < 0)
        return -1;
    struct err why = ERR_INIT;
    int r = mount_overlay(stack, dir, err);
    if (layer_copy_detach(dir, &why) < 0)
        log_warn("%s", why.msg); /* rootfs_unmount() tries again */
    return r;
}

static int mount_image(struct imagestore *s, const struct image *image, const char *dir,
                       int userns_fd, struct err *err)
{
    struct layer_stack stack = {0};
    int r = layer_stack_open(s, image, &stack, err);
    if (r == 0)
        r = mount_stack(s, &stack, dir, userns_fd, err);
    layer_stack_done(&stack);
    return r;
}

static int mount_image_readonly(struct imagestore *s, const struct image *image, const char *dir,
                                int userns_fd, struct err *err)
{
    (void)userns_fd;
    autofree char *target = path_join(dir, "rootfs");
    autofd int mnt = rootfs_detached(s, image, err);
    if (mnt < 0 || fs_mkdir(AT_FDCWD, target, 0755, err) < 0)
        return -1;
    if (move_mount(mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "overlay: mount at '%s'", target);
    return 0;
}

static int mount_held(struct imagestore *s, const struct image *image, const char *dir,
                      int userns_fd,
                      int (*f)(struct imagestore *s, const struct image *image, const char *dir,
                               int userns_fd, struct err *err),
                      struct err *err)
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
    if (f(s, image, dir, userns_fd, err) < 0) {
        struct err why = ERR_INIT;
        if (rootfs_unmount(s, dir, &why) < 0)
            log_warn("clean up '%s': %s", dir, why.msg);
        return err_wrap(err, "root filesystem of image '%s'", image->id);
    }
    return 0;
}

int rootfs_mount(struct imagestore *s, const struct image *image, const char *dir, struct err *err)
{
    return mount_held(s, image, dir, -1, mount_image, err);
}

int rootfs_mount_mapped(struct imagestore *s, const struct image *image, const char *dir,
                        int userns_fd, struct err *err)
{
    return mount_held(s, image, dir, userns_fd, mount_image, err);
}

int rootfs_mount_readonly(struct imagestore *s, const struct image *image, const char *dir,
                          struct err *err)
{
    return mount_held(s, image, dir, -1, mount_image_readonly, err);
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
