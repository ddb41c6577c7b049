/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine - take everything away from this process but what unpacking into the current directory
 * needs: that directory becomes its only file system, few capabilities, no network, no new
 * programs, bounded memory, time and file size.
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_CONFINE_H
#define UNICRI_IMAGESTORE_UNPACK_CONFINE_H

#include <stdint.h>

#include "base/err.h"

struct confine_limits {
    uint64_t file_bytes, cpu_seconds;
    uint32_t uid; /* 0: stay root, with the few capabilities */
};
/** confine() - for good. Errors: DENIED and INTERNAL, naming the step; then the process must end.
 */
int confine(const struct confine_limits *limits, struct err *err) MUST_CHECK;

#endif
