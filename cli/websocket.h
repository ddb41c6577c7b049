/* SPDX-License-Identifier: Apache-2.0 */
/*
 * websocket - the client's side of a streaming exec over WebSocket (RFC 6455, v5.channel.k8s.io):
 * the upgrade, and messages whose first byte is a channel. The server is the daemon on this node;
 * its frames are bounded all the same. Blocks; one thread.
 */
#ifndef UNICRI_CLI_WEBSOCKET_H
#define UNICRI_CLI_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

#define WEBSOCKET_FRAME_MAX_BYTES (2 * 1024 * 1024)

enum { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERR, CHANNEL_STATUS, CHANNEL_CLOSE = 255 };

struct websocket {
    int fd;
    struct strbuf in; /* bytes that are no whole frame yet */
    struct strbuf message;
};

/** websocket_open() - to a URL that Exec gave. Errors: INVALID (URL), UNAVAILABLE, with the
 * server's words. */
int websocket_open(struct websocket *w, const char *url, struct err *err) MUST_CHECK;
void websocket_done(struct websocket *w);
/** websocket_send() - one message on a channel. Errors: UNAVAILABLE. */
int websocket_send(struct websocket *w, uint8_t channel, const void *data, size_t len,
                   struct err *err) MUST_CHECK;
/** websocket_receive() - more bytes from fd, once. Returns: 1, 0 at the end, -1. */
int websocket_receive(struct websocket *w, struct err *err) MUST_CHECK;
/** websocket_next() - the next whole message in w->message; pings are answered. Returns: 1; 0: more
 * bytes are needed; 2: the server has closed; -1: CORRUPT. */
int websocket_next(struct websocket *w, struct err *err) MUST_CHECK;

#endif
