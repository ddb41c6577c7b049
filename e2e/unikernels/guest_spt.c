/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backend of the test guests under spt: the guest's own system calls, of the kinds the published
 * interface allows. x86_64.
 */
#include "e2e/unikernels/guest.h"

#define NR_READ            0
#define NR_WRITE           1
#define NR_PREAD64         17
#define NR_PWRITE64        18
#define NR_CLOCK_GETTIME   228
#define NR_EXIT_GROUP      231
#define NR_EPOLL_PWAIT     281
#define NR_TIMERFD_SETTIME 286

#define ERR_AGAIN       (-11)
#define ERR_INTR        (-4)
#define CLOCK_MONOTONIC 1
#define TIMER_ABSTIME   1

struct timespec {
    int64_t sec;
    int64_t nsec;
};

struct epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

static int epollfd, timerfd;

const struct guest_abi_note guest_abi
    __attribute__((section(".note.solo5.abi"), aligned(4), used)) = {
        {sizeof(SOLO5_NOTE_OWNER), sizeof(struct solo5_abi1), SOLO5_NOTE_ABI1, SOLO5_NOTE_OWNER},
        {SOLO5_TARGET_SPT, SOLO5_ABI_VERSION, {0, 0}},
};

static long call(long nr, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = 0;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

void guest_start(const struct solo5_spt_boot_info *bi);

void guest_start(const struct solo5_spt_boot_info *bi)
{
    guest_mft = guest_address(bi->mft);
    epollfd = bi->epollfd;
    timerfd = bi->timerfd;
    guest_exit(guest_main(guest_address(bi->cmdline)));
}

void console_write(const char *data, size_t len)
{
    while (len > 0) {
        long n = call(NR_WRITE, 1, (long)data, (long)len, 0, 0);
        if (n <= 0 && n != ERR_INTR && n != ERR_AGAIN)
            return;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}

void guest_exit(int status)
{
    for (;;)
        (void)call(NR_EXIT_GROUP, status, 0, 0, 0, 0);
}

uint64_t guest_clock(void)
{
    struct timespec ts = {0, 0};

    (void)call(NR_CLOCK_GETTIME, CLOCK_MONOTONIC, (long)&ts, 0, 0, 0);
    return (uint64_t)ts.sec * NSEC_PER_SEC + (uint64_t)ts.nsec;
}

uint64_t guest_wait(uint64_t deadline)
{
    static struct epoll_event ev[SOLO5_MFT_ENTRIES_MAX];
    struct timespec const timer[2] = {
        {0, 0},
        {(int64_t)(deadline / NSEC_PER_SEC), (int64_t)(deadline % NSEC_PER_SEC | 1)},
    };
    uint64_t ready = 0;
    long n;

    (void)call(NR_TIMERFD_SETTIME, timerfd, TIMER_ABSTIME, (long)timer, 0, 0);
    do
        n = call(NR_EPOLL_PWAIT, epollfd, (long)ev, SOLO5_MFT_ENTRIES_MAX, -1, 0);
    while (n == ERR_INTR);
    for (long i = 0; i < n; i++)
        if (ev[i].data < SOLO5_MFT_ENTRIES_MAX)
            ready |= UINT64_C(1) << ev[i].data;
    return ready;
}

static int fd_of(unsigned handle)
{
    return ((const struct solo5_mft_entry *)(guest_mft + 1))[handle].b.fd;
}

int guest_net_read(unsigned handle, void *buf, size_t room, size_t *ret_len)
{
    long n = call(NR_READ, fd_of(handle), (long)buf, (long)room, 0, 0);

    if (n == ERR_AGAIN)
        return SOLO5_AGAIN;
    if (n < 0)
        return SOLO5_EUNSPEC;
    *ret_len = (size_t)n;
    return SOLO5_OK;
}

int guest_net_write(unsigned handle, const void *buf, size_t len)
{
    long n = call(NR_WRITE, fd_of(handle), (long)buf, (long)len, 0, 0);

    return n == (long)len ? SOLO5_OK : SOLO5_EUNSPEC;
}

int guest_block_read(unsigned handle, uint64_t offset, void *buf, size_t len)
{
    long n = call(NR_PREAD64, fd_of(handle), (long)buf, (long)len, (long)offset, 0);

    return n == (long)len ? SOLO5_OK : SOLO5_EUNSPEC;
}

int guest_block_write(unsigned handle, uint64_t offset, const void *buf, size_t len)
{
    long n = call(NR_PWRITE64, fd_of(handle), (long)buf, (long)len, (long)offset, 0);

    return n == (long)len ? SOLO5_OK : SOLO5_EUNSPEC;
}
