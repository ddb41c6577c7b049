/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM and SIGINT. As the first process of a PID namespace the tender would not even notice a
 * SIGTERM without a handler, so it has one. Under spt the handler interrupts the guest: nothing of
 * the C runtime may be used there (the thread register is the guest's, the stack too), hence a few
 * instructions in last_ARCH.S, on a stack of their own, which lies apart from the program because
 * spt unmaps that.
 */
#include "vmm/tender/tender.h"

#include <signal.h>
#include <sys/mman.h>

#define STACK_SIZE                                                                                 \
    (32u << 10) /* bytes: as much as a processor state ever takes; untouched until a signal */

int signals_setup(struct fault *f)
{
    stack_t stack = {.ss_size = STACK_SIZE};
    struct sigaction end = {.sa_handler = tender_last_signal, .sa_flags = SA_ONSTACK};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    stack.ss_sp = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return fault_sys(f, "signals: map a stack");
    sigemptyset(&none);
    sigfillset(&end.sa_mask);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGTERM, &end, NULL) != 0 ||
        sigaction(SIGINT, &end, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0 ||
        sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        return fault_sys(f, "signals: set up");
    return 0;
}
