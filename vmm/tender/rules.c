/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls are left once the guest runs. Under spt the guest itself is the caller, and
 * each rule is part of the published interface. Under hvt the caller is hvt_calls.c serving the
 * guest. Memory only: a fuzzer asks these programs what they would allow.
 */
#include "vmm/tender/rules.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#endif
#include <errno.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ARG_INT(n, v)                                                                              \
    {                                                                                              \
        FILTER_INT, (n), (uint32_t)(v)                                                             \
    }
#define ARG_EQUAL(n, v)                                                                            \
    {                                                                                              \
        FILTER_EQUAL, (n), (v)                                                                     \
    }
#define ARG_MAX(n, v)                                                                              \
    {                                                                                              \
        FILTER_MAX, (n), (v)                                                                       \
    }
#define ALLOW SECCOMP_RET_ALLOW

/* write(1), exit_group and the two clocks: needed whatever the backend. */
static void add_common(struct filter *p)
{
    static const struct filter_rule rules[] = {
        {SYS_write, ALLOW, {ARG_INT(0, STDOUT_FILENO)}},
        {SYS_clock_gettime, ALLOW, {ARG_INT(0, CLOCK_MONOTONIC)}},
        {SYS_clock_gettime, ALLOW, {ARG_INT(0, CLOCK_REALTIME)}},
        {SYS_exit_group, ALLOW, {{FILTER_NONE, 0, 0}}},
    };

    for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        filter_add(p, &rules[i]);
}

static void add_net(struct filter *p, const struct device *d)
{
    struct filter_rule rd = {SYS_read, ALLOW, {ARG_INT(0, d->fd)}};
    struct filter_rule wr = {SYS_write, ALLOW, {ARG_INT(0, d->fd)}};

    filter_add(p, &rd);
    filter_add(p, &wr);
}

/*
 * spt: exactly one sector, wholly inside the capacity, else a guest could grow the file behind its
 * disk. Reads and writes that the published guest code itself refuses are fatal; a write to a
 * read-only disk is not, since the guest cannot know: it gets an error.
 */
static void add_block_spt(struct filter *p, const struct device *d)
{
    uint64_t last = d->capacity - d->sector_size;
    uint32_t on_write = d->read_only ? SECCOMP_RET_ERRNO | EROFS : ALLOW;
    struct filter_rule rd = {
        SYS_pread64, ALLOW, {ARG_INT(0, d->fd), ARG_EQUAL(2, d->sector_size), ARG_MAX(3, last)}};
    struct filter_rule wr = {SYS_pwrite64,
                             on_write,
                             {ARG_INT(0, d->fd), ARG_EQUAL(2, d->sector_size), ARG_MAX(3, last)}};

    filter_add(p, &rd);
    filter_add(p, &wr);
}

static void add_block_hvt(struct filter *p, const struct device *d)
{
    struct filter_rule rd = {SYS_pread64, ALLOW, {ARG_INT(0, d->fd), ARG_MAX(3, d->capacity)}};
    struct filter_rule wr = {SYS_pwrite64, ALLOW, {ARG_INT(0, d->fd), ARG_MAX(3, d->capacity)}};

    filter_add(p, &rd);
    if (!d->read_only)
        filter_add(p, &wr);
}

static void add_devices(struct filter *p, const struct tender *t, bool spt)
{
    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++) {
        if (t->dev[i].type == SOLO5_MFT_NET)
            add_net(p, &t->dev[i]);
        else if (t->dev[i].type == SOLO5_MFT_BLOCK && spt)
            add_block_spt(p, &t->dev[i]);
        else if (t->dev[i].type == SOLO5_MFT_BLOCK)
            add_block_hvt(p, &t->dev[i]);
    }
}

/* What tender_last_trap() needs. */
static void add_debug_spt(struct filter *p)
{
    struct filter_rule const pause = {
        SYS_nanosleep, ALLOW, {ARG_EQUAL(0, (uintptr_t)tender_last_pause), ARG_EQUAL(1, 0)}};
    struct filter_rule const back = {SYS_rt_sigreturn, ALLOW, {{FILTER_NONE, 0, 0}}};

    filter_add(p, &pause);
    filter_add(p, &back);
}

/* What a debugger has the tender ask its processor for. */
static void add_debug_hvt(struct filter *p, const struct tender *t)
{
    unsigned long const asked[] = {KVM_SET_REGS, KVM_SET_GUEST_DEBUG};

    for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct filter_rule const ask = {
            SYS_ioctl, ALLOW, {ARG_INT(0, t->cpu.vcpu_fd), ARG_INT(1, asked[i])}};
        filter_add(p, &ask);
    }
}

void rules_spt(const struct tender *t, const struct last_ranges *gone, struct filter *prog)
{
    struct filter_rule const wait = {
        SYS_epoll_pwait, ALLOW, {ARG_INT(0, t->epoll_fd), ARG_EQUAL(4, 0)}}; /* no signal mask */
    struct filter_rule const timer = {SYS_timerfd_settime, ALLOW, {ARG_INT(0, t->timer_fd)}};

    filter_begin(prog);
    filter_add(prog, &wait);
    filter_add(prog, &timer);
    add_common(prog);
    add_devices(prog, t, true);
#if defined(__x86_64__)
    struct filter_rule const tls = {SYS_arch_prctl, ALLOW, {ARG_INT(0, ARCH_SET_FS)}};
    filter_add(prog, &tls);
#endif
    /* Made once, before the guest; a guest that repeats them unmaps what is not there. */
    for (unsigned i = 0; i < 2; i++) {
        struct filter_rule const unmap = {
            SYS_munmap,
            ALLOW,
            {ARG_EQUAL(0, gone->piece[i].start), ARG_EQUAL(1, gone->piece[i].len)}};
        filter_add(prog, &unmap);
    }
    if (t->debuggable)
        add_debug_spt(prog);
}

void rules_hvt(const struct tender *t, struct filter *prog)
{
    struct filter_rule const run = {
        SYS_ioctl, ALLOW, {ARG_INT(0, t->cpu.vcpu_fd), ARG_INT(1, KVM_RUN)}};
    struct filter_rule const poll = {SYS_ppoll, ALLOW, {ARG_EQUAL(3, 0)}}; /* no signal mask */
    struct filter_rule const err = {SYS_write, ALLOW, {ARG_INT(0, STDERR_FILENO)}};
    struct filter_rule const back = {
        SYS_rt_sigreturn, ALLOW, {{FILTER_NONE, 0, 0}}}; /* SIGTRAP's */
#if defined(__x86_64__)
    struct filter_rule const regs = {
        SYS_ioctl, ALLOW, {ARG_INT(0, t->cpu.vcpu_fd), ARG_INT(1, KVM_GET_REGS)}};
#endif

    filter_begin(prog);
    filter_add(prog, &run);
    filter_add(prog, &poll);
    add_common(prog);
    add_devices(prog, t, false);
    filter_add(prog, &err);
    filter_add(prog, &back);
#if defined(__x86_64__)
    filter_add(prog, &regs); /* where the guest stood, for the message */
    if (t->debuggable)
        add_debug_hvt(prog, t);
#endif
}
