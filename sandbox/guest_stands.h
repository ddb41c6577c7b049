/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_stands - guests that stand still for good though their VMM lives: after an error that the
 * VMM cannot go on from, or held at their end for a core file. What the VMM has written to its
 * record tells; while there are such VMMs it is looked at twice a second. The VMM is killed, and
 * what its record says becomes the container's reason.
 */
#ifndef UNICRI_SANDBOX_GUEST_STANDS_H
#define UNICRI_SANDBOX_GUEST_STANDS_H

#include "sandbox/runtime.h"

/** guest_stands_watch() - from now on, if its VMM is one that can hold it. Thread: any. */
void guest_stands_watch(const struct container *c);

#endif
