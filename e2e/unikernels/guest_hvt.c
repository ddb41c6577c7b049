/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backend of the test guests under hvt: hypercalls by a 32-bit `out`, time from the time stamp
 * counter. There is no interrupt table: a guest that faults ends in a triple fault. x86_64.
 */
#include "e2e/unikernels/guest.h"

static uint64_t cycle_freq;

const struct guest_abi_note guest_abi
    __attribute__((section(".note.solo5.abi"), aligned(4), used)) = {
        {sizeof(SOLO5_NOTE_OWNER), sizeof(struct solo5_abi1), SOLO5_NOTE_ABI1, SOLO5_NOTE_OWNER},
        {SOLO5_TARGET_HVT, SOLO5_ABI_VERSION, {0, 0}},
};

static void call(unsigned nr, volatile void *arg)
{
    __asm__ volatile("outl %0, %1"
                     :
                     : "a"((uint32_t)(uintptr_t)arg), "d"((uint16_t)(SOLO5_HVT_PIO_BASE + nr))
                     : "memory");
}

void guest_start(const struct solo5_hvt_boot_info *bi);

void guest_start(const struct solo5_hvt_boot_info *bi)
{
    guest_mft = guest_address(bi->mft);
    cycle_freq = bi->cycle_freq;
    guest_exit(guest_main(guest_address(bi->cmdline)));
}

void console_write(const char *data, size_t len)
{
    struct solo5_hvt_puts c = {(uintptr_t)data, len};

    call(SOLO5_HVT_PUTS, &c);
}

void guest_exit(int status)
{
    struct solo5_hvt_halt c = {0, status};

    for (;;)
        call(SOLO5_HVT_HALT, &c);
}

uint64_t guest_clock(void)
{
    uint32_t lo, hi;
    uint64_t cycles;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    cycles = (uint64_t)hi << 32 | lo;
    return cycles / cycle_freq * NSEC_PER_SEC + cycles % cycle_freq * NSEC_PER_SEC / cycle_freq;
}

uint64_t guest_wait(uint64_t deadline)
{
    uint64_t now = guest_clock();
    struct solo5_hvt_poll c = {deadline > now ? deadline - now : 0, 0, 0};

    call(SOLO5_HVT_POLL, &c);
    return c.ready_set;
}

int guest_net_read(unsigned handle, void *buf, size_t room, size_t *ret_len)
{
    struct solo5_hvt_net c = {handle, (uintptr_t)buf, room, SOLO5_EUNSPEC};

    call(SOLO5_HVT_NET_READ, &c);
    *ret_len = c.len;
    return c.ret;
}

int guest_net_write(unsigned handle, const void *buf, size_t len)
{
    struct solo5_hvt_net c = {handle, (uintptr_t)buf, len, SOLO5_EUNSPEC};

    call(SOLO5_HVT_NET_WRITE, &c);
    return c.ret;
}

int guest_block_read(unsigned handle, uint64_t offset, void *buf, size_t len)
{
    struct solo5_hvt_block c = {handle, offset, (uintptr_t)buf, len, SOLO5_EUNSPEC};

    call(SOLO5_HVT_BLOCK_READ, &c);
    return c.ret;
}

int guest_block_write(unsigned handle, uint64_t offset, const void *buf, size_t len)
{
    struct solo5_hvt_block c = {handle, offset, (uintptr_t)buf, len, SOLO5_EUNSPEC};

    call(SOLO5_HVT_BLOCK_WRITE, &c);
    return c.ret;
}
