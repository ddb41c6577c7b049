/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For debuggers: counts in a global, deep in three functions with frame pointers, and sleeps 20 ms
 * between. "stop" as argument: it counts to 60, then reads from nowhere.
 */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

volatile uint64_t debug_counter;
volatile char debug_text[16] = "in the guest";

__attribute__((noinline)) uint64_t debug_inner(uint64_t by);
__attribute__((noinline)) uint64_t debug_middle(uint64_t by);
__attribute__((noinline)) uint64_t debug_outer(uint64_t by);

uint64_t debug_inner(uint64_t by)
{
    debug_counter += by;
    (void)guest_wait(guest_clock() + 20 * (NSEC_PER_SEC / 1000));
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

int guest_main(const char *cmdline)
{
    say("debug: counting");
    for (;;) {
        (void)debug_outer(1);
        if (debug_counter == 60 && strcmp(cmdline, "stop") == 0)
            (void)*(volatile const char *)UINT64_C(0x700000000000);
        if (debug_counter % 50 == 0)
            say("debug: counted to %u", (unsigned)debug_counter);
    }
}
