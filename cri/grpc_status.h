/* SPDX-License-Identifier: Apache-2.0 */
/* grpc_status - the one place where errors become gRPC status codes. */
#ifndef UNICRI_CRI_GRPC_STATUS_H
#define UNICRI_CRI_GRPC_STATUS_H

#include <grpc/status.h>

#include "base/err.h"

/** grpc_status_of() - ERR_NONE is OK; whatever is not known is INTERNAL. */
grpc_status_code grpc_status_of(enum err_code code);
/** grpc_status_name() - "NOT_FOUND" and so on; "?" for a number that is none. */
const char *grpc_status_name(grpc_status_code code);

#endif
