/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP of the http guest, as little as serves curl: passive opening, one request, one answer in a
 * single segment that also closes, retransmission of that segment. As a client: one request, and
 * what comes back until it ends. The table never runs dry: the connection silent for longest gives
 * way.
 *
 *     FREE -SYN-> OPENING -ACK-> OPEN -request or FIN-> CLOSING -all acknowledged and FIN seen->
 * FREE
 *     FREE -tcp_fetch()-> CALLING -SYN+ACK-> ASKING -FIN-> CLOSING -acknowledged-> FREE
 */
#include "e2e/unikernels/stack.h"

#define CONNS_MAX   64u
#define WINDOW      HTTP_REQUEST_MAX
#define RETRY_FIRST (200 * NSEC_PER_MS)
#define RETRIES_MAX 6u
#define IDLE_CHECK  (10 * NSEC_PER_SEC)

#define FIN 0x01u
#define SYN 0x02u
#define RST 0x04u
#define PSH 0x08u
#define ACK 0x10u

enum conn_state { FREE, OPENING, OPEN, CLOSING, CALLING, ASKING };

struct conn {
    enum conn_state state;
    bool peer_closed;
    struct peer peer;
    uint16_t local; /* our port */
    uint32_t
        snd_una; /* first sequence number not acknowledged; the segment in flight begins here */
    uint32_t snd_nxt;
    uint32_t rcv_nxt;
    uint64_t used; /* time of the last segment */
    uint64_t retry_at;
    unsigned tries;
    size_t in_len;
    size_t out_len;
    char in[HTTP_REQUEST_MAX + 1];
    char out[HTTP_ANSWER_MAX];
};

struct segment {
    uint16_t from_port;
    uint16_t to_port;
    uint32_t seq;
    uint32_t ack;
    unsigned flags;
    const uint8_t *data;
    size_t len;
};

static struct conn conns[CONNS_MAX];

static void send_from(uint16_t from, const struct peer *to, uint32_t seq, uint32_t ack,
                      unsigned flags, const char *data, size_t len)
{
    static uint8_t frame[IP_ROOM + TCP_HEAD + 4 + HTTP_ANSWER_MAX];
    uint8_t *tcp = frame + IP_ROOM;
    size_t head = flags & SYN ? TCP_HEAD + 4 : TCP_HEAD;

    put16(tcp, from);
    put16(tcp + 2, to->port);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = (uint8_t)(head / 4 << 4);
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, WINDOW);
    put16(tcp + 18, 0); /* urgent pointer */
    if (flags & SYN) {
        put16(tcp + 20, 2 << 8 | 4); /* maximum segment size */
        put16(tcp + 22, stack.mtu - IPV6_HEAD - TCP_HEAD);
    }
    memcpy(tcp + head, data, len);
    ip_send(frame, to, PROTO_TCP, 16, head + len);
}

static void send_ack(const struct conn *c)
{
    send_from(c->local, &c->peer, c->snd_nxt, c->rcv_nxt, ACK, "", 0);
}

/* The one segment of each state that must arrive: SYN, request, answer and FIN. */
static void send_owed(const struct conn *c)
{
    static const unsigned flags[] = {
        [OPENING] = SYN | ACK, [CLOSING] = FIN | ACK | PSH, [CALLING] = SYN, [ASKING] = ACK | PSH};

    if (c->state != OPEN)
        send_from(c->local, &c->peer, c->snd_una, c->rcv_nxt, flags[c->state], c->out, c->out_len);
}

static void start_retry(struct conn *c, uint64_t now)
{
    c->tries = 0;
    c->retry_at = now + RETRY_FIRST;
}

static struct conn *find(const struct peer *p, uint16_t local)
{
    for (unsigned i = 0; i < CONNS_MAX; i++)
        if (conns[i].state != FREE && addr_same(&conns[i].peer.ip, &p->ip) &&
            conns[i].peer.port == p->port && conns[i].local == local)
            return &conns[i];
    return NULL;
}

