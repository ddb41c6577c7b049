/* SPDX-License-Identifier: Apache-2.0 */
/* Ends with the status given as first argument. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    const char *at = cmdline;
    long status = parse_unsigned(&at, 255);

    if (status < 0 || (*at != '\0' && *at != ' ')) {
        say("exitcode: '%s' is no exit status from 0 to 255", cmdline);
        return 64;
    }
    say("exitcode: ending with %u", (unsigned)status);
    return (int)status;
}
