/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_client - what a client of remotecommand says and hears besides bytes: names of streams,
 * terminal sizes, the status at the end. Pure functions. Roles have the numbers of WebSocket's
 * channels.
 */
#ifndef UNICRI_CRI_STREAM_REMOTE_CLIENT_H
#define UNICRI_CRI_STREAM_REMOTE_CLIENT_H

#include <stdbool.h>

#include "base/strbuf.h"

enum remote_role { ROLE_IN, ROLE_OUT, ROLE_ERR, ROLE_STATUS, ROLE_RESIZE, ROLES };

#define RESIZE_TEXT_MAX_BYTES 1024

/** remote_role_parse() - the value of `streamtype`; -1 when unknown. */
int remote_role_parse(const char *name);

struct terminal_size {
    unsigned width, height; /* 0: none */
};
/** remote_resize_feed() - JSON objects, in pieces of any size; the last complete one counts. What
 * is no JSON is dropped. `text` keeps what is incomplete. Returns: true when *ret was set. */
bool remote_resize_feed(struct strbuf *text, const char *data, size_t len,
                        struct terminal_size *ret);

/** remote_status() - what is written to the error stream at the end: `error` NULL and code 0 is
 * success. Owned; may be empty, then nothing is written. */
char *remote_status(int version, const char *error, int code);

#endif
