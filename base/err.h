/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - errors are values.
 *
 * A `struct err` is owned by the caller and needs no freeing. It is the last parameter of every
 * function that can fail; such a function returns 0 or -1 (or NULL), and touches *err only on
 * failure. Context is put in front while the error travels up, so that a message reads from the
 * outside in: load CNI config: open '/etc/cni/x.conflist': Permission denied Objects stand in
 * single quotes; there is no full stop.
 */
#ifndef UNICRI_BASE_ERR_H
#define UNICRI_BASE_ERR_H

#include <stddef.h>

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

#define ERR_MSG_MAX_BYTES 512

/* What the caller can do about it. Mapped 1:1 to gRPC codes in cri/grpc_status.c and nowhere else.
 */
enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,     /* the request is wrong; do not retry as it is (INVALID_ARGUMENT) */
    ERR_NOT_FOUND,   /* the object does not exist (NOT_FOUND) */
    ERR_EXISTS,      /* something else has that name (ALREADY_EXISTS) */
    ERR_STATE,       /* the object is not in a state that allows it (FAILED_PRECONDITION) */
    ERR_UNSUPPORTED, /* not built or not possible on this host (UNIMPLEMENTED) */
    ERR_DENIED,      /* not permitted (PERMISSION_DENIED) */
    ERR_EXHAUSTED,   /* a named limit was reached, disk, fds, memory (RESOURCE_EXHAUSTED) */
    ERR_DEADLINE,    /* the deadline passed (DEADLINE_EXCEEDED) */
    ERR_CANCELLED,   /* the client went away (CANCELLED) */
    ERR_UNAVAILABLE, /* a peer (registry, plugin, daemon) does not answer now; retry later
                        (UNAVAILABLE) */
    ERR_CORRUPT,     /* data is not what it claims to be: digest, row, file (DATA_LOSS) */
    ERR_UNKNOWN,     /* sent as UNKNOWN, whose text kubelet shows without a code (image pulls) */
    ERR_INTERNAL,    /* a failure of the system or of ours (INTERNAL) */
};

struct err {
    enum err_code code;
    int sys; /* errno at the origin, or 0 */
    char msg[ERR_MSG_MAX_BYTES];
};

#define ERR_INIT ((struct err){.code = ERR_NONE})

/**
 * err_set() - fill in an error.
 * Returns: always -1, so that `return err_set(err, ERR_STATE, "...")` is one line. A message that
 * does not fit is cut; control bytes in it (from hostile names) are replaced by '?'. `err` may be
 * NULL.
 */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/**
 * err_sys() - fill in an error from errno: `<message>: <strerror>`.
 * The code follows errno: ENOENT -> NOT_FOUND, EACCES/EPERM -> DENIED,
 * ENOSPC/EDQUOT/EMFILE/ENFILE/ENOMEM -> EXHAUSTED, ETIMEDOUT -> DEADLINE, EEXIST -> EXISTS, else
 * INTERNAL. Returns: always -1.
 */
int err_sys(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/** err_errno() - as err_sys() with an explicit errno value. Returns: always -1. */
int err_errno(struct err *err, int sys, const char *fmt, ...) PRINTF(3, 4);

/** err_wrap() - put `<message>: ` in front of an error that is set; the code stays. Returns: always
 * -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/** err_code_name() - "NOT_FOUND" and so on, for logs. */
const char *err_code_name(enum err_code code);

/* clang's analyzer does not look into err.c; told here that all of them return -1, it follows the
 * callers. */
#if defined(__clang_analyzer__) && !defined(UNICRI_ERR_C)
#define err_set(...)   (err_set(__VA_ARGS__), -1)
#define err_sys(...)   (err_sys(__VA_ARGS__), -1)
#define err_errno(...) (err_errno(__VA_ARGS__), -1)
#define err_wrap(...)  (err_wrap(__VA_ARGS__), -1)
#endif

#endif
