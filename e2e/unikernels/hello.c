/* SPDX-License-Identifier: Apache-2.0 */
/* Greets, shows its command line, ends with 0. */
#include "e2e/unikernels/guest.h"

GUEST_MANIFEST(1, GUEST_RESERVED);

int guest_main(const char *cmdline)
{
    say("Hello from a unikernel");
    say("command line: %s", cmdline);
    return 0;
}
