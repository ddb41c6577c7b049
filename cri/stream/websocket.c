/* SPDX-License-Identifier: Apache-2.0 */
/* websocket - see websocket.h. wslay asks for bytes by a callback; what was fed waits in `in`. */
#include "cri/stream/websocket.h"

#include <openssl/sha.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/strbuf.h"

#define KEY_MAX_BYTES 256

struct websocket {
    wslay_event_context_ptr ctx;
    const struct websocket_events *events;
    void *arg;
    const char *in; /* borrowed while feeding */
    size_t in_len;
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
    struct websocket *w = arg;
    size_t n = len < w->in_len ? len : w->in_len;

    (void)flags;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buf, w->in, n);
    w->in += n;
    w->in_len -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct websocket *w = arg;

    (void)ctx;
    (void)flags;
    w->events->write(w->arg, data, len);
    return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
    struct websocket *w = arg;

    (void)ctx;
    if (!wslay_is_ctrl_frame(m->opcode) && !w->events->dead(w->arg))
        w->events->message(w->arg, (const char *)m->msg, m->msg_length);
}

struct websocket *websocket_new(const struct websocket_events *events, void *arg)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    struct websocket *w = XNEW(struct websocket);

    w->events = events;
    w->arg = arg;
    if (wslay_event_context_server_init(&w->ctx, &callbacks, w) != 0)
        abort(); /* no memory */
    wslay_event_config_set_max_recv_msg_length(w->ctx, WEBSOCKET_MESSAGE_MAX_BYTES);
    return w;
}

void websocket_free(struct websocket *w)
{
    if (!w)
        return;
    wslay_event_context_free(w->ctx);
    free(w);
}

static void flush(struct websocket *w)
{
    if (wslay_event_want_write(w->ctx))
        (void)wslay_event_send(w->ctx);
}

int websocket_feed(struct websocket *w, const char *data, size_t len, struct err *err)
{
    w->in = data;
    w->in_len = len;

    int r = wslay_event_recv(w->ctx);

    flush(w);
    if (r == 0 && wslay_event_get_close_received(w->ctx))
        return 1;
    if (r != 0 || !wslay_event_get_read_enabled(w->ctx))
        return err_set(err, ERR_INVALID, "WebSocket: the client broke the protocol");
    return 0;
}

void websocket_send(struct websocket *w, bool text, const void *data, size_t len)
{
    struct wslay_event_msg m = {
        .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, .msg = data, .msg_length = len};

    if (wslay_event_queue_msg(w->ctx, &m) == 0)
        flush(w);
}

void websocket_close(struct websocket *w)
{
    if (wslay_event_queue_close(w->ctx, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
        flush(w);
}

char *websocket_accept(const char *key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH];

    if (strlen(key) > KEY_MAX_BYTES)
        key = "";

    autofree char *text = xasprintf("%s%s", key, guid);

    /* RFC 6455 section 4.2.2; it protects nothing. */
    (void)SHA1((const unsigned char *)text, strlen(text), digest);
    return base64_encode(digest, sizeof(digest));
}
