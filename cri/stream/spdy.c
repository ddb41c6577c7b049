/* SPDX-License-Identifier: Apache-2.0 */
/* spdy - see spdy.h. Header blocks are in spdy_headers.c. */
#include "cri/stream/spdy.h"

#include <string.h>

#include "base/strbuf.h"
#include "cri/stream/spdy_headers.h"

#define HEAD_BYTES     8
#define VERSION        3
#define FLAG_FIN       1
#define DATA_MAX_BYTES ((size_t)65536) /* in one frame of ours */
#define ID_MASK        UINT32_C(0x7fffffff)

enum frame {
    FRAME_SYN_STREAM = 1,
    FRAME_SYN_REPLY = 2,
    FRAME_RST_STREAM = 3,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_HEADERS = 8,
};

struct stream {
    uint32_t id;
    bool theirs_ended, ours_ended;
};

struct spdy {
    const struct spdy_events *events;
    void *arg;
    struct spdy_headers *headers;

    unsigned char head[HEAD_BYTES];
    size_t head_len;
    bool in_frame, skip; /* skip: a control frame that means nothing to us */
    size_t left;         /* bytes of the frame that are still to come */
    struct strbuf control;

    struct stream *streams; /* owned; sorted by id, since ids rise */
    size_t n, cap;
    uint32_t last_id;
};

static uint32_t get32(const void *p)
{
    const unsigned char *b = p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put32(unsigned char *b, uint32_t v)
{
    b[0] = (unsigned char)(v >> 24);
    b[1] = (unsigned char)(v >> 16);
    b[2] = (unsigned char)(v >> 8);
    b[3] = (unsigned char)v;
}

struct spdy *spdy_new(const struct spdy_events *events, void *arg)
{
    struct spdy *s = XNEW(struct spdy);

    s->events = events;
    s->arg = arg;
    s->headers = spdy_headers_new();
    s->control = (struct strbuf)STRBUF_INIT;
    return s;
}

void spdy_free(struct spdy *s)
{
    if (!s)
        return;
    spdy_headers_free(s->headers);
    strbuf_done(&s->control);
    free(s->streams);
    free(s);
}

/* --------------------------------------------------------------------- streams */

static struct stream *find(struct spdy *s, uint32_t id)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->streams[middle].id == id)
            return &s->streams[middle];
        if (s->streams[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void forget(struct spdy *s, uint32_t id)
{
    struct stream *stream = find(s, id);

    if (!stream)
        return;

    size_t at = (size_t)(stream - s->streams);

    memmove(stream, stream + 1, (s->n - at - 1) * sizeof(*stream));
    s->n--;
}

static void add(struct spdy *s, uint32_t id)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 8;
        s->streams = xrealloc_array(s->streams, s->cap, sizeof(*s->streams));
    }
    s->streams[s->n++] = (struct stream){.id = id};
    s->last_id = id;
}

/* --------------------------------------------------------------------- writing */

static void control_head(unsigned char *b, enum frame type, size_t len)
{
    put32(b, UINT32_C(0x80000000) | VERSION << 16 | type);
    put32(b + 4, (uint32_t)len);
}

static void send_reply(struct spdy *s, uint32_t id)
{
    autostrbuf frame = STRBUF_INIT;
    unsigned char head[12] = {0};

    strbuf_add(&frame, head, sizeof(head));
    spdy_headers_pack_none(s->headers, &frame);
    control_head(head, FRAME_SYN_REPLY, frame.len - HEAD_BYTES);
    put32(head + HEAD_BYTES, id);
    memcpy(frame.s, head, sizeof(head));
    s->events->write(s->arg, frame.s, frame.len);
}

static void send_two(struct spdy *s, enum frame type, uint32_t a, uint32_t b)
{
    unsigned char frame[16];

    control_head(frame, type, 8);
    put32(frame + 8, a);
    put32(frame + 12, b);
    s->events->write(s->arg, frame, sizeof(frame));
}

