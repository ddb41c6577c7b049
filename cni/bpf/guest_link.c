/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_link - the tc classifiers that let a guest and the kernel's stack share one pod address.
 * Runs in the kernel: compiled for the bpf target, embedded in the daemon and loaded once by
 * ../classifier.c, attached by ../link.c.
 *
 * Three programs, one for each place where frames choose between the pod's stack and its guest:
 *
 * - from_pod, ingress of the pod's interface: a frame that a local socket wants stays with the
 *   stack, a frame that both must see (ARP, ND, groups, ICMP errors) goes to both, all others go to
 *   the guest.
 * - from_guest, ingress of the tap: out of the pod's interface. What answers a local client goes
 *   back to it. A guest is no router and in no VLAN: such frames are dropped.
 * - from_lo, egress of lo: a local client that talks to the pod's own address where no local socket
 *   listens is talking to the guest. Its source becomes PEER4 or PEER6, since a guest throws away
 *   what comes from its own address, and from_guest turns the answers back.
 *
 * Invariants: no maps, so that one copy serves every pod; the interface on the other side arrives
 * as the filter's class id (16 bits). A frame that cannot be understood goes to the guest: the
 * stack never answers for it.
 *
 * Fragments: the first one follows its ports. The others have none and go to both, where only the
 * side that has the first one can put them together.
 *
 * Known limits: a guest that dials out from a port where an ordinary container listens gets no
 * answers, as one address has one set of ports. Late duplicates of a connection that a container
 * has ended find no socket and reach the guest, which resets them as any stack would.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "cni/bpf/guest_link.h"

#define AF_INET        2
#define AF_INET6       10
#define ARPOP_REQUEST  1
#define ARPOP_REPLY    2
#define LO_IFINDEX     1
#define IPV6_EXT_MAX   4
#define PACKET_HOST    0
#define PACKET_BROAD   1
#define PACKET_MULTI   2
#define IPPROTO_ICMPV6 58
#define ICMP_ECHO      8
#define ICMPV6_ECHO    128
#define ND_ROUTER_ASK  133
#define ND_ROUTER_AD   134
#define ND_REDIRECT    137
#define NEXT_HOP       0
#define NEXT_ROUTING   43
#define NEXT_FRAGMENT  44
#define NEXT_DEST      60
#define TCP_CSUM_OFF   16
#define UDP_CSUM_OFF   6
#define IP_CSUM_OFF    10
#define IP_SADDR_OFF   12
#define IP_DADDR_OFF   16
#define IP6_SADDR_OFF  8
#define IP6_DADDR_OFF  24
#define IP_OFFSET_MASK 0x1fff

struct ip4 {
    __u8 ver_ihl, tos;
    __be16 len, id, frag;
    __u8 ttl, proto;
    __u16 csum;
    __be32 saddr, daddr;
};
struct ip6 {
    __be32 ver_flow;
    __be16 len;
    __u8 next, hops;
    __be32 saddr[4], daddr[4];
};
struct ports {
    __be16 source, dest;
};
struct arp4 {
    __be16 htype, ptype;
    __u8 hlen, plen;
    __be16 oper;
    __u8 sha[ETH_ALEN];
    __be32 spa;
    __u8 tha[ETH_ALEN];
    __be32 tpa;
} __attribute__((packed));

/* What the rules need of one frame. */
struct frame {
    struct bpf_sock_tuple tuple;
    __u32 l4; /* offset of the transport header */
    __u8 proto;
    __u8 tail; /* a fragment that is not the first */
    __u8 icmp; /* type, for the two ICMPs */
    __u8 v6;
    __u8 deep; /* more extension headers than anybody looks through */
};

enum verdict { TO_STACK, TO_GUEST, TO_BOTH };

/* Constants are written word by word: an initialised array would become .rodata, which needs a map.
 */
