/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spdy - the server's side of SPDY/3.1 as Kubernetes' clients speak it: frames in, frames out, no
 * I/O.
 *
 * Only clients open streams (odd, rising ids). There is no flow control: clients never send
 * WINDOW_UPDATE, so the window of the specification would stop every transfer after 64 KiB; who
 * writes is held back by the connection's buffer instead. Data goes through in pieces of any size;
 * control frames are collected up to SPDY_CONTROL_MAX_BYTES, and what they unpack to is bounded by
 * SPDY_HEADERS_MAX_BYTES, whatever they claim. One inflate and one deflate context live as long as
 * the connection.
 */
#ifndef UNICRI_CRI_STREAM_SPDY_H
#define UNICRI_CRI_STREAM_SPDY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define SPDY_CONTROL_MAX_BYTES 65536
#define SPDY_HEADERS_MAX_BYTES 65536
#define SPDY_HEADERS_MAX       64
#define SPDY_STREAMS_MAX       2048 /* open at once */

enum spdy_reset {
    SPDY_PROTOCOL_ERROR = 1,
    SPDY_INVALID_STREAM = 2,
    SPDY_REFUSED_STREAM = 3,
    SPDY_CANCEL = 5,
};

struct spdy;

/* Streams are known by their ids. After `reset` the id is forgotten. A callback may end the whole
 * connection: it then makes `dead` true, and no more is called. */
struct spdy_events {
    /** A new stream; `headers` are borrowed. Returns: 0, or why it is refused. */
    enum spdy_reset (*opened)(void *arg, uint32_t id, const struct kvs *headers);
    void (*data)(void *arg, uint32_t id, const char *data, size_t len);
    void (*end)(void *arg, uint32_t id); /* the client's half is closed */
    void (*reset)(void *arg, uint32_t id);
    void (*goaway)(void *arg);
    bool (*dead)(void *arg);
    void (*write)(void *arg, const void *data, size_t len); /* bytes for the client */
};

struct spdy *spdy_new(const struct spdy_events *events, void *arg);
void spdy_free(struct spdy *s);

/** spdy_feed() - bytes from the client. Errors: INVALID (protocol), EXHAUSTED (a bound): the
 * connection is of no use any more. */
int spdy_feed(struct spdy *s, const char *data, size_t len, struct err *err) MUST_CHECK;

/** spdy_data() - on a stream that is open; nothing when it is not. */
void spdy_data(struct spdy *s, uint32_t id, const void *data, size_t len);
/** spdy_end() - close our half. A stream with both halves closed is forgotten. */
void spdy_end(struct spdy *s, uint32_t id);
void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset why);
/** spdy_goodbye() - cancel what is open and say that no more will come. */
void spdy_goodbye(struct spdy *s);

#endif
