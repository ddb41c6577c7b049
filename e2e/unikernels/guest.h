/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small world of the test guests: console, clock, wait, net and block of one Solo5 unikernel.
 * guest_spt.c and guest_hvt.c implement it for the two backends, lib.c has the usual helpers; a
 * guest is one guest_main() and one GUEST_MANIFEST. No floating point and no SSE anywhere, so that
 * the guests run on the poorest KVM.
 */
#ifndef UNICRI_E2E_UNIKERNELS_GUEST_H
#define UNICRI_E2E_UNIKERNELS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tender/solo5_abi.h"

#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_MS  UINT64_C(1000000)

/* ---- manifest
 * ------------------------------------------------------------------------------------------- */

struct guest_note_head {
    uint32_t owner_size;
    uint32_t size;
    uint32_t type;
    char owner[8];
};

struct guest_abi_note {
    struct guest_note_head head;
    struct solo5_abi1 abi;
};

#define GUEST_RESERVED                                                                             \
    {                                                                                              \
        .type = SOLO5_MFT_RESERVED                                                                 \
    }
#define GUEST_NET(n)                                                                               \
    {                                                                                              \
        .name = n, .type = SOLO5_MFT_NET                                                           \
    }
#define GUEST_BLOCK(n)                                                                             \
    {                                                                                              \
        .name = n, .type = SOLO5_MFT_BLOCK                                                         \
    }

/* GUEST_MANIFEST(number of entries, GUEST_RESERVED, GUEST_NET("service"), ...); */
#define GUEST_MANIFEST(count, ...)                                                                 \
    const struct {                                                                                 \
        struct guest_note_head head;                                                               \
        uint32_t pad;                                                                              \
        struct solo5_mft_head mft;                                                                 \
        struct solo5_mft_entry entry[count];                                                       \
    } guest_manifest __attribute__((section(".note.solo5.manifest"), aligned(8), used)) = {        \
        {sizeof(SOLO5_NOTE_OWNER),                                                                 \
         SOLO5_NOTE_MFT1_PAD + sizeof(struct solo5_mft_head) +                                     \
             (count) * sizeof(struct solo5_mft_entry),                                             \
         SOLO5_NOTE_MFT1, SOLO5_NOTE_OWNER},                                                       \
        0,                                                                                         \
        {SOLO5_MFT_VERSION, (count)},                                                              \
        {__VA_ARGS__},                                                                             \
    }

/* ---- what a guest writes
 * -------------------------------------------------------------------------------- */

/**
 * guest_main() - the guest. The value returned is the exit status.
 */
int guest_main(const char *cmdline);

/* ---- backend (guest_spt.c, guest_hvt.c)
 * ----------------------------------------------------------------- */

/**
 * console_write() - write to the console as it is.
 */
void console_write(const char *data, size_t len);

/**
 * guest_exit() - end the guest.
 */
_Noreturn void guest_exit(int status);

/**
 * guest_clock() - monotonic time in nanoseconds.
 */
uint64_t guest_clock(void);

/**
 * guest_wait() - sleep until a net device is readable or the clock reaches @deadline; returns bits
 * of handles.
 */
uint64_t guest_wait(uint64_t deadline);

/**
 * guest_net_read(), guest_net_write() - one frame; return an enum solo5_result.
 */
int guest_net_read(unsigned handle, void *buf, size_t room, size_t *ret_len);
int guest_net_write(unsigned handle, const void *buf, size_t len);

/**
 * guest_block_read(), guest_block_write() - one sector at a byte offset; return an enum
 * solo5_result.
 */
int guest_block_read(unsigned handle, uint64_t offset, void *buf, size_t len);
int guest_block_write(unsigned handle, uint64_t offset, const void *buf, size_t len);

/**
 * guest_device() - a declared device's entry, or NULL.
 * @ret_handle: its handle.
 */
const struct solo5_mft_entry *guest_device(const char *name, uint32_t type, unsigned *ret_handle);

/**
 * guest_address() - what lies at an address that the boot info tells.
 */
static inline const void *guest_address(uint64_t address)
{
    return (const void *)(uintptr_t)address; /* NOLINT(performance-no-int-to-ptr) */
}

/* Set by the backend before guest_main(). */
extern const struct solo5_mft_head *guest_mft;

/* ---- lib.c
 * ---------------------------------------------------------------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);

/**
 * say() - print a line to the console, at most 512 bytes: %s, %u (unsigned), %x (unsigned), %c, %%.
 */
void say(const char *fmt, ...);

/**
 * format() - like say() into @buf, always terminated; returns the length.
 */
size_t format(char *buf, size_t room, const char *fmt, ...);

/**
 * parse_unsigned() - decimal number at *@s, which is moved behind it; -1 if there is none or it is
 * over @max.
 */
long parse_unsigned(const char **s, long max);

#endif
