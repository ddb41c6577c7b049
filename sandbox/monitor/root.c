/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root - the root directory of a jailed VMM: a small tmpfs with the entries of the spec in it, and
 * nothing else.
 *
 * What is bound into it is copied by the monitor, as detached mounts with their attributes set
 * already (nosuid, nodev, read-only, private). The child pivots into the empty tmpfs first and
 * makes the entries then: no path of a bound directory, whoever wrote its symbolic links, can lead
 * out any more. At last the root is made read-only; directories that the VMM may write to are
 * mounts of the same tmpfs, so that one bound holds for all of them. What is put into the tree of
 * another entry is graft.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define PAGE         INT64_C(4096)
#define INODES_SPARE 4
#define INODES_DIRS  1024 /* below the directories that may be written to */

static int set_attributes(int mount, uint64_t attributes, unsigned flags)
{
    struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};

    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr));
}

/* ---------------------------------------------------------------- in the monitor */

static uint64_t attributes_of(enum root_kind kind)
{
    switch (kind) {
    case ROOT_RO:
        return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY;
    case ROOT_RW:
        return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    case ROOT_DEVICE:
        return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    case ROOT_DIR:
    case ROOT_FILE:
    case ROOT_SYMLINK:
        break;
    case ROOT_PROC:
        return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
    }
    return 0;
}

/* Until the points below it are there it must be writable: see seal(). */
bool root_is_base(const struct spec *spec, const struct root_entry *e)
{
    for (size_t i = 0; i < spec->n_entries; i++)
        if (spec->entries[i].base == e->path)
            return true;
    return false;
}

static int copy_mount(const struct spec *spec, const struct root_entry *e, struct fault *f)
{
    enum root_kind kind = e->kind == ROOT_RO && root_is_base(spec, e) ? ROOT_RW : e->kind;
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
    struct stat st;
    int tree;

    if (fstat(e->fd, &st) < 0)
        return fault(f, errno, "entry of the jail", e->path);
    if (e->kind == ROOT_DEVICE ? !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)
                               : !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) &&
                                     !(S_ISSOCK(st.st_mode) && spec->connects))
        return fault(f, EINVAL, "type of what is bound into the jail", e->path);
    tree = (int)syscall(SYS_open_tree, e->fd, "", flags);
    if (tree < 0)
        return fault(f, errno, "copy the mount for entry of the jail", e->path);
    if (set_attributes(tree, attributes_of(kind), AT_RECURSIVE) < 0) {
        fault(f, errno, "restrict the mount for entry of the jail", e->path);
        close(tree);
        return -1;
    }
    return tree;
}

int root_open(const struct spec *spec, struct jail_fds *fds, struct fault *f)
{
    for (size_t i = 0; i < spec->n_entries; i++) {
        const struct root_entry *e = &spec->entries[i];
        int tree = e->fd >= 0 ? copy_mount(spec, e, f) : -1;

        if (e->fd >= 0 && tree < 0)
            return -1;
        fds->trees[fds->n_trees++] = tree;
    }
    return 0;
}

/* ---------------------------------------------------------------- the empty root */

/* Room for the texts of files, and an inode for each component of each path. */
static int make_tmpfs(const struct spec *spec)
{
    int64_t bytes = PAGE + spec->root_bytes, inodes = INODES_SPARE;
    char size[24], count[24];
    struct text size_text = TEXT(size), count_text = TEXT(count);
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mount = -1;

    for (size_t i = 0; i < spec->n_entries; i++) {
        const struct root_entry *e = &spec->entries[i];

        bytes += ((int64_t)strlen(e->text) / PAGE + 1) * PAGE;
        for (const char *p = e->path; *p; p++)
            inodes += *p == '/';
        if (e->kind == ROOT_DIR)
            inodes += INODES_DIRS;
    }
    text_num(&size_text, bytes);
    text_num(&count_text, inodes);
    if (fs < 0)
        return -1;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", count, 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0555", 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                 (spec->n_entries == 0 ? MOUNT_ATTR_RDONLY : 0));
    close(fs);
    return mount;
}

/* The new root is put on /proc for a moment, a directory that every host has; nobody outside this
 * mount namespace sees it. */
