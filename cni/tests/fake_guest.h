/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_guest - a guest in user space behind a tap: answers ARP-less neighbours by their own frames,
 * echoes UDP, answers ICMP echo, and holds TCP conversations of one segment each way. It counts
 * what it is shown.
 *
 * TCP: SYN -> SYN+ACK; a segment with data -> the text "guest" and FIN. Enough for connect, write,
 * read until end.
 */
#ifndef UNICRI_CNI_TESTS_FAKE_GUEST_H
#define UNICRI_CNI_TESTS_FAKE_GUEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GUEST_PORTS 65536
#define GUEST_REPLY "guest"

struct fake_guest {
    int tap;
    pthread_t thread;
    atomic_bool stop;
    uint8_t tap_mac[ETH_ALEN];
    atomic_int arps, echoes, unreachables, tails;
    atomic_int from_tap; /* frames that the pod's stack sent by the tap itself */
    atomic_int tcp[GUEST_PORTS], udp[GUEST_PORTS]; /* frames by destination port */
    atomic_int others;                             /* frames for another address */
};

static uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    if (len & 1)
        sum += (uint32_t)(p[len - 1] << 8);
    return sum;
}
static uint16_t csum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t t = a[i];

        a[i] = b[i];
        b[i] = t;
    }
}

/* Complete and send back `frame`, whose addresses and ports are turned here. `l4` bytes of
 * transport. */
static void guest_answer(struct fake_guest *g, uint8_t *frame, bool v6, uint8_t *l4, size_t l4_len,
                         uint8_t proto)
{
    uint8_t *ip = frame + ETH_HLEN;
    size_t addr_len = v6 ? 16 : 4;
    uint8_t *addrs = ip + (v6 ? 8 : 12);
    uint16_t *csum = NULL;
    uint32_t sum;
    size_t len = (size_t)(l4 - frame) + l4_len;

    swap_bytes(frame, frame + ETH_ALEN, ETH_ALEN);
    swap_bytes(addrs, addrs + addr_len, addr_len);
    if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
        swap_bytes(l4, l4 + 2, 2);
    if (v6) {
        ((struct ip6_hdr *)ip)->ip6_plen = htons((uint16_t)l4_len);
    } else {
        struct iphdr *h = (struct iphdr *)ip;

        h->tot_len = htons((uint16_t)(l4_len + h->ihl * 4u));
        h->ttl = 64;
        h->check = 0;
        h->check = csum_end(csum_add(0, ip, h->ihl * 4u));
    }
    if (proto == IPPROTO_TCP)
        csum = (uint16_t *)(void *)(l4 + 16);
    else if (proto == IPPROTO_UDP)
        csum = (uint16_t *)(void *)(l4 + 6);
    else
        csum = (uint16_t *)(void *)(l4 + 2);
    *csum = 0;
    sum = csum_add(0, l4, l4_len);
    if (proto != IPPROTO_ICMP)
        sum = csum_add(sum + proto + (uint32_t)l4_len, addrs, 2 * addr_len);
    *csum = csum_end(sum);
    if (write(g->tap, frame, len) < 0)
        return; /* the pod is going away */
}

static void guest_tcp(struct fake_guest *g, uint8_t *frame, bool v6, uint8_t *l4, size_t l4_len)
{
    struct tcphdr *t = (struct tcphdr *)(void *)l4;
    size_t data = l4_len - t->doff * 4u;
    uint32_t seq = ntohl(t->seq);

    g->tcp[ntohs(t->dest)]++;
    if (!t->syn && !data)
        return;
    t->ack_seq = htonl(seq + (t->syn ? 1 : (uint32_t)data));
    t->seq = htonl(t->syn ? 1000 : 1001);
    t->fin = !t->syn;
    t->psh = 0;
    t->ack = 1;
    t->window = htons(8192);
    t->urg_ptr = 0;
    t->doff = 5;
    if (!t->syn)
        memcpy(l4 + 20, GUEST_REPLY, strlen(GUEST_REPLY));
    guest_answer(g, frame, v6, l4, t->syn ? 20 : 20 + strlen(GUEST_REPLY), IPPROTO_TCP);
}

static void guest_ip(struct fake_guest *g, uint8_t *frame, size_t len, bool v6)
{
    uint8_t *ip = frame + ETH_HLEN, *l4;
    struct iphdr *h4 = (struct iphdr *)(void *)ip;
    struct ip6_hdr *h6 = (struct ip6_hdr *)(void *)ip;
    uint8_t proto = v6 ? h6->ip6_nxt : h4->protocol;
    size_t l4_len;

    l4 = ip + (v6 ? 40 : h4->ihl * 4u);
    l4_len = v6 ? ntohs(h6->ip6_plen) : ntohs(h4->tot_len) - h4->ihl * 4u;
    if (l4 + l4_len > frame + len || l4_len < 8)
        return;
    if (!v6 && (ntohs(h4->frag_off) & 0x1fff)) {
        g->tails++;
        return;
    }
    if (proto == IPPROTO_TCP && l4_len >= 20) {
        guest_tcp(g, frame, v6, l4, l4_len);
    } else if (proto == IPPROTO_UDP) {
        g->udp[ntohs(((struct udphdr *)(void *)l4)->dest)]++;
        guest_answer(g, frame, v6, l4, l4_len, proto);
    } else if (!v6 && proto == IPPROTO_ICMP && l4[0] == ICMP_ECHO) {
        g->echoes++;
        l4[0] = ICMP_ECHOREPLY;
        guest_answer(g, frame, v6, l4, l4_len, proto);
    } else if (v6 && proto == IPPROTO_ICMPV6 && l4[0] == ICMP6_ECHO_REQUEST) {
        g->echoes++;
        l4[0] = ICMP6_ECHO_REPLY;
        guest_answer(g, frame, v6, l4, l4_len, proto);
    } else if (!v6 && proto == IPPROTO_ICMP && l4[0] == ICMP_UNREACH) {
        g->unreachables++;
    } else {
        g->others++;
    }
}

static void *guest_thread(void *arg)
{
    struct fake_guest *g = arg;
    /* IP headers stand at a multiple of four. */
    static _Thread_local uint8_t buf[65536 + 2] __attribute__((aligned(8)));
    uint8_t *frame = buf + 2;

    while (!g->stop) {
        struct pollfd p = {.fd = g->tap, .events = POLLIN};
        uint16_t type;
        ssize_t n;

        if (poll(&p, 1, 50) <= 0)
            continue;
        n = read(g->tap, frame, sizeof(buf) - 2);
        if (n < ETH_HLEN + 8)
            continue;
        if (memcmp(frame + ETH_ALEN, g->tap_mac, ETH_ALEN) == 0)
            g->from_tap++;
        type = (uint16_t)(frame[12] << 8 | frame[13]);
        if (type == ETH_P_ARP)
            g->arps++;
        else if (type == ETH_P_IP || type == ETH_P_IPV6)
            guest_ip(g, frame, (size_t)n, type == ETH_P_IPV6);
    }
    return NULL;
}

static void fake_guest_start(struct fake_guest *g, int tap)
{
    struct ifreq req = {0};

    memset(g, 0, sizeof(*g));
    g->tap = tap;
    if (ioctl(tap, SIOCGIFHWADDR, &req) < 0)
        abort();
    memcpy(g->tap_mac, req.ifr_hwaddr.sa_data, ETH_ALEN);
    if (pthread_create(&g->thread, NULL, guest_thread, g))
        abort();
}
static void fake_guest_stop(struct fake_guest *g)
{
    g->stop = true;
    pthread_join(g->thread, NULL);
}

#endif
