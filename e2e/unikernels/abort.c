/* SPDX-License-Identifier: Apache-2.0 */
/* Ends as Solo5's abort does: a line with ABORT, status 255. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    (void)cmdline;
    say("ABORT: as asked");
    guest_exit(SOLO5_EXIT_ABORT);
}
