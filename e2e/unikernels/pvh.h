/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh - what guests of machines share (roles, share, machine): how they are entered, ports, and the
 * serial line. The PVH protocol enters with 32 bits, flat, no paging, ebx pointing to the start
 * information. The note and the entry are in assembly, for a pointer in a note is no constant of C.
 */
#ifndef UNICRI_E2E_UNIKERNELS_PVH_H
#define UNICRI_E2E_UNIKERNELS_PVH_H

#include <stdint.h>

#define COM1       0x3f8
#define DEBUG_PORT 0x501 /* isa-debug-exit */
#define PANIC_PORT 0x505 /* pvpanic */
#define PM1A       0x604 /* q35's ACPI: sleep */
#define PVH_MAGIC  0x336ec578

struct start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};

void pvh_entry(void);

#define PVH_NOTE                                                                                   \
    ".section .note, \"a\"\n"                                                                      \
    ".long 4, 4, 18\n" /* XEN_ELFNOTE_PHYS32_ENTRY */                                              \
    ".asciz \"Xen\"\n"                                                                             \
    ".long pvh_entry\n"

/* A stack, and pvh_main(start information), which may return. */
#define PVH_ENTRY_32                                                                               \
    ".section .bss\n"                                                                              \
    ".balign 16\n"                                                                                 \
    "stack: .skip 16384\n"                                                                         \
    "stack_end:\n"                                                                                 \
    ".text\n"                                                                                      \
    ".global pvh_entry\n"                                                                          \
    "pvh_entry: cli\n"                                                                             \
    "mov $stack_end, %esp\n"                                                                       \
    "push %ebx\n"                                                                                  \
    "call pvh_main\n"                                                                              \
    "1: hlt\n"                                                                                     \
    "jmp 1b\n"

#define PORT_ACCESS(bits, type, suffix)                                                            \
    static inline void out##bits(uint16_t port, type value)                                        \
    {                                                                                              \
        __asm__ volatile("out" suffix " %0, %1" ::"a"(value), "Nd"(port));                         \
    }                                                                                              \
    static inline type in##bits(uint16_t port)                                                     \
    {                                                                                              \
        type value;                                                                                \
        __asm__ volatile("in" suffix " %1, %0" : "=a"(value) : "Nd"(port));                        \
        return value;                                                                              \
    }
PORT_ACCESS(8, uint8_t, "b")
PORT_ACCESS(16, uint16_t, "w")
PORT_ACCESS(32, uint32_t, "l")

static inline void say_byte(uint8_t c)
{
    while (!(in8(COM1 + 5) & 0x20))
        ;
    out8(COM1, c);
}

static inline void say(const char *s)
{
    for (; *s; s++)
        say_byte((uint8_t)*s);
}

/* uintptr_t: division of 64 bits needs a library in guests of 32. */
static inline void say_number(uintptr_t n)
{
    char digits[21];
    char *at = digits + sizeof(digits) - 1;

    *at = '\0';
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    say(at);
}

#endif
