/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The http guest's network: ip.c does Ethernet, ARP, ND, IPv4, IPv6, echo and UDP; tcp.c keeps
 * connections and calls http_answer() of http.c when a request is complete. Numbers are in host
 * order here, frames in network order. Addresses are 16 bytes, those of IPv4 mapped
 * (::ffff:A.B.C.D).
 */
#ifndef UNICRI_E2E_UNIKERNELS_STACK_H
#define UNICRI_E2E_UNIKERNELS_STACK_H

#include "e2e/unikernels/guest.h"

#define FRAME_MAX  9018u /* bytes: jumbo frames pass, though we never send one */
#define ETHER_HEAD 14u
#define IPV4_HEAD  20u
#define IPV6_HEAD  40u
#define TCP_HEAD   20u
#define UDP_HEAD   8u
#define IP_ROOM    (ETHER_HEAD + IPV6_HEAD) /* bytes before a payload, whatever the version */

#define PROTO_ICMP  1
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_ICMP6 58

#define HTTP_REQUEST_MAX 2048u /* bytes of a request's head */
#define HTTP_ANSWER_MAX  1024u /* bytes, one segment */

struct addr {
    uint8_t b[16];
};

/* The other end of a conversation. */
struct peer {
    uint8_t mac[6]; /* of the frame's sender, where answers go */
    uint16_t port;
    struct addr ip;
};

struct stack {
    unsigned handle;
    uint8_t mac[6];
    struct addr ip4, ip6; /* all zero: none */
    uint16_t port;
    uint16_t mtu;
};

extern struct stack stack;

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static inline bool addr_is4(const struct addr *a)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline bool addr_same(const struct addr *a, const struct addr *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* addr.c */

/**
 * addr_parse() - an address of either family at *@s, which is moved behind it.
 */
bool addr_parse(const char **s, struct addr *ret);

/**
 * addr_text() - write an address; IPv6 in eight groups.
 */
const char *addr_text(const struct addr *a, char out[40]);

/* ip.c */

/**
 * ip_input() - handle one received frame, in place.
 */
void ip_input(uint8_t *frame, size_t len);

/**
 * ip_send() - send a packet of @proto whose payload of @len bytes is already at frame + IP_ROOM;
 * the checksum at @csum_off of it is filled in.
 */
void ip_send(uint8_t *frame, const struct peer *to, uint8_t proto, size_t csum_off, size_t len);

/**
 * udp_send() - one datagram of text.
 */
void udp_send(uint16_t from, const struct peer *to, const char *text, size_t len);

/* tcp.c */

/**
 * tcp_input() - handle one segment; @from's port is filled in here.
 */
void tcp_input(struct peer *from, const uint8_t *seg, size_t len);

/**
 * tcp_fetch() - connect to @to from port @local, send a request and print the last line of what
 * comes back.
 */
void tcp_fetch(const struct peer *to, uint16_t local);

/**
 * tcp_timer() - send again what was lost; returns the next deadline.
 */
uint64_t tcp_timer(uint64_t now);

/**
 * tcp_idle() - whether no connection waits for an acknowledgement.
 */
bool tcp_idle(void);

/* http.c */

/**
 * http_answer() - answer a request.
 * @head: the request's head, terminated by a zero.
 * @out: room for HTTP_ANSWER_MAX bytes.
 * Returns the answer's length.
 */
size_t http_answer(const char *head, const struct peer *from, char *out);

#endif
