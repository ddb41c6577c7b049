/* SPDX-License-Identifier: Apache-2.0 */
/* forward - see forward.h: the session, and which channels belong together. */
#include <string.h>

#include "cri/stream/forward.h"

#define PAIRS_MAX 1024
#define SESSION_MAX_BYTES                                                                          \
    ((size_t)4194304)         /* waiting for sockets of the pod, all pairs together                \
                               */
#define PAIR_TIMEOUT_MS 30000 /* for its second channel */

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
        return snprintf(key, PAIR_KEY_MAX_BYTES, "=%s", request) < PAIR_KEY_MAX_BYTES;
    /* Old clients open the error stream first, the data stream next. */
    (void)snprintf(key, PAIR_KEY_MAX_BYTES, "#%u", *is_data ? channel - 2 : channel);
    return true;
}

static enum spdy_reset opened(void *session, uint32_t channel, const struct kvs *headers)
{
    struct forward *f = session;
    char key[PAIR_KEY_MAX_BYTES];
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
        pair_dial(p);
    return 0;
}

/* ------------------------------------------------------------------- session_ops */

/* By channels there is a pair for each port of the request from the start: 2i and 2i + 1, and the
 * first message of each is its port, low byte first. */
static void open_channels(struct forward *f)
{
    const struct stream_request *q = f->c->request;

    for (size_t i = 0; i < q->n_ports; i++) {
        char key[PAIR_KEY_MAX_BYTES];
        const unsigned char port[2] = {q->ports[i] & 0xff, q->ports[i] >> 8};

        (void)snprintf(key, sizeof(key), "#%zu", i);

        struct pair *p = pair_new(f, key, q->ports[i]);

        p->data = (uint32_t)(2 * i);
        p->error = (uint32_t)(2 * i + 1);
        p->has_data = p->has_error = true;
        conn_send(f->c, p->data, port, sizeof(port));
        conn_send(f->c, p->error, port, sizeof(port));
        pair_dial(p);
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
        pair_write(p, bytes, len);
}

static void end(void *session, uint32_t channel)
{
    struct pair *p = find_channel(session, channel);

    if (!p || !p->has_data || p->data != channel || p->client_ended)
        return; /* the error channel is ended by clients at once */
    pair_client_end(p);
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
    const struct pair *p;
    size_t total = 0;

    LIST_FOREACH (p, &f->pairs, link)
        total += p->early.len + (p->io ? fdio_pending(p->io) : 0);
    return f->n_full > 0 || total > SESSION_MAX_BYTES;
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