static __always_inline void set6(__be32 *a, __u32 w0, __u32 w1, __u32 w2, __u32 w3)
{
    volatile __be32 *v = a;

    v[0] = bpf_htonl(w0);
    v[1] = bpf_htonl(w1);
    v[2] = bpf_htonl(w2);
    v[3] = bpf_htonl(w3);
}

static __always_inline void set_mac(__u8 *mac, __u32 high, __u16 low)
{
    volatile __u8 *v = mac;

    v[0] = high >> 24;
    v[1] = high >> 16;
    v[2] = high >> 8;
    v[3] = high;
    v[4] = low >> 8;
    v[5] = low;
}

static __always_inline int same6(const __be32 *a, const __be32 *b)
{
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline int parse_l4(struct __sk_buff *skb, struct frame *f)
{
    struct ports p = {0, 0};

    if (f->tail)
        return 0;
    if (f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP) {
        if (bpf_skb_load_bytes(skb, f->l4, &p, sizeof(p)) < 0)
            return -1;
        if (f->v6) {
            f->tuple.ipv6.sport = p.source;
            f->tuple.ipv6.dport = p.dest;
        } else {
            f->tuple.ipv4.sport = p.source;
            f->tuple.ipv4.dport = p.dest;
        }
    } else if (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6) {
        if (bpf_skb_load_bytes(skb, f->l4, &f->icmp, 1) < 0)
            return -1;
    }
    return 0;
}

static __always_inline int parse4(struct __sk_buff *skb, struct frame *f)
{
    struct ip4 ip;
    __u32 ihl;

    if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
        return -1;
    ihl = (ip.ver_ihl & 15) * 4;
    if (ihl < sizeof(ip))
        return -1;
    f->tuple.ipv4.saddr = ip.saddr;
    f->tuple.ipv4.daddr = ip.daddr;
    f->proto = ip.proto;
    f->tail = (ip.frag & bpf_htons(IP_OFFSET_MASK)) != 0;
    f->l4 = ETH_HLEN + ihl;
    return parse_l4(skb, f);
}

static __always_inline int is_extension(__u8 next)
{
    return next == NEXT_HOP || next == NEXT_ROUTING || next == NEXT_DEST || next == NEXT_FRAGMENT;
}

static __always_inline int parse6(struct __sk_buff *skb, struct frame *f)
{
    struct ip6 ip;
    __u8 ext[4], next;

    if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
        return -1;
    __builtin_memcpy(f->tuple.ipv6.saddr, ip.saddr, sizeof(ip.saddr));
    __builtin_memcpy(f->tuple.ipv6.daddr, ip.daddr, sizeof(ip.daddr));
    f->v6 = 1;
    f->l4 = ETH_HLEN + sizeof(ip);
    next = ip.next;
#pragma unroll
    for (int i = 0; i < IPV6_EXT_MAX; i++) {
        if (!is_extension(next))
            break;
        if (bpf_skb_load_bytes(skb, f->l4, ext, sizeof(ext)) < 0)
            return -1;
        if (next == NEXT_FRAGMENT) {
            if (ext[2] || (ext[3] & 0xf8))
                f->tail = 1;
            f->l4 += 8;
        } else {
            f->l4 += 8 + ext[1] * 8;
        }
        next = ext[0];
        if (f->tail)
            break;
    }
    f->deep = !f->tail && is_extension(next);
    f->proto = next;
    return parse_l4(skb, f);
}

/* Returns: 0, or -1 for what is neither IPv4 nor IPv6 or lies about itself. */
static __always_inline int parse(struct __sk_buff *skb, struct frame *f)
{
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return parse4(skb, f);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return parse6(skb, f);
    return -1;
}

/* A listening, established, half open or time-wait socket of the pod that this frame is for. */
static __always_inline int local_socket(struct __sk_buff *skb, struct frame *f)
{
    __u32 len = f->v6 ? sizeof(f->tuple.ipv6) : sizeof(f->tuple.ipv4);
    struct bpf_sock *sk;

    if (f->proto == IPPROTO_TCP)
        sk = bpf_skc_lookup_tcp(skb, &f->tuple, len, BPF_F_CURRENT_NETNS, 0);
    else
        sk = bpf_sk_lookup_udp(skb, &f->tuple, len, BPF_F_CURRENT_NETNS, 0);
    if (!sk)
        return 0;
    bpf_sk_release(sk);
    return 1;
}

static __always_inline enum verdict verdict_of(struct __sk_buff *skb)
{
    struct frame f = {0};

    if (skb->pkt_type == PACKET_BROAD || skb->pkt_type == PACKET_MULTI)
        return TO_BOTH;
    if (skb->pkt_type != PACKET_HOST)
        return TO_STACK; /* flooded by a bridge, for somebody else: the stack drops it */
    if (skb->protocol == bpf_htons(ETH_P_ARP))
        return TO_BOTH;
    if (parse(skb, &f) < 0)
        return TO_GUEST;
    if (f.tail)
        return TO_BOTH;
    if (f.proto == IPPROTO_TCP || f.proto == IPPROTO_UDP)
        return local_socket(skb, &f) ? TO_STACK : TO_GUEST;
    /* An echo request has one answer, the guest's. Errors, ND and echo replies belong to whoever
     * asked. */
    if (!f.v6 && f.proto == IPPROTO_ICMP)
        return f.icmp == ICMP_ECHO ? TO_GUEST : TO_BOTH;
    if (f.v6 && f.proto == IPPROTO_ICMPV6)
        return f.icmp == ICMPV6_ECHO ? TO_GUEST : TO_BOTH;
    return TO_GUEST;
}

SEC("tc/from_pod")
int from_pod(struct __sk_buff *skb)
{
    __u32 tap = skb->tc_classid & 0xffff;

    switch (verdict_of(skb)) {
    case TO_STACK:
        return TC_ACT_OK;
    case TO_BOTH:
        (void)bpf_clone_redirect(skb, tap, 0);
        return TC_ACT_OK;
    default:
        return bpf_redirect(tap, 0);
    }
}

/* ------------------------------------------- a local client and the guest */

static __always_inline __u32 csum_off(const struct frame *f)
{
    return f->l4 + (f->proto == IPPROTO_TCP ? TCP_CSUM_OFF : UDP_CSUM_OFF);
}

/* Write another address over the one at `off` (from the start of the IP header), with all
 * checksums. */
static __always_inline int readdress4(struct __sk_buff *skb, const struct frame *f, __u32 off,
                                      __be32 from, __be32 to)
{
    __u64 flags = BPF_F_PSEUDO_HDR | sizeof(to);

    if (f->proto == IPPROTO_UDP)
        flags |= BPF_F_MARK_MANGLED_0; /* no checksum stays no checksum */
    if (bpf_l4_csum_replace(skb, csum_off(f), from, to, flags) < 0)
        return -1;
    if (bpf_l3_csum_replace(skb, ETH_HLEN + IP_CSUM_OFF, from, to, sizeof(to)) < 0)
        return -1;
    return bpf_skb_store_bytes(skb, ETH_HLEN + off, &to, sizeof(to), 0);
}

static __always_inline int readdress6(struct __sk_buff *skb, const struct frame *f, __u32 off,
                                      __be32 *from, __be32 *to)
{
    __s64 diff = bpf_csum_diff(from, 16, to, 16, 0);

    if (diff < 0)
        return -1;
    if (bpf_l4_csum_replace(skb, csum_off(f), 0, diff, BPF_F_PSEUDO_HDR) < 0)
        return -1;
    return bpf_skb_store_bytes(skb, ETH_HLEN + off, to, 16, 0);
}

SEC("tc/from_lo")
int from_lo(struct __sk_buff *skb)
{
    struct bpf_redir_neigh hop;
    __be32 peer6[4], from6[4];
    __u32 tap = skb->tc_classid & 0xffff;
    struct frame f = {0};
    __be32 from = 0;

    __builtin_memset(&hop, 0, sizeof(hop));
    if (parse(skb, &f) < 0 || f.tail || (f.proto != IPPROTO_TCP && f.proto != IPPROTO_UDP))
        return TC_ACT_OK;
    if (f.v6) {
        __builtin_memcpy(from6, f.tuple.ipv6.saddr, sizeof(from6));
        if (!same6(from6, f.tuple.ipv6.daddr))
            return TC_ACT_OK;
        if (!from6[0] && !from6[1] && !from6[2])
            return TC_ACT_OK; /* ::1 */
    } else {
        from = f.tuple.ipv4.saddr;
        if (from != f.tuple.ipv4.daddr || (from & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000))
            return TC_ACT_OK;
    }
    if (local_socket(skb, &f))
        return TC_ACT_OK;
    if (f.v6) {
        set6(peer6, GUEST_LINK_PEER6);
        if (readdress6(skb, &f, IP6_SADDR_OFF, from6, peer6) < 0)
            return TC_ACT_SHOT;
        hop.nh_family = AF_INET6;
        set6(hop.ipv6_nh, GUEST_LINK_HOP6);
    } else {
        if (readdress4(skb, &f, IP_SADDR_OFF, from, bpf_htonl(GUEST_LINK_PEER4)) < 0)
            return TC_ACT_SHOT;
        hop.nh_family = AF_INET;
        hop.ipv4_nh = bpf_htonl(GUEST_LINK_HOP4);
    }
    /* The next hop is a permanent neighbour on the tap that carries the guest's MAC. */
    return bpf_redirect_neigh(tap, &hop, sizeof(hop), 0);
}

/* Some stacks take link-local addresses for neighbours and ask for them by ARP. `all`: whoever is
 * asked for is answered for, but not what speaks of the guest's own address (probes,
 * announcements). */
static __always_inline int answer_arp(struct __sk_buff *skb, int all)
{
    struct arp4 arp;
    __be32 asked;

    if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)) < 0)
        return -1;
    asked = arp.tpa;
    if (arp.oper != bpf_htons(ARPOP_REQUEST))
        return -1;
    if (asked != bpf_htonl(GUEST_LINK_PEER4) && (!all || asked == arp.spa || !arp.spa))
        return -1;
    arp.oper = bpf_htons(ARPOP_REPLY);
    arp.tpa = arp.spa;
    arp.spa = asked;
    __builtin_memcpy(arp.tha, arp.sha, ETH_ALEN);
    set_mac(arp.sha, GUEST_LINK_PEER_MAC);
    if (bpf_skb_store_bytes(skb, 0, arp.tha, ETH_ALEN, 0) < 0 ||
        bpf_skb_store_bytes(skb, ETH_ALEN, arp.sha, ETH_ALEN, 0) < 0 ||
        bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0) < 0)
        return TC_ACT_SHOT;
    return bpf_redirect(skb->ifindex, 0);
}

