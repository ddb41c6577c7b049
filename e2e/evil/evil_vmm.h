/* SPDX-License-Identifier: Apache-2.0 */
/* evil_vmm - the table of what evil-vmm tries. */
#ifndef UNICRI_E2E_EVIL_VMM_H
#define UNICRI_E2E_EVIL_VMM_H

#include <stddef.h>

#define EVERY_FD (-1) /* instead of a system call: ioctl `a` of every descriptor, with `b` */

struct attempt {
    const char *name;
    long (*run)(void); /* or, where NULL, the system call below; negative: refused, see errno */
    long nr, a, b, c, d;
    long bound; /* a result up to this one is no escape: a resource that ends */
};
extern const struct attempt evil_attempts[];
extern const size_t evil_attempts_n;
/** evil_ask() - ioctl of each descriptor until one takes it. */
long evil_ask(unsigned long request, long argument);

#endif
