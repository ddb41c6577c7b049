/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault - places where tests make things fail. Compiled to nothing in a release build
 * (UNICRI_FAULTS off).
 *
 * The environment variable UNICRI_FAULTS, read once at start, is a comma separated list of
 * NAME=ACTION[@N]: pod.network.after=kill      kill -9 of the process itself at that point
 *     fs.write=ENOSPC             the call fails with that errno (names: errno constants)
 *     pod.*=kill@3                '*' matches the rest of a name; @3 = only the third time it is
 * passed cni.add=delay:1500          sleeps milliseconds, then goes on UNICRI_FAULTS_TRACE=FILE
 * appends every name passed, one a line (tests list the points by it).
 */
#ifndef UNICRI_BASE_FAULT_H
#define UNICRI_BASE_FAULT_H

#include "base/err.h"

#ifdef UNICRI_FAULTS
/** fault_hit() - Returns: 0 to go on, or an errno value that the caller must fail with. */
int fault_hit(const char *name);
/** fault_set() - replace the list (unit tests). NULL or "" clears it. */
void fault_set(const char *list);
#else
static inline int fault_hit(const char *name)
{
    (void)name;
    return 0;
}
#endif

/* In functions that return int and have `err`: FAULT_POINT("image.commit"); */
#define FAULT_POINT(name)                                                                          \
    do {                                                                                           \
        int fault_ = fault_hit(name);                                                              \
        if (fault_)                                                                                \
            return err_errno(err, fault_, "%s", name);                                             \
    } while (0)

#endif
