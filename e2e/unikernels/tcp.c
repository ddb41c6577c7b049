/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP of the http guest, as little as serves curl: passive opening, one request, one answer in a
 * single segment that also closes, retransmission of that segment. The table never runs dry: the
 * connection silent for longest gives way.
 *
 *     FREE -SYN-> OPENING -ACK-> OPEN -request or FIN-> CLOSING -all acknowledged and FIN seen->
 * FREE
 */
#include "e2e/unikernels/stack.h"

#define CONNS_MAX   64u
#define WINDOW      HTTP_REQUEST_MAX
#define PROTO_TCP   6
#define RETRY_FIRST (200 * NSEC_PER_MS)
#define RETRIES_MAX 6u
#define IDLE_CHECK  (10 * NSEC_PER_SEC)

#define FIN 0x01u
#define SYN 0x02u
#define RST 0x04u
#define PSH 0x08u
#define ACK 0x10u

enum conn_state { FREE, OPENING, OPEN, CLOSING };

struct conn {
    enum conn_state state;
    bool peer_closed;
    uint8_t mac[6];
    uint16_t port;
    uint32_t ip;
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

static void send_from(uint16_t from, const uint8_t mac[6], uint32_t ip, uint16_t port, uint32_t seq,
                      uint32_t ack, unsigned flags, const char *data, size_t len)
{
    static uint8_t frame[ETHER_HEAD + IPV4_HEAD + TCP_HEAD + 4 + HTTP_ANSWER_MAX];
    uint8_t *tcp = frame + ETHER_HEAD + IPV4_HEAD;
    size_t head = flags & SYN ? TCP_HEAD + 4 : TCP_HEAD;
    uint8_t pseudo[12];

    put16(tcp, from);
    put16(tcp + 2, port);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = (uint8_t)(head / 4 << 4);
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, WINDOW);
    put32(tcp + 16, 0); /* checksum and urgent pointer */
    if (flags & SYN) {
        put16(tcp + 20, 2 << 8 | 4); /* maximum segment size */
        put16(tcp + 22, stack.mtu - IPV4_HEAD - TCP_HEAD);
    }
    memcpy(tcp + head, data, len);
    put32(pseudo, stack.ip);
    put32(pseudo + 4, ip);
    put16(pseudo + 8, PROTO_TCP);
    put16(pseudo + 10, (unsigned)(head + len));
    put16(tcp + 16, ~ip_sum(tcp, head + len, ip_sum(pseudo, sizeof(pseudo), 0)) & 0xffff);
    ip_send(frame, mac, ip, PROTO_TCP, head + len);
}

static void send_segment(const uint8_t mac[6], uint32_t ip, uint16_t port, uint32_t seq,
                         uint32_t ack, unsigned flags, const char *data, size_t len)
{
    send_from(stack.port, mac, ip, port, seq, ack, flags, data, len);
}

static void send_ack(const struct conn *c)
{
    send_segment(c->mac, c->ip, c->port, c->snd_nxt, c->rcv_nxt, ACK, "", 0);
}

/* The one segment of each state that must arrive: SYN in OPENING, answer and FIN in CLOSING. */
static void send_owed(const struct conn *c)
{
    if (c->state == OPENING)
        send_segment(c->mac, c->ip, c->port, c->snd_una, c->rcv_nxt, SYN | ACK, "", 0);
    else if (c->state == CLOSING)
        send_segment(c->mac, c->ip, c->port, c->snd_una, c->rcv_nxt, FIN | ACK | PSH, c->out,
                     c->out_len);
}

static void start_retry(struct conn *c, uint64_t now)
{
    c->tries = 0;
    c->retry_at = now + RETRY_FIRST;
}

static struct conn *find(uint32_t ip, uint16_t port)
{
    for (unsigned i = 0; i < CONNS_MAX; i++)
        if (conns[i].state != FREE && conns[i].ip == ip && conns[i].port == port)
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

static void open_conn(struct conn *c, const uint8_t mac[6], uint32_t ip, const struct segment *s,
                      uint64_t now)
{
    c->state = OPENING;
    c->peer_closed = false;
    memcpy(c->mac, mac, sizeof(c->mac));
    c->ip = ip;
    c->port = s->from_port;
    c->snd_una = (uint32_t)(now >> 2);
    c->snd_nxt = c->snd_una + 1;
    c->rcv_nxt = s->seq + 1;
    c->used = now;
    c->in_len = 0;
    c->out_len = 0;
    start_retry(c, now);
    send_owed(c);
}

static void close_conn(struct conn *c, uint64_t now)
{
    c->state = CLOSING;
    c->snd_nxt = c->snd_una + (uint32_t)c->out_len + 1;
    start_retry(c, now);
    send_owed(c);
}

static void refuse(const uint8_t mac[6], uint32_t ip, const struct segment *s)
{
    uint32_t next = s->seq + (uint32_t)s->len + (s->flags & SYN ? 1 : 0) + (s->flags & FIN ? 1 : 0);

    if (s->flags & RST)
        return;
    if (s->flags & ACK)
        send_from(s->to_port, mac, ip, s->from_port, s->ack, 0, RST, "", 0);
    else
        send_from(s->to_port, mac, ip, s->from_port, 0, next, RST | ACK, "", 0);
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
    if (c->state != OPEN)
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
}

static void conn_input(struct conn *c, const struct segment *s, uint64_t now)
{
    bool const expected = s->seq == c->rcv_nxt; /* else it is old, early or a keep-alive probe */

    if (s->flags & RST) {
        c->state = FREE;
        return;
    }
    c->used = now;
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
        c->out_len = http_answer(c->in, c->ip, c->port, c->out);
        close_conn(c, now);
    } else if (c->state == OPEN && c->peer_closed) {
        close_conn(c, now);
    } else if (s->len > 0 || (s->flags & FIN) || !expected) {
        send_ack(c);
    }
    if (c->state == CLOSING && c->peer_closed && c->snd_una == c->snd_nxt)
        c->state = FREE;
}

void tcp_input(const uint8_t mac[6], uint32_t from, const uint8_t *seg, size_t len)
{
    struct segment s;
    struct conn *c;
    size_t head;
    uint64_t now = guest_clock();

    if (len < TCP_HEAD)
        return;
    head = (size_t)(seg[12] >> 4) * 4;
    if (head < TCP_HEAD || head > len)
        return;
    s = (struct segment){get16(seg), get16(seg + 2), get32(seg + 4), get32(seg + 8),
                         seg[13],    seg + head,     len - head};
    if (s.to_port != stack.port) {
        refuse(mac, from, &s);
        return;
    }
    c = find(from, s.from_port);
    if (c != NULL && (s.flags & SYN) && s.seq + 1 != c->rcv_nxt && c->state != OPENING)
        c->state = FREE; /* the peer has begun anew on the same port */
    if (c != NULL && c->state != FREE)
        conn_input(c, &s, now);
    else if ((s.flags & (SYN | ACK | RST)) == SYN)
        open_conn(take_slot(), mac, from, &s, now);
    else
        refuse(mac, from, &s);
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
