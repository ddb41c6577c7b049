/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracee_hvt - a guest under KVM, whose processor only its own tender may ask. The stopped tender
 * executes one ioctl more: its registers are saved, the instruction pointer is set to a system call
 * instruction of the vdso, one step is made, and everything is put back. The tender's own filter
 * decides what may be asked. x86_64.
 *
 * The guest's memory is found by what the tender says of it to the kernel (never in a dump, no huge
 * pages): the one gapless run of such mappings that has the right size.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/strbuf.h"
#include "sandbox/debug/tracee.h"

#define LINE_MAX_BYTES 512
#define RED_ZONE       128
#define SCRATCH        1024 /* bytes below the tender's stack for an argument */
#define VCPU_TRIES     1500
#define VCPU_PAUSE_NS  2000000
#define STEPS_MAX      16 /* signals that may come between */
#define ARGS_MAX       16384
#define DR7_FIXED      UINT64_C(0x400)

/* ------------------------------------------------------------- with rights */

static int find_vcpu(struct tracee *t, struct err *err)
{
    char path[64], target[64];
    const struct dirent *e;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", t->pid);

    autodir DIR *dir = opendir(path);

    while (dir && (e = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

        if (n <= 0)
            continue;
        target[n] = '\0';
        if (str_has_prefix(target, "anon_inode:kvm-vcpu")) {
            t->vcpu_fd = (int)strtol(e->d_name, NULL, 10);
            return 0;
        }
    }
    return err_set(err, ERR_STATE, "the guest's VMM has no processor of KVM");
}

static bool has_flag(const char *flags, const char *flag)
{
    const char *p = strstr(flags, flag);

    return p && p[-1] == ' ' && (p[2] == ' ' || p[2] == '\n');
}

/* A run of mappings that might be the guest's. */
struct run {
    uint64_t begin, end; /* the run so far */
    uint64_t at, to;     /* the mapping that is being read */
    bool anonymous;
};

/* "AT-TO PROT OFFSET DEV INODE NAME" */
static void take_mapping(struct tracee *t, struct run *run, const char *line)
{
    char *p;

    run->at = strtoull(line, &p, 16);
    run->to = *p == '-' ? strtoull(p + 1, &p, 16) : 0;
    for (int skipped = 0; skipped < 3 && *p == ' '; skipped++)
        p = p + 1 + strcspn(p + 1, " \n");
    run->anonymous = strtoull(p, &p, 10) == 0;
    p += strspn(p, " ");
    if (*p == '[')
        run->anonymous = false;
    if (str_has_prefix(p, "[vdso]"))
        t->gate = run->at; /* where to look for an instruction */
}

static void take_flags(const struct tracee *t, struct run *run, const char *line, uint64_t *found)
{
    if (!run->anonymous || !has_flag(line, "dd") || !has_flag(line, "nh")) {
        run->begin = run->end = 0;
        return;
    }
    if (run->at != run->end)
        run->begin = run->at;
    run->end = run->to;
    if (run->end - run->begin == t->size)
        *found = run->begin;
}

static int find_memory(struct tracee *t, struct err *err)
{
    char path[64], line[LINE_MAX_BYTES];
    struct run run = {0};
    uint64_t found = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/smaps", t->pid);

    autofile FILE *f = fopen(path, "re");

    if (!f)
        return err_sys(err, "open '%s'", path);
    while (fgets(line, sizeof(line), f)) {
        if (str_has_prefix(line, "VmFlags:"))
            take_flags(t, &run, line, &found);
        else if (strchr(line, '-') && strspn(line, "0123456789abcdef") == strcspn(line, "-"))
            take_mapping(t, &run, line);
    }
    if (!found)
        return err_set(err, ERR_STATE, "the guest's memory was not found in its VMM");
    t->host = found;
    return 0;
}

/* The vdso is the kernel's: two pages at most are looked through. */
static int find_gate(struct tracee *t, struct err *err)
{
    unsigned char code[8192];
    ssize_t n = t->gate ? pread(t->mem_fd, code, sizeof(code), (off_t)t->gate) : -1;

    if (n <= 0 && t->gate)
        n = pread(t->mem_fd, code, sizeof(code) / 2, (off_t)t->gate);
    for (ssize_t i = 0; i + 1 < n; i++)
        if (code[i] == 0x0f && code[i + 1] == 0x05) {
            t->gate += (uint64_t)i;
            return 0;
        }
    return err_set(err, ERR_STATE, "the VMM has no place to ask its processor from");
}

/* A tender that has just been started makes its processor last: a moment is waited for that. */
static int wait_vcpu(struct tracee *t, struct err *err)
{
    const struct timespec pause = {.tv_nsec = VCPU_PAUSE_NS};
    int tries = 0, rc;

    while ((rc = find_vcpu(t, err)) < 0 && tries++ < VCPU_TRIES && kill(t->pid, 0) == 0)
        (void)nanosleep(&pause, NULL);
    return rc;
}

/* To ask for more than its filter allows would kill it: what it was told at its start counts. The
 * guest cannot write there. */
static bool is_changeable(pid_t pid)
{
    char path[64], text[ARGS_MAX + 1];

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);

    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, ARGS_MAX);

    if (len <= 0)
        return false;
    text[len] = '\0';
    for (const char *arg = text; arg < text + len && !str_eq(arg, "--"); arg += strlen(arg) + 1)
        if (str_eq(arg, "--debug"))
            return true;
    return false;
}