static struct conn *take_slot(void)
{
    struct conn *oldest = &conns[0];

    for (unsigned i = 0; i < CONNS_MAX; i++) {
        if (conns[i].state == FREE)
            return &conns[i];
        if (conns[i].used < oldest->used)
            oldest = &conns[i];
    }
    return oldest;
}

static void open_conn(struct conn *c, const struct peer *peer, uint16_t local, uint32_t rcv_nxt,
                      enum conn_state state)
{
    uint64_t now = guest_clock();

    c->state = state;
    c->peer_closed = false;
    c->peer = *peer;
    c->local = local;
    c->snd_una = (uint32_t)(now >> 2);
    c->snd_nxt = c->snd_una + 1;
    c->rcv_nxt = rcv_nxt;
    c->used = now;
    c->in_len = 0;
    c->out_len = 0;
    start_retry(c, now);
    send_owed(c);
}

void tcp_fetch(const struct peer *to, uint16_t local)
{
    open_conn(take_slot(), to, local, 0, CALLING);
}

static void close_conn(struct conn *c, uint64_t now)
{
    c->state = CLOSING;
    c->snd_nxt = c->snd_una + (uint32_t)c->out_len + 1;
    start_retry(c, now);
    send_owed(c);
}

static void refuse(const struct peer *p, const struct segment *s)
{
    uint32_t next = s->seq + (uint32_t)s->len + (s->flags & SYN ? 1 : 0) + (s->flags & FIN ? 1 : 0);

    if (s->flags & RST)
        return;
    if (s->flags & ACK)
        send_from(s->to_port, p, s->ack, 0, RST, "", 0);
    else
        send_from(s->to_port, p, 0, next, RST | ACK, "", 0);
}

static bool request_complete(const struct conn *c)
{
    for (size_t i = 3; i < c->in_len; i++)
        if (memcmp(c->in + i - 3, "\r\n\r\n", 4) == 0)
            return true;
    return c->in_len == HTTP_REQUEST_MAX; /* too long: answered as it is */
}

/* Take what is new of a segment that begins at or before the byte expected. */
static void take_data(struct conn *c, const struct segment *s)
{
    uint32_t old = c->rcv_nxt - s->seq;
    size_t fresh, room = HTTP_REQUEST_MAX - c->in_len;
    size_t keep;

    if (old > s->len)
        return;
    fresh = s->len - old;
    keep = fresh;
    if (c->state != OPEN && c->state != ASKING)
        keep = 0; /* already answered: count it, forget it */
    else if (keep > room)
        fresh = keep = room;
    memcpy(c->in + c->in_len, s->data + old, keep);
    c->in_len += keep;
    c->rcv_nxt += (uint32_t)fresh;
    if ((s->flags & FIN) && c->rcv_nxt == s->seq + (uint32_t)s->len && !c->peer_closed) {
        c->peer_closed = true;
        c->rcv_nxt++;
    }
}

static void take_ack(struct conn *c, const struct segment *s)
{
    if (!(s->flags & ACK) || s->ack != c->snd_nxt)
        return; /* a part only: the whole segment is sent again */
    c->snd_una = s->ack;
    c->retry_at = 0;
    if (c->state == OPENING)
        c->state = OPEN;
    if (c->state == ASKING)
        c->out_len = 0;
}

/* The server has answered: our request goes out. */
static void ask(struct conn *c, const struct segment *s, uint64_t now)
{
    if ((s->flags & (SYN | ACK)) != (SYN | ACK) || s->ack != c->snd_nxt)
        return;
    c->snd_una = s->ack;
    c->rcv_nxt = s->seq + 1;
    c->out_len = format(c->out, sizeof(c->out), "GET /index.html HTTP/1.0\r\n\r\n");
    c->snd_nxt = c->snd_una + (uint32_t)c->out_len;
    c->state = ASKING;
    start_retry(c, now);
    send_owed(c);
}

