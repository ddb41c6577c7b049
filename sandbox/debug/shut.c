/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shut - a debugger reads what a hostile guest has written, so it keeps nothing but what it has
 * open: an empty root, no capabilities, a user of its own, no new privileges, and the system calls
 * that the commands need. Tracing goes on without rights: the kernel asks for them only at the
 * beginning.
 */
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sandbox/debug/debug.h"

#define CAPS_END     64
#define MEMORY_BYTES (64ULL << 20)
#define INSNS_MAX    256

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "name this machine's audit architecture"
#endif

static const int calls[] = {
    SYS_read,           SYS_write,           SYS_pread64,       SYS_pwrite64,
    SYS_lseek,          SYS_close,           SYS_ppoll,         SYS_recvmsg,
    SYS_recvfrom,       SYS_sendto,          SYS_sendmsg,       SYS_getsockopt,
    SYS_wait4,          SYS_rt_sigtimedwait, SYS_clock_gettime, SYS_clock_nanosleep,
    SYS_rt_sigprocmask, SYS_rt_sigreturn,    SYS_brk,           SYS_munmap,
    SYS_mremap,         SYS_madvise,         SYS_futex,         SYS_restart_syscall,
    SYS_exit,           SYS_exit_group,      SYS_getrandom,     SYS_ftruncate,
#ifdef SYS_poll
    SYS_poll,
#endif
};

static int empty_root(struct err *err)
{
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(err, "new mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(err, "make mounts private");
    if (mount("none", "/proc", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC | MS_RDONLY,
              "size=4k,mode=555") < 0)
        return err_sys(err, "mount an empty root");
    if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(err, "enter an empty root");
    return 0;
}

static int limits(uint64_t file_bytes, struct err *err)
{
    const struct rlimit none = {0, 0}, memory = {MEMORY_BYTES, MEMORY_BYTES},
                        file = {file_bytes, file_bytes};

    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_FSIZE, &file) < 0 ||
        setrlimit(RLIMIT_AS, &memory) < 0)
        return err_sys(err, "set limits");
    return 0;
}

static int drop_rights(uint32_t uid, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct no_caps[2] = {{0, 0, 0}, {0, 0, 0}};

    for (unsigned long cap = 0; cap < CAPS_END; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(err, "empty the bounding set");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
        syscall(SYS_capset, &head, no_caps) < 0)
        return err_sys(err, "drop rights");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, "forbid new rights");
    return 0;
}

struct program {
    unsigned short len;
    struct sock_filter insn[INSNS_MAX];
};

static void add(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    if (p->len < INSNS_MAX)
        p->insn[p->len++] = (struct sock_filter){code, jt, jf, k};
}

#define LOAD(field) (BPF_LD | BPF_W | BPF_ABS), (uint32_t)offsetof(struct seccomp_data, field), 0, 0
#define ARG_LOW(n)                                                                                 \
    (BPF_LD | BPF_W | BPF_ABS), (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n)), 0, 0
#define EQUAL (BPF_JMP | BPF_JEQ | BPF_K)
#define RET   (BPF_RET | BPF_K)

/* Each block ends with the number loaded again, or with its answer. */
static int filter_calls(pid_t pid, struct err *err)
{
    struct program p = {0};
    struct sock_fprog prog;

    add(&p, LOAD(arch));
    add(&p, EQUAL, ARCH, 1, 0);
    add(&p, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    add(&p, LOAD(nr));
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        add(&p, EQUAL, (uint32_t)calls[i], 0, 1);
        add(&p, RET, SECCOMP_RET_ALLOW, 0, 0);
    }
    /* mmap without PROT_EXEC (4). */
    add(&p, EQUAL, SYS_mmap, 0, 4);
    add(&p, ARG_LOW(2));
    add(&p, BPF_JMP | BPF_JSET | BPF_K, 4, 1, 0);
    add(&p, RET, SECCOMP_RET_ALLOW, 0, 0);
    add(&p, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    if (pid > 0) {
        add(&p, EQUAL, SYS_ptrace, 0, 4);
        add(&p, ARG_LOW(1));
        add(&p, EQUAL, (uint32_t)pid, 0, 1);
        add(&p, RET, SECCOMP_RET_ALLOW, 0, 0);
        add(&p, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    }
    add(&p, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    prog = (struct sock_fprog){.len = p.len, .filter = p.insn};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
        return err_sys(err, "install a filter of system calls");
    return 0;
}

int shut_in(uint32_t uid, pid_t pid, uint64_t file_bytes, struct err *err)
{
    if (empty_root(err) < 0 || limits(file_bytes, err) < 0 || drop_rights(uid, err) < 0 ||
        filter_calls(pid, err) < 0)
        return err_wrap(err, "shut the debugger in");
    return 0;
}
