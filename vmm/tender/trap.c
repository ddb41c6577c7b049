/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender's side of trap.h. Whether somebody traces this process is a fact that only the kernel
 * knows, and there is no /proc here: an int3 asks it. A tracer gets the trap, and continues without
 * it; else the handler below gets it, and leaves a mark in the register that held the number.
 */
#include "vmm/tender/tender.h"

#include <signal.h>
#include <time.h>
#include <ucontext.h>

#define PAUSE_NS 1000000

#if defined(__x86_64__)
#define FIRST_REGISTER REG_RAX

bool trap_tell(uint64_t what)
{
    uint64_t told = what;

    __asm__ volatile("int3" : "+a"(told) : : "memory");
    return told == what;
}
#else
#error "the tender cannot trap on this architecture"
#endif

static void nobody_there(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;

    (void)sig;
    (void)info;
    c->uc_mcontext.gregs[FIRST_REGISTER] = 0;
}

int trap_setup(struct fault *f)
{
    struct sigaction trap = {.sa_sigaction = nobody_there, .sa_flags = SA_SIGINFO};

    return sigaction(SIGTRAP, &trap, NULL) != 0 ? fault_sys(f, "signals: set up") : 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void trap_wait(uint32_t ms)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    uint64_t end = now_ms() + ms;

    while (!trap_tell(TENDER_TRAP_READY) && now_ms() < end)
        (void)nanosleep(&pause, NULL);
}