static int empty_root(const struct monitor *m)
{
    int root;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        start_child_failed(m, "make mounts private");
    root = make_tmpfs(&m->spec);
    if (root < 0)
        start_child_failed(m, "make empty root");
    if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        start_child_failed(m, "attach empty root");
    if (fchdir(root) < 0)
        start_child_failed(m, "change to empty root");
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) < 0)
            start_child_failed(m, "detach old root");
    } else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        start_child_failed(m, "pivot to empty root"); /* EINVAL: the host runs from an initramfs */
    }
    if (chdir("/") < 0)
        start_child_failed(m, "change to new root");
    return root;
}

/* ---------------------------------------------------------------- its entries */

static int make_directory(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

static void make_parents(const struct monitor *m, const char *path)
{
    char copy[PATH_MAX];

    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(copy, path, i);
        copy[i] = '\0';
        if (make_directory(copy) < 0)
            start_child_failed_at(m, "make directory of the jail", copy);
    }
}

static void put(const struct monitor *m, int tree, const char *path)
{
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        start_child_failed_at(m, "put into the jail", path);
}

static void make_file(const struct monitor *m, const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);

    if (fd < 0 || write(fd, text, len) != (ssize_t)len)
        start_child_failed_at(m, "make file of the jail", path);
    close(fd);
}

/* Something of the same type to be covered; a bound directory may hold it already. */
static void bind(const struct monitor *m, const struct root_entry *e, int tree)
{
    struct stat st;

    if (fstat(tree, &st) < 0)
        start_child_failed_at(m, "entry of the jail", e->path);
    if (S_ISDIR(st.st_mode)) {
        if (make_directory(e->path) < 0)
            start_child_failed_at(m, "make directory of the jail", e->path);
    } else if (access(e->path, F_OK) < 0) {
        make_file(m, e->path, "");
    }
    put(m, tree, e->path);
}

static void make_writable(const struct monitor *m, const char *path)
{
    int tree;

    if (make_directory(path) < 0 || chmod(path, 0700) < 0 ||
        chown(path, (uid_t)m->spec.uid, (gid_t)m->spec.gid) < 0)
        start_child_failed_at(m, "make directory of the jail", path);
    tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, path,
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW);
    if (tree < 0)
        start_child_failed_at(m, "copy the mount for directory of the jail", path);
    put(m, tree, path);
}

/* Of the VMM's own PID namespace, and nothing in it but processes. */
static void make_proc(const struct monitor *m, const char *path)
{
    int fs = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC), mount = -1;

    if (make_directory(path) < 0)
        start_child_failed_at(m, "make directory of the jail", path);
    if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "subset", "pid", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
        (mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes_of(ROOT_PROC))) < 0)
        start_child_failed_at(m, "make the list of processes of the jail", path);
    put(m, mount, path);
    close(mount);
    close(fs);
}

/* All points are made: what is read-only becomes it. */
static void seal(const struct monitor *m, const struct jail_fds *fds)
{
    for (size_t i = 0; i < m->spec.n_entries; i++) {
        const struct root_entry *e = &m->spec.entries[i];

        if (e->kind == ROOT_RO && root_is_base(&m->spec, e) &&
            set_attributes(fds->trees[i], MOUNT_ATTR_RDONLY, 0) < 0)
            start_child_failed_at(m, "make read-only", e->path);
    }
}

void root_enter(const struct monitor *m, const struct jail_fds *fds)
{
    int root = empty_root(m);

    if (m->spec.n_entries == 0)
        return;
    umask(022);
    for (size_t i = 0; i < m->spec.n_entries; i++) {
        const struct root_entry *e = &m->spec.entries[i];

        if (!e->base)
            make_parents(m, e->path);
        switch (e->kind) {
        case ROOT_RO:
        case ROOT_RW:
        case ROOT_DEVICE:
            if (e->base)
                root_graft(m, e, fds->trees[i]);
            else
                bind(m, e, fds->trees[i]);
            break;
        case ROOT_DIR:
            make_writable(m, e->path);
            break;
        case ROOT_FILE:
            make_file(m, e->path, e->text);
            break;
        case ROOT_SYMLINK:
            if (symlink(e->text, e->path) < 0)
                start_child_failed_at(m, "make link of the jail", e->path);
            break;
        case ROOT_PROC:
            make_proc(m, e->path);
            break;
        }
    }
    seal(m, fds);
    if (set_attributes(root, MOUNT_ATTR_RDONLY, 0) < 0)
        start_child_failed(m, "make the root read-only");
}
