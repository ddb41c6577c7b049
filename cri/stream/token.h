/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token - what Exec, Attach and PortForward leave for the connection that is to come: the request,
 * under a name that cannot be guessed (256 bits), good for one use within TOKEN_LIFETIME, and at
 * most TOKENS_MAX at once. Thread: any.
 */
#ifndef UNICRI_CRI_STREAM_TOKEN_H
#define UNICRI_CRI_STREAM_TOKEN_H

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"

#define TOKENS_MAX     1000
#define TOKEN_LIFETIME (60 * NSEC_PER_SEC)
#define TOKEN_LEN      ID_LEN

enum stream_kind { STREAM_EXEC, STREAM_ATTACH, STREAM_PORT_FORWARD };

#define STREAM_PORTS_MAX 64

/* What a client may do with its connection. */
struct stream_request {
    enum stream_kind kind;
    char id[ID_LEN + 1]; /* of the container or the pod */
    char **argv;         /* owned; Exec */
    bool tty, in, out, errout;
    uint16_t ports[STREAM_PORTS_MAX]; /* PortForward by channels */
    size_t n_ports;
};
void stream_request_free(struct stream_request *request);
DEFINE_CLEANUP(struct stream_request *, stream_request_free);

struct tokens;
struct tokens *tokens_new(void);
void tokens_free(struct tokens *tokens);

/** tokens_put() - keep a request, which is taken over in any case; `now` as clock_mono(). Writes
 * TOKEN_LEN digits and a NUL. Errors: EXHAUSTED. */
int tokens_put(struct tokens *tokens, struct stream_request *request, nsec_t now,
               char ret[TOKEN_LEN + 1], struct err *err) MUST_CHECK;
/** tokens_take() - the request, owned by the caller; NULL: unknown, used or too old. */
struct stream_request *tokens_take(struct tokens *tokens, enum stream_kind kind, const char *token,
                                   nsec_t now);

#endif
