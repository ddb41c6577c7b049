/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_default - the RuntimeDefault profile: what ordinary programs call is allowed, all else
 * fails with EPERM (what a newer libc probes for fails with ENOSYS, so that it falls back). A
 * capability that a container has opens the calls that are useless without it. Tables only; names
 * that a kernel or libseccomp does not know are skipped by the OCI runtime.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "base/strbuf.h"
#include "sandbox/security.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define CLONE_NEW_ALL                                                                              \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |     \
     CLONE_NEWCGROUP)

static const char *const always[] = {
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "arch_prctl",
    "bind",
    "brk",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "get_robust_list",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "get_thread_area",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "ioctl",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "ioprio_get",
    "ioprio_set",
    "io_setup",
    "io_submit",
    "ipc",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listxattr",
    "llistxattr",
    "_llseek",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "_newselect",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_mrelease",
    "pselect6",
    "pselect6_time64",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "set_robust_list",
    "setsid",
    "setsockopt",
    "set_thread_area",
    "set_tid_address",
    "setuid",
    "setuid32",
    "setxattr",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "socketcall",
    "socketpair",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
};

/* Opened by a capability. */
static const struct {
    const char *cap;
    const char *const calls[24];
} by_capability[] = {
    {"CAP_DAC_READ_SEARCH", {"open_by_handle_at"}},
    {"CAP_SYS_ADMIN",
     {"bpf",           "clone",         "clone3",      "fanotify_init",   "fsconfig",
      "fsmount",       "fsopen",        "fspick",      "lookup_dcookie",  "mount",
      "mount_setattr", "move_mount",    "open_tree",   "perf_event_open", "quotactl",
      "quotactl_fd",   "setdomainname", "sethostname", "setns",           "syslog",
      "umount",        "umount2",       "unshare"}},
    {"CAP_SYS_BOOT", {"reboot"}},
    {"CAP_SYS_CHROOT", {"chroot"}},
    {"CAP_SYS_MODULE", {"delete_module", "init_module", "finit_module"}},
    {"CAP_SYS_PACCT", {"acct"}},
    {"CAP_SYS_PTRACE",
     {"kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"}},
    {"CAP_SYS_RAWIO", {"iopl", "ioperm"}},
    {"CAP_SYS_TIME",
     {"settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime",
      "clock_adjtime64"}},
    {"CAP_SYS_TTY_CONFIG", {"vhangup"}},
    {"CAP_SYS_NICE",
     {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages",
      "move_pages"}},
    {"CAP_SYSLOG", {"syslog"}},
    {"CAP_BPF", {"bpf"}},
    {"CAP_PERFMON", {"perf_event_open"}},
};

/* personality(2) values that only change what a program sees of itself. */
static const uint32_t personalities[] = {0x0, 0x0008, 0x20000, 0x20008, 0xffffffff};

static json_t *rule(const char *action)
{
    json_t *r = json_object();

    json_put(r, "names", json_array());
    json_put_string(r, "action", action);
    return r;
}

static void add_name(json_t *r, const char *name)
{
    (void)json_array_append_new(json_object_get(r, "names"), json_string(name));
}

static void add_arg(json_t *r, int index, const char *op, int64_t value, int64_t value_two)
{
    json_t *args = json_object_get(r, "args");
    json_t *arg = json_object();

    if (!args) {
        args = json_array();
        json_put(r, "args", args);
    }
    json_put(arg, "index", json_integer(index));
    json_put(arg, "value", json_integer(value));
    json_put(arg, "valueTwo", json_integer(value_two));
    json_put_string(arg, "op", op);
    (void)json_array_append_new(args, arg);
}

static void take_rule(json_t *rules, json_t *r)
{
    if (json_array_size(json_object_get(r, "names")))
        (void)json_array_append_new(rules, r);
    else
        json_decref(r);
}

/* Calls that are allowed with certain arguments only. */
static void add_conditional(json_t *rules, bool admin)
{
    for (size_t i = 0; i < ARRAY_SIZE(personalities); i++) {
        json_t *r = rule("SCMP_ACT_ALLOW");

        add_name(r, "personality");
        add_arg(r, 0, "SCMP_CMP_EQ", personalities[i], 0);
        take_rule(rules, r);
    }

    json_t *sockets = rule("SCMP_ACT_ALLOW");

    /* AF_VSOCK reaches the host around every network namespace. */
    add_name(sockets, "socket");
    add_arg(sockets, 0, "SCMP_CMP_NE", AF_VSOCK, 0);
    take_rule(rules, sockets);
    if (admin)
        return;

    json_t *threads = rule("SCMP_ACT_ALLOW"), *clone3 = rule("SCMP_ACT_ERRNO");

    add_name(threads, "clone");
    add_arg(threads, 0, "SCMP_CMP_MASKED_EQ", CLONE_NEW_ALL, 0);
    take_rule(rules, threads);
    /* Its flags lie in memory, where no filter sees them: ENOSYS makes libc use clone(). */
    add_name(clone3, "clone3");
    json_put(clone3, "errnoRet", json_integer(ENOSYS));
    take_rule(rules, clone3);
}

json_t *seccomp_default(char *const *caps)
{
    json_t *profile = json_object(), *rules = json_array(), *archs = json_array();
    json_t *allowed = rule("SCMP_ACT_ALLOW");

    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        add_name(allowed, always[i]);
    for (size_t i = 0; i < ARRAY_SIZE(by_capability); i++)
        if (strv_contains(caps, by_capability[i].cap))
            for (const char *const *call = by_capability[i].calls; *call; call++)
                add_name(allowed, *call);
    take_rule(rules, allowed);
    add_conditional(rules, strv_contains(caps, "CAP_SYS_ADMIN"));
    json_put_string(profile, "defaultAction", "SCMP_ACT_ERRNO");
    json_put(profile, "defaultErrnoRet", json_integer(EPERM));
#if defined(__x86_64__)
    (void)json_array_append_new(archs, json_string("SCMP_ARCH_X86_64"));
    (void)json_array_append_new(archs, json_string("SCMP_ARCH_X86"));
    (void)json_array_append_new(archs, json_string("SCMP_ARCH_X32"));
#elif defined(__aarch64__)
    (void)json_array_append_new(archs, json_string("SCMP_ARCH_AARCH64"));
    (void)json_array_append_new(archs, json_string("SCMP_ARCH_ARM"));
#endif
    json_put(profile, "architectures", archs);
    json_put(profile, "syscalls", rules);
    return profile;
}
