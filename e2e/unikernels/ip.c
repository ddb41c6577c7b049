/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet, ARP, ND, IPv4, IPv6, echo and UDP of the http guest. Every frame it sends goes to a
 * hardware address that a question came from, so no neighbour table is needed. Checksums of
 * received packets are not checked: frames come over a tap, whose sender may have left them to be
 * filled in.
 */
#include "e2e/unikernels/stack.h"

#define TYPE_IPV4    0x0800
#define TYPE_ARP     0x0806
#define TYPE_IPV6    0x86dd
#define ARP_LEN      28u
#define ECHO_REQUEST 8
#define ECHO6        128
#define ECHO6_REPLY  129
#define ND_SOLICIT   135
#define ND_ADVERT    136
#define ND_LEN       32u /* head, target, one link-layer option */

struct stack stack;

static uint32_t sum(const uint8_t *data, size_t len, uint32_t start)
{
    uint32_t s = start;

    for (; len > 1; len -= 2, data += 2)
        s += get16(data);
    if (len > 0)
        s += (uint32_t)data[0] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

static void send_frame(uint8_t *frame, const uint8_t mac[6], unsigned type, size_t len)
{
    uint8_t to[6];

    memcpy(to, mac, sizeof(to)); /* may lie in the frame itself */
    memcpy(frame, to, 6);
    memcpy(frame + 6, stack.mac, 6);
    put16(frame + 12, type);
    (void)guest_net_write(stack.handle, frame, ETHER_HEAD + len);
}

/* The payload's checksum; ICMP of IPv4 has no pseudo header. */
static void put_sum(uint8_t *at, uint8_t *payload, size_t len, const uint8_t *addrs, size_t n,
                    uint8_t proto)
{
    uint32_t s = 0;

    if (proto != PROTO_ICMP)
        s = sum(addrs, n, proto + (uint32_t)len);
    put16(at, 0);
    s = ~sum(payload, len, s) & 0xffff;
    put16(at, proto == PROTO_UDP && s == 0 ? 0xffff : s);
}

void ip_send(uint8_t *frame, const struct peer *to, uint8_t proto, size_t csum_off, size_t len)
{
    static uint16_t id;
    uint8_t *payload = frame + IP_ROOM, *ip = payload;

    if (addr_is4(&to->ip)) {
        ip -= IPV4_HEAD;
        put16(ip, 0x4500);
        put16(ip + 2, (unsigned)(IPV4_HEAD + len));
        put16(ip + 4, id++);
        put16(ip + 6, 0x4000); /* do not fragment */
        put16(ip + 8, 64 << 8 | proto);
        put16(ip + 10, 0);
        memcpy(ip + 12, stack.ip4.b + 12, 4);
        memcpy(ip + 16, to->ip.b + 12, 4);
        put16(ip + 10, ~sum(ip, IPV4_HEAD, 0) & 0xffff);
        put_sum(payload + csum_off, payload, len, ip + 12, 8, proto);
        send_frame(ip - ETHER_HEAD, to->mac, TYPE_IPV4, IPV4_HEAD + len);
        return;
    }
    ip -= IPV6_HEAD;
    put32(ip, 0x60000000);
    put16(ip + 4, (unsigned)len);
    put16(ip + 6, (unsigned)proto << 8 | 255); /* ND wants this hop limit, others do not mind */
    memcpy(ip + 8, stack.ip6.b, 16);
    memcpy(ip + 24, to->ip.b, 16);
    put_sum(payload + csum_off, payload, len, ip + 8, 32, proto);
    send_frame(frame, to->mac, TYPE_IPV6, IPV6_HEAD + len);
}

void udp_send(uint16_t from, const struct peer *to, const char *text, size_t len)
{
    static uint8_t frame[IP_ROOM + UDP_HEAD + HTTP_ANSWER_MAX];
    uint8_t *udp = frame + IP_ROOM;

    if (len > HTTP_ANSWER_MAX)
        len = HTTP_ANSWER_MAX;
    put16(udp, from);
    put16(udp + 2, to->port);
    put16(udp + 4, (unsigned)(UDP_HEAD + len));
    memcpy(udp + UDP_HEAD, text, len);
    ip_send(frame, to, PROTO_UDP, 6, UDP_HEAD + len);
}

/* Datagrams to the guest's port are echoed, others told on the console. */
static void udp_input(struct peer *from, const uint8_t *udp, size_t len)
{
    char text[65], name[40];
    size_t n, to;

    if (len < UDP_HEAD || get16(udp + 4) < UDP_HEAD || get16(udp + 4) > len)
        return;
    n = get16(udp + 4) - UDP_HEAD;
    to = get16(udp + 2);
    from->port = get16(udp);
    if (to == stack.port) {
        udp_send(stack.port, from, (const char *)udp + UDP_HEAD, n);
        return;
    }
    if (n > sizeof(text) - 1)
        n = sizeof(text) - 1;
    for (size_t i = 0; i < n; i++)
        text[i] =
            udp[UDP_HEAD + i] >= ' ' && udp[UDP_HEAD + i] < 0x7f ? (char)udp[UDP_HEAD + i] : '.';
    text[n] = '\0';
    say("http: datagram from %s port %u to port %u: %s", addr_text(&from->ip, name), from->port,
        (unsigned)to, text);
}

static void arp_input(uint8_t *frame, size_t len)
{
    static const uint8_t ether_ipv4[6] = {0, 1, 8, 0, 6, 4};
    uint8_t *arp = frame + ETHER_HEAD;

    if (len < ETHER_HEAD + ARP_LEN || memcmp(arp, ether_ipv4, sizeof(ether_ipv4)) != 0 ||
        get16(arp + 6) != 1 || !addr_is4(&stack.ip4) || memcmp(arp + 24, stack.ip4.b + 12, 4) != 0)
        return;
    put16(arp + 6, 2);
    memcpy(arp + 18, arp + 8, 10); /* the asker becomes the target */
    memcpy(arp + 8, stack.mac, 6);
    memcpy(arp + 14, stack.ip4.b + 12, 4);
    send_frame(frame, arp + 18, TYPE_ARP, ARP_LEN);
}

static void echo(const struct peer *from, const uint8_t *icmp, size_t len, uint8_t proto,
                 uint8_t reply)
{
    static uint8_t frame[FRAME_MAX + IPV6_HEAD];

    memcpy(frame + IP_ROOM, icmp, len);
    frame[IP_ROOM] = reply;
    ip_send(frame, from, proto, 2, len);
}

static void nd_input(const struct peer *from, const uint8_t *icmp, size_t len)
{
    static const struct addr none;
    uint8_t frame[IP_ROOM + ND_LEN];
    uint8_t *nd = frame + IP_ROOM;

    /* Nobody else has the address: duplicate detection needs no answer. */
    if (len < 24 || memcmp(icmp + 8, stack.ip6.b, 16) != 0 || addr_same(&from->ip, &none))
        return;
    put16(nd, ND_ADVERT << 8);
    put32(nd + 4, 0x60000000); /* solicited, override */
    memcpy(nd + 8, stack.ip6.b, 16);
    put16(nd + 24, 2 << 8 | 1);
    memcpy(nd + 26, stack.mac, 6);
    ip_send(frame, from, PROTO_ICMP6, 2, ND_LEN);
}

static void payload_input(struct peer *from, uint8_t proto, const uint8_t *data, size_t len)
{
    if (proto == PROTO_TCP)
        tcp_input(from, data, len);
    else if (proto == PROTO_UDP)
        udp_input(from, data, len);
    else if (proto == PROTO_ICMP && addr_is4(&from->ip) && len >= 8 && data[0] == ECHO_REQUEST)
        echo(from, data, len, proto, 0);
    else if (proto == PROTO_ICMP6 && !addr_is4(&from->ip) && len >= 8 && data[0] == ECHO6)
        echo(from, data, len, proto, ECHO6_REPLY);
    else if (proto == PROTO_ICMP6 && !addr_is4(&from->ip) && len >= 8 && data[0] == ND_SOLICIT)
        nd_input(from, data, len);
}

static void ip4_input(struct peer *from, const uint8_t *ip, size_t len)
{
    size_t head, total;

    if (len < IPV4_HEAD)
        return;
    head = (size_t)(ip[0] & 15) * 4;
    total = get16(ip + 2);
    if (ip[0] >> 4 != 4 || head < IPV4_HEAD || total < head || total > len ||
        (get16(ip + 6) & 0x3fff) != 0 || !addr_is4(&stack.ip4) ||
        memcmp(ip + 16, stack.ip4.b + 12, 4) != 0)
        return;
    from->ip.b[10] = from->ip.b[11] = 0xff;
    memcpy(from->ip.b + 12, ip + 12, 4);
    payload_input(from, ip[9], ip + head, total - head);
}

/* No extension headers: nobody sends them here. */
static void ip6_input(struct peer *from, const uint8_t *ip, size_t len)
{
    size_t total;

    if (len < IPV6_HEAD || ip[0] >> 4 != 6)
        return;
    total = get16(ip + 4);
    if (total > len - IPV6_HEAD ||
        (memcmp(ip + 24, stack.ip6.b, 16) != 0 && !(ip[24] == 0xff && ip[6] == PROTO_ICMP6)))
        return;
    memcpy(from->ip.b, ip + 8, 16);
    payload_input(from, ip[6], ip + IPV6_HEAD, total);
}

void ip_input(uint8_t *frame, size_t len)
{
    struct peer from;

    if (len < ETHER_HEAD || len > FRAME_MAX)
        return;
    memset(&from, 0, sizeof(from));
    memcpy(from.mac, frame + 6, sizeof(from.mac));
    if (get16(frame + 12) == TYPE_ARP)
        arp_input(frame, len);
    else if (get16(frame + 12) == TYPE_IPV4)
        ip4_input(&from, frame + ETHER_HEAD, len - ETHER_HEAD);
    else if (get16(frame + 12) == TYPE_IPV6)
        ip6_input(&from, frame + ETHER_HEAD, len - ETHER_HEAD);
}
