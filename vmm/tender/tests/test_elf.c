/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files that lie: each case spoils one field of a sound guest and must be refused with a
 * message that tells what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "vmm/tender/elf.h"
#include "vmm/tender/tests/guest_maker.h"

static struct made_guest g;
static struct elf_image img;
static struct fault fault;

static int setup(void **state)
{
    (void)state;
    make_guest(&g, SOLO5_TARGET_SPT, 3, "\xf4", 1);
    memset(&fault, 0, sizeof(fault));
    return 0;
}

static int read_made(size_t size)
{
    struct elf_file file = {.fd = -1, .buf = (const uint8_t *)&g, .size = size};

    return elf_read(&file, &img, &fault);
}

static void refused(const char *why)
{
    assert_int_equal(read_made(sizeof(g)), -1);
    assert_int_equal(fault.status, STATUS_KERNEL);
    if (strstr(fault.msg, why) == NULL)
        fail_msg("'%s' is not in the message '%s'", why, fault.msg);
}

static void test_sound(void **state)
{
    (void)state;
    assert_int_equal(read_made(sizeof(g)), 0);
    assert_int_equal(img.segments, 1);
    assert_int_equal(img.entry, MADE_BASE);
    assert_int_equal(img.end, MADE_BASE + 4096);
    assert_int_equal(img.segment[0].prot, PROT_READ | PROT_EXEC);
    assert_int_equal(img.abi.target, SOLO5_TARGET_SPT);
    assert_int_equal(img.mft_size, 8 + 3 * 104);
    assert_int_equal(elf_fits(&img, 2 << 20, &fault), 0);
    assert_int_equal(elf_fits(&img, MADE_BASE + 8192, &fault), -1);
    assert_int_equal(elf_fits(&img, 0, &fault), -1);
}

/* Whatever the place where the file ends, it is an error and never a read past the end. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t size = 0; size < offsetof(struct made_guest, mft.entry[3]); size++)
        if (read_made(size) != -1)
            fail_msg("a file of %zu bytes was taken", size);
}

static void test_headers(void **state)
{
    (void)state;
    g.eh.e_ident[0] = 'M';
    refused("not an ELF file");
    setup(NULL);
    g.eh.e_ident[EI_CLASS] = ELFCLASS32;
    refused("not a 64-bit");
    setup(NULL);
    g.eh.e_machine = EM_386;
    refused("another machine");
    setup(NULL);
    g.eh.e_type = ET_DYN;
    refused("not an executable");
    setup(NULL);
    g.eh.e_phnum = 0;
    refused("no program headers");
    setup(NULL);
    g.eh.e_phnum = 65535;
    refused("65535 program headers");
    setup(NULL);
    g.eh.e_phentsize = 32;
    refused("wrong size");
    setup(NULL);
    g.eh.e_phoff = UINT64_MAX - 10;
    refused("out of range");
    setup(NULL);
    g.eh.e_phoff = 1 << 20;
    refused("ends early");
}

static void test_segments(void **state)
{
    (void)state;
    g.code.p_filesz = g.code.p_memsz + 1;
    refused("more bytes in the file");
    setup(NULL);
    g.code.p_vaddr = UINT64_MAX - 100;
    refused("wraps around");
    setup(NULL);
    g.code.p_memsz = UINT64_MAX - MADE_BASE;
    refused("wraps around");
    setup(NULL);
    g.code.p_vaddr = 0x1000;
    refused("below 0x100000");
    setup(NULL);
    g.code.p_align = 3;
    refused("power of two");
    setup(NULL);
    g.code.p_offset = UINT64_MAX;
    refused("outside the file");
    setup(NULL);
    g.code.p_flags = PF_R | PF_W | PF_X;
    refused("writable and executable");
    setup(NULL);
    g.code.p_flags = PF_R;
    refused("no executable segment");
    setup(NULL);
    g.eh.e_entry = MADE_BASE + MADE_CODE;
    refused("no executable segment");
    setup(NULL);
    g.eh.e_entry = MADE_BASE - 1;
    refused("no executable segment");
}

static void test_overlap(void **state)
{
    (void)state;
    g.abi_ph = g.code; /* two segments in one place */
    refused("overlaps");
    setup(NULL);
    g.abi_ph = g.code;
    g.abi_ph.p_vaddr = MADE_BASE + MADE_CODE; /* in the page of the one before */
    refused("overlaps");
    setup(NULL);
    g.abi_ph = g.code;
    g.code.p_vaddr = MADE_BASE + 8192; /* descending */
    refused("overlaps");
}