/* The last line of what came. */
static void told(struct conn *c)
{
    char name[40];
    size_t end = c->in_len, begin;

    while (end > 0 && (c->in[end - 1] == '\n' || c->in[end - 1] == '\r'))
        end--;
    c->in[end] = '\0';
    for (begin = end; begin > 0 && c->in[begin - 1] >= ' ' && c->in[begin - 1] < 0x7f;)
        begin--;
    say("http: %s port %u from port %u says: %s", addr_text(&c->peer.ip, name), c->peer.port,
        c->local, c->in + begin);
}

static void refused(const struct conn *c)
{
    char name[40];

    if (c->state == CALLING || c->state == ASKING)
        say("http: %s port %u from port %u: refused", addr_text(&c->peer.ip, name), c->peer.port,
            c->local);
}

static void conn_input(struct conn *c, const struct segment *s, uint64_t now)
{
    bool const expected = s->seq == c->rcv_nxt; /* else it is old, early or a keep-alive probe */

    if (s->flags & RST) {
        refused(c);
        c->state = FREE;
        return;
    }
    c->used = now;
    if (c->state == CALLING) {
        ask(c, s, now);
        return;
    }
    if (s->flags & SYN) {
        send_owed(c);
        return;
    }
    take_ack(c, s);
    if (c->state == OPENING)
        return;
    take_data(c, s);
    if (c->state == OPEN && request_complete(c)) {
        c->in[c->in_len] = '\0';
        c->out_len = http_answer(c->in, &c->peer, c->out);
        close_conn(c, now);
    } else if (c->state == ASKING && (c->peer_closed || c->in_len == HTTP_REQUEST_MAX)) {
        told(c);
        c->snd_una = c->snd_nxt;
        c->out_len = 0;
        close_conn(c, now);
    } else if (c->state == OPEN && c->peer_closed) {
        close_conn(c, now);
    } else if (s->len > 0 || (s->flags & FIN) || !expected) {
        send_ack(c);
    }
    if (c->state == CLOSING && c->peer_closed && c->snd_una == c->snd_nxt)
        c->state = FREE;
}

void tcp_input(struct peer *from, const uint8_t *seg, size_t len)
{
    struct segment s;
    struct conn *c;
    size_t head;

    if (len < TCP_HEAD)
        return;
    head = (size_t)(seg[12] >> 4) * 4;
    if (head < TCP_HEAD || head > len)
        return;
    s = (struct segment){get16(seg), get16(seg + 2), get32(seg + 4), get32(seg + 8),
                         seg[13],    seg + head,     len - head};
    from->port = s.from_port;
    c = find(from, s.to_port);
    if (c != NULL && (s.flags & SYN) && s.seq + 1 != c->rcv_nxt && c->state != OPENING &&
        c->state != CALLING)
        c->state = FREE; /* the peer has begun anew on the same port */
    if (c != NULL && c->state != FREE)
        conn_input(c, &s, guest_clock());
    else if (s.to_port == stack.port && (s.flags & (SYN | ACK | RST)) == SYN)
        open_conn(take_slot(), from, s.to_port, s.seq + 1, OPENING);
    else
        refuse(from, &s);
}

uint64_t tcp_timer(uint64_t now)
{
    uint64_t next = now + IDLE_CHECK;

    for (unsigned i = 0; i < CONNS_MAX; i++) {
        struct conn *c = &conns[i];
        if (c->state == FREE || c->retry_at == 0)
            continue;
        if (c->retry_at <= now) {
            if (++c->tries > RETRIES_MAX) {
                c->state = FREE;
                continue;
            }
            c->retry_at = now + (RETRY_FIRST << c->tries);
            send_owed(c);
        }
        if (c->retry_at < next)
            next = c->retry_at;
    }
    return next;
}

bool tcp_idle(void)
{
    for (unsigned i = 0; i < CONNS_MAX; i++)
        if (conns[i].state == CLOSING && conns[i].retry_at != 0)
            return false;
    return true;
}