/* Returns: a tc action, or -1 when the frame is not an answer to a local client. */
static __always_inline int answer_client(struct __sk_buff *skb)
{
    __be32 peer6[4], to6[4];
    __u8 lo_mac[ETH_ALEN];
    struct frame f = {0};

    set6(peer6, GUEST_LINK_PEER6);
    set_mac(lo_mac, 0, 0);
    if (parse(skb, &f) < 0)
        return -1;
    if (f.v6 ? !same6(f.tuple.ipv6.daddr, peer6)
             : f.tuple.ipv4.daddr != bpf_htonl(GUEST_LINK_PEER4))
        return -1;
    if (f.tail || (f.proto != IPPROTO_TCP && f.proto != IPPROTO_UDP))
        return TC_ACT_SHOT;
    if (f.v6) {
        __builtin_memcpy(to6, f.tuple.ipv6.saddr, sizeof(to6));
        if (readdress6(skb, &f, IP6_DADDR_OFF, peer6, to6) < 0)
            return TC_ACT_SHOT;
    } else if (readdress4(skb, &f, IP_DADDR_OFF, bpf_htonl(GUEST_LINK_PEER4), f.tuple.ipv4.saddr) <
               0) {
        return TC_ACT_SHOT;
    }
    if (bpf_skb_store_bytes(skb, 0, lo_mac, ETH_ALEN, 0) < 0)
        return TC_ACT_SHOT;
    return bpf_redirect(LO_IFINDEX, BPF_F_INGRESS);
}

