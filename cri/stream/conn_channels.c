/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_channels - between a connection's protocol and its session, both ways: SPDY's streams and
 * WebSocket's numbered channels look the same from above. The connection's life is in conn.c.
 */
#include <string.h>

#include "cri/stream/conn.h"

#define CHUNK_BYTES 24576 /* of data in one WebSocket message */

static void wire_write(void *arg, const void *data, size_t len)
{
    struct conn *c = arg;

    if (c->state == CONN_OPEN)
        fdio_write(c->io, data, len);
}

static void tunnel_write(void *arg, const void *data, size_t len)
{
    struct conn *c = arg;

    if (c->state == CONN_OPEN)
        websocket_send(c->ws, false, data, len);
}

static void spdy_write(void *arg, const void *data, size_t len)
{
    struct conn *c = arg;

    (c->ws ? tunnel_write : wire_write)(arg, data, len);
}

static bool is_dead(void *arg)
{
    const struct conn *c = arg;

    return c->state != CONN_OPEN || !c->ops;
}

static enum spdy_reset on_opened(void *arg, uint32_t id, const struct kvs *headers)
{
    struct conn *c = arg;

    return c->ops->opened(c->session, id, headers);
}

static void on_stream_data(void *arg, uint32_t id, const char *data, size_t len)
{
    struct conn *c = arg;

    c->ops->data(c->session, id, data, len);
}

static void on_stream_end(void *arg, uint32_t id)
{
    struct conn *c = arg;

    c->ops->end(c->session, id);
}

static void on_stream_reset(void *arg, uint32_t id)
{
    struct conn *c = arg;

    c->ops->reset(c->session, id);
}

static void on_goaway(void *arg)
{
    (void)arg; /* no more streams will come; those that are there go on */
}

const struct spdy_events conn_spdy_events = {
    .opened = on_opened,
    .data = on_stream_data,
    .end = on_stream_end,
    .reset = on_stream_reset,
    .goaway = on_goaway,
    .dead = is_dead,
    .write = spdy_write,
};

/* One message: a channel's number, then data; 255 and a number: the channel's end (version 5). */
static void on_channel_message(void *arg, const char *data, size_t len)
{
    struct conn *c = arg;
    autofree char *decoded = NULL;
    unsigned channel;

    if (len == 0)
        return;
    channel = (unsigned char)data[0];
    if (c->ws_base64) {
        long n;

        decoded = xmalloc(len);
        n = base64_decode(data + 1, len - 1, decoded, len, NULL);
        if (n < 0 || channel < '0' || channel > '9')
            return; /* not for any channel */
        c->ops->data(c->session, channel - '0', decoded, (size_t)n);
    } else if (channel == 255 && c->ws_half_close) {
        if (len == 2)
            c->ops->end(c->session, (unsigned char)data[1]);
    } else {
        c->ops->data(c->session, channel, data + 1, len - 1);
    }
}

static void on_tunnel_message(void *arg, const char *data, size_t len)
{
    struct conn *c = arg;
    struct err err = ERR_INIT;

    if (spdy_feed(c->spdy, data, len, &err) < 0 && c->state == CONN_OPEN)
        conn_protocol_error(c, &err);
}

const struct websocket_events conn_channel_events = {
    .message = on_channel_message, .dead = is_dead, .write = wire_write};
const struct websocket_events conn_tunnel_events = {
    .message = on_tunnel_message, .dead = is_dead, .write = wire_write};

static void send_channel(struct conn *c, uint32_t channel, const char *data, size_t len)
{
    autofree char *text = NULL;

    if (c->ws_base64) {
        autofree char *encoded = base64_encode(data, len);

        text = xasprintf("%c%s", (char)('0' + channel), encoded);
        websocket_send(c->ws, true, text, strlen(text));
        return;
    }
    text = xmalloc(len + 1);
    text[0] = (char)channel;
    if (len)
        memcpy(text + 1, data, len);
    websocket_send(c->ws, false, text, len + 1);
}

void conn_send(struct conn *c, uint32_t channel, const void *data, size_t len)
{
    const char *d = data;

    if (c->state != CONN_OPEN)
        return;
    conn_touch(c);
    if (c->spdy) {
        spdy_data(c->spdy, channel, data, len);
        return;
    }
    do {
        size_t n = len < CHUNK_BYTES ? len : CHUNK_BYTES;

        send_channel(c, channel, d, n);
        d = d ? d + n : d;
        len -= n;
    } while (len > 0);
}

void conn_send_end(struct conn *c, uint32_t channel)
{
    if (c->state == CONN_OPEN && c->spdy)
        spdy_end(c->spdy, channel);
}

void conn_send_reset(struct conn *c, uint32_t channel)
{
    if (c->state == CONN_OPEN && c->spdy)
        spdy_reset(c->spdy, channel, SPDY_CANCEL);
}

bool conn_blocked(const struct conn *c)
{
    return c->io && fdio_pending(c->io) > FDIO_HIGH_BYTES;
}

bool conn_by_channels(const struct conn *c)
{
    return c->ws && !c->spdy;
}