static void data_frame(struct spdy *s, uint32_t id, unsigned flags, const void *data, size_t len)
{
    unsigned char head[HEAD_BYTES];

    put32(head, id);
    put32(head + 4, flags << 24 | (uint32_t)len);
    s->events->write(s->arg, head, sizeof(head));
    if (len)
        s->events->write(s->arg, data, len);
}

void spdy_data(struct spdy *s, uint32_t id, const void *data, size_t len)
{
    const struct stream *stream = find(s, id);
    const char *d = data;

    if (!stream || stream->ours_ended)
        return;
    for (size_t n; len > 0; d += n, len -= n) {
        n = len < DATA_MAX_BYTES ? len : DATA_MAX_BYTES;
        data_frame(s, id, 0, d, n);
    }
}

void spdy_end(struct spdy *s, uint32_t id)
{
    struct stream *stream = find(s, id);

    if (!stream || stream->ours_ended)
        return;
    stream->ours_ended = true;
    data_frame(s, id, FLAG_FIN, NULL, 0);
    if (stream->theirs_ended)
        forget(s, id);
}

void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset why)
{
    if (!find(s, id))
        return;
    forget(s, id);
    send_two(s, FRAME_RST_STREAM, id, why);
}

void spdy_goodbye(struct spdy *s)
{
    while (s->n > 0)
        spdy_reset(s, s->streams[s->n - 1].id, SPDY_CANCEL);
    send_two(s, FRAME_GOAWAY, s->last_id, 0);
}

/* --------------------------------------------------------------------- reading */

static void their_end(struct spdy *s, uint32_t id)
{
    struct stream *stream = find(s, id);

    if (!stream || stream->theirs_ended)
        return;
    stream->theirs_ended = true;
    if (stream->ours_ended)
        forget(s, id);
    s->events->end(s->arg, id);
}

static int on_syn_stream(struct spdy *s, const char *body, size_t len, unsigned flags,
                         struct err *err)
{
    CLEANUP(kvs_done) struct kvs headers = {0};
    uint32_t id;
    enum spdy_reset refused;

    if (len < 10)
        return err_set(err, ERR_INVALID, "SPDY: SYN_STREAM of %zu bytes", len);
    id = get32(body) & ID_MASK;
    if (id % 2 == 0 || id <= s->last_id)
        return err_set(err, ERR_INVALID, "SPDY: stream id %u after %u", id, s->last_id);
    if (spdy_headers_unpack(s->headers, body + 10, len - 10, &headers, err) < 0)
        return -1;
    if (s->n == SPDY_STREAMS_MAX) {
        s->last_id = id;
        send_two(s, FRAME_RST_STREAM, id, SPDY_REFUSED_STREAM);
        return 0;
    }
    add(s, id);
    send_reply(s, id); /* before anything else: clients drop what comes earlier */
    refused = s->events->opened(s->arg, id, &headers);
    if (refused)
        spdy_reset(s, id, refused);
    else if ((flags & FLAG_FIN) && !s->events->dead(s->arg))
        their_end(s, id);
    return 0;
}

/* It must be unpacked, or the next block could not be. */
static int on_headers(struct spdy *s, const char *body, size_t len, unsigned flags, struct err *err)
{
    CLEANUP(kvs_done) struct kvs headers = {0};

    if (len < 4)
        return err_set(err, ERR_INVALID, "SPDY: HEADERS of %zu bytes", len);
    if (spdy_headers_unpack(s->headers, body + 4, len - 4, &headers, err) < 0)
        return -1;
    if (flags & FLAG_FIN)
        their_end(s, get32(body) & ID_MASK);
    return 0;
}

