/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine - see confine.h. Order matters: the root first (needs SYS_ADMIN), then capabilities, then
 * the filter, which would refuse the calls of the steps before.
 */
#include "imagestore/unpack/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define OPEN_FILES 64
#define MEMORY_MAX (UINT64_C(1) << 30)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* No MKNOD: whiteouts (character device 0:0) need none, and devices of images are not made. */
static const int kept_caps[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP};

static const int allowed[] = {
    SCMP_SYS(read),       SCMP_SYS(write),     SCMP_SYS(writev),       SCMP_SYS(pwrite64),
    SCMP_SYS(close),      SCMP_SYS(openat),    SCMP_SYS(openat2),      SCMP_SYS(fstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx),     SCMP_SYS(lseek),        SCMP_SYS(mmap),
    SCMP_SYS(munmap),     SCMP_SYS(mremap),    SCMP_SYS(mprotect),     SCMP_SYS(madvise),
    SCMP_SYS(brk),        SCMP_SYS(futex),     SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(exit_group), SCMP_SYS(exit),      SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),
    SCMP_SYS(fchdir),     SCMP_SYS(mkdirat),   SCMP_SYS(mknodat),      SCMP_SYS(unlinkat),
    SCMP_SYS(linkat),     SCMP_SYS(symlinkat), SCMP_SYS(fchown),       SCMP_SYS(fchownat),
    SCMP_SYS(fchmod),     SCMP_SYS(fchmodat),  SCMP_SYS(utimensat),    SCMP_SYS(fsetxattr),
    SCMP_SYS(lsetxattr),  SCMP_SYS(ftruncate), SCMP_SYS(getdents64),   SCMP_SYS(umask),
    SCMP_SYS(statfs),     SCMP_SYS(fstatfs),
#ifdef __NR_mknod /* the C library's own choice for mknodat(AT_FDCWD) on some ports */
    SCMP_SYS(mknod),      SCMP_SYS(lchown),
#endif
};

/* What a build with sanitizers does besides. */
static const int allowed_sanitized[] = {
    SCMP_SYS(sigaltstack), SCMP_SYS(getpid),    SCMP_SYS(gettid),     SCMP_SYS(sched_yield),
    SCMP_SYS(readlink),    SCMP_SYS(open),      SCMP_SYS(stat),       SCMP_SYS(rt_sigaction),
    SCMP_SYS(prctl),       SCMP_SYS(tgkill),    SCMP_SYS(readlinkat), SCMP_SYS(getuid),
    SCMP_SYS(prlimit64),   SCMP_SYS(getrlimit), SCMP_SYS(access),     SCMP_SYS(ioctl),
    SCMP_SYS(pread64),
};

/* The current directory becomes "/" of a mount namespace of our own, and nothing else is left in
 * it. */
static int confine_root(struct err *err)
{
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(err, "new mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(err, "make mounts private");
    if (mount(".", ".", NULL, MS_BIND, NULL) < 0)
        return err_sys(err, "bind the target");
    autofd int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char path[4096]; /* the mount lies over ".": enter it by name */
    if (fd < 0 || !getcwd(path, sizeof(path)) || chdir(path) < 0)
        return err_sys(err, "enter the target");
    if (mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) < 0)
        return err_sys(err, "restrict the target");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_sys(err, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        return err_sys(err, "leave the old root");
    if (chdir("/") < 0)
        return err_sys(err, "enter the new root");
    return 0;
}

static int set_limit(int what, uint64_t value, struct err *err)
{
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};
    struct rlimit old;
    if (getrlimit((__rlimit_resource_t)what, &old) == 0 && old.rlim_max < value)
        return 0; /* already lower */
    if (setrlimit((__rlimit_resource_t)what, &r) < 0)
        return err_sys(err, "resource limit %d", what);
    return 0;
}

static int confine_resources(const struct confine_limits *l, struct err *err)
{
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR) /* a file too large is an error of its write */
        return err_sys(err, "ignore SIGXFSZ");
    if (set_limit(RLIMIT_FSIZE, l->file_bytes, err) < 0 || set_limit(RLIMIT_CORE, 0, err) < 0 ||
        set_limit(RLIMIT_NOFILE, OPEN_FILES, err) < 0 ||
        set_limit(RLIMIT_CPU, l->cpu_seconds, err) < 0)
        return -1;
    return SANITIZED ? 0 : set_limit(RLIMIT_AS, MEMORY_MAX, err);
}

static int confine_caps(uint32_t uid, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    for (size_t i = 0; i < ARRAY_SIZE(kept_caps); i++) {
        int c = kept_caps[i];
        data[c / 32].permitted |= UINT32_C(1) << (c % 32);
        data[c / 32].effective |= UINT32_C(1) << (c % 32);
    }
    for (int c = 0; c <= CAP_LAST_CAP; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(err, "drop capability %d", c);
    if (uid) {
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            return err_sys(err, "become user %u", uid);
    }
    if (syscall(SYS_capset, &head, data) < 0)
        return err_sys(err, "capset");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, "prctl");
    return 0;
}

static int add_rules(scmp_filter_ctx ctx, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int confine_calls(struct err *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!ctx)
        return err_set(err, ERR_INTERNAL, "seccomp: no memory");
    int r = add_rules(ctx, allowed, ARRAY_SIZE(allowed));
    if (r == 0 && SANITIZED)
        r = add_rules(ctx, allowed_sanitized, ARRAY_SIZE(allowed_sanitized));
    static const unsigned flag_calls[] = {F_GETFL, F_SETFD}; /* what fdopendir() does */
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(flag_calls); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                             SCMP_CMP(1, SCMP_CMP_EQ, flag_calls[i], 0));
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_errno(err, -r, "seccomp") : 0;
}

int confine(const struct confine_limits *limits, struct err *err)
{
    umask(0);
    if (confine_root(err) < 0 || confine_resources(limits, err) < 0 ||
        confine_caps(limits->uid, err) < 0 || confine_calls(err) < 0)
        return err_wrap(err, "confine the unpacker");
    return 0;
}
