/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-init: makes the namespaces that need a process. A PID namespace for a pod that shares one:
 * then it stays in it as process 1, reaping. Or others, held until the caller has pinned them.
 *
 *   unicri-init --report-fd=N [--user-fd=N] [--cgroup=DIR]...
 *   unicri-init --report-fd=N [--user-fd=N] --hold-fd=N --new=FLAGS
 *
 * The caller's child enters the cgroups and the user namespace, forks process 1 of the new
 * namespace, writes "ok PID START_TIME\n" (PID as the caller sees it) or "error ERRNO text\n" to
 * the descriptor, and ends with 0 or 1. Process 1 ends, and the namespace with it, at SIGKILL, and
 * at a SIGTERM or SIGINT that comes from outside the namespace: containers in it cannot end their
 * pod this way.
 *
 * With --hold-fd it unshares FLAGS (a decimal number, as unshare(2) has them) and reports itself;
 * the namespaces are found in its /proc/PID/ns until the descriptor comes to its end. A thread of
 * the daemon could not do this: only a process of one thread may enter a user namespace, and what
 * is made in one belongs to it.
 *
 * Containers of the pod see process 1 and may be allowed to trace it, so there is nothing to gain
 * in it: no descriptor, an empty root, no capability, nobody's uid, and a seccomp filter with four
 * calls. No libc: a few pages are all there ever is of it.
 */
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/unistd.h>
#include <stddef.h>
#include <stdint.h>

#define SIGSET_BYTES  8
#define MASK(signal)  (1UL << ((signal)-1))
#define NOBODY        65534
#define CAPS_END      64
#define DETACH        2         /* MNT_DETACH */
#define RECURSIVE     (1 << 14) /* MS_REC */
#define PRIVATE       (1 << 18) /* MS_PRIVATE */
#define MOVE          (1 << 13) /* MS_MOVE */
#define BLOCK_SIGNALS 0         /* SIG_BLOCK */
#define NOT_BLOCKING  1         /* WNOHANG */
#define READ_WRITE    2         /* O_RDWR: any directory or file that is written once */
#define NUM_TERM      15
#define NUM_INT       2
#define NUM_CHLD      17
#define NOT_FOUND     2  /* ENOENT */
#define INVALID       22 /* EINVAL */
#define BUF_BYTES     512
#define FD_MAX        10000
#define NUMBER_MAX    0xffffffffL

struct info { /* the beginning of siginfo_t, as kill() fills it in */
    int32_t number, error, code, padding;
    int32_t pid; /* 0: the sender is not in our namespace */
    uint8_t rest[108];
};
_Static_assert(sizeof(struct info) == 128, "siginfo_t");

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
static long call(long nr, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}
/* The kernel enters with the arguments on the stack and nothing else. */
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call run\n hlt\n");
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
static long call(long nr, long a, long b, long c, long d, long e)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: mov x29,xzr\n mov x0,sp\n bl run\n brk 0\n");
#else
#error "unicri-init does not know this architecture's system calls"
#endif

