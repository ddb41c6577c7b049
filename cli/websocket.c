/* SPDX-License-Identifier: Apache-2.0 */
/* websocket - see websocket.h. */
#include "cli/websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

#define HEAD_MAX_BYTES 8192
#define PATIENCE_S     30 /* for the upgrade, and for a server that does not read */
#define PIECE          65536
#define OPCODE_NEXT    0x0
#define OPCODE_TEXT    0x1
#define OPCODE_BINARY  0x2
#define OPCODE_CLOSE   0x8
#define OPCODE_PING    0x9
#define OPCODE_PONG    0xa
#define FIN            0x80
#define MASKED         0x80
#define CONTROL_MAX    125

/* "http://HOST:PORT/PATH" with a numeric host, IPv6 in brackets. */
static int parse_url(const char *url, char **host, char **port, const char **path, struct err *err)
{
    const char *p = url, *end;

    if (!scan_text(&p, "http://"))
        return err_set(err, ERR_INVALID, "streaming URL '%s': not http", url);
    end = *p == '[' ? strchr(p, ']') : strchr(p, ':');
    if (!end || (*p == '[' && end[1] != ':'))
        return err_set(err, ERR_INVALID, "streaming URL '%s': no host and port", url);
    *host = *p == '[' ? xstrndup(p + 1, (size_t)(end - p) - 1) : xstrndup(p, (size_t)(end - p));
    p = *p == '[' ? end + 2 : end + 1;
    *port = xstrndup(p, strcspn(p, "/"));
    *path = p + strcspn(p, "/");
    return 0;
}

