/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay - mounts of overlayfs. Layers are given to the kernel one by one ("lowerdir+"). Kernels
 * that do not know it (before Linux 6.8) get them in the one page of options of mount(2), whose
 * names are kept short: descriptor numbers, looked up in /proc/self/fd by a thread that has this as
 * its own current directory. 400 layers need some 2400 bytes so. One fsconfig() string would not
 * do: it ends at 255 bytes.
 */
#include "imagestore/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "base/fault.h"
#include "base/strbuf.h"
#include "base/thread.h"

#define OPTION_MAX_BYTES    255  /* of one fsconfig() string */
#define PAGE_OPTIONS_MAX    4095 /* of mount(2), on the smallest pages */
#define READONLY_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)

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
    int r = create_new(o, o->upper ? 0 : READONLY_ATTRIBUTES, &mnt, err);
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
    unsigned long flags = m->o->upper ? 0 : MS_RDONLY | MS_NODEV;
    old_options(m->o, fds, &options);
    if (!m->detached && unshare(CLONE_FS) < 0)
        m->failed = "unshare";
    else if (chdir("/proc/self/fd") < 0)
        m->failed = "enter /proc/self/fd";
    else if (mount("unicri", m->target, "overlay", flags, options.s) < 0)
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

int overlay_mount(const struct overlay *o, struct err *err)
{
    int r = fault_hit("rootfs.old_kernel") ? 1 : mount_new(o, err);
    return r > 0 ? mount_old(o, NULL, err) : r;
}

int mount_restrict(int mnt, struct err *err)
{
    struct mount_attr attr = {.attr_set = READONLY_ATTRIBUTES};
    return mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0
               ? err_sys(err, "make the mount read-only")
               : 0;
}

int overlay_detached(const struct layer_stack *stack, struct err *err)
{
    const struct overlay o = {.stack = stack, .upper_fd = -1, .work_fd = -1};
    autofd int mnt = -1;
    int r = fault_hit("rootfs.old_kernel") ? 1 : create_new(&o, READONLY_ATTRIBUTES, &mnt, err);
    if (r > 0)
        r = mount_old(&o, &mnt, err);
    /* of a mount that was cloned none of the flags above is certain */
    return r < 0 || mount_restrict(mnt, err) < 0 ? -1 : TAKE_FD(mnt);
}
