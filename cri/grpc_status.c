/* SPDX-License-Identifier: Apache-2.0 */
/* grpc_status - see the header. What clients make of a code: NOT_FOUND on a status means "gone",
 * UNIMPLEMENTED "do without", DEADLINE_EXCEEDED on ExecSync a failed probe; the text of UNKNOWN is
 * shown to users without a code. */
#include "cri/grpc_status.h"

#include "base/mem.h"

static const grpc_status_code codes[] = {
    [ERR_NONE] = GRPC_STATUS_OK,
    [ERR_INVALID] = GRPC_STATUS_INVALID_ARGUMENT,
    [ERR_NOT_FOUND] = GRPC_STATUS_NOT_FOUND,
    [ERR_EXISTS] = GRPC_STATUS_ALREADY_EXISTS,
    [ERR_STATE] = GRPC_STATUS_FAILED_PRECONDITION,
    [ERR_UNSUPPORTED] = GRPC_STATUS_UNIMPLEMENTED,
    [ERR_DENIED] = GRPC_STATUS_PERMISSION_DENIED,
    [ERR_EXHAUSTED] = GRPC_STATUS_RESOURCE_EXHAUSTED,
    [ERR_DEADLINE] = GRPC_STATUS_DEADLINE_EXCEEDED,
    [ERR_CANCELLED] = GRPC_STATUS_CANCELLED,
    [ERR_UNAVAILABLE] = GRPC_STATUS_UNAVAILABLE,
    [ERR_CORRUPT] = GRPC_STATUS_DATA_LOSS,
    [ERR_UNKNOWN] = GRPC_STATUS_UNKNOWN,
    [ERR_INTERNAL] = GRPC_STATUS_INTERNAL,
};

grpc_status_code grpc_status_of(enum err_code code)
{
    return (size_t)code < ARRAY_SIZE(codes) ? codes[code] : GRPC_STATUS_INTERNAL;
}

const char *grpc_status_name(grpc_status_code code)
{
    static const char *const names[] = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};

    return (size_t)code < ARRAY_SIZE(names) ? names[code] : "?";
}
