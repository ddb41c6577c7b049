/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_init_x86_64 - for guest_init.c: where the kernel enters the program, and how it is called.
 */
#ifndef UNICRI_VMM_GUESTINIT_GUEST_INIT_X86_64_H
#define UNICRI_VMM_GUESTINIT_GUEST_INIT_X86_64_H

#define SYS_READ   0
#define SYS_WRITE  1
#define SYS_OPEN   2
#define SYS_CLOSE  3
#define SYS_EXECVE 59
#define SYS_EXIT   60
#define SYS_RMDIR  84
#define SYS_UNLINK 87

/* Calls start() with the stack as the kernel left it: argc, argv, NULL, envp, NULL. */
__asm__(".globl _start\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    andq $-16, %rsp\n"
        "    call start\n"
        "    ud2\n");

static inline long call(long number, long a, long b, long c)
{
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

#endif