int hvt_find(struct tracee *t, struct err *err)
{
    t->changeable = is_changeable(t->pid);
    return wait_vcpu(t, err) < 0 || find_memory(t, err) < 0 || find_gate(t, err) < 0 ? -1 : 0;
}

/* ----------------------------------------------------------------- stopped */

/* One step over the instruction; signals that come first wait until the tender goes on. */
static int step_over(const struct tracee *t, uint64_t behind, struct user_regs_struct *ret,
                     struct err *err)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        int status;

        if (ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL) < 0 ||
            waitpid(t->pid, &status, __WALL) != t->pid || !WIFSTOPPED(status))
            return err_set(err, ERR_STATE, "the guest has ended");
        if (WSTOPSIG(status) != SIGTRAP)
            tracee.signal = WSTOPSIG(status);
        if (ptrace(PTRACE_GETREGS, t->pid, NULL, ret) < 0)
            return err_sys(err, "read the VMM's registers");
        if (ret->rip == behind)
            return 0;
    }
    return err_set(err, ERR_STATE, "the VMM does not answer");
}

/* ioctl(vcpu, request, &data) in the tender. Bytes go in or come out. */
static int ask(const struct tracee *t, unsigned long request, void *data, size_t size, bool in,
               struct err *err)
{
    struct user_regs_struct saved, r;
    uint64_t at;
    int rc;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &saved) < 0)
        return err_sys(err, "read the VMM's registers");
    at = (saved.rsp - RED_ZONE - SCRATCH) & ~UINT64_C(63);
    if (in && pwrite(t->mem_fd, data, size, (off_t)at) != (ssize_t)size)
        return err_set(err, ERR_INTERNAL, "write into the VMM");
    r = saved;
    r.rip = t->gate;
    r.rax = SYS_ioctl;
    r.rdi = (unsigned)t->vcpu_fd;
    r.rsi = request;
    r.rdx = at;
    r.orig_rax = ~0ULL;
    if (ptrace(PTRACE_SETREGS, t->pid, NULL, &r) < 0)
        return err_sys(err, "set the VMM's registers");
    rc = step_over(t, t->gate + 2, &r, err);
    if (ptrace(PTRACE_SETREGS, t->pid, NULL, &saved) < 0 && rc == 0)
        rc = err_sys(err, "set the VMM's registers");
    if (rc == 0 && (long)r.rax != 0)
        rc = err_errno(err, (int)-(long)r.rax, "ask the VMM for its processor");
    if (rc == 0 && !in && pread(t->mem_fd, data, size, (off_t)at) != (ssize_t)size)
        rc = err_set(err, ERR_INTERNAL, "read from the VMM");
    return rc;
}

