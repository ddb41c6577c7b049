/* SPDX-License-Identifier: Apache-2.0 */
/* forward_pair - see forward.h: one pair, from dialing in the pod to the end of both ways. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "cri/stream/forward.h"

#define EARLY_MAX_BYTES FDIO_LOW_BYTES
#define CONNECT_SYNS    3 /* about 15 s for a peer that says nothing */

struct pair *pair_new(struct forward *f, const char *key, uint16_t port)
{
    struct pair *p = XNEW(struct pair);

    p->f = f;
    (void)snprintf(p->key, sizeof(p->key), "%s", key);
    p->port = port;
    p->early = (struct strbuf)STRBUF_INIT;
    p->born = uv_now(f->c->server->loop);
    LIST_INSERT_HEAD(&f->pairs, p, link);
    f->n_pairs++;
    return p;
}

static void set_full(struct pair *p, bool full)
{
    if (p->full == full)
        return;
    p->full = full;
    p->f->n_full += full ? 1 : (size_t)-1;
    conn_update(p->f->c);
}

static void pair_free(struct pair *p)
{
    pod_dial_done(&p->dial);
    strbuf_done(&p->early);
    free(p);
}

/* Without a word to the client. */
void pair_remove(struct pair *p)
{
    LIST_REMOVE(p, link);
    p->f->n_pairs--;
    if (p->full)
        p->f->n_full--;
    p->removed = true;
    fdio_close(TAKE_PTR(p->io));
    if (!p->dialing)
        pair_free(p);
}

void pair_end(struct pair *p)
{
    struct forward *f = p->f;

    conn_send_end(f->c, p->data);
    conn_send_end(f->c, p->error);
    pair_remove(p);
    if (conn_by_channels(f->c) && f->n_pairs == 0)
        conn_finish(f->c);
    else
        conn_update(f->c);
}

static void pair_fail(struct pair *p, const char *why)
{
    struct conn *c = p->f->c;
    autofree char *text = xasprintf("port %u of the pod cannot be reached: %s", p->port, why);

    conn_send(c, p->error, text, strlen(text));
    conn_send_end(c, p->error);
    conn_send_reset(c, p->data);
    pair_end(p);
}

/* ------------------------------------------------------------------------ bytes */

static void end_if_both(struct pair *p)
{
    if (p->client_ended && p->pod_ended && fdio_pending(p->io) == 0)
        pair_end(p);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct pair *p = arg;

    conn_send(p->f->c, p->data, data, len);
    if (conn_blocked(p->f->c))
        fdio_read(p->io, false);
}

static void on_end(void *arg)
{
    struct pair *p = arg;

    p->pod_ended = true;
    conn_send_end(p->f->c, p->data);
    end_if_both(p);
}

static void on_drained(void *arg)
{
    set_full(arg, false);
}

static void on_flushed(void *arg)
{
    struct pair *p = arg;
    struct conn *c = p->f->c;

    end_if_both(p);
    conn_update(c); /* the session's sum may have been too much */
}

static void on_broken(void *arg)
{
    pair_end(arg);
}

void pair_write(struct pair *p, const char *data, size_t len)
{
    if (!p->connected) {
        strbuf_add(&p->early, data, len);
        set_full(p, p->early.len > EARLY_MAX_BYTES);
        return;
    }
    fdio_write(p->io, data, len);
    if (fdio_pending(p->io) > FDIO_HIGH_BYTES)
        set_full(p, true);
}

static void connected(struct pair *p)
{
    p->connected = true;
    pod_dial_done(&p->dial);
    fdio_read(p->io, !conn_blocked(p->f->c));
    pair_write(p, p->early.s, p->early.len);
    if (p->early.len <= FDIO_LOW_BYTES)
        set_full(p, false);
    strbuf_done(&p->early);
    p->early = (struct strbuf)STRBUF_INIT;
    if (p->client_ended)
        fdio_write_end(p->io);
}

/* ---------------------------------------------------------------------- dialing */

static void try_next(struct pair *p, int error);

static void on_connected(void *arg, int error)
{
    struct pair *p = arg;

    if (error) {
        fdio_close(TAKE_PTR(p->io));
        try_next(p, error);
    } else {
        connected(p);
    }
}

static int begin_connect(int fd, const char *address, uint16_t port)
{
    const int on = 1, syns = CONNECT_SYNS;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syns, sizeof(syns));
    if (is_v6)
        return connect(fd, (const struct sockaddr *)&v6, sizeof(v6));
    if (inet_pton(AF_INET, address, &v4.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    return connect(fd, (const struct sockaddr *)&v4, sizeof(v4));
}

static void try_next(struct pair *p, int error)
{
    static const struct fdio_events events = {.data = on_data,
                                              .connected = on_connected,
                                              .end = on_end,
                                              .drained = on_drained,
                                              .flushed = on_flushed,
                                              .broken = on_broken};
    struct conn *c = p->f->c;

    while (p->next < p->dial.n) {
        const char *address = p->dial.v[p->next].address;
        int fd = TAKE_FD(p->dial.v[p->next].fd);

        p->next++;
        if (begin_connect(fd, address, p->port) < 0 && errno != EINPROGRESS) {
            error = errno;
            (void)close_fd(fd);
            continue;
        }
        p->io = fdio_new(c->server->loop, fd, &events, p, &c->server->open);
        if (p->io) {
            fdio_connecting(p->io);
            return;
        }
        error = EMFILE;
    }
    pair_fail(p, strerror(error));
}

static void dial_work(struct task *task)
{
    struct pair *p = (struct pair *)((char *)task - offsetof(struct pair, task));

    p->why = ERR_INIT;
    p->failed = pod_dial_open(p->f->c->server->engine, p->f->c->request->id, &p->dial, &p->why) < 0;
}

static void dial_done(struct task *task)
{
    struct pair *p = (struct pair *)((char *)task - offsetof(struct pair, task));
    struct conn *c = p->f->c;

    p->dialing = false;
    if (p->removed)
        pair_free(p);
    else if (p->failed)
        pair_fail(p, p->why.msg);
    else
        try_next(p, ECONNREFUSED);
    conn_task_done(c);
}

void pair_dial(struct pair *p)
{
    p->dialing = true;
    p->task = (struct task){.work = dial_work, .done = dial_done};
    conn_task(p->f->c, &p->task);
}

void pair_client_end(struct pair *p)
{
    p->client_ended = true;
    if (!p->connected)
        return;
    fdio_write_end(p->io);
    end_if_both(p);
}
