/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An spt guest's system calls: for any set of devices, the program that jails the guest is asked
 * about any call, and its answer is held against the published interface, written down a second
 * time as plain comparisons. The hvt program likewise, whose caller is the tender.
 *
 * An input is a set of devices and one list of calls; see struct head, device and call. Numbers are
 * given as a distance from an interesting one.
 */
#include <asm/prctl.h>
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "vmm/tender/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEVICES_MAX 12
#define HVT         1
#define DEBUGGABLE  2

struct head {
    uint8_t devices;
    uint8_t how; /* HVT, DEBUGGABLE */
};
struct given {
    uint8_t handle, how;
    uint8_t sectors;
};
struct made {
    uint8_t nr;
    uint8_t arg[6][3]; /* from where, and how far: low, high */
};

static struct tender t;
static struct last_ranges gone;

/* ------------------------------------------------------------ the program, interpreted */

static uint32_t word_at(const struct seccomp_data *d, uint32_t offset)
{
    uint32_t word;

    assert(offset % 4 == 0 && offset + 4 <= sizeof(*d));
    memcpy(&word, (const uint8_t *)d + offset, sizeof(word));
    return word;
}

static uint32_t run(const struct filter *p, const struct seccomp_data *d)
{
    uint32_t acc = 0;

    for (uint32_t pc = 0; pc < p->len; pc++) {
        const struct sock_filter *in = &p->insn[pc];

        switch (in->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            acc = word_at(d, in->k);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += acc == in->k ? in->jt : in->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += acc > in->k ? in->jt : in->jf;
            break;
        case BPF_RET | BPF_K:
            return in->k;
        default:
            abort();
        }
    }
    abort(); /* it runs off its end: the kernel would refuse it */
}

/* ------------------------------------------------------------ the second opinion */

static const struct device *net_with(uint32_t fd)
{
    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++)
        if (t.dev[i].type == SOLO5_MFT_NET && (uint32_t)t.dev[i].fd == fd)
            return &t.dev[i];
    return NULL;
}

static const struct device *disk_with(uint32_t fd)
{
    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++)
        if (t.dev[i].type == SOLO5_MFT_BLOCK && (uint32_t)t.dev[i].fd == fd)
            return &t.dev[i];
    return NULL;
}

/* One sector inside the disk. */
static uint32_t disk_rule(const struct seccomp_data *d, bool writes)
{
    const struct device *disk = disk_with((uint32_t)d->args[0]);

    if (disk == NULL || d->args[2] != disk->sector_size || d->args[3] > disk->capacity ||
        disk->capacity - d->args[3] < disk->sector_size)
        return SECCOMP_RET_KILL_PROCESS;
    return writes && disk->read_only ? SECCOMP_RET_ERRNO | EROFS : SECCOMP_RET_ALLOW;
}

static bool is_gone(uint64_t start, uint64_t len)
{
    for (int i = 0; i < 2; i++)
        if (gone.piece[i].start == start && gone.piece[i].len == len)
            return true;
    return false;
}

/* What both backends may do. */
static bool common(const struct seccomp_data *d)
{
    uint32_t a = (uint32_t)d->args[0];

    switch (d->nr) {
    case SYS_read:
        return net_with(a) != NULL;
    case SYS_write:
        return a == 1 || net_with(a) != NULL;
    case SYS_clock_gettime:
        return a == CLOCK_REALTIME || a == CLOCK_MONOTONIC;
    case SYS_exit_group:
        return true;
    default:
        return false;
    }
}

