/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp - the outer filter of every jailed VMM, put in force by the monitor before the VMM runs a
 * single instruction. VMMs add tighter filters of their own; filters stack, so that none can loosen
 * this one.
 *
 * An allow list of what a VMM with all its resources in open descriptors needs. What only an
 * intruder would try kills the process; everything else fails with EPERM. A VMM whose root holds
 * something may also open files and make local sockets: what it can reach by that is the root's
 * affair. Of ioctl requests only those of the driver's list pass, in both kinds. One execve is
 * left, of the descriptor JAIL_PROGRAM_FD: that number lies above RLIMIT_NOFILE, so once exec has
 * closed it no descriptor can get it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the jail's seccomp filter does not know this architecture"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "argument offsets are those of little-endian machines"
#endif

#define X32_BIT 0x40000000u

static const int allowed[] = {
    /* descriptors that are there */
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_preadv2,
    SYS_pwritev2,
    SYS_close,
    SYS_close_range,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_fcntl,
    SYS_dup,
    SYS_dup3,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendto,
    SYS_recvfrom,
    SYS_shutdown,
    SYS_pipe2,
    /* waiting and time */
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_ppoll,
    SYS_pselect6,
    SYS_eventfd2,
    SYS_signalfd4,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_futex,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_restart_syscall,
    /* memory */
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_membarrier,
    /* itself: signals, identity, limits, further confinement */
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_rt_sigpending,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_wait4,
    SYS_waitid,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_capget,
    SYS_prctl,
    SYS_seccomp,
    SYS_prlimit64,
    SYS_getrandom,
    SYS_set_tid_address,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_uname,
    SYS_getsockopt,
    SYS_sysinfo,
    SYS_getcwd,
    SYS_getdents64,
    SYS_exit,
    SYS_exit_group,
#if defined(__x86_64__)
    SYS_arch_prctl,
    SYS_dup2,
    SYS_poll,
    SYS_select,
    SYS_epoll_wait,
    SYS_pipe,
    SYS_time,
    SYS_getrlimit,
    SYS_readlink,
#endif
    SYS_readlinkat,
};

/* More for a VMM that has files: what loaders, firmware, sockets and shared directories take. */
static const int allowed_files[] = {
    SYS_openat,
    SYS_openat2,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_linkat,
    SYS_symlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_truncate,
    SYS_umask,
    SYS_chdir,
    SYS_fchdir,
    SYS_getxattr,
    SYS_lgetxattr,
    SYS_fgetxattr,
    SYS_listxattr,
    SYS_llistxattr,
    SYS_flistxattr,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    SYS_flock,
    SYS_fadvise64,
    SYS_readahead,
    SYS_sync_file_range,
    SYS_copy_file_range,
    SYS_sendfile,
    SYS_splice,
    SYS_memfd_create,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_recvmmsg,
    SYS_sendmmsg,
    SYS_msync,
    SYS_mincore,
    SYS_tkill,
    SYS_getpgid,
    SYS_getpriority,
    SYS_getrusage,
    SYS_times,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_gettime,
    SYS_timer_delete,
    SYS_epoll_pwait2,
#if defined(__x86_64__)
    SYS_open,
    SYS_access,
    SYS_stat,
    SYS_lstat,
    SYS_unlink,
    SYS_mkdir,
    SYS_rename,
    SYS_chmod,
    SYS_getpgrp,
    SYS_eventfd,
#endif
};

/* What VMMs try out at their start and can do without: no reason to kill one of these. */
static const int refused_files[] = {SYS_io_uring_setup, SYS_io_setup, SYS_keyctl, SYS_userfaultfd};

/* More for a file server, which is root of a user namespace: to be what its guest's users are, and
 * to change its root below the one that it has. */
static const int allowed_server[] = {SYS_chroot,   SYS_capset,   SYS_setresuid, SYS_setresgid,
                                     SYS_setfsuid, SYS_setfsgid, SYS_syncfs};

