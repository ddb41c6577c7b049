/* SPDX-License-Identifier: Apache-2.0 */
/*
 * websocket - the server's side of RFC 6455 over wslay: bytes in, messages out, no I/O. A message
 * longer than WEBSOCKET_MESSAGE_MAX_BYTES ends the connection, as does every breach of the
 * protocol; pings are answered here.
 */
#ifndef UNICRI_CRI_STREAM_WEBSOCKET_H
#define UNICRI_CRI_STREAM_WEBSOCKET_H

#include <stdbool.h>

#include "base/mem.h"

#define WEBSOCKET_MESSAGE_MAX_BYTES 1048576

struct websocket;

struct websocket_events {
    void (*message)(void *arg, const char *data, size_t len);
    bool (*dead)(void *arg); /* nothing more is called then */
    void (*write)(void *arg, const void *data, size_t len);
};

struct websocket *websocket_new(const struct websocket_events *events, void *arg);
void websocket_free(struct websocket *w);
/** websocket_feed() - Returns: 1 when the client has closed; 0; -1 when it broke the protocol: the
 * answer has been written in both cases. */
int websocket_feed(struct websocket *w, const char *data, size_t len, struct err *err) MUST_CHECK;
void websocket_send(struct websocket *w, bool text, const void *data, size_t len);
/** websocket_close() - the normal end. */
void websocket_close(struct websocket *w);

/** websocket_accept() - the answer to Sec-WebSocket-Key; owned. */
char *websocket_accept(const char *key);

#endif