static int dial(const char *host, const char *port, struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *at = NULL;
    int r = getaddrinfo(host, port, &hints, &at);

    if (r)
        return err_set(err, ERR_INVALID, "streaming address '%s': %s", host, gai_strerror(r));

    autofd int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    r = fd < 0 ? -1 : connect(fd, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(at);
    if (r < 0) {
        (void)err_sys(err, "connect to '%s' port %s", host, port);
        return -1;
    }
    return TAKE_FD(fd);
}

static int write_all(int fd, const char *data, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_UNAVAILABLE, "the daemon does not take more: %s",
                           strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* What comes behind the answer's head is the first of the frames. */
static int read_head(struct websocket *w, struct err *err)
{
    char *end;

    while (!(end = strstr(w->in.s, "\r\n\r\n"))) {
        int r = w->in.len < HEAD_MAX_BYTES ? websocket_receive(w, err) : 0;

        if (r < 0)
            return -1;
        if (r == 0)
            return err_set(err, ERR_UNAVAILABLE, "the daemon did not answer the upgrade");
    }
    if (!str_has_prefix(w->in.s, "HTTP/1.1 101 ")) {
        const char *line = w->in.s + strcspn(w->in.s, " ");

        return err_set(err, ERR_UNAVAILABLE, "the daemon refused to stream:%.*s",
                       (int)strcspn(line, "\r\n"), line);
    }

    struct strbuf rest = STRBUF_INIT;
    size_t head = (size_t)(end - w->in.s) + 4;

    strbuf_add(&rest, w->in.s + head, w->in.len - head);
    strbuf_done(&w->in);
    w->in = rest;
    return 0;
}

int websocket_open(struct websocket *w, const char *url, struct err *err)
{
    autofree char *host = NULL, *port = NULL, *key = NULL;
    autostrbuf request = STRBUF_INIT;
    unsigned char nonce[16];
    const char *path = "";

    *w = (struct websocket){.fd = -1, .in = STRBUF_INIT, .message = STRBUF_INIT};
    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        return err_sys(err, "random bytes");
    if (parse_url(url, &host, &port, &path, err) < 0 || (w->fd = dial(host, port, err)) < 0)
        return -1;
    key = base64_encode(nonce, sizeof(nonce));
    strbuf_addf(&request,
                "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
                "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
                path, host, key);
    return write_all(w->fd, request.s, request.len, err) < 0 ? -1 : read_head(w, err);
}

void websocket_done(struct websocket *w)
{
    w->fd = close_fd(w->fd);
    strbuf_done(&w->in);
    strbuf_done(&w->message);
}

/* Masked, as a client's are; the mask hides nothing from anybody. */
static int send_frame(struct websocket *w, uint8_t opcode, const char *data, size_t len,
                      struct err *err)
{
    autostrbuf frame = STRBUF_INIT;
    unsigned char mask[4] = {0};

    (void)!getrandom(mask, sizeof(mask), 0);
    strbuf_addc(&frame, (char)(FIN | opcode));
    if (len <= CONTROL_MAX) {
        strbuf_addc(&frame, (char)(MASKED | len));
    } else if (len <= UINT16_MAX) {
        strbuf_addc(&frame, (char)(MASKED | 126));
        strbuf_addc(&frame, (char)(len >> 8));
        strbuf_addc(&frame, (char)len);
    } else {
        strbuf_addc(&frame, (char)(MASKED | 127));
        for (int shift = 56; shift >= 0; shift -= 8)
            strbuf_addc(&frame, (char)((uint64_t)len >> shift));
    }
    strbuf_add(&frame, mask, sizeof(mask));
    for (size_t i = 0; i < len; i++)
        strbuf_addc(&frame, (char)(data[i] ^ mask[i % 4]));
    return write_all(w->fd, frame.s, frame.len, err);
}

int websocket_send(struct websocket *w, uint8_t channel, const void *data, size_t len,
                   struct err *err)
{
    autostrbuf message = STRBUF_INIT;

    strbuf_addc(&message, (char)channel);
    strbuf_add(&message, data, len);
    return send_frame(w, OPCODE_BINARY, message.s, message.len, err);
}

int websocket_receive(struct websocket *w, struct err *err)
{
    char piece[PIECE];
    ssize_t n;

    do
        n = recv(w->fd, piece, sizeof(piece), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ERR_UNAVAILABLE, "the daemon is gone: %s", strerror(errno));
    strbuf_add(&w->in, piece, (size_t)n);
    return n > 0;
}

struct frame {
    uint8_t opcode;
    bool fin;
    size_t head, len;
};

/* Returns: 1, 0: it is not whole yet, -1. */
static int parse_frame(const struct websocket *w, struct frame *f, struct err *err)
{
    const unsigned char *p = (const unsigned char *)w->in.s;
    size_t have = w->in.len, wide;
    uint64_t len;

    if (have < 2)
        return 0;
    *f = (struct frame){.opcode = p[0] & 15, .fin = p[0] & FIN, .head = 2};
    len = p[1] & 0x7f;
    wide = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (have < 2 + wide)
        return 0;
    for (size_t i = 0; i < wide; i++)
        len = (i ? len << 8 : 0) | p[2 + i];
    f->head += wide;
    if ((p[0] & 0x70) || (p[1] & MASKED) || len > WEBSOCKET_FRAME_MAX_BYTES ||
        (f->opcode >= OPCODE_CLOSE && (len > CONTROL_MAX || !f->fin)))
        return err_set(err, ERR_CORRUPT, "the daemon broke the WebSocket protocol");
    f->len = (size_t)len;
    return have - f->head >= f->len;
}

static void drop_frame(struct websocket *w, const struct frame *f)
{
    size_t used = f->head + f->len;
    struct strbuf rest = STRBUF_INIT;

    strbuf_add(&rest, w->in.s + used, w->in.len - used);
    strbuf_done(&w->in);
    w->in = rest;
}

int websocket_next(struct websocket *w, struct err *err)
{
    struct frame f;
    int r;

    while ((r = parse_frame(w, &f, err)) == 1) {
        const char *data = w->in.s + f.head;
        int rc = 0;

        switch (f.opcode) {
        case OPCODE_TEXT:
        case OPCODE_BINARY:
            strbuf_clear(&w->message);
            strbuf_add(&w->message, data, f.len);
            rc = f.fin;
            break;
        case OPCODE_NEXT:
            if (w->message.len + f.len > WEBSOCKET_FRAME_MAX_BYTES)
                return err_set(err, ERR_CORRUPT, "the daemon broke the WebSocket protocol");
            strbuf_add(&w->message, data, f.len);
            rc = f.fin;
            break;
        case OPCODE_CLOSE:
            rc = 2;
            break;
        case OPCODE_PING:
            if (send_frame(w, OPCODE_PONG, data, f.len, err) < 0)
                return -1;
            break;
        default:
            break;
        }
        drop_frame(w, &f);
        if (rc)
            return rc;
    }
    return r;
}