static int on_control(struct spdy *s, struct err *err)
{
    unsigned type = (unsigned)s->head[2] << 8 | s->head[3], flags = s->head[4];
    const char *body = s->control.s;
    size_t len = s->control.len;

    switch (type) {
    case FRAME_SYN_STREAM:
        return on_syn_stream(s, body, len, flags, err);
    case FRAME_HEADERS:
        return on_headers(s, body, len, flags, err);
    case FRAME_RST_STREAM:
        if (len != 8)
            return err_set(err, ERR_INVALID, "SPDY: RST_STREAM of %zu bytes", len);
        if (find(s, get32(body) & ID_MASK)) {
            forget(s, get32(body) & ID_MASK);
            s->events->reset(s->arg, get32(body) & ID_MASK);
        }
        return 0;
    case FRAME_PING:
        if (len != 4)
            return err_set(err, ERR_INVALID, "SPDY: PING of %zu bytes", len);
        if (get32(body) % 2 == 1) { /* even ones would be answers to ours */
            s->events->write(s->arg, s->head, HEAD_BYTES);
            s->events->write(s->arg, body, len);
        }
        return 0;
    default: /* FRAME_GOAWAY */
        s->events->goaway(s->arg);
        return 0;
    }
}

static int begin_control(struct spdy *s, struct err *err)
{
    unsigned type = (unsigned)s->head[2] << 8 | s->head[3];

    if ((s->head[0] & 0x7f) != 0 || s->head[1] != VERSION)
        return err_set(err, ERR_INVALID, "SPDY: version %u",
                       (s->head[0] & 0x7fU) << 8 | s->head[1]);
    s->skip = type != FRAME_SYN_STREAM && type != FRAME_HEADERS && type != FRAME_RST_STREAM &&
              type != FRAME_PING && type != FRAME_GOAWAY;
    if (type == FRAME_SYN_REPLY)
        return err_set(err, ERR_INVALID, "SPDY: SYN_REPLY, but nothing was asked for");
    if (!s->skip && s->left > SPDY_CONTROL_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "SPDY: control frame of %zu bytes", s->left);
    strbuf_clear(&s->control);
    return 0;
}

static int begin_frame(struct spdy *s, struct err *err)
{
    s->left = get32(s->head + 4) & 0xffffff;
    s->in_frame = true;
    s->head_len = 0;
    s->skip = false;
    if (s->head[0] & 0x80)
        return begin_control(s, err);
    if (get32(s->head) > s->last_id)
        return err_set(err, ERR_INVALID, "SPDY: data on stream %u, which was never opened",
                       get32(s->head));
    return 0;
}

static void take_data(struct spdy *s, const char *data, size_t len)
{
    uint32_t id = get32(s->head);
    const struct stream *stream = find(s, id);

    if (len > 0 && stream && !stream->theirs_ended)
        s->events->data(s->arg, id, data, len);
    if (s->left == 0 && (s->head[4] & FLAG_FIN) && !s->events->dead(s->arg))
        their_end(s, id);
}

static int take_body(struct spdy *s, const char *data, size_t len, struct err *err)
{
    bool control = s->head[0] & 0x80;

    s->left -= len;
    if (control && !s->skip)
        strbuf_add(&s->control, data, len);
    if (s->left == 0)
        s->in_frame = false;
    if (!control)
        take_data(s, data, len);
    else if (s->left == 0 && !s->skip)
        return on_control(s, err);
    return 0;
}

int spdy_feed(struct spdy *s, const char *data, size_t len, struct err *err)
{
    while (len > 0) {
        size_t n;

        if (!s->in_frame) {
            n = len < HEAD_BYTES - s->head_len ? len : HEAD_BYTES - s->head_len;
            memcpy(s->head + s->head_len, data, n);
            s->head_len += n;
            data += n;
            len -= n;
            if (s->head_len < HEAD_BYTES)
                return 0;
            if (begin_frame(s, err) < 0)
                return -1;
        }
        n = len < s->left ? len : s->left;
        if (n == 0 && s->left > 0)
            return 0;
        if (take_body(s, data, n, err) < 0)
            return -1;
        if (s->events->dead(s->arg))
            return 0;
        data += n;
        len -= n;
    }
    return 0;
}
