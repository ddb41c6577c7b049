/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender's whole state and the steps that build it. One guest, one process, one thread.
 *
 * Guest memory is one mapping and everything else about the guest is in struct tender, so that a
 * guest which waits in its poll call can be written to a file and brought back: nothing about a
 * guest may be kept anywhere else (no static variables in the modules).
 *
 * Order of the steps, as main.c runs them: options_parse, elf_read, mft_parse, devices_attach,
 * mem_map, mem_load, then one of spt_run and hvt_run, which never return.
 */
#ifndef UNICRI_VMM_TENDER_TENDER_H
#define UNICRI_VMM_TENDER_TENDER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tender/elf.h"
#include "vmm/tender/fault.h"
#include "vmm/tender/mft.h"
#include "vmm/tender/options.h"
#include "vmm/tender/solo5_abi.h"
#include "vmm/tender/trap.h"

struct guest_mem {
    uintptr_t host; /* host address of guest address 0; 0 under spt, where the two are the same */
    uint64_t size;  /* guest addresses are below this */
    uint64_t low;   /* and from this up: what lies below is not mapped or not the guest's */
};

struct hvt_cpu {
    int vm_fd;
    int vcpu_fd;
    void *run; /* struct kvm_run */
    uint64_t cycle_freq;
};

struct tender {
    struct guest_mem mem;
    struct elf_image image;
    struct manifest mft;
    struct device dev[SOLO5_MFT_ENTRIES_MAX]; /* by handle; type 0 where there is none */
    struct hvt_cpu cpu;                       /* hvt */
    int exit_status;                          /* hvt: what the guest has halted with */
    bool debuggable;                          /* --debug */
    int epoll_fd, timer_fd;                   /* spt */
};

/* ---- device.c
 * ------------------------------------------------------------------------------------------- */

/**
 * devices_attach() - pair the devices given with those declared, in both directions, and open each.
 * @t: mft is completed (capacity, MAC, attached), dev is filled by handle.
 * Errors: STATUS_KERNEL for a mismatch (the message names the device), STATUS_SETUP for an unusable
 * descriptor.
 */
int devices_attach(const struct options *o, struct tender *t, struct fault *f) TENDER_MUST_CHECK;

/* ---- net.c
 * ---------------------------------------------------------------------------------------------- */

/**
 * net_attach() - check that the descriptor carries whole Ethernet frames and make it non-blocking.
 * It may be a tap without packet information and vnet header, or a datagram or seqpacket socket.
 */
int net_attach(struct device *d, struct fault *f) TENDER_MUST_CHECK;

/**
 * net_read() - one frame for an hvt guest. Returns an enum solo5_result; @len is in: room, out:
 * bytes read.
 */
int net_read(const struct device *d, void *buf, uint64_t *len);

/**
 * net_write() - send one frame. Returns an enum solo5_result.
 */
int net_write(const struct device *d, const void *buf, uint64_t len);

/* ---- block.c
 * -------------------------------------------------------------------------------------------- */

/**
 * block_attach() - find the capacity of a file or block device and check it against the sector
 * size.
 */
int block_attach(struct device *d, struct fault *f) TENDER_MUST_CHECK;

/**
 * block_read(), block_write() - one request of an hvt guest. Return an enum solo5_result.
 */
int block_read(const struct device *d, void *buf, uint64_t len, uint64_t offset);
int block_write(const struct device *d, const void *buf, uint64_t len, uint64_t offset);

/* ---- memory.c
 * ------------------------------------------------------------------------------------------- */

/**
 * mem_map() - map guest memory: private, zero, demand paged, never in a core dump.
 * @size: bytes, a multiple of the page size.
 * @fixed: map at the guest's own addresses (spt) instead of anywhere (hvt).
 */
int mem_map(struct guest_mem *m, uint64_t size, bool fixed, struct fault *f) TENDER_MUST_CHECK;

/**
 * mem_load() - read all segments of @img into guest memory and protect them.
 * @executable: honour PROT_EXEC (spt); hvt's guests never execute through this mapping.
 */
int mem_load(const struct guest_mem *m, const struct elf_file *file, const struct elf_image *img,
             bool executable, struct fault *f) TENDER_MUST_CHECK;

/**
 * mem_at() - host pointer to @len bytes of guest memory at @addr, or NULL if any of them is out of
 * bounds.
 */
void *mem_at(const struct guest_mem *m, uint64_t addr, uint64_t len);

/**
 * mem_raw() - host pointer to guest address @addr, unchecked: for the tender's own addresses only.
 */
void *mem_raw(const struct guest_mem *m, uint64_t addr);

/**
 * mem_boot_strings() - place the manifest and the command line behind the boot info.
 * @at: guest address to begin at, 8-byte aligned.
 */
