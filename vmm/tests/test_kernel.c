/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels are taken for by their bytes, and headers that lie. */
#include <stddef.h>

#include "base/tests/testing.h"
#include "vmm/private.h"

#include "kernel.h"

static struct err err;
static struct guest guest = {.binary = (char *)(uintptr_t) "/k"};

static int probe(const void *data, size_t len)
{
    autofd int fd = kernel_open(data, len);

    return guest_probe_kernel(&guest, fd, &err);
}

/* An ELF file that loads itself to 1 MiB; then a note and a place for a multiboot header. */
struct elf {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[3];
    struct {
        Elf64_Nhdr head;
        char owner[4];
        uint32_t entry;
    } pvh;
    uint32_t multiboot[12];
    char code[64];
};
#define BASE 0x100000u

static void elf_make(struct elf *e)
{
    memset(e, 0, sizeof(*e));
    memcpy(e->eh.e_ident, ELFMAG, SELFMAG);
    e->eh.e_ident[EI_CLASS] = ELFCLASS64;
    e->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    e->eh.e_type = ET_EXEC;
    e->eh.e_machine = EM_X86_64;
    e->eh.e_entry = BASE + offsetof(struct elf, code);
    e->eh.e_phoff = offsetof(struct elf, ph);
    e->eh.e_phentsize = sizeof(Elf64_Phdr);
    e->eh.e_phnum = 1;
    e->ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                            .p_paddr = BASE,
                            .p_vaddr = BASE,
                            .p_filesz = sizeof(*e),
                            .p_memsz = sizeof(*e) + 4096};
    e->ph[1] = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = offsetof(struct elf, pvh), .p_filesz = sizeof(e->pvh)};
    e->pvh.head = (Elf64_Nhdr){4, 4, 18};
    memcpy(e->pvh.owner, "Xen", 4);
    e->pvh.entry = BASE + offsetof(struct elf, code);
}

static void multiboot_make(struct elf *e, uint32_t flags)
{
    const uint32_t header = BASE + offsetof(struct elf, multiboot);
    const uint32_t words[] = {0x1badb002,
                              flags,
                              0u - 0x1badb002 - flags,
                              header,
                              BASE,
                              BASE + sizeof(*e),
                              BASE + sizeof(*e) + 64,
                              BASE + offsetof(struct elf, code)};

    memcpy(e->multiboot, words, sizeof(words));
}

static void elf_kinds(void **state)
{
    struct elf e;

    (void)state;
    elf_make(&e);
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_ELF64);
    assert_int_equal(guest.kernel_end, BASE + sizeof(e) + 4096);
    assert_err(kernel_fits(&guest, 1U << KERNEL_PVH, "QEMU", &err), err, ERR_UNSUPPORTED,
               "kernel '/k': is an ELF file for Firecracker's entry");
    assert_ok(kernel_fits(&guest, 1U << KERNEL_ELF64, "Firecracker", &err), err);
    e.eh.e_phnum = 2;
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_PVH);
    /* QEMU loads a 64-bit file by multiboot only by the header's own addresses */
    multiboot_make(&e, 0);
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_PVH);
    multiboot_make(&e, 0x10000);
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_MULTIBOOT);
    multiboot_make(&e, 3);
    e.eh.e_machine = EM_386;
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_MULTIBOOT);
    e.multiboot[2]++; /* the checksum */
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_PVH);
}

static void elf32(void **state)
{
    struct {
        Elf32_Ehdr eh;
        Elf32_Phdr ph;
        uint32_t multiboot[12];
    } e = {.eh = {.e_type = ET_EXEC,
                  .e_machine = EM_386,
                  .e_entry = BASE,
                  .e_phoff = sizeof(Elf32_Ehdr),
                  .e_phentsize = sizeof(Elf32_Phdr),
                  .e_phnum = 1},
           .ph = {.p_type = PT_LOAD, .p_paddr = BASE, .p_filesz = 64, .p_memsz = 64},
           .multiboot = {0x1badb002, 0, 0u - 0x1badb002}};

    (void)state;
    memcpy(e.eh.e_ident, ELFMAG, SELFMAG);
    e.eh.e_ident[EI_CLASS] = ELFCLASS32;
    e.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_MULTIBOOT);
    e.multiboot[0] = 0;
    assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, "without a multiboot header");
}

