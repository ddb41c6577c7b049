/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jump into an spt guest on x86_64: the C calling convention with the boot info as the only
 * argument, a stack as after a call, and no other register that tells of the tender.
 */
#include "vmm/tender/tender.h"

void spt_enter(uint64_t entry, uint64_t stack, uint64_t boot_info)
{
    register uint64_t target __asm__("rax") = entry;
    register uint64_t arg __asm__("rdi") = boot_info;

    __asm__ volatile("movq %[stack], %%rsp\n\t"
                     "xorl %%ebx, %%ebx\n\t"
                     "xorl %%ecx, %%ecx\n\t"
                     "xorl %%edx, %%edx\n\t"
                     "xorl %%esi, %%esi\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "xorl %%r8d, %%r8d\n\t"
                     "xorl %%r9d, %%r9d\n\t"
                     "xorl %%r10d, %%r10d\n\t"
                     "xorl %%r11d, %%r11d\n\t"
                     "xorl %%r12d, %%r12d\n\t"
                     "xorl %%r13d, %%r13d\n\t"
                     "xorl %%r14d, %%r14d\n\t"
                     "xorl %%r15d, %%r15d\n\t"
                     "cld\n\t"
                     "jmpq *%[target]"
                     :
                     : [target] "r"(target), [stack] "r"(stack), "r"(arg)
                     : "memory");
    __builtin_unreachable();
}
