/* SPDX-License-Identifier: Apache-2.0 */
/* tracee - see tracee.h. */
#include "sandbox/debug/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/strbuf.h"

#define STAT_MAX_BYTES 1024
/* The kernel's own, for system calls that it would begin again. */
#define RESTART_FIRST 512
#define RESTART_LAST  514

struct tracee tracee = {.mem_fd = -1, .pagemap_fd = -1, .pidfd = -1, .vcpu_fd = -1};

/* Field 22 of /proc/PID/stat, counted behind the name, which may hold anything. */
static uint64_t start_time_of(pid_t pid)
{
    char path[64], text[STAT_MAX_BYTES + 1];
    unsigned long long n = 0;
    const char *p;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);

    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, STAT_MAX_BYTES);

    if (len <= 0)
        return 0;
    text[len] = '\0';
    p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    return p && scan_u64(&p, UINT64_MAX, &n) ? n : 0;
}

static int open_of(pid_t pid, const char *name, int flags, struct err *err)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? err_sys(err, "open '%s'", path) : fd;
}

int tracee_open(const struct debug_options *o, struct err *err)
{
    struct tracee *t = &tracee;

    t->pid = o->pid;
    t->size = o->memory;
    t->hvt = o->hvt;
    if (ptrace(PTRACE_SEIZE, t->pid, NULL, NULL) < 0) {
        if (errno == ESRCH)
            return err_set(err, ERR_NOT_FOUND, "the guest has ended");
        if (errno == EPERM && start_time_of(t->pid) == o->start_time)
            return err_set(err, ERR_STATE,
                           "the guest cannot be traced: another debugger is at it, or this node "
                           "forbids tracing (kernel.yama.ptrace_scope)");
        return err_sys(err, "trace the guest");
    }
    t->state = TRACEE_RUNNING;
    t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
    if (t->pidfd < 0)
        return err_sys(err, "hold the guest's process");
    if (start_time_of(t->pid) != o->start_time)
        return err_set(err, ERR_NOT_FOUND, "the guest has ended");
    if ((t->mem_fd = open_of(t->pid, "mem", O_RDWR, err)) < 0 ||
        (t->pagemap_fd = open_of(t->pid, "pagemap", O_RDONLY, err)) < 0)
        return -1;
    return t->hvt ? hvt_find(t, err) : 0;
}

void tracee_close(void)
{
    struct tracee *t = &tracee;
    struct err err = ERR_INIT;

    if (t->state == TRACEE_RUNNING && tracee_stop(&err) < 0)
        return; /* our end lets it go as well */
    if (t->state != TRACEE_STOPPED)
        return;
    memset(t->breakpoint, 0, sizeof(t->breakpoint));
    if (t->changed && hvt_control(t, false, &err) < 0)
        output_note("%s", err.msg);
    (void)ptrace(PTRACE_DETACH, t->pid, NULL, (unsigned long)t->signal);
    t->state = TRACEE_NONE;
}

/* Where a call was broken off by the stop, the guest stands before it again: it must not see that
 * it was interrupted. */
static void begin_call_again(const struct tracee *t)
{
    struct user_regs_struct r;
    long result;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &r) < 0 || (long)r.orig_rax < 0)
        return;
    result = -(long)r.rax;
    if ((result >= RESTART_FIRST && result <= RESTART_LAST) ||
        (result == EINTR && r.orig_rax == SYS_epoll_pwait)) {
        r.rax = r.orig_rax;
        r.rip -= 2;
        r.orig_rax = ~0ULL;
        (void)ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    }
}

/* A trap of the tender itself, not of an spt guest, which has the same registers. */
static uint64_t tender_traps(const struct tracee *t)
{
    struct user_regs_struct r;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &r) < 0 || (!t->hvt && r.rip < t->size))
        return 0;
    return r.rax;
}

/* If we are killed before we have dealt with it, the guest's handler (tender_last_trap) is to see
 * that we may have moved the guest already. */
