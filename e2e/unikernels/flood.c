/* SPDX-License-Identifier: Apache-2.0 */
/* Prints numbered lines as fast as it can, for ever or as many as its argument says. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    const char *at = cmdline;
    long count = parse_unsigned(&at, INT32_MAX);

    for (unsigned i = 1; count < 0 || i <= (unsigned)count; i++)
        say("flood: line %u of many, so that the console never rests", i);
    return 0;
}