/* A tag would lead into another network; a router's messages would lead the neighbours astray. */
static __always_inline int not_a_hosts(struct __sk_buff *skb)
{
    struct frame f = {0};

    if (skb->vlan_present || skb->protocol == bpf_htons(ETH_P_8021Q) ||
        skb->protocol == bpf_htons(ETH_P_8021AD))
        return 1;
    if (skb->protocol != bpf_htons(ETH_P_IPV6) || parse(skb, &f) < 0)
        return 0;
    if (f.deep)
        return 1; /* what stands behind them would not be seen */
    if (f.proto != IPPROTO_ICMPV6)
        return 0;
    if (f.icmp == ND_ROUTER_AD || f.icmp == ND_REDIRECT)
        return 1;
    /* No honest stack hides discovery behind other headers, and the guard looks at the first only.
     */
    return f.icmp >= ND_ROUTER_ASK && f.icmp <= ND_REDIRECT &&
           f.l4 != ETH_HLEN + sizeof(struct ip6);
}

SEC("tc/from_guest")
int from_guest(struct __sk_buff *skb)
{
    __u32 pod = skb->tc_classid & 0xffff;
    int act;

    if (not_a_hosts(skb))
        return TC_ACT_SHOT;
    if (skb->protocol == bpf_htons(ETH_P_ARP))
        act = answer_arp(skb, 0);
    else
        act = answer_client(skb);
    return act >= 0 ? act : bpf_redirect(pod, 0);
}

