/* SPDX-License-Identifier: Apache-2.0 */
/* core_head - how long a core file is to become, by its first bytes. A hostile VMM has written
 * them: it is only believed that far. No I/O. */
#ifndef UNICRI_SANDBOX_DEBUG_CORE_HEAD_H
#define UNICRI_SANDBOX_DEBUG_CORE_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CORE_HEAD_BYTES 65536 /* its tables lie within */

/** core_head_bytes() - of the whole file. `len`: all of the file when it is shorter than
 * CORE_HEAD_BYTES. Errors: CORRUPT (no ELF core file of 64 bits, or tables that lie elsewhere). */
int core_head_bytes(const unsigned char *head, size_t len, uint64_t *ret,
                    struct err *err) MUST_CHECK;

#endif