/* No file content: counts for the size, and may lie anywhere that does not wrap. */
static void test_zero_segment(void **state)
{
    (void)state;
    g.eh.e_phoff = offsetof(struct made_guest, code);
    g.code.p_memsz = MADE_CODE;
    assert_int_equal(read_made(sizeof(g)), 0);
    g.mft_ph.p_type = PT_NOTE;
    g.abi_ph.p_type = PT_LOAD;
    g.abi_ph.p_filesz = 0;
    g.abi_ph.p_vaddr = 0x400000;
    g.abi_ph.p_memsz = 0x10001;
    refused("no Solo5 ABI note");
    assert_int_equal(img.end, 0x411000);
    g.abi_ph.p_memsz = UINT64_MAX - 0x400000;
    refused("wraps around");
}

static void test_notes(void **state)
{
    (void)state;
    g.abi_ph.p_type = PT_NULL;
    refused("no Solo5 ABI note");
    setup(NULL);
    g.mft_ph.p_type = PT_NULL;
    refused("no Solo5 manifest");
    setup(NULL);
    g.abi.head.h.n_descsz = 15;
    refused("wrong size");
    setup(NULL);
    g.abi.head.h.n_descsz = UINT32_MAX;
    refused("longer than its segment");
    setup(NULL);
    g.abi.head.h.n_namesz = UINT32_MAX;
    refused("longer than its segment");
    setup(NULL);
    g.mft.head.h.n_descsz = 4;
    refused("manifest of 4 bytes");
    setup(NULL);
    g.mft_ph.p_filesz = UINT64_MAX;
    refused("impossible size");
    setup(NULL);
    g.mft_ph.p_offset = UINT64_MAX;
    refused("impossible size");
    setup(NULL);
    g.mft_ph = g.abi_ph;
    refused("more than one Solo5 ABI note");
    setup(NULL);
    memcpy(g.abi.head.owner, "Solo6", 6);
    refused("no Solo5 ABI note");
}

/* Both notes in one segment, behind a foreign one, as other linkers place them. */
static void test_notes_together(void **state)
{
    (void)state;
    g.abi_ph.p_filesz = offsetof(struct made_guest, mft) - offsetof(struct made_guest, abi);
    g.abi_ph.p_filesz += g.mft_ph.p_filesz;
    g.mft_ph.p_type = PT_NULL;
    g.abi.head.h.n_descsz += 4; /* the gap between them belongs to the first one */
    refused("wrong size");
    memcpy(g.abi.head.owner, "GNU\0\0", 6);
    refused("no Solo5 ABI note");
    assert_int_equal(img.mft_size, 8 + 3 * 104);
}

/* A segment that claims more than the file holds is found when it is loaded: reads are bounded. */
static void test_read_at(void **state)
{
    struct elf_file file = {.fd = -1, .buf = (const uint8_t *)&g, .size = 100};
    char buf[64];

    (void)state;
    assert_int_equal(elf_read_at(&file, buf, 64, 36, "x", &fault), 0);
    assert_int_equal(elf_read_at(&file, buf, 64, 37, "x", &fault), -1);
    assert_int_equal(elf_read_at(&file, buf, 64, UINT64_MAX - 3, "x", &fault), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sound, setup),
        cmocka_unit_test_setup(test_truncated, setup),
        cmocka_unit_test_setup(test_headers, setup),
        cmocka_unit_test_setup(test_segments, setup),
        cmocka_unit_test_setup(test_overlap, setup),
        cmocka_unit_test_setup(test_zero_segment, setup),
        cmocka_unit_test_setup(test_notes, setup),
        cmocka_unit_test_setup(test_notes_together, setup),
        cmocka_unit_test_setup(test_read_at, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
