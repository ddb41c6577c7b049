/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward - a session of PortForward: each TCP connection of the client's is a pair of channels
 * (data and error), here joined to a socket in the pod's network namespace.
 *
 *   one channel there --both--> DIALING --sockets made by a task, connected one after the other-->
 *   OPEN --both directions at their end, a reset, or the client gone--> removed
 *
 * Each direction ends by itself: a client that has said all still hears the answer. Text on the
 * error channel makes clients give up the whole session, so only a port that cannot be reached is
 * told; a connection that its peer resets just ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "cri/stream/conn.h"
#include "sandbox/sandbox.h"

#define PAIRS_MAX       1024
#define PAIR_TIMEOUT_MS 30000 /* for its second channel */
#define EARLY_MAX_BYTES FDIO_LOW_BYTES
#define KEY_MAX_BYTES   64
#define CONNECT_SYNS    3 /* about 15 s for a peer that says nothing */

struct forward;

struct pair {
    LIST_ENTRY(pair) link;
    struct forward *f;
    char key[KEY_MAX_BYTES];
    uint16_t port;
    uint32_t data, error; /* channels */
    bool has_data, has_error, dialing, removed;
    uint64_t born;

    struct task task;
    struct pod_dial dial;
    size_t next; /* socket of `dial` to be tried */
    bool failed;
    struct err why;

    struct fdio *io;
    bool connected, client_ended, pod_ended, full;
    struct strbuf early;
};
LIST_HEAD(pair_head, pair);

struct forward {
    struct conn *c;
    struct pair_head pairs;
    size_t n_pairs, n_full;
};

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
static void pair_remove(struct pair *p)
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

static void pair_end(struct pair *p)
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
    end_if_both(arg);
}

static void on_broken(void *arg)
{
    pair_end(arg);
}

static void write_data(struct pair *p, const char *data, size_t len)
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
    write_data(p, p->early.s, p->early.len);
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

static void dial(struct pair *p)
{
    p->dialing = true;
    p->task = (struct task){.work = dial_work, .done = dial_done};
    conn_task(p->f->c, &p->task);
}

/* ------------------------------------------------------------------------ pairs */

static struct pair *pair_new(struct forward *f, const char *key, uint16_t port)
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

static struct pair *find_key(const struct forward *f, const char *key)
{
    struct pair *p;

    LIST_FOREACH (p, &f->pairs, link)
        if (strcmp(p->key, key) == 0)
            break;
    /* It takes LIST_REMOVE() for a no-op. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return p;
}

static struct pair *find_channel(const struct forward *f, uint32_t channel)
{
    struct pair *p;

    LIST_FOREACH (p, &f->pairs, link)
        if ((p->has_data && p->data == channel) || (p->has_error && p->error == channel))
            break;
    return p;
}

/* Those that wait too long for their second channel. */
static void drop_halves(struct forward *f)
{
    uint64_t now = uv_now(f->c->server->loop);
    struct pair *p, *next;

    for (p = LIST_FIRST(&f->pairs); p; p = next) {
        next = LIST_NEXT(p, link);
        if ((p->has_data && p->has_error) || now - p->born < PAIR_TIMEOUT_MS)
            continue;
        conn_send_reset(f->c, p->has_data ? p->data : p->error);
        pair_remove(p);
    }
}

static bool parse_headers(uint32_t channel, const struct kvs *headers, bool *is_data, char *key,
                          uint16_t *port)
{
    const char *type = kvs_get(headers, "streamtype"), *number = kvs_get(headers, "port"),
               *request = kvs_get(headers, "requestid");
    unsigned long long n;

    if (!type || !number || parse_u64(number, UINT16_MAX, "port", &n, NULL) < 0 || n == 0)
        return false;
    *is_data = strcmp(type, "data") == 0;
    if (!*is_data && strcmp(type, "error") != 0)
        return false;
    *port = (uint16_t)n;
    if (request)
        return snprintf(key, KEY_MAX_BYTES, "=%s", request) < KEY_MAX_BYTES;
    /* Old clients open the error stream first, the data stream next. */
    (void)snprintf(key, KEY_MAX_BYTES, "#%u", *is_data ? channel - 2 : channel);
    return true;
}

static enum spdy_reset opened(void *session, uint32_t channel, const struct kvs *headers)
{
    struct forward *f = session;
    char key[KEY_MAX_BYTES];
    struct pair *p;
    uint16_t port;
    bool is_data;

