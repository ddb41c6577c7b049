/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a line, then sleeps for ever. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    (void)cmdline;
    say("idle: waiting");
    for (;;)
        (void)guest_wait(guest_clock() + UINT64_C(365) * 86400 * NSEC_PER_SEC);
}
