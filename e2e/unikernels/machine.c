/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine - a guest of machines for debuggers, entered by the PVH protocol: it goes to 64 bits with
 * its first GiB mapped where it is, and counts in a global, deep in three functions with frame
 * pointers. With "stop" as command line it counts to 60 and dies of a triple fault, with "panic" it
 * tells pvpanic, with "off" it has itself switched off. The linker script is roles.lds.
 */
#include "e2e/unikernels/pvh.h"

#define PAUSES 20000 /* between two numbers */
#define LAST   60

void guest_main(const struct start_info *info);

volatile uint64_t debug_counter;
volatile char debug_text[16] = "in the guest";

__attribute__((noinline)) uint64_t debug_inner(uint64_t by);
__attribute__((noinline)) uint64_t debug_middle(uint64_t by);
__attribute__((noinline)) uint64_t debug_outer(uint64_t by);

/* The note; page tables with 512 pages of 2 MiB; protected mode without paging to long mode. */
__asm__(PVH_NOTE ".section .data\n"
                 ".balign 8\n"
                 "gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff\n"
                 "gdt_pointer: .word . - gdt - 1\n"
                 ".quad gdt\n"
                 ".section .bss\n"
                 ".balign 4096\n"
                 "top: .skip 4096\n"
                 "second: .skip 4096\n"
                 "third: .skip 4096\n"
                 "stack: .skip 16384\n"
                 "stack_end:\n"
                 ".text\n"
                 ".code32\n"
                 ".global pvh_entry\n"
                 "pvh_entry: cli\n"
                 "mov %ebx, %esi\n"
                 "mov $second, %eax\n"
                 "or $3, %eax\n"
                 "mov %eax, top\n"
                 "mov $third, %eax\n"
                 "or $3, %eax\n"
                 "mov %eax, second\n"
                 "mov $0x83, %eax\n"
                 "mov $third, %edi\n"
                 "1: mov %eax, (%edi)\n"
                 "add $8, %edi\n"
                 "add $0x200000, %eax\n"
                 "cmp $third + 4096, %edi\n"
                 "jb 1b\n"
                 "mov $top, %eax\n"
                 "mov %eax, %cr3\n"
                 "mov %cr4, %eax\n"
                 "or $0x20, %eax\n" /* PAE */
                 "mov %eax, %cr4\n"
                 "mov $0xc0000080, %ecx\n" /* EFER */
                 "rdmsr\n"
                 "or $0x100, %eax\n" /* LME */
                 "wrmsr\n"
                 "mov %cr0, %eax\n"
                 "or $0x80000001, %eax\n"
                 "mov %eax, %cr0\n"
                 "lgdt gdt_pointer\n"
                 "ljmp $8, $2f\n"
                 ".code64\n"
                 "2: mov $16, %eax\n"
                 "mov %eax, %ds\n"
                 "mov %eax, %es\n"
                 "mov %eax, %ss\n"
                 "mov $stack_end, %rsp\n"
                 "xor %ebp, %ebp\n"
                 "mov %esi, %edi\n"
                 "call guest_main\n"
                 "3: hlt\n"
                 "jmp 3b\n");

uint64_t debug_inner(uint64_t by)
{
    for (int i = 0; i < PAUSES; i++)
        __asm__ volatile("pause");
    debug_counter += by;
    return debug_counter;
}

uint64_t debug_middle(uint64_t by)
{
    return debug_inner(by) + 1;
}

uint64_t debug_outer(uint64_t by)
{
    return debug_middle(by) + 1;
}

static void say_count(void)
{
    say("machine: counted to ");
    say_number(debug_counter);
    say("\n");
}

static void end(char how)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none;

    if (how == 's')
        __asm__ volatile("lidt %0\n"
                         "int3" ::"m"(none));
    else if (how == 'p')
        out8(PANIC_PORT, 1);
    else if (how == 'o')
        __asm__ volatile("outw %0, %1" ::"a"((uint16_t)0x2000), "Nd"((uint16_t)PM1A));
}

void guest_main(const struct start_info *info)
{
    const char *line = (const char *)info->cmdline;

    say("machine: counting\n");
    for (;;) {
        (void)debug_outer(1);
        if (debug_counter == LAST)
            end(*line);
        if (debug_counter % 50 == 0)
            say_count();
    }
}