static void elf_lies(void **state)
{
    static const struct {
        size_t offset;
        uint64_t value;
        const char *words;
    } cases[] = {
        {offsetof(struct elf, ph[0].p_filesz), 1 << 20, "segment 0 ends behind the file"},
        {offsetof(struct elf, ph[0].p_offset), UINT64_MAX, "segment 0 ends behind the file"},
        {offsetof(struct elf, ph[0].p_memsz), 8, "longer in the file than in memory"},
        {offsetof(struct elf, ph[0].p_memsz), UINT64_MAX - 5, "segment 0 wraps around"},
        {offsetof(struct elf, ph[0].p_paddr), UINT64_MAX - 5, "segment 0 wraps around"},
        {offsetof(struct elf, ph[0].p_vaddr), UINT64_MAX - 5, "segment 0 wraps around"},
        {offsetof(struct elf, eh.e_entry), 7, "its entry lies outside"},
        {offsetof(struct elf, ph[0].p_type), 0, "has nothing to load"},
    };
    struct elf e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        elf_make(&e);
        memcpy((char *)&e + cases[i].offset, &cases[i].value,
               cases[i].offset == offsetof(struct elf, ph[0].p_type) ? 4 : 8);
        assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, cases[i].words);
    }
    elf_make(&e);
    e.eh.e_phnum = 2;
    e.ph[1] = e.ph[0];
    assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, "segments 0 and 1 lie on each other");
    elf_make(&e);
    e.eh.e_phnum = 2;
    e.pvh.entry = 0x7c00;
    assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, "its PVH entry lies outside");
    e.pvh.head.n_descsz = 3;
    assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, "PVH note has 3 bytes");
    elf_make(&e);
    e.eh.e_machine = EM_AARCH64;
    assert_err(probe(&e, sizeof(e)), err, ERR_UNSUPPORTED, "is built for aarch64");
    e.eh.e_machine = EM_X86_64;
    e.eh.e_type = ET_REL;
    assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, "ELF file of type 1");
    e.eh.e_ident[EI_DATA] = ELFDATA2MSB;
    assert_err(probe(&e, sizeof(e)), err, ERR_UNSUPPORTED, "big-endian");
}

static void multiboot_lies(void **state)
{
    static const struct {
        size_t word;
        uint32_t value;
        const char *words;
    } cases[] = {
        {3, BASE - 1, "loads from before the file"},
        {4, 0, "loads from before the file"},
        {5, BASE + (1 << 20), "loads from behind the file"},
        {5, BASE - 1, "loads from behind the file"},
        {6, BASE + 1, "its memory ends too early"},
        {7, BASE - 1, "its entry lies outside"},
        {7, UINT32_MAX, "its entry lies outside"},
    };
    struct elf e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        elf_make(&e);
        multiboot_make(&e, 0x10000);
        e.multiboot[cases[i].word] = cases[i].value;
        assert_err(probe(&e, sizeof(e)), err, ERR_INVALID, cases[i].words);
    }
    elf_make(&e);
    multiboot_make(&e, 0x10000);
    memset(e.eh.e_ident, 0, sizeof(e.eh.e_ident)); /* a flat file */
    assert_ok(probe(&e, sizeof(e)), err);
    assert_int_equal(guest.kernel, KERNEL_MULTIBOOT);
}

static void put16(uint8_t *b, size_t at, unsigned v)
{
    b[at] = (uint8_t)v;
    b[at + 1] = (uint8_t)(v >> 8);
}

static void linux_make(uint8_t *b, size_t len)
{
    memset(b, 0, len);
    b[0x1f1] = 1;
    put16(b, 0x1f4, (unsigned)((len - 1024) / 16));
    put16(b, 0x1fe, 0xaa55);
    put16(b, 0x202, 'H' | 'd' << 8);
    put16(b, 0x204, 'r' | 'S' << 8);
    put16(b, 0x206, 0x20f);
    b[0x211] = 1;
    put16(b, 0x236, 1);
    put16(b, 0x262, 0x100);
}

static void linux_images(void **state)
{
    uint8_t b[4096];

    (void)state;
    linux_make(b, sizeof(b));
    assert_ok(probe(b, sizeof(b)), err);
    assert_int_equal(guest.kernel, KERNEL_BZIMAGE);
    assert_int_equal(guest.kernel_end, 0x1000000);
    assert_err(probe(b, sizeof(b) - 512), err, ERR_INVALID, "is it cut off?");
    b[0x1f1] = 200;
    assert_err(probe(b, sizeof(b)), err, ERR_INVALID, "is it cut off?");
    linux_make(b, sizeof(b));
    put16(b, 0x206, 0x203);
    assert_err(probe(b, sizeof(b)), err, ERR_UNSUPPORTED, "boot protocol 2.03 is too old");
    linux_make(b, sizeof(b));
    put16(b, 0x236, 0);
    assert_err(probe(b, sizeof(b)), err, ERR_UNSUPPORTED, "is a Linux kernel for i386");
    linux_make(b, sizeof(b));
    b[0x211] = 0;
    assert_err(probe(b, sizeof(b)), err, ERR_UNSUPPORTED, "zImage");
    linux_make(b, sizeof(b));
    b[0x1fe] = 0;
    assert_err(probe(b, sizeof(b)), err, ERR_INVALID, "lacks its boot flag");
}

static void no_kernels(void **state)
{
    const char arm[64] = {[56] = 'A', 'R', 'M', '\x64'};

    (void)state;
    assert_err(probe("", 0), err, ERR_INVALID, "is an empty file");
    assert_err(probe("#!/bin/sh\n", 10), err, ERR_INVALID, "is a script");
    assert_err(probe("\x1f\x8b\x08", 3), err, ERR_INVALID, "is compressed");
    assert_err(probe("QFI\xfb", 4), err, ERR_INVALID, "is a disk image");
    assert_err(probe("hello", 5), err, ERR_INVALID, "is no ELF file");
    assert_err(probe(arm, sizeof(arm)), err, ERR_UNSUPPORTED, "is a Linux kernel for aarch64");
    assert_int_equal(guest.kernel, KERNEL_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elf_kinds),    cmocka_unit_test(elf32),
        cmocka_unit_test(elf_lies),     cmocka_unit_test(multiboot_lies),
        cmocka_unit_test(linux_images), cmocka_unit_test(no_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