static void mark_int3(const struct tracee *t)
{
    siginfo_t info;

    if (ptrace(PTRACE_GETSIGINFO, t->pid, NULL, &info) < 0 || info.si_code != SI_KERNEL)
        return;
    info.si_code = TRAP_BRKPT;
    (void)ptrace(PTRACE_SETSIGINFO, t->pid, NULL, &info);
}

/* Returns: false when it was nothing: the guest runs on. */
static bool take_status(struct tracee *t, int status)
{
    if (!WIFSTOPPED(status)) {
        t->state = TRACEE_ENDED;
        t->status = status;
        return true;
    }
    t->signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
    if (t->signal == SIGTRAP && !t->hvt)
        mark_int3(t);
    t->trap = t->signal == SIGTRAP ? tender_traps(t) : 0;
    /* It only wants to know whether somebody is here. */
    if (t->trap == TENDER_TRAP_READY && ptrace(PTRACE_CONT, t->pid, NULL, 0UL) == 0)
        return false;
    t->state = TRACEE_STOPPED;
    if (t->signal == 0)
        begin_call_again(t);
    return true;
}

static long now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool tracee_wait(int ms)
{
    struct tracee *t = &tracee;
    long end = now_ms() + ms;

    while (t->state == TRACEE_RUNNING) {
        struct pollfd p = {.fd = end_fd(), .events = POLLIN};
        int status;
        pid_t got = waitpid(t->pid, &status, WNOHANG | __WALL);
        long left = end - now_ms();

        if (got == t->pid && take_status(t, status))
            return true;
        if (got == t->pid)
            continue;
        if (got < 0 && errno != EINTR) {
            t->state = TRACEE_ENDED;
            t->status = 0;
            return true;
        }
        if (left <= 0)
            return false;
        (void)poll(&p, 1, (int)left);
        (void)end_asked(); /* remembers what is not SIGCHLD */
    }
    return true;
}

int tracee_stop(struct err *err)
{
    struct tracee *t = &tracee;

    if (t->state == TRACEE_RUNNING && ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL) < 0 &&
        errno != ESRCH)
        return err_sys(err, "stop the guest");
    if (!tracee_wait(STOP_TIMEOUT))
        return err_set(err, ERR_DEADLINE, "the guest does not stop");
    if (t->state != TRACEE_STOPPED)
        return err_set(err, ERR_STATE, "the guest has ended");
    return 0;
}

/* The wish to stop it is pending while it is let go: it executes nothing. */
int tracee_forget_signal(struct err *err)
{
    struct tracee *t = &tracee;

    if (t->signal == 0)
        return 0;
    if (ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL) < 0)
        return err_sys(err, "hold the guest");
    t->signal = 0;
    do { /* others' signals come first, and are the guest's */
        if (ptrace(PTRACE_CONT, t->pid, NULL, (unsigned long)t->signal) < 0)
            return err_sys(err, "hold the guest");
        t->state = TRACEE_RUNNING;
        if (!tracee_wait(STOP_TIMEOUT))
            return err_set(err, ERR_DEADLINE, "the guest does not stop");
    } while (t->state == TRACEE_STOPPED && t->signal != 0);
    return t->state == TRACEE_STOPPED ? 0 : err_set(err, ERR_STATE, "the guest has ended");
}

int tracee_resume(bool step, int deliver, struct err *err)
{
    struct tracee *t = &tracee;

    if (t->state != TRACEE_STOPPED)
        return err_set(err, ERR_STATE, "the guest is not stopped");
    /* A debugger that was killed may have left something behind: the trap tells. */
    if (t->hvt && (t->changed || step || t->trap == TENDER_TRAP_DEBUG) &&
        hvt_control(t, step, err) < 0)
        return -1;
    t->signal = 0;
    t->trap = 0;
    if (ptrace(step && !t->hvt ? PTRACE_SINGLESTEP : PTRACE_CONT, t->pid, NULL,
               (unsigned long)deliver) < 0)
        return err_sys(err, "let the guest go on");
    t->state = TRACEE_RUNNING;
    return 0;
}

