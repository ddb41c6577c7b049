/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet, ARP, IPv4 and ICMP echo of the http guest. It only ever answers, so every frame it
 * sends goes to the hardware address its question came from and no ARP table is needed. Checksums
 * of received packets are not checked: frames come over a tap, whose sender may have left them to
 * be filled in.
 */
#include "e2e/unikernels/stack.h"

#define TYPE_IPV4  0x0800
#define TYPE_ARP   0x0806
#define ARP_LEN    28u
#define PROTO_ICMP 1
#define PROTO_TCP  6

struct stack stack;

uint32_t ip_sum(const uint8_t *data, size_t len, uint32_t sum)
{
    for (; len > 1; len -= 2, data += 2)
        sum += get16(data);
    if (len > 0)
        sum += (uint32_t)data[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
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

void ip_send(uint8_t *frame, const uint8_t mac[6], uint32_t to, uint8_t proto, size_t len)
{
    static uint16_t id;
    uint8_t *ip = frame + ETHER_HEAD;

    ip[0] = 0x45;
    ip[1] = 0;
    put16(ip + 2, (unsigned)(IPV4_HEAD + len));
    put16(ip + 4, id++);
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = 64;
    ip[9] = proto;
    put16(ip + 10, 0);
    put32(ip + 12, stack.ip);
    put32(ip + 16, to);
    put16(ip + 10, ~ip_sum(ip, IPV4_HEAD, 0) & 0xffff);
    send_frame(frame, mac, TYPE_IPV4, IPV4_HEAD + len);
}

static void arp_input(uint8_t *frame, size_t len)
{
    static const uint8_t ether_ipv4[6] = {0, 1, 8, 0, 6, 4};
    uint8_t *arp = frame + ETHER_HEAD;

    if (len < ETHER_HEAD + ARP_LEN || memcmp(arp, ether_ipv4, sizeof(ether_ipv4)) != 0 ||
        get16(arp + 6) != 1 || get32(arp + 24) != stack.ip)
        return;
    put16(arp + 6, 2);
    memcpy(arp + 18, arp + 8, 10); /* the asker becomes the target */
    memcpy(arp + 8, stack.mac, 6);
    put32(arp + 14, stack.ip);
    send_frame(frame, arp + 18, TYPE_ARP, ARP_LEN);
}

static void icmp_input(uint8_t *frame, uint32_t from, uint8_t *icmp, size_t len)
{
    if (len < 8 || icmp[0] != 8 || icmp != frame + ETHER_HEAD + IPV4_HEAD)
        return;
    icmp[0] = 0; /* echo reply */
    put16(icmp + 2, 0);
    put16(icmp + 2, ~ip_sum(icmp, len, 0) & 0xffff);
    ip_send(frame, frame + 6, from, PROTO_ICMP, len);
}

void ip_input(uint8_t *frame, size_t len)
{
    uint8_t *ip = frame + ETHER_HEAD;
    size_t head, total;

    if (len >= ETHER_HEAD && get16(frame + 12) == TYPE_ARP)
        arp_input(frame, len);
    if (len < ETHER_HEAD + IPV4_HEAD || get16(frame + 12) != TYPE_IPV4)
        return;
    head = (size_t)(ip[0] & 15) * 4;
    total = get16(ip + 2);
    if (ip[0] >> 4 != 4 || head < IPV4_HEAD || total < head || total > len - ETHER_HEAD ||
        (get16(ip + 6) & 0x3fff) != 0 || get32(ip + 16) != stack.ip)
        return;
    if (ip[9] == PROTO_ICMP)
        icmp_input(frame, get32(ip + 12), ip + head, total - head);
    else if (ip[9] == PROTO_TCP)
        tcp_input(frame + 6, get32(ip + 12), ip + head, total - head);
}