void mem_boot_strings(const struct guest_mem *m, const struct manifest *mft, const char *cmdline,
                      uint64_t at, uint64_t *ret_mft, uint64_t *ret_cmdline);

/* ---- spt.c
 * ---------------------------------------------------------------------------------------------- */

#define SPT_MEM_MAX (UINT64_C(64) << 30) /* bytes */

/**
 * spt_run() - boot the guest in this process. Returns only on failure.
 */
int spt_run(struct tender *t, const char *cmdline, struct fault *f) TENDER_MUST_CHECK;

/* ---- last_ARCH.S
 * ---------------------------------------------------------------------------------------- */

/* The two pieces of the program around the page that stays under spt. */
struct last_ranges {
    struct {
        uint64_t start;
        uint64_t len;
    } piece[2];
};

/* Begins the page that stays; it is ELF_PAGE bytes long. */
extern const char tender_last_page[];

/**
 * tender_last_signal() - signal handler that ends the process with 128 + @sig.
 */
void tender_last_signal(int sig);

/**
 * tender_last_trap() - handler of SIGTRAP for guests that may be debugged: waits for leftovers of a
 * debugger to be taken out.
 */
void tender_last_trap(int sig, siginfo_t *info, void *context);

/* How long it waits at a time: a struct timespec. */
extern const char tender_last_pause[];

/**
 * tender_last_enter() - unmap @gone and jump into the guest with the published registers.
 */
_Noreturn void tender_last_enter(uint64_t entry, uint64_t stack, uint64_t boot_info,
                                 const struct last_ranges *gone);

/* ---- hvt.c, hvt_calls.c, hvt_ARCH.c
 * ---------------------------------------------------------------------------------- */

#define HVT_MEM_GRAIN (UINT64_C(2) << 20)
#define HVT_MEM_MAX   (UINT64_C(4) << 30)

/**
 * hvt_open() - create the VM and its one processor on @kvm_fd, with @t's memory.
 */
int hvt_open(struct tender *t, int kvm_fd, struct fault *f) TENDER_MUST_CHECK;

/**
 * hvt_run() - boot the guest and serve it until it halts. Returns only on failure.
 */
int hvt_run(struct tender *t, const char *cmdline, struct fault *f) TENDER_MUST_CHECK;

#define HVT_HALTED 1

/**
 * hvt_call() - serve hypercall @nr, whose argument is at guest address @addr, below 2^32.
 * Returns: 0 to go on; HVT_HALTED with t->exit_status; -1 for what ends a guest: a call or a
 * pointer that does not exist (STATUS_GUEST_CALL).
 */
int hvt_call(struct tender *t, uint32_t nr, uint64_t addr, struct fault *f) TENDER_MUST_CHECK;

/**
 * hvt_cpu_setup() - page tables, descriptors and registers of the first instruction; finds
 * cycle_freq.
 */
int hvt_cpu_setup(struct tender *t, int kvm_fd, struct fault *f) TENDER_MUST_CHECK;

/**
 * hvt_cpu_run() - run the guest until something ends it: always -1 with the reason, if it returns
 * at all.
 */
int hvt_cpu_run(struct tender *t, struct fault *f) TENDER_MUST_CHECK;

/* ---- jail.c
 * --------------------------------------------------------------------------------------------- */

/**
 * jail_prepare() - refuse to run under a personality in which readable memory is executable; forbid
 * core dumps and tracing by equals; close descriptors that belong to no device.
 */
int jail_prepare(const struct tender *t, const struct options *o,
                 struct fault *f) TENDER_MUST_CHECK;

/**
 * jail_spt(), jail_hvt() - install the system call filter. From here on only what the filter lists
 * works.
 */
int jail_spt(const struct tender *t, const struct last_ranges *gone,
             struct fault *f) TENDER_MUST_CHECK;
int jail_hvt(const struct tender *t, struct fault *f) TENDER_MUST_CHECK;

/* ---- signal_ARCH.c
 * -------------------------------------------------------------------------------------- */

/**
 * signals_setup() - SIGTERM and SIGINT end the process with 143 and 130 at once, even as the first
 * process of a PID namespace and in the middle of a guest's instructions; SIGPIPE is ignored.
 */
int signals_setup(struct fault *f) TENDER_MUST_CHECK;

/* ---- trap.c
 * --------------------------------------------------------------------------------------------- */

/**
 * trap_setup() - make trap_tell() possible.
 */
int trap_setup(struct fault *f) TENDER_MUST_CHECK;

/**
 * trap_tell() - tell a tracer. Returns: was there one?
 */
bool trap_tell(uint64_t what);

/**
 * trap_wait() - wait until somebody traces this process, @ms milliseconds at most.
 */
void trap_wait(uint32_t ms);

#endif
