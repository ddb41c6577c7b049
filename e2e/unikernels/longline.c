/* SPDX-License-Identifier: Apache-2.0 */
/* Prints one line of 40000 bytes and then a last one that is not ended. */
#include "e2e/unikernels/guest.h"

#define LONG_LINE 40000u /* bytes, without the newline */

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    static char line[LONG_LINE + 1];
    static const char rest[] = "a line without an end";

    (void)cmdline;
    for (unsigned i = 0; i < LONG_LINE; i++)
        line[i] = (char)('a' + i % 26);
    line[LONG_LINE] = '\n';
    console_write(line, sizeof(line));
    console_write(rest, sizeof(rest) - 1);
    return 0;
}
