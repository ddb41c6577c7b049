/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_debug - the members debug_begin, debug_end and dump of the driver qemu; see vmm.h. */
#ifndef UNICRI_VMM_QEMU_DEBUG_H
#define UNICRI_VMM_QEMU_DEBUG_H

#include "vmm/vmm.h"

int qemu_debug_begin(int fd, int gdb_fd, deadline_t deadline, struct err *err) MUST_CHECK;
int qemu_debug_end(int fd, deadline_t deadline, char ret[VMM_RECORD_LINE],
                   struct err *err) MUST_CHECK;
int qemu_dump(int fd, int out_fd, deadline_t deadline, struct err *err) MUST_CHECK;

#endif
