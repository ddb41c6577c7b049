/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The http guest's network: ip.c does Ethernet, ARP, IPv4 and ICMP echo; tcp.c keeps connections
 * and calls http_answer() of http.c when a request is complete. Numbers are in host order here,
 * frames in network order.
 */
#ifndef UNICRI_E2E_UNIKERNELS_STACK_H
#define UNICRI_E2E_UNIKERNELS_STACK_H

#include "e2e/unikernels/guest.h"

#define FRAME_MAX  9018u /* bytes: jumbo frames pass, though we never send one */
#define ETHER_HEAD 14u
#define IPV4_HEAD  20u
#define TCP_HEAD   20u

#define HTTP_REQUEST_MAX 2048u /* bytes of a request's head */
#define HTTP_ANSWER_MAX  1024u /* bytes, one segment */

struct stack {
    unsigned handle;
    uint8_t mac[6];
    uint32_t ip;
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

/* ip.c */

/**
 * ip_input() - handle one received frame, in place.
 */
void ip_input(uint8_t *frame, size_t len);

/**
 * ip_send() - send an IPv4 packet of @proto whose payload of @len bytes is already at frame + 34.
 */
void ip_send(uint8_t *frame, const uint8_t mac[6], uint32_t to, uint8_t proto, size_t len);

/**
 * ip_sum() - one's complement sum over @len bytes, added to @sum and folded to 16 bits.
 */
uint32_t ip_sum(const uint8_t *data, size_t len, uint32_t sum);

/* tcp.c */

/**
 * tcp_input() - handle one segment.
 * @mac: of the frame's sender, where answers go.
 */
void tcp_input(const uint8_t mac[6], uint32_t from, const uint8_t *seg, size_t len);

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
size_t http_answer(const char *head, uint32_t from, uint16_t port, char *out);

#endif