    drop_halves(f);
    if (!parse_headers(channel, headers, &is_data, key, &port))
        return SPDY_PROTOCOL_ERROR;
    p = find_key(f, key);
    if (p && (p->port != port || (is_data ? p->has_data : p->has_error)))
        return SPDY_PROTOCOL_ERROR;
    if (!p && f->n_pairs == PAIRS_MAX)
        return SPDY_REFUSED_STREAM;
    if (!p)
        p = pair_new(f, key, port);
    *(is_data ? &p->data : &p->error) = channel;
    *(is_data ? &p->has_data : &p->has_error) = true;
    if (p->has_data && p->has_error)
        dial(p);
    return 0;
}

/* ------------------------------------------------------------------- session_ops */

/* By channels there is a pair for each port of the request from the start: 2i and 2i + 1, and the
 * first message of each is its port, low byte first. */
static void open_channels(struct forward *f)
{
    const struct stream_request *q = f->c->request;

    for (size_t i = 0; i < q->n_ports; i++) {
        char key[KEY_MAX_BYTES];
        const unsigned char port[2] = {q->ports[i] & 0xff, q->ports[i] >> 8};

        (void)snprintf(key, sizeof(key), "#%zu", i);

        struct pair *p = pair_new(f, key, q->ports[i]);

        p->data = (uint32_t)(2 * i);
        p->error = (uint32_t)(2 * i + 1);
        p->has_data = p->has_error = true;
        conn_send(f->c, p->data, port, sizeof(port));
        conn_send(f->c, p->error, port, sizeof(port));
        dial(p);
    }
}

static void *start(struct conn *c, int version)
{
    struct forward *f = XNEW(struct forward);

    (void)version;
    f->c = c;
    LIST_INIT(&f->pairs);
    conn_ready(c);
    if (conn_by_channels(c))
        open_channels(f);
    return f;
}

static void data(void *session, uint32_t channel, const char *bytes, size_t len)
{
    struct pair *p = find_channel(session, channel);

    if (p && p->has_data && p->data == channel && !p->client_ended)
        write_data(p, bytes, len);
}

static void end(void *session, uint32_t channel)
{
    struct pair *p = find_channel(session, channel);

    if (!p || !p->has_data || p->data != channel || p->client_ended)
        return; /* the error channel is ended by clients at once */
    p->client_ended = true;
    if (!p->connected)
        return;
    fdio_write_end(p->io);
    end_if_both(p);
}

static void reset(void *session, uint32_t channel)
{
    struct pair *p = find_channel(session, channel);

    if (p && p->has_data && p->data == channel)
        pair_end(p);
}

static void drained(void *session)
{
    const struct forward *f = session;
    struct pair *p;

    LIST_FOREACH (p, &f->pairs, link)
        if (p->connected && !conn_blocked(f->c))
            fdio_read(p->io, true);
}

static bool full(void *session)
{
    const struct forward *f = session;

    return f->n_full > 0;
}

static void gone(void *session)
{
    struct forward *f = session;

    while (!LIST_EMPTY(&f->pairs))
        /* As above. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        pair_remove(LIST_FIRST(&f->pairs));
}

static void forward_free(void *session)
{
    free(session);
}

const struct session_ops forward_session = {
    .start = start,
    .opened = opened,
    .data = data,
    .end = end,
    .reset = reset,
    .drained = drained,
    .full = full,
    .gone = gone,
    .free = forward_free,
};
