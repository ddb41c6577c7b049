/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: which devices a guest declares. Parsed from the note's bytes (hostile), then
 * completed with what is attached, and handed to the guest in the same layout. A device's handle is
 * its index here.
 */
#ifndef UNICRI_VMM_TENDER_MFT_H
#define UNICRI_VMM_TENDER_MFT_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/solo5_abi.h"

struct manifest {
    struct solo5_mft_head head;
    struct solo5_mft_entry entry[SOLO5_MFT_ENTRIES_MAX];
};

/**
 * mft_parse() - check a manifest and copy it.
 * @raw: the note's content behind its padding; any alignment.
 * @m: written on success; private fields of every entry are cleared.
 * Errors: STATUS_KERNEL.
 */
int mft_parse(const void *raw, size_t size, struct manifest *m, struct fault *f) TENDER_MUST_CHECK;

/**
 * mft_find() - the handle of the device of that name and type, or -1.
 */
int mft_find(const struct manifest *m, const char *name, uint32_t type);

/**
 * mft_size() - bytes of the manifest as the guest sees it.
 */
size_t mft_size(const struct manifest *m);

/**
 * mft_type_name() - "net", "block" or "unknown", for messages.
 */
const char *mft_type_name(uint32_t type);

/**
 * mft_name_ok() - whether a name is 1 to 67 letters and digits.
 */
int mft_name_ok(const char *name, size_t len);

#endif
