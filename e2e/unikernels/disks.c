/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the first sector of each of its two disks, "storage" and "extra", and copies that of
 * "extra" to sector 1 of "storage". Status 0 if all went well.
 */
#include "e2e/unikernels/guest.h"

#define SECTOR_MAX 4096u

GUEST_MANIFEST(3, GUEST_RESERVED, GUEST_BLOCK("storage"), GUEST_BLOCK("extra"));

static unsigned char sector[SECTOR_MAX];

static bool show(const char *name, unsigned *ret_handle, size_t *ret_size)
{
    const struct solo5_mft_entry *e = guest_device(name, SOLO5_MFT_BLOCK, ret_handle);
    char text[65];
    unsigned n = 0;

    if (e == NULL || e->u.block.block_size > SECTOR_MAX)
        return false;
    *ret_size = e->u.block.block_size;
    if (guest_block_read(*ret_handle, 0, sector, *ret_size) != SOLO5_OK)
        return false;
    while (n < sizeof(text) - 1 && sector[n] >= 0x20 && sector[n] < 0x7f) {
        text[n] = (char)sector[n];
        n++;
    }
    text[n] = '\0';
    say("disks: %s: %s", name, text);
    return true;
}

int guest_main(const char *cmdline)
{
    unsigned storage, extra;
    size_t size, extra_size;

    (void)cmdline;
    if (!show("storage", &storage, &size) || !show("extra", &extra, &extra_size) ||
        size != extra_size)
        return 1;
    return guest_block_write(storage, size, sector, size) == SOLO5_OK ? 0 : 2;
}
