/* SPDX-License-Identifier: Apache-2.0 */
/* core_file - a stopped guest as an ELF core file that gdb opens: `gdb KERNEL CORE`. */
#ifndef UNICRI_SANDBOX_DEBUG_CORE_FILE_H
#define UNICRI_SANDBOX_DEBUG_CORE_FILE_H

#include "sandbox/debug/tracee.h"

struct core_request {
    int kernel_fd;      /* -1: not known */
    int signal;         /* why it stopped; 0 */
    uint64_t max_bytes; /* 0: no bound but the guest's memory */
};
/** core_file_write() - to stdout. The guest is stopped. Pages that it never touched are left out,
 * except in its kernel's own segments. Errors: EXHAUSTED (more than max_bytes: nothing has been
 * written), as output_write(). *ret_bytes: of the file. */
int core_file_write(const struct core_request *q, uint64_t *ret_bytes, struct err *err) MUST_CHECK;

#endif
