/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads sector 0 of the disk "storage" and shows its text, writes a pattern to sector 1, reads it
 * back and compares. Status 0 if all went well, 1 if not. With the argument "ro" the write must
 * fail.
 */
#include "e2e/unikernels/guest.h"

#define SECTOR_MAX 32768u

GUEST_MANIFEST(2, GUEST_RESERVED, GUEST_BLOCK("storage"));

static unsigned char sector[SECTOR_MAX], pattern[SECTOR_MAX];

static int fail(const char *what)
{
    say("blk: %s failed", what);
    return 1;
}

static void show_text(void)
{
    char text[65];
    unsigned n = 0;

    while (n < sizeof(text) - 1 && sector[n] >= 0x20 && sector[n] < 0x7f) {
        text[n] = (char)sector[n];
        n++;
    }
    text[n] = '\0';
    say("blk: sector 0: %s", text);
}

int guest_main(const char *cmdline)
{
    unsigned handle;
    const struct solo5_mft_entry *e = guest_device("storage", SOLO5_MFT_BLOCK, &handle);
    size_t size;

    if (e == NULL)
        return fail("finding the disk");
    size = e->u.block.block_size;
    say("blk: %u sectors of %u bytes", (unsigned)(e->u.block.capacity / size), (unsigned)size);
    if (size > SECTOR_MAX || e->u.block.capacity < 2 * size)
        return fail("having two sectors");
    if (guest_block_read(handle, 0, sector, size) != SOLO5_OK)
        return fail("reading sector 0");
    show_text();
    for (size_t i = 0; i < size; i++)
        pattern[i] = (unsigned char)(i * 7 + 3);
    if (strcmp(cmdline, "ro") == 0) {
        if (guest_block_write(handle, size, pattern, size) == SOLO5_OK)
            return fail("refusing to write");
        say("blk: the disk is read-only");
        return 0;
    }
    if (guest_block_write(handle, size, pattern, size) != SOLO5_OK)
        return fail("writing sector 1");
    if (guest_block_read(handle, size, sector, size) != SOLO5_OK)
        return fail("reading sector 1");
    if (memcmp(sector, pattern, size) != 0)
        return fail("comparing sector 1");
    say("blk: sector 1 written and verified");
    return 0;
}