/* Nothing a VMM does by mistake. */
static const int deadly[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_move_mount,
    SYS_open_tree,
    SYS_mount_setattr,
    SYS_unshare,
    SYS_setns,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_setup,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_execve,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ROOM                                                                                       \
    (2 * (COUNT(allowed) + COUNT(allowed_files) + COUNT(refused_files) + COUNT(deadly) +           \
          COUNT(allowed_server) + SPEC_IOCTLS_MAX) +                                               \
     96)

struct program {
    struct sock_filter code[ROOM];
    unsigned short n;
};

static void add(struct program *p, struct sock_filter instruction)
{
    p->code[p->n++] = instruction;
}

static void load(struct program *p, size_t offset)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void give(struct program *p, uint32_t action)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* The accumulator is `value`: action. */
static void when(struct program *p, uint32_t value, uint32_t action)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    give(p, action);
}

static size_t argument(int n, bool high)
{
    return offsetof(struct seccomp_data, args) + 8 * (size_t)n + (high ? 4 : 0);
}

/* Begin the block of one system call; end_call() lets all others pass over it. */
static unsigned short begin_call(struct program *p, int nr)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 0));
    return p->n;
}

static void end_call(struct program *p, unsigned short at)
{
    p->code[at - 1].jf = (unsigned char)(p->n - at);
}

static void execveat_once(struct program *p, int program_fd)
{
    unsigned short at = begin_call(p, SYS_execveat);

    load(p, argument(0, false));
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)program_fd, 1, 0));
    give(p, SECCOMP_RET_KILL_PROCESS);
    load(p, argument(4, false));
    when(p, AT_EMPTY_PATH, SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_KILL_PROCESS);
    end_call(p, at);
}

/* Threads, but no processes; clone3 hides its flags behind a pointer: "not there" makes libc use
 * clone. */
static void threads_only(struct program *p)
{
    unsigned short at = begin_call(p, SYS_clone);

    load(p, argument(0, false));
    add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, CLONE_THREAD | CLONE_NEWUSER |
                                                                       CLONE_NEWNS | CLONE_NEWNET |
                                                                       CLONE_NEWPID));
    when(p, CLONE_THREAD, SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_ERRNO | EPERM);
    end_call(p, at);
    when(p, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
}

/* Asking for the personality is fine, changing it is not. */
static void personality_query(struct program *p)
{
    unsigned short at = begin_call(p, SYS_personality);

    load(p, argument(0, false));
    when(p, 0xffffffff, SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_ERRNO | EPERM);
    end_call(p, at);
}

#define TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* The accumulator is `family`: allow the call if argument `n`, without `ignored` bits, is one of
 * the two values. */
static void when_socket(struct program *p, uint32_t family, int n, uint32_t ignored, uint32_t value,
                        uint32_t other)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, family, 0, 7));
    load(p, argument(n, false));
    add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~ignored));
    when(p, value, SECCOMP_RET_ALLOW);
    when(p, other, SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_ERRNO | EPERM);
}

/* Unix sockets cannot connect, and are none that send without: who shares a network with the pod
 * must not reach its abstract sockets. */
static void local_sockets_only(struct program *p, bool interfaces)
{
    unsigned short at = begin_call(p, SYS_socket);

    load(p, argument(0, false));
    when_socket(p, AF_UNIX, 1, TYPE_FLAGS, SOCK_STREAM, SOCK_SEQPACKET);
    if (interfaces) {
        when_socket(p, AF_INET, 1, TYPE_FLAGS, SOCK_DGRAM, SOCK_DGRAM);
        when_socket(p, AF_NETLINK, 2, 0, NETLINK_ROUTE, NETLINK_ROUTE);
    }
    give(p, SECCOMP_RET_ERRNO | EPERM);
    end_call(p, at);
    at = begin_call(p, SYS_socketpair);
    load(p, argument(0, false));
    when_socket(p, AF_UNIX, 1, TYPE_FLAGS, SOCK_STREAM, SOCK_SEQPACKET);
    give(p, SECCOMP_RET_ERRNO | EPERM);
    end_call(p, at);
}

/* The call's address may be as long as one of rtnetlink's, or absent. */
static void short_address(struct program *p, int nr, int n)
{
    unsigned short at = begin_call(p, nr);

    load(p, argument(n, false));
    when(p, 0, SECCOMP_RET_ALLOW);
    when(p, sizeof(struct sockaddr_nl), SECCOMP_RET_ALLOW);
    give(p, SECCOMP_RET_ERRNO | EPERM);
    end_call(p, at);
}