/* To the gateway, whose hardware address the pod's stack finds out or knows. */
static __always_inline int to_gateway(struct __sk_buff *skb, __u32 pod)
{
    struct bpf_redir_neigh hop;
    __u8 to[ETH_ALEN], peer[ETH_ALEN];
    __u64 gateway;

    set_mac(peer, GUEST_LINK_PEER_MAC);
    if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, 0, to, ETH_ALEN) < 0)
        return -1;
    for (int i = 0; i < ETH_ALEN; i++)
        if (to[i] != peer[i])
            return -1;
#ifdef __bpf__
    asm volatile("%0 = %1" : "=r"(gateway) : "i"(GUEST_LINK_FAR_MARK));
#else /* under a fuzzer */
    gateway = GUEST_LINK_FAR_MARK;
#endif
    __builtin_memset(&hop, 0, sizeof(hop));
    hop.nh_family = AF_INET;
    hop.ipv4_nh = gateway;
    return bpf_redirect_neigh(pod, &hop, sizeof(hop), 0);
}

/* from_guest where the gateway is not within the guest's network, or the network not on the link:
 * few stacks and few networks' other ends agree on how to ask for one there. */
SEC("tc/from_guest_far")
int from_guest_far(struct __sk_buff *skb)
{
    __u32 pod = skb->tc_classid & 0xffff;
    int act;

    if (not_a_hosts(skb))
        return TC_ACT_SHOT;
    if (skb->protocol == bpf_htons(ETH_P_ARP)) {
        act = answer_arp(skb, 1);
    } else {
        act = answer_client(skb);
        if (act < 0)
            act = to_gateway(skb, pod);
    }
    return act >= 0 ? act : bpf_redirect(pod, 0);
}

const char guest_link_license[] SEC("license") = "Apache-2.0";
