/* SPDX-License-Identifier: Apache-2.0 */
/* Reads from an address that is not mapped: SIGSEGV under spt, a triple fault under hvt. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    volatile const char *nowhere = (volatile const char *)UINT64_C(0x700000000000);

    (void)cmdline;
    say("crash: reading from nowhere");
    say("crash: survived with %u", (unsigned)*nowhere);
    return 0;
}