/* Compilers call these for structures even where there is no libc. */
void *memset(void *s, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void *memset(void *s, int c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((char *)s)[i] = (char)c;
    return s;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

static size_t length(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

/* Append to a buffer of BUF_BYTES. Returns: the new length. */
static size_t add(char *buf, size_t used, const char *s, size_t len)
{
    for (size_t i = 0; i < len && used < BUF_BYTES - 1; i++)
        buf[used++] = s[i];
    buf[used] = '\0';
    return used;
}

static size_t add_number(char *buf, size_t used, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return add(buf, used, digits + at, sizeof(digits) - at);
}

static _Noreturn void leave(int status)
{
    for (;;)
        call(__NR_exit_group, status, 0, 0, 0, 0);
}

static _Noreturn void fail(int fd, long error, const char *what, const char *object)
{
    char buf[BUF_BYTES];
    size_t n = add(buf, 0, "error ", 6);

    n = add_number(buf, n, (uint64_t)(error < 0 ? -error : error));
    n = add(buf, n, " ", 1);
    n = add(buf, n, what, length(what));
    if (object) {
        n = add(buf, n, " '", 2);
        n = add(buf, n, object, length(object));
        n = add(buf, n, "'", 1);
    }
    n = add(buf, n, "\n", 1);
    call(__NR_write, fd, (long)buf, (long)n, 0, 0);
    leave(1);
}

/* What stands behind `prefix`, or NULL. */
static const char *behind(const char *s, const char *prefix)
{
    for (; *prefix; s++, prefix++)
        if (*s != *prefix)
            return NULL;
    return s;
}

static void enter_cgroup(int report, const char *dir)
{
    char path[BUF_BYTES];
    size_t n = add(path, 0, dir, length(dir));
    long fd;

    if (n + 14 >= BUF_BYTES)
        fail(report, INVALID, "path of cgroup is too long", dir);
    (void)add(path, n, "/cgroup.procs", 13);
    fd = call(__NR_openat, AT_FDCWD, (long)path, 1 /* O_WRONLY */, 0, 0);
    if (fd < 0)
        fail(report, fd, "open cgroup", dir);
    n = (size_t)call(__NR_write, fd, (long)"0", 1, 0, 0);
    if (n != 1)
        fail(report, (long)n, "enter cgroup", dir);
    call(__NR_close, fd, 0, 0, 0, 0);
}

/* ---------------------------------------------------------------- process 1 */

static long empty_root(void)
{
    long fs = call(__NR_fsopen, (long)"tmpfs", 0, 0, 0, 0), root, r;

    if (fs < 0)
        return fs;
    call(__NR_fsconfig, fs, FSCONFIG_SET_STRING, (long)"size", (long)"4k", 0);
    call(__NR_fsconfig, fs, FSCONFIG_SET_STRING, (long)"nr_inodes", (long)"2", 0);
    call(__NR_fsconfig, fs, FSCONFIG_SET_STRING, (long)"mode", (long)"0555", 0);
    r = call(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (r < 0)
        return r;
    root = call(__NR_fsmount, fs, 0,
                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0);
    if (root < 0)
        return root;
    /* /proc is a directory everywhere; only this mount namespace sees what lies on it now */
    r = call(__NR_move_mount, root, (long)"", AT_FDCWD, (long)"/proc", MOVE_MOUNT_F_EMPTY_PATH);
    if (r < 0)
        return r;
    call(__NR_fchdir, root, 0, 0, 0, 0);
    r = call(__NR_pivot_root, (long)".", (long)".", 0, 0, 0);
    if (r == 0)
        r = call(__NR_umount2, (long)".", DETACH, 0, 0, 0);
    else if (r == -INVALID && (r = call(__NR_mount, (long)".", (long)"/", 0, MOVE, 0)) == 0)
        r = call(__NR_chroot, (long)".", 0, 0, 0, 0); /* the host runs from an initramfs */
    return r < 0 ? r : call(__NR_chdir, (long)"/", 0, 0, 0, 0);
}

static long drop_privileges(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    long r;

    for (long cap = 0; cap < CAPS_END; cap++)
        call(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
    call(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* In a user namespace that has no such id it stays that namespace's root, who is nobody. */
    if ((r = call(__NR_setgroups, 0, 0, 0, 0, 0)) < 0 ||
        ((r = call(__NR_setresgid, NOBODY, NOBODY, NOBODY, 0, 0)) < 0 && r != -INVALID) ||
        ((r = call(__NR_setresuid, NOBODY, NOBODY, NOBODY, 0, 0)) < 0 && r != -INVALID) ||
        (r = call(__NR_capset, (long)&head, (long)none, 0, 0, 0)) < 0 ||
        (r = call(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)) < 0)
        return r;
    return call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static long confine_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_rt_sigtimedwait, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_wait4, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_write, 2,
                 0), /* there is nothing to write to but the report */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_close, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return call(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program, 0, 0);
}

static _Noreturn void process_one(int ready)
{
    unsigned long set = MASK(NUM_CHLD) | MASK(NUM_TERM) | MASK(NUM_INT);
    long r;

    call(__NR_rt_sigprocmask, BLOCK_SIGNALS, (long)&set, 0, SIGSET_BYTES, 0);
    call(__NR_setsid, 0, 0, 0, 0, 0);
    call(__NR_prctl, PR_SET_NAME, (long)"unicri-init", 0, 0, 0);
    if ((r = call(__NR_unshare, CLONE_NEWNS, 0, 0, 0, 0)) < 0 ||
        (r = call(__NR_mount, 0, (long)"/", 0, RECURSIVE | PRIVATE, 0)) < 0)
        fail(ready, r, "new mount namespace", NULL);
    if ((r = empty_root()) < 0)
        fail(ready, r, "make empty root", NULL);
    if (ready > 0)
        call(__NR_close_range, 0, ready - 1, 0, 0, 0);
    call(__NR_close_range, ready + 1, ~0U, 0, 0, 0);
    if ((r = drop_privileges()) < 0)
        fail(ready, r, "drop privileges", NULL);
    if ((r = confine_calls()) < 0)
        fail(ready, r, "install seccomp filter", NULL);
    call(__NR_write, ready, (long)"ok", 2, 0, 0);
    call(__NR_close, ready, 0, 0, 0, 0);
    for (;;) {
        struct info info;
        long signal;

        info.pid = -1;
        signal = call(__NR_rt_sigtimedwait, (long)&set, (long)&info, 0, SIGSET_BYTES, 0);

        if ((signal == NUM_TERM || signal == NUM_INT) && info.pid == 0)
            leave(0);
        while (call(__NR_wait4, -1, 0, NOT_BLOCKING, 0, 0) > 0)
            ;
    }
}

/* ---------------------------------------------------------------- the caller's child */

/* Copy field 22 of /proc/PID/stat: what stands behind the 20th blank after the name. Returns:
 * digits, 0 on error. */
static size_t start_time(long pid, char *ret)
{
    char buf[BUF_BYTES * 2];
    size_t n = add(buf, 0, "/proc/", 6), at, blanks = 0, len = 0;
    long fd, got;

    n = add_number(buf, n, (uint64_t)pid);
    (void)add(buf, n, "/stat", 5);
    fd = call(__NR_openat, AT_FDCWD, (long)buf, 0, 0, 0);
    got = fd < 0 ? fd : call(__NR_read, fd, (long)buf, sizeof(buf) - 1, 0, 0);
    if (got <= 0)
        return 0;
    for (at = (size_t)got; at > 0 && buf[at - 1] != ')'; at--)
        ;
    for (; at < (size_t)got && blanks < 20; at++)
        blanks += buf[at] == ' ';
    while (at < (size_t)got && buf[at] >= '0' && buf[at] <= '9' && len < 20)
        ret[len++] = buf[at++];
    return len;
}

static void report_process(int report, long pid)
{
    char buf[BUF_BYTES], digits[24];
    size_t len = start_time(pid, digits), used;

    if (len == 0)
        fail(report, NOT_FOUND, "read the start time of a process in /proc", NULL);
    used = add(buf, 0, "ok ", 3);
    used = add_number(buf, used, (uint64_t)pid);
    used = add(buf, used, " ", 1);
    used = add(buf, used, digits, len);
    used = add(buf, used, "\n", 1);
    call(__NR_write, report, (long)buf, (long)used, 0, 0);
}

static _Noreturn void report_child(int report, long pid, int ready)
{
    char buf[BUF_BYTES];
    long n = call(__NR_read, ready, (long)buf, sizeof(buf) - 1, 0, 0);

    if (n != 2) { /* the words of its failure, or nothing */
        if (n <= 0)
            fail(report, n, "process 1 ended before it was ready", NULL);
        call(__NR_write, report, (long)buf, n, 0, 0);
        leave(1);
    }
    report_process(report, pid);
    leave(0);
}

/* Root of the user namespace from here on, and nothing outside it. */
static void enter_user(int report, int fd)
{
    long r;

    if ((r = call(__NR_setns, fd, CLONE_NEWUSER, 0, 0, 0)) < 0)
        fail(report, r, "enter the user namespace", NULL);
    if ((r = call(__NR_setgroups, 0, 0, 0, 0, 0)) < 0 ||
        (r = call(__NR_setresgid, 0, 0, 0, 0, 0)) < 0 ||
        (r = call(__NR_setresuid, 0, 0, 0, 0, 0)) < 0)
        fail(report, r, "become root of the user namespace", NULL);
}

static _Noreturn void hold(int report, int until, long flags)
{
    char byte;
    long r = call(__NR_unshare, flags, 0, 0, 0, 0);

    if (r < 0)
        fail(report, r, "make namespaces", NULL);
    report_process(report, call(__NR_getpid, 0, 0, 0, 0, 0));
    call(__NR_close, report, 0, 0, 0, 0);
    while (call(__NR_read, until, (long)&byte, 1, 0, 0) > 0)
        ;
    leave(0);
}

static long parse_number(const char *s)
{
    long n = 0;

    if (*s == '\0')
        return -1;
    for (; *s >= '0' && *s <= '9' && n <= NUMBER_MAX; s++)
        n = n * 10 + (*s - '0');
    return *s == '\0' && n <= NUMBER_MAX ? n : -1;
}

static int parse_fd(const char *s)
{
    long n = parse_number(s);

    return n >= 3 && n < FD_MAX ? (int)n : -1;
}

struct options {
    int report, user, hold; /* descriptors; the last two -1: none */
    long flags;
};

/* The report's descriptor is known first: it is told what is wrong with the others. */
static void parse_options(const long *stack, struct options *o)
{
    const char *const *argv = (const char *const *)(const void *)(stack + 1);

    for (long i = 1; i < stack[0]; i++)
        if (behind(argv[i], "--report-fd=") &&
            (o->report = parse_fd(behind(argv[i], "--report-fd="))) < 0)
            fail(2, INVALID, "not a descriptor number", argv[i]);
    for (long i = 1; i < stack[0]; i++) {
        const char *value;

        if ((value = behind(argv[i], "--cgroup=")))
            enter_cgroup(o->report, value);
        else if ((value = behind(argv[i], "--user-fd="))) {
            if ((o->user = parse_fd(value)) < 0)
                fail(o->report, INVALID, "not a descriptor number", argv[i]);
        } else if ((value = behind(argv[i], "--hold-fd="))) {
            if ((o->hold = parse_fd(value)) < 0)
                fail(o->report, INVALID, "not a descriptor number", argv[i]);
        } else if ((value = behind(argv[i], "--new="))) {
            if ((o->flags = parse_number(value)) < 0)
                fail(o->report, INVALID, "not a number", argv[i]);
        } else if (!behind(argv[i], "--report-fd=")) {
            fail(o->report, INVALID, "unknown argument", argv[i]);
        }
    }
}

_Noreturn void run(const long *stack) __attribute__((used));
_Noreturn void run(const long *stack)
{
    struct options o = {.report = 2, .user = -1, .hold = -1, .flags = 0};
    int ready[2] = {-1, -1};
    long r;

    parse_options(stack, &o);
    if (o.user >= 0) {
        enter_user(o.report, o.user);
        call(__NR_close, o.user, 0, 0, 0, 0);
    }
    if (o.hold >= 0)
        hold(o.report, o.hold, o.flags);
    if ((r = call(__NR_pipe2, (long)ready, 0, 0, 0, 0)) < 0)
        fail(o.report, r, "create pipe", NULL);
    if ((r = call(__NR_unshare, CLONE_NEWPID, 0, 0, 0, 0)) < 0)
        fail(o.report, r, "new PID namespace", NULL);
    r = call(__NR_clone, NUM_CHLD, 0, 0, 0, 0);
    if (r < 0)
        fail(o.report, r, "fork", NULL);
    if (r == 0)
        process_one(ready[1]);
    call(__NR_close, ready[1], 0, 0, 0, 0);
    report_child(o.report, r, ready[0]);
}
