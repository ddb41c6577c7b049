/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender's command line, which vmm/ writes. A stable contract; main.c spells it out.
 */
#ifndef UNICRI_VMM_TENDER_OPTIONS_H
#define UNICRI_VMM_TENDER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/solo5_abi.h"

#define OPTIONS_DEVICES_MAX (SOLO5_MFT_ENTRIES_MAX - 1)
#define OPTIONS_NAME_MAX    128    /* bytes of --name, with the terminating zero */
#define OPTIONS_WAIT_MAX    60000u /* milliseconds */
#define NET_MTU_DEFAULT     1500u  /* bytes */
#define NET_MTU_MIN         68u    /* RFC 791 */
#define BLOCK_SECTOR_MIN    512u   /* bytes */
#define BLOCK_SECTOR_MAX    32768u /* the largest power of two the manifest can say */

enum backend { BACKEND_NONE, BACKEND_SPT, BACKEND_HVT };

/* One attached device. In the tender's device table the index is the handle; type 0 is an empty
 * slot. */
struct device {
    uint32_t type; /* SOLO5_MFT_NET or SOLO5_MFT_BLOCK */
    int fd;
    char name[SOLO5_MFT_NAME_SIZE];
    uint8_t mac[6];       /* net */
    uint16_t mtu;         /* net, bytes */
    uint32_t sector_size; /* block, bytes */
    bool read_only;       /* block */
    uint64_t capacity;    /* block, bytes; filled in by block_attach() */
};

struct options {
    enum backend backend;
    int kernel_fd;
    int kvm_fd;        /* -1 unless given */
    uint64_t mem_size; /* bytes as given */
    unsigned devices;
    struct device device[OPTIONS_DEVICES_MAX];
    bool debuggable;
    uint32_t wait_tracer; /* milliseconds, 0: not at all */
    const char *name;     /* borrowed from argv, or NULL */
    char cmdline[SOLO5_CMDLINE_SIZE];
};

/**
 * options_parse() - parse argv.
 * @argv: NULL-terminated, argv[0] is skipped.
 * Errors: STATUS_SETUP, the message names the option.
 */
int options_parse(char *const *argv, struct options *o, struct fault *f) TENDER_MUST_CHECK;

#endif
