/* SPDX-License-Identifier: Apache-2.0 */
/*
 * room - see room.h. The new root is a small tmpfs over the current directory, in a mount namespace
 * of its own, so it goes with the process. Order matters: mounts need SYS_ADMIN and come first,
 * then capabilities, then the filter.
 *
 * The filter names what is refused: which harmless calls a program of a later version makes cannot
 * be known, and without capabilities, network and other people's files little harm is left.
 */
#include "imagestore/mkdisk/room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define MEMORY_MAX (UINT64_C(4) << 30)
#define OPEN_FILES 1024

/* The node's programs and libraries: directories, or links to them. */
static const char *const programs[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};

static const int refused[] = {
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(bpf),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(quotactl),
    SCMP_SYS(acct),
    SCMP_SYS(syslog),
    SCMP_SYS(personality),
    SCMP_SYS(kcmp),
    SCMP_SYS(shmget),
};

/* ------------------------------------------------------------------ the root */

/* A read-only view of the node's directory or file. */
static int show(const char *from, const char *to, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID};
    autofd int fd = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        move_mount(fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "show '%s'", from);
    return 0;
}

static int show_programs(struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        char from[16], link[PATH_MAX];
        struct stat st;

        (void)snprintf(from, sizeof(from), "/%s", programs[i]);
        if (lstat(from, &st) < 0)
            continue;
        ssize_t n = S_ISLNK(st.st_mode) ? readlink(from, link, sizeof(link) - 1) : 0;

        if (n > 0) {
            link[n] = '\0';
            if (symlink(link, programs[i]) < 0)
                return err_sys(err, "link '%s'", from);
        } else if (mkdir(programs[i], 0755) < 0) {
            return err_sys(err, "make '%s'", from);
        } else if (show(from, programs[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Where the dynamic linker finds what is not in the standard places. */
static int show_linker_cache(struct err *err)
{
    if (access("/etc/ld.so.cache", R_OK) < 0)
        return 0;
    if (mkdir("etc", 0755) < 0)
        return err_sys(err, "make '/etc'");
    autofd int fd = open("etc/ld.so.cache", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    return fd < 0 ? err_sys(err, "make '/etc/ld.so.cache'")
                  : show("/etc/ld.so.cache", "etc/ld.so.cache", err);
}

/* The image's mount gets a place of its own; of it only the wanted directory is to be seen. */
static int show_image(struct err *err)
{
    autofree char *source = xasprintf("/proc/self/fd/%d", MKDISK_SOURCE_FD);

    if (fcntl(MKDISK_IMAGE_FD, F_GETFD) < 0)
        return 0;
    if (mkdir("image", 0700) < 0 || mkdir("in", 0700) < 0)
        return err_sys(err, "make '" MKDISK_SOURCE "'");
    if (move_mount(MKDISK_IMAGE_FD, "", AT_FDCWD, "image", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        mount(source, "in", NULL, MS_BIND, NULL) < 0 || umount2("image", MNT_DETACH) < 0)
        return err_sys(err, "show the image");
    (void)close(MKDISK_IMAGE_FD);
    (void)close(MKDISK_SOURCE_FD);
    return 0;
}

static int show_output(struct err *err)
{
    autofd int fd = open("out", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || move_mount(MKDISK_OUTPUT_FD, "", AT_FDCWD, "out", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "show the output");
    (void)close(MKDISK_OUTPUT_FD);
    return 0;
}

static int enter_root(struct err *err)
{
    char path[PATH_MAX];

    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return err_sys(err, "new namespaces");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(err, "make mounts private");
    /* the mount lies over ".": enter it by name */
    if (!getcwd(path, sizeof(path)) ||
        mount("unicri-mkdisk", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755") < 0 ||
        chdir(path) < 0)
        return err_sys(err, "make a root");
    if (show_programs(err) < 0 || show_linker_cache(err) < 0 || show_image(err) < 0 ||
        show_output(err) < 0)
        return -1;
    if (mkdir("tmp", 0700) < 0)
        return err_sys(err, "make '/tmp'");
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(err, "enter the root");
    return 0;
}

/* ---------------------------------------------------------------- the rest */

static int set_limit(int what, uint64_t value, struct err *err)
{
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};
    struct rlimit old;

    if (getrlimit((__rlimit_resource_t)what, &old) == 0 && old.rlim_max < value)
        return 0; /* already lower */
    return setrlimit((__rlimit_resource_t)what, &r) < 0 ? err_sys(err, "resource limit %d", what)
                                                        : 0;
}

static int drop_caps(struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    for (int c = 0; c <= CAP_LAST_CAP; c++)
        if (c != CAP_DAC_READ_SEARCH && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(err, "drop capability %d", c);
    data[0].permitted = data[0].effective = UINT32_C(1) << CAP_DAC_READ_SEARCH;
    if (syscall(SYS_capset, &head, data) < 0)
        return err_sys(err, "capset");
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? err_sys(err, "no_new_privs") : 0;
}

static int refuse_calls(struct err *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int r = ctx ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_errno(err, -r, "seccomp") : 0;
}

int room_enter(const struct room_limits *limits, struct err *err)
{
    (void)umask(022);
    if (enter_root(err) < 0 || set_limit(RLIMIT_FSIZE, limits->file_bytes, err) < 0 ||
        set_limit(RLIMIT_CPU, limits->cpu_seconds, err) < 0 ||
        set_limit(RLIMIT_NOFILE, OPEN_FILES, err) < 0 || set_limit(RLIMIT_CORE, 0, err) < 0 ||
        drop_caps(err) < 0 || refuse_calls(err) < 0)
        return -1;
    /* last: it is for the program, a sanitizer's shadow alone is larger */
    return set_limit(RLIMIT_AS, MEMORY_MAX, err);
}