static int not_changeable(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "the guest was started when its handler did not allow gdb: it can only be read");
}

int hvt_registers(const struct tracee *t, struct user_regs_struct *ret, struct err *err)
{
    struct kvm_regs k = {0};

    if (ask(t, KVM_GET_REGS, &k, sizeof(k), false, err) < 0)
        return -1;
    *ret = (struct user_regs_struct){.rax = k.rax,
                                     .rbx = k.rbx,
                                     .rcx = k.rcx,
                                     .rdx = k.rdx,
                                     .rsi = k.rsi,
                                     .rdi = k.rdi,
                                     .rbp = k.rbp,
                                     .rsp = k.rsp,
                                     .r8 = k.r8,
                                     .r9 = k.r9,
                                     .r10 = k.r10,
                                     .r11 = k.r11,
                                     .r12 = k.r12,
                                     .r13 = k.r13,
                                     .r14 = k.r14,
                                     .r15 = k.r15,
                                     .rip = k.rip,
                                     .eflags = k.rflags,
                                     .cs = 0x08,
                                     .ss = 0x10,
                                     .ds = 0x10,
                                     .es = 0x10,
                                     .fs = 0x10,
                                     .gs = 0x10,
                                     .orig_rax = ~0ULL};
    return 0;
}

int hvt_set_registers(const struct tracee *t, const struct user_regs_struct *r, struct err *err)
{
    struct kvm_regs k = {.rax = r->rax,
                         .rbx = r->rbx,
                         .rcx = r->rcx,
                         .rdx = r->rdx,
                         .rsi = r->rsi,
                         .rdi = r->rdi,
                         .rbp = r->rbp,
                         .rsp = r->rsp,
                         .r8 = r->r8,
                         .r9 = r->r9,
                         .r10 = r->r10,
                         .r11 = r->r11,
                         .r12 = r->r12,
                         .r13 = r->r13,
                         .r14 = r->r14,
                         .r15 = r->r15,
                         .rip = r->rip,
                         .rflags = r->eflags};

    if (!t->changeable)
        return not_changeable(err);
    return ask(t, KVM_SET_REGS, &k, sizeof(k), true, err);
}

int hvt_breakpoint(struct tracee *t, uint64_t addr, bool add, struct err *err)
{
    uint64_t *place = NULL;

    if (!t->changeable)
        return not_changeable(err);
    for (size_t i = 0; i < HVT_BREAKPOINTS; i++)
        if (t->breakpoint[i] == (add ? 0 : addr))
            place = &t->breakpoint[i];
    if (!place && add)
        return err_set(err, ERR_EXHAUSTED, "an hvt guest has %d breakpoints", HVT_BREAKPOINTS);
    if (place)
        *place = add ? addr : 0;
    t->changed = true;
    return 0;
}

int hvt_control(struct tracee *t, bool step, struct err *err)
{
    struct kvm_guest_debug d = {.control =
                                    step ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0};

    if (!t->changeable)
        return not_changeable(err);
    for (size_t i = 0; i < HVT_BREAKPOINTS; i++) {
        if (!t->breakpoint[i])
            continue;
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
        d.arch.debugreg[i] = t->breakpoint[i];
        d.arch.debugreg[7] |= DR7_FIXED | UINT64_C(2) << 2 * i; /* of one byte, on execution */
    }
    if (ask(t, KVM_SET_GUEST_DEBUG, &d, sizeof(d), true, err) < 0)
        return -1;
    t->changed = d.control != 0;
    return 0;
}
