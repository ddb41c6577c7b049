/* SPDX-License-Identifier: Apache-2.0 */
/* conn - see conn.h: the life of a connection. What goes through it is in conn_channels.c. */
#include "cri/stream/conn.h"

#include <string.h>

#include "base/log.h"

#define HEAD_TIMEOUT_MS   10000
#define LINGER_TIMEOUT_MS 5000
#define BLOCKED_BYTES     (4 * FDIO_HIGH_BYTES) /* of answers alone: then nothing more is read */

static uint64_t to_ms(nsec_t t)
{
    return (uint64_t)(t / NSEC_PER_MSEC) + 1;
}

/* -------------------------------------------------------------------- the end */

static void maybe_free(struct conn *c)
{
    if (!c->timer_closed || c->tasks > 0)
        return;
    if (c->free_ops)
        c->free_ops->free(c->session);
    spdy_free(c->spdy);
    websocket_free(c->ws);
    stream_request_free(c->request);
    strbuf_done(&c->head);
    LIST_REMOVE(c, link);
    c->server->n_conns--;
    free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    c->server->open--;
    c->timer_closed = true;
    maybe_free(c);
}

static void end_session(struct conn *c)
{
    const struct session_ops *ops = c->ops;

    c->ops = NULL;
    if (ops)
        ops->gone(c->session);
}

void conn_abort(struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    c->state = CONN_DEAD;
    end_session(c);
    fdio_close(TAKE_PTR(c->io));
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void set_deadline(struct conn *c, uint64_t ms);

static void linger(struct conn *c)
{
    c->state = CONN_LINGER;
    end_session(c);
    fdio_write_end(c->io);
    fdio_read(c->io, true);
    set_deadline(c, LINGER_TIMEOUT_MS);
}

void conn_finish(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    if (c->spdy)
        spdy_goodbye(c->spdy);
    if (c->ws)
        websocket_close(c->ws);
    linger(c);
}

void conn_refuse(struct conn *c, const char *status, const char *headers, const char *text)
{
    autofree char *answer =
        xasprintf("HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
                  "%zu\r\n%sConnection: close\r\n\r\n%s\n",
                  status, strlen(text) + 1, headers, text);

    fdio_write(c->io, answer, strlen(answer));
    linger(c);
}

/* ------------------------------------------------------------------- deadlines */

static void on_timer(uv_timer_t *h)
{
    struct conn *c = h->data;
    uint64_t now = uv_now(c->server->loop);

    if (now < c->deadline) {
        (void)uv_timer_start(h, on_timer, c->deadline - now, 0);
        return;
    }
    if (c->state == CONN_OPEN)
        log_info("streaming: %s", c->ready ? "a session was idle for too long; ended"
                                           : "a client did not open its streams in time; ended");
    if (c->state == CONN_OPEN && c->ready && c->ops && c->ops->idle)
        c->ops->idle(c->session);
    if (c->state != CONN_LINGER || c->deadline <= now)
        conn_abort(c);
}

static void set_deadline(struct conn *c, uint64_t ms)
{
    c->deadline = uv_now(c->server->loop) + ms;
    (void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

/* Only the number moves, the timer looks at it when it fires. */
void conn_touch(struct conn *c)
{
    if (c->ready && c->state == CONN_OPEN)
        c->deadline = uv_now(c->server->loop) + to_ms(c->server->config->idle_timeout);
}

void conn_ready(struct conn *c)
{
    c->ready = true;
    set_deadline(c, to_ms(c->server->config->idle_timeout));
}

/* --------------------------------------------------------------------- reading */

void conn_protocol_error(struct conn *c, const struct err *err)
{
    log_info("streaming: a client's connection is ended: %s", err->msg);
    if (c->ws && !c->spdy)
        linger(c); /* the reason has been written */
    else
        conn_abort(c);
}

static void feed(struct conn *c, const char *data, size_t len)
{
    struct err err = ERR_INIT;
    int r = c->ws ? websocket_feed(c->ws, data, len, &err) : spdy_feed(c->spdy, data, len, &err);

    if (c->state != CONN_OPEN)
        return;
    if (r < 0)
        conn_protocol_error(c, &err);
    else if (r > 0)
        linger(c);
    else
        conn_update(c);
}

static void feed_head(struct conn *c, const char *data, size_t len)
{
    CLEANUP(http_head_done) struct http_head head = {.n_headers = 0};
    struct err err = ERR_INIT;
    long n;

    strbuf_add(&c->head, data, len);
    n = http_head_parse(c->head.s, c->head.len, &head, &err);
    if (n == 0)
        return;
    if (n < 0) {
        conn_refuse(c,
                    err.code == ERR_EXHAUSTED ? "431 Request Header Fields Too Large"
                                              : "400 Bad Request",
                    "", err.msg);
        return;
    }
    conn_upgrade(c, &head);
    if (c->state == CONN_OPEN && !c->ready)
        set_deadline(c, to_ms(c->server->config->creation_timeout));
    if (c->state == CONN_OPEN && c->head.len > (size_t)n)
        feed(c, c->head.s + n, c->head.len - (size_t)n);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct conn *c = arg;

    conn_touch(c);
    if (c->state == CONN_HEAD)
        feed_head(c, data, len);
    else if (c->state == CONN_OPEN)
        feed(c, data, len);
}

static void on_gone(void *arg)
{
    conn_abort(arg);
}

static void on_drained(void *arg)
{
    struct conn *c = arg;

    conn_touch(c);
    if (c->ops)
        c->ops->drained(c->session);
    if (c->state == CONN_OPEN)
        conn_update(c);
}

void conn_update(struct conn *c)
{
    if (c->state == CONN_OPEN)
        fdio_read(c->io,
                  fdio_pending(c->io) < BLOCKED_BYTES && !(c->ops && c->ops->full(c->session)));
}

void conn_new(struct stream_server *server, int fd)
{
    static const struct fdio_events events = {
        .data = on_data, .end = on_gone, .drained = on_drained, .broken = on_gone};
    struct conn *c = XNEW(struct conn);

    c->server = server;
    c->head = (struct strbuf)STRBUF_INIT;
    c->io = fdio_new(server->loop, fd, &events, c, &server->open);
    if (!c->io) {
        free(c);
        return;
    }
    LIST_INSERT_HEAD(&server->conns, c, link);
    server->n_conns++;
    (void)uv_timer_init(server->loop, &c->timer);
    c->timer.data = c;
    server->open++;
    set_deadline(c, HEAD_TIMEOUT_MS);
    fdio_watch_gone(c->io); /* clients of these protocols never half-close the connection */
    fdio_read(c->io, true);
}

void conn_task(struct conn *c, struct task *task)
{
    c->tasks++;
    task_start(&c->server->tasks, task);
}

void conn_task_done(struct conn *c)
{
    c->tasks--;
    maybe_free(c);
}