static uint32_t spt_opinion(const struct seccomp_data *d)
{
    uint32_t a = (uint32_t)d->args[0];
    bool yes = common(d);

    if (d->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    if (d->nr == SYS_pread64 || d->nr == SYS_pwrite64)
        return disk_rule(d, d->nr == SYS_pwrite64);
    if (d->nr == SYS_epoll_pwait)
        yes = a == (uint32_t)t.epoll_fd && d->args[4] == 0;
    else if (d->nr == SYS_timerfd_settime)
        yes = a == (uint32_t)t.timer_fd;
    else if (d->nr == SYS_arch_prctl)
        yes = a == ARCH_SET_FS;
    else if (d->nr == SYS_nanosleep)
        yes = t.debuggable && d->args[0] == (uintptr_t)tender_last_pause && d->args[1] == 0;
    else if (d->nr == SYS_rt_sigreturn)
        yes = t.debuggable;
    else if (d->nr == SYS_munmap)
        yes = is_gone(d->args[0], d->args[1]);
    return yes ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
}

/* The tender itself checks lengths; its filter stops only what it would never do. */
static uint32_t hvt_opinion(const struct seccomp_data *d)
{
    uint32_t a = (uint32_t)d->args[0], b = (uint32_t)d->args[1];
    const struct device *disk = disk_with(a);
    bool yes = common(d);

    if (d->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    if (d->nr == SYS_pread64)
        yes = disk != NULL && d->args[3] <= disk->capacity;
    else if (d->nr == SYS_pwrite64)
        yes = disk != NULL && d->args[3] <= disk->capacity && !disk->read_only;
    else if (d->nr == SYS_ioctl)
        yes = a == (uint32_t)t.cpu.vcpu_fd &&
              (b == KVM_RUN || b == KVM_GET_REGS ||
               (t.debuggable && (b == KVM_SET_REGS || b == KVM_SET_GUEST_DEBUG)));
    else if (d->nr == SYS_ppoll)
        yes = d->args[3] == 0;
    else if (d->nr == SYS_write)
        yes = yes || a == 2;
    else if (d->nr == SYS_rt_sigreturn)
        yes = true;
    return yes ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
}

/* ------------------------------------------------------------ inputs */

static bool take(const uint8_t **data, size_t *left, void *to, size_t n)
{
    if (*left < n)
        return false;
    memcpy(to, *data, n);
    *data += n;
    *left -= n;
    return true;
}

/* Descriptors are different, as options.c sees to. */
static void attach(const struct given *g, int fd)
{
    struct device *d = &t.dev[1 + g->handle % (SOLO5_MFT_ENTRIES_MAX - 1)];
    uint32_t sector = 512u << (g->how >> 4 & 3);

    if (g->how & 1)
        *d = (struct device){.type = SOLO5_MFT_NET, .fd = fd};
    else
        *d = (struct device){.type = SOLO5_MFT_BLOCK,
                             .fd = fd,
                             .sector_size = sector,
                             .read_only = g->how & 2,
                             /* one that reaches over 4 GiB, too */
                             .capacity = ((uint64_t)g->sectors + 1) * sector
                                         << (g->how & 4 ? 32 : 0)};
}

static uint64_t argument(const uint8_t arg[3])
{
    const struct device *first = NULL, *last = NULL;

    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++) {
        if (t.dev[i].type != SOLO5_MFT_BLOCK)
            continue;
        first = first == NULL ? &t.dev[i] : first;
        last = &t.dev[i];
    }

    const uint64_t from[] = {0,
                             3,
                             5,
                             512,
                             UINT32_MAX,
                             UINT64_MAX,
                             (uint64_t)1 << 32,
                             (uint64_t)1 << 63,
                             first == NULL ? 0 : first->capacity,
                             first == NULL ? 0 : first->sector_size,
                             first == NULL ? 0 : first->capacity - first->sector_size,
                             last == NULL ? 0 : last->capacity,
                             last == NULL ? 0 : last->sector_size,
                             last == NULL ? 0 : last->capacity - last->sector_size,
                             gone.piece[0].start,
                             gone.piece[0].len,
                             gone.piece[1].start,
                             gone.piece[1].len,
                             ARCH_SET_FS,
                             KVM_RUN,
                             KVM_GET_REGS,
                             KVM_SET_REGS,
                             (uint64_t)7 << 32};

    return from[arg[0] % (sizeof(from) / sizeof(from[0]))] +
           (uint64_t)(int64_t)(int16_t)(arg[2] << 8 | arg[1]);
}

static void ask(const struct filter *prog, const struct made *c, bool hvt)
{
    static const int known[] = {
        SYS_read,        SYS_write,         SYS_pread64,         SYS_pwrite64,
        SYS_epoll_pwait, SYS_clock_gettime, SYS_timerfd_settime, SYS_exit_group,
        SYS_arch_prctl,  SYS_munmap,        SYS_ioctl,           SYS_ppoll,
        SYS_mmap,        SYS_rt_sigreturn,  SYS_execve,          SYS_nanosleep};
    size_t n = sizeof(known) / sizeof(known[0]);
    struct seccomp_data d = {.arch = c->nr == 255 ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64};

    d.nr = c->nr & 0x40 ? (int)argument(c->arg[5]) : known[c->nr % n];
    for (int i = 0; i < 6; i++)
        d.args[i] = argument(c->arg[i]);
    assert(run(prog, &d) == (hvt ? hvt_opinion(&d) : spt_opinion(&d)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct filter prog;
    struct fault f = {0};
    struct head head;
    struct given given;
    struct made made;

    memset(&t, 0, sizeof(t));
    t.epoll_fd = 3;
    t.timer_fd = 4;
    t.cpu.vcpu_fd = 4;
    gone.piece[0].start = UINT64_C(0x7f0000000000);
    gone.piece[0].len = 0x11000;
    gone.piece[1].start = UINT64_C(0x7f0000012000);
    gone.piece[1].len = 0x3000;
    if (!take(&data, &size, &head, sizeof(head)))
        return 0;
    t.debuggable = head.how & DEBUGGABLE;
    for (int i = 0; i < head.devices % (DEVICES_MAX + 1); i++)
        if (take(&data, &size, &given, sizeof(given)))
            attach(&given, 5 + i);
    if (head.how & HVT)
        rules_hvt(&t, &prog);
    else
        rules_spt(&t, &gone, &prog);
    assert(filter_finish(&prog, &f) == 0);
    while (take(&data, &size, &made, sizeof(made)))
        ask(&prog, &made, head.how & HVT);
    return 0;
}
