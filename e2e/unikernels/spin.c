/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a line, then keeps its processor busy for ever. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    (void)cmdline;
    say("spin: busy from now on");
    for (;;)
        __asm__ volatile("pause");
}