bool tracee_fault(int signal)
{
    if (signal == SIGTRAP && tracee.hvt)
        return tracee.trap == TENDER_TRAP_CRASH;
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
           signal == SIGTRAP || signal == SIGSYS;
}

int tracee_let_die(struct err *err)
{
    struct tracee *t = &tracee;
    struct pollfd p = {.fd = t->pidfd, .events = POLLIN};
    struct user_regs_struct r;
    int signal = t->signal;

    /* The fault comes again by itself; after an int3 the guest would go on behind it. */
    if (signal == SIGTRAP && !t->hvt && ptrace(PTRACE_GETREGS, t->pid, NULL, &r) == 0) {
        r.rip--;
        (void)ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    }
    if (ptrace(PTRACE_DETACH, t->pid, NULL, 0UL) < 0)
        return err_sys(err, "let the guest go");
    t->state = poll(&p, 1, STOP_TIMEOUT) > 0 ? TRACEE_ENDED : TRACEE_NONE;
    t->status = signal; /* as wait(2) tells of a signal */
    return 0;
}

int tracee_registers(struct user_regs_struct *ret, struct err *err)
{
    const struct tracee *t = &tracee;

    if (t->hvt)
        return hvt_registers(t, ret, err);
    return ptrace(PTRACE_GETREGS, t->pid, NULL, ret) < 0 ? err_sys(err, "read registers") : 0;
}

int tracee_set_registers(const struct user_regs_struct *r, struct err *err)
{
    const struct tracee *t = &tracee;
    struct user_regs_struct now;

    if (t->hvt)
        return hvt_set_registers(t, r, err);
    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &now) < 0)
        return err_sys(err, "read registers");
    /* Segments and bases are the host's affair. */
    now.rax = r->rax;
    now.rbx = r->rbx;
    now.rcx = r->rcx;
    now.rdx = r->rdx;
    now.rsi = r->rsi;
    now.rdi = r->rdi;
    now.rbp = r->rbp;
    now.rsp = r->rsp;
    now.r8 = r->r8;
    now.r9 = r->r9;
    now.r10 = r->r10;
    now.r11 = r->r11;
    now.r12 = r->r12;
    now.r13 = r->r13;
    now.r14 = r->r14;
    now.r15 = r->r15;
    now.rip = r->rip;
    now.eflags = r->eflags;
    now.orig_rax = ~0ULL; /* no call is to be begun again behind a client's back */
    return ptrace(PTRACE_SETREGS, t->pid, NULL, &now) < 0 ? err_sys(err, "set registers") : 0;
}

static int check_range(uint64_t addr, size_t len, struct err *err)
{
    const struct tracee *t = &tracee;

    if (addr < GUEST_LOW || addr > t->size || len > t->size - addr)
        return err_set(err, ERR_INVALID, "0x%llx is not the guest's memory",
                       (unsigned long long)addr);
    return 0;
}

int tracee_read(uint64_t addr, void *buf, size_t len, struct err *err)
{
    const struct tracee *t = &tracee;

    if (check_range(addr, len, err) < 0)
        return -1;
    if (pread(t->mem_fd, buf, len, (off_t)(t->host + addr)) != (ssize_t)len)
        return err_set(err, ERR_INVALID, "0x%llx cannot be read", (unsigned long long)addr);
    return 0;
}

int tracee_write(uint64_t addr, const void *buf, size_t len, struct err *err)
{
    const struct tracee *t = &tracee;

    if (check_range(addr, len, err) < 0)
        return -1;
    if (pwrite(t->mem_fd, buf, len, (off_t)(t->host + addr)) != (ssize_t)len)
        return err_set(err, ERR_INVALID, "0x%llx cannot be written", (unsigned long long)addr);
    return 0;
}
