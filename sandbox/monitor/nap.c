/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nap - the long sleep of an idle monitor, in as few pages as can be.
 *
 * A page of the program that is touched brings its neighbours in (the kernel maps 64 KiB around a
 * fault), so a monitor that has just run holds most of its text. Before the long sleep all of that
 * is given back; to have it stay away, the last steps run in one function on a page of its own,
 * whose mapping is split off so that it has no neighbours.
 */
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sandbox/monitor/state.h"

#define PAGE       4096
#define RANGES_MAX 8

struct range {
    uintptr_t start;
    size_t len;
};
static struct range ranges[RANGES_MAX];
static size_t n_ranges;

/* Calls of the kernel without a way through libc, which lies elsewhere. */
static inline __attribute__((always_inline)) long raw_call(long nr, long a, long b, long c, long d)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = 0;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = 0;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "nap does not know this architecture's system calls"
#endif
}

static __attribute__((noinline, aligned(PAGE), section(".text.nap"))) void
sleep_on_one_page(const struct range *r, size_t n, struct pollfd *p, size_t n_p)
{
    for (size_t i = 0; i < n; i++)
        raw_call(SYS_madvise, (long)r[i].start, (long)r[i].len, MADV_DONTNEED, 0);
    raw_call(SYS_ppoll, (long)p, (long)n_p, 0, 0);
}

static int remember_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum && n_ranges < RANGES_MAX; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~(uintptr_t)(PAGE - 1);
        uintptr_t to = info->dlpi_addr + p->p_vaddr + p->p_memsz;

        /* pages of the file that nobody writes to: they come back when they are touched */
        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
            ranges[n_ranges++] = (struct range){.start = from, .len = to - from};
    }
    return 1; /* the first object is the program */
}

void nap(struct pollfd *p, size_t n)
{
    if (n_ranges == 0) {
        (void)dl_iterate_phdr(remember_segments, NULL);
        (void)madvise((void *)sleep_on_one_page, PAGE, MADV_SEQUENTIAL);
    }
    sleep_on_one_page(ranges, n_ranges, p, n);
}
