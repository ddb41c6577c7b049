/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published Solo5 interface (ABI version 2 of hvt and spt, as spoken by Solo5 v0.9 to v0.12):
 * the numbers and binary layouts on which tender and guest must agree. Freestanding, because the
 * small guests in e2e/unikernels include it too.
 *
 * Every structure here is shared memory or file content. Layouts are held by static assertions; the
 * tender copies such a structure out of hostile memory before it looks at it.
 */
#ifndef UNICRI_VMM_TENDER_SOLO5_ABI_H
#define UNICRI_VMM_TENDER_SOLO5_ABI_H

#include <stddef.h>
#include <stdint.h>

/* ---- ELF notes
 * ------------------------------------------------------------------------------------------ */

#define SOLO5_NOTE_OWNER    "Solo5"
#define SOLO5_NOTE_ABI1     0x31494241u /* "ABI1" in little endian */
#define SOLO5_NOTE_MFT1     0x3154464du /* "MFT1" */
#define SOLO5_NOTE_HEAD     20u         /* three words and the padded owner */
#define SOLO5_NOTE_MFT1_PAD 4u          /* the manifest is aligned to 8 within its note */

enum solo5_target {
    SOLO5_TARGET_HVT = 1,
    SOLO5_TARGET_SPT,
    SOLO5_TARGET_VIRTIO,
    SOLO5_TARGET_MUEN,
    SOLO5_TARGET_GENODE,
    SOLO5_TARGET_XEN,
};

#define SOLO5_ABI_VERSION 2u

struct solo5_abi1 {
    uint32_t target;
    uint32_t version;
    uint32_t reserved[2];
};

/* ---- manifest
 * ------------------------------------------------------------------------------------------- */

#define SOLO5_MFT_VERSION     1u
#define SOLO5_MFT_ENTRIES_MAX 64u
#define SOLO5_MFT_NAME_SIZE   68u /* with the terminating zero */

#define SOLO5_MFT_BLOCK    1u
#define SOLO5_MFT_NET      2u
#define SOLO5_MFT_RESERVED (1u << 30) /* entry 0, so that no device has handle 0 */

struct solo5_mft_block {
    uint64_t capacity; /* bytes */
    uint16_t block_size;
};

struct solo5_mft_net {
    uint8_t mac[6];
    uint16_t mtu;
};

struct solo5_mft_entry {
    char name[SOLO5_MFT_NAME_SIZE];
    uint32_t type;
    union {
        struct solo5_mft_block block;
        struct solo5_mft_net net;
        uint8_t raw[16];
    } u;
    union {
        int32_t fd; /* spt: the descriptor the guest reads and writes */
        uint64_t raw;
    } b;
    uint8_t attached;
    uint8_t pad[7];
};

/* struct solo5_mft_head, then `entries` times struct solo5_mft_entry. */
struct solo5_mft_head {
    uint32_t version;
    uint32_t entries;
};

_Static_assert(sizeof(struct solo5_mft_head) == 8, "manifest head");
_Static_assert(offsetof(struct solo5_mft_entry, type) == 68, "manifest entry");
_Static_assert(offsetof(struct solo5_mft_entry, u) == 72, "manifest entry");
_Static_assert(offsetof(struct solo5_mft_entry, b) == 88, "manifest entry");
_Static_assert(offsetof(struct solo5_mft_entry, attached) == 96, "manifest entry");
_Static_assert(sizeof(struct solo5_mft_entry) == 104, "manifest entry");

/* ---- both backends
 * -------------------------------------------------------------------------------------- */

#define SOLO5_GUEST_MIN_BASE 0x100000u /* no segment may lie below */
#define SOLO5_CMDLINE_SIZE   8192u     /* with the terminating zero */
#define SOLO5_EXIT_ABORT     255

enum solo5_result {
    SOLO5_OK = 0,
    SOLO5_AGAIN,
    SOLO5_EINVAL,
    SOLO5_EUNSPEC,
};

/* ---- spt: the guest is a part of the tender's process and makes its own system calls
 * --------------------- */

#define SOLO5_SPT_MEM_BASE  0x10000u /* lowest address Linux lets an ordinary process map */
#define SOLO5_SPT_BOOT_INFO 0x11000u
#define SOLO5_SPT_TIMER_TAG 0xfffffffeu /* epoll data of the timerfd; a device's is its handle */

struct solo5_spt_boot_info {
    uint64_t mem_size;
    uint64_t kernel_end;
    uint64_t cmdline; /* address */
    uint64_t mft;     /* address */
    int32_t epollfd;
    int32_t timerfd;
};

/* ---- hvt: a virtual machine that calls by port output (x86_64)
 * ------------------------------------------- */

#define SOLO5_HVT_BOOT_INFO 0x10000u
#define SOLO5_HVT_PIO_BASE  0x500u

enum solo5_hvt_call {
    SOLO5_HVT_WALLTIME = 1,
    SOLO5_HVT_PUTS,
    SOLO5_HVT_POLL,
    SOLO5_HVT_BLOCK_WRITE,
    SOLO5_HVT_BLOCK_READ,
    SOLO5_HVT_NET_WRITE,
    SOLO5_HVT_NET_READ,
    SOLO5_HVT_HALT,
    SOLO5_HVT_CALLS,
};

/* Guests since v0.11 also read the three last fields; all zero means "hypercalls only". */
struct solo5_hvt_boot_info {
    uint64_t mem_size;
    uint64_t kernel_end;
    uint64_t cycle_freq; /* Hz */
    uint64_t cmdline;    /* guest address */
    uint64_t mft;        /* guest address */
    uint32_t host_features;
    uint32_t guest_features;
    uint64_t net_ring;
};

struct solo5_hvt_walltime {
    uint64_t nsecs;
};

struct solo5_hvt_puts {
    uint64_t data;
    uint64_t len;
};

struct solo5_hvt_poll {
    uint64_t timeout_nsecs;
    uint64_t ready_set; /* bit n: handle n is readable */
    int32_t ret;
};

struct solo5_hvt_block {
    uint64_t handle;
    uint64_t offset;
    uint64_t data;
    uint64_t len;
    int32_t ret;
};

struct solo5_hvt_net {
    uint64_t handle;
    uint64_t data;
    uint64_t len;
    int32_t ret;
};

struct solo5_hvt_halt {
    uint64_t cookie; /* where a trap frame may be found; not used here */
    int32_t exit_status;
};

#endif
