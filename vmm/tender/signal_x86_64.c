/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM and SIGINT. As the first process of a PID namespace the tender would not even notice a
 * SIGTERM without a handler, so it has one. Under spt the handler interrupts the guest: nothing of
 * the C runtime may be used there (the thread register is the guest's, the stack too), hence a few
 * instructions that end the process, on a stack of their own.
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

/* As much as the kernel ever pushes (AMX state included); untouched until a signal comes. */
static _Alignas(64) unsigned char signal_stack[32 << 10];

/* edi holds the signal number: exit_group(128 + signal). */
__asm__(".text\n"
        ".globl tender_signal_exit\n"
        ".type tender_signal_exit, @function\n"
        "tender_signal_exit:\n"
        "	addl $128, %edi\n"
        "	movl $231, %eax\n"
        "	syscall\n"
        "	ud2\n"
        ".size tender_signal_exit, . - tender_signal_exit\n");
void tender_signal_exit(int sig);
_Static_assert(SYS_exit_group == 231, "number in the handler above");

int signals_setup(struct fault *f)
{
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    struct sigaction end = {.sa_handler = tender_signal_exit, .sa_flags = SA_ONSTACK};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    sigemptyset(&none);
    sigfillset(&end.sa_mask);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGTERM, &end, NULL) != 0 ||
        sigaction(SIGINT, &end, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0 ||
        sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        return fault_sys(f, "signals: set up");
    return 0;
}
