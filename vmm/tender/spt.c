/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spt backend: the guest runs as a part of this process, at its own addresses, and reaches the
 * host by system calls that the filter of jail.c allows. After spt_enter() no instruction of the
 * tender runs again, except for the signal handler.
 */
#include "vmm/tender/tender.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define STACK_BELOW_TOP 8u /* as if the entry point had been called */
#else
#define STACK_BELOW_TOP 16u
#endif

static int watch(const struct tender *t, int fd, uint64_t tag, struct fault *f)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};

    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        return fault_sys(f, "wait set: add descriptor %d", fd);
    return 0;
}

/* The guest waits by itself on an epoll set: each net device under its handle, and a timer for
 * deadlines. */
static int make_wait_set(struct tender *t, struct fault *f)
{
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (t->epoll_fd < 0 || t->timer_fd < 0)
        return fault_sys(f, "wait set: create");
    if (watch(t, t->timer_fd, SOLO5_SPT_TIMER_TAG, f) != 0)
        return -1;
    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++) {
        if (t->dev[i].type != 0)
            t->mft.entry[i].b.fd = t->dev[i].fd;
        if (t->dev[i].type == SOLO5_MFT_NET && watch(t, t->dev[i].fd, i, f) != 0)
            return -1;
    }
    return 0;
}

static void put_boot_info(struct tender *t, const char *cmdline)
{
    struct solo5_spt_boot_info bi = {
        .mem_size = t->mem.size,
        .kernel_end = t->image.end,
        .epollfd = t->epoll_fd,
        .timerfd = t->timer_fd,
    };

    mem_boot_strings(&t->mem, &t->mft, cmdline, SOLO5_SPT_BOOT_INFO + sizeof(bi), &bi.mft,
                     &bi.cmdline);
    memcpy(mem_raw(&t->mem, SOLO5_SPT_BOOT_INFO), &bi, sizeof(bi));
}

/* From the linker. */
extern const char __executable_start[], _end[];

static void find_pieces(struct last_ranges *gone)
{
    uint64_t const mask = ~(uint64_t)(ELF_PAGE - 1);
    uint64_t begin = (uintptr_t)__executable_start & mask;
    uint64_t end = ((uintptr_t)_end + ELF_PAGE - 1) & mask;
    uint64_t last = (uintptr_t)tender_last_page;

    gone->piece[0].start = begin;
    gone->piece[0].len = last - begin;
    gone->piece[1].start = last + ELF_PAGE;
    gone->piece[1].len = end - gone->piece[1].start;
}

/* The tender's own handler goes with its code. */
static int set_trap(const struct tender *t, struct fault *f)
{
    struct sigaction trap = {.sa_handler = SIG_DFL};

    if (t->debuggable) {
        trap.sa_sigaction = tender_last_trap;
        trap.sa_flags = SA_SIGINFO | SA_ONSTACK;
    }
    return sigaction(SIGTRAP, &trap, NULL) != 0 ? fault_sys(f, "signals: set up") : 0;
}

int spt_run(struct tender *t, const char *cmdline, struct fault *f)
{
    uint64_t entry = t->image.entry, stack = t->mem.size - STACK_BELOW_TOP;
    struct last_ranges gone; /* on the stack, which stays: ps reads the arguments there */

    if (make_wait_set(t, f) != 0)
        return -1;
    put_boot_info(t, cmdline);
    find_pieces(&gone);
    if (set_trap(t, f) != 0 || jail_spt(t, &gone, f) != 0)
        return -1;
    tender_last_enter(entry, stack, SOLO5_SPT_BOOT_INFO, &gone);
}