/* Who looks at the pod's interfaces shall ask the kernel, not send to its neighbours or listen in
 * their place: an internet address is longer. */
static void kernel_only(struct program *p)
{
    short_address(p, SYS_sendto, 5);
    short_address(p, SYS_bind, 2);
    when(p, SYS_sendmsg, SECCOMP_RET_ERRNO | EPERM);
    when(p, SYS_sendmmsg, SECCOMP_RET_ERRNO | EPERM);
}

static void with_files(struct program *p, const struct spec *spec)
{
    for (size_t i = 0; i < COUNT(allowed_files); i++)
        when(p, (uint32_t)allowed_files[i], SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < COUNT(refused_files); i++)
        when(p, (uint32_t)refused_files[i], SECCOMP_RET_ERRNO | EPERM);
    local_sockets_only(p, spec->interface_sockets);
    if (spec->connects)
        when(p, SYS_connect, SECCOMP_RET_ALLOW);
}

/*
 * What a descriptor can be asked beside reading and writing is the driver's list: KVM's, a tap's,
 * a disk's. Typing into somebody's terminal is on no such list and deadly. The list is longer than
 * a conditional jump reaches. It stands in front of everything: a guest's every exit is a KVM_RUN.
 */
static void listed_ioctls(struct program *p, const uint32_t *list, size_t n)
{
    unsigned short over;

    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
    add(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    over = p->n;
    load(p, argument(1, false)); /* the kernel looks at no more than this half, too */
    for (size_t i = 0; i < n; i++)
        if (list[i] != TIOCSTI && list[i] != TIOCLINUX)
            when(p, list[i], SECCOMP_RET_ALLOW);
    when(p, TIOCSTI, SECCOMP_RET_KILL_PROCESS);
    when(p, TIOCLINUX, SECCOMP_RET_KILL_PROCESS);
    give(p, SECCOMP_RET_ERRNO | ENOTTY);
    p->code[over - 1].k = (uint32_t)(p->n - over);
}

static void as_server(struct program *p)
{
    unsigned short at;

    for (size_t i = 0; i < COUNT(allowed_server); i++)
        when(p, (uint32_t)allowed_server[i], SECCOMP_RET_ALLOW);
    /* It may want to leave its groups, which are why it may use a share at all. */
    when(p, SYS_setgroups, SECCOMP_RET_ERRNO | 0);
    /* Handles would lead to any file of a mount. */
    when(p, SYS_name_to_handle_at, SECCOMP_RET_ERRNO | EOPNOTSUPP);
    at = begin_call(p, SYS_unshare);
    load(p, argument(0, false));
    when(p, CLONE_FS, SECCOMP_RET_ALLOW); /* threads with a working directory each */
    give(p, SECCOMP_RET_KILL_PROCESS);
    end_call(p, at);
}

int jail_filter(const struct spec *spec, int program_fd)
{
    static struct program p;
    bool files = spec->n_entries > 0;
    struct sock_fprog fprog;

    load(&p, offsetof(struct seccomp_data, arch));
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    give(&p, SECCOMP_RET_KILL_PROCESS);
    load(&p, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
    give(&p, SECCOMP_RET_KILL_PROCESS);
#endif
    listed_ioctls(&p, spec->ioctls, spec->n_ioctls);
    if (spec->interface_sockets)
        kernel_only(&p);
    for (size_t i = 0; i < COUNT(allowed); i++)
        when(&p, (uint32_t)allowed[i], SECCOMP_RET_ALLOW);
    if (files)
        with_files(&p, spec);
    if (spec->file_server)
        as_server(&p);
    execveat_once(&p, program_fd);
    threads_only(&p);
    personality_query(&p);
    for (size_t i = 0; i < COUNT(deadly); i++)
        when(&p, (uint32_t)deadly[i], SECCOMP_RET_KILL_PROCESS);
    give(&p, SECCOMP_RET_ERRNO | EPERM);
    fprog = (struct sock_fprog){.len = p.n, .filter = p.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog, 0, 0);
}
