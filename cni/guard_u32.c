/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_u32 - the rules of guard.c and those of from_guest, as u32 filters for kernels that load no
 * BPF classifier. Filters can only name what they want, so what passes is sent to the pod's
 * interface one by one, and what nobody wants leaves the way it came: back to the guest. (The
 * action that drops may be missing where so much else is.)
 *
 * u32 cannot go through a chain of IPv6 headers. Routing headers, destination options and fragments
 * of ICMPv6 are refused, and behind hop-by-hop options only what they are needed for passes:
 * listener reports.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "cni/guard.h"
#include "cni/rtnl.h"

/* Offsets from the network header. */
#define AT_MAC_HIGH    (-8) /* four bytes of the source MAC; the others are before the type */
#define AT_MAC_LOW     (-4)
#define AT_ARP_SHA     8
#define AT_ARP_SHA_SPA 12 /* two bytes of each */
#define AT_ARP_SPA     16 /* the other two, and the target's MAC */
#define AT_ARP_TPA     24
#define AT_IP4_SRC     12
#define AT_IP4_DST     16
#define AT_IP6_NEXT    4 /* payload length (2), next header, hop limit */
#define AT_IP6_SRC     8
#define AT_IP6_DST     24
#define AT_IP6_DST_END 36
#define AT_IP6_BODY    40
#define AT_EXT_BODY    48 /* behind an extension header of eight bytes */
#define AT_NA_TARGET   48

#define ALL        0xffffffff
#define HIGH16     0xffff0000
#define LOW16      0x0000ffff
#define FIRST_BYTE 0xff000000

#define NEXT_HOP      0
#define NEXT_ROUTING  43
#define NEXT_FRAGMENT 44
#define NEXT_ICMP6    58
#define NEXT_DEST     60
#define ND_ROUTER_AD  134
#define ND_ADVERT     136
#define ND_REDIRECT   137

#define GROUP6          0xff000000
#define LINK_LOCAL      0xfe800000
#define LINK_LOCAL_MASK 0xffc00000
#define METADATA4       0xa9fea9fe

static const uint32_t metadata6[][4] = {
    {0xfd000ec2, 0, 0, 0x254}, /* fd00:ec2::254 */
    {0xfd2000ce, 0, 0, 0x254}, /* fd20:ce::254 */
};
static const uint32_t listener_reports[] = {131, 132, 143};

struct builder {
    struct rtnl *nl;
    const struct guard_rules *rules;
    int tap, pod;
    enum rtnl_stage stage;
    uint32_t order; /* of the last filter of the stage */
    struct rtnl_u32_key keys[RTNL_U32_KEYS_MAX];
    size_t n;
    int rc; /* of the first that failed: the others are left out */
    struct err *err;
};

static void stage(struct builder *b, enum rtnl_stage s)
{
    b->stage = s;
    b->order = 0;
}

static void key(struct builder *b, int offset, uint32_t mask, uint32_t value)
{
    assert(b->n < RTNL_U32_KEYS_MAX);
    b->keys[b->n++] = (struct rtnl_u32_key){.offset = offset, .mask = mask, .value = value};
}

static void filter(struct builder *b, int to)
{
    if (b->rc == 0)
        b->rc = rtnl_filter_u32(b->nl, b->tap, b->stage, ++b->order, b->keys, b->n, to, b->err);
    b->n = 0;
}

/* A frame with the keys so far passes, if it comes from the guest's MAC. */
static void pass(struct builder *b)
{
    const uint8_t *mac = b->rules->mac;

    if (!b->rules->any_source) {
        key(b, AT_MAC_HIGH, ALL,
            (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3]);
        key(b, AT_MAC_LOW, HIGH16, (uint32_t)mac[4] << 24 | (uint32_t)mac[5] << 16);
    }
    filter(b, b->pod);
}

static void refuse(struct builder *b)
{
    if (b->n == 0)
        key(b, RTNL_U32_ALWAYS_THERE, 0, 0);
    filter(b, b->tap);
}

/* ------------------------------------------------------------------ IPv4, ARP */

static void arp_from(struct builder *b, uint32_t address)
{
    const uint8_t *mac = b->rules->mac;

    key(b, AT_ARP_SHA, ALL,
        (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3]);
    key(b, AT_ARP_SHA_SPA, ALL, (uint32_t)mac[4] << 24 | (uint32_t)mac[5] << 16 | address >> 16);
    key(b, AT_ARP_SPA, HIGH16, address << 16);
    key(b, AT_ARP_TPA, 0, 0); /* it is there */
    pass(b);
}

static void build_arp(struct builder *b)
{
    stage(b, RTNL_GUARD_ARP);
    arp_from(b, 0); /* a probe */
    for (size_t i = 0; i < b->rules->n4; i++)
        arp_from(b, ntohl(b->rules->v4[i].s_addr));
}

static void build_ip4(struct builder *b)
{
    stage(b, RTNL_GUARD_IP4);
    if (!b->rules->metadata) {
        key(b, AT_IP4_DST, ALL, METADATA4);
        refuse(b);
    }
    for (size_t i = 0; !b->rules->any_source && i < b->rules->n4; i++) {
        key(b, AT_IP4_SRC, ALL, ntohl(b->rules->v4[i].s_addr));
        key(b, AT_IP4_DST, 0, 0);
        pass(b);
    }
}

/* ----------------------------------------------------------------------- IPv6 */

static void words(struct builder *b, int offset, const uint32_t value[4])
{
    for (int i = 0; i < 4; i++)
        key(b, offset + 4 * i, ALL, value[i]);
}

/* The guest's i-th address; behind the last one all link-local ones. */
static void own6(struct builder *b, int offset, size_t i)
{
    uint32_t value[4];

    if (i == b->rules->n6) {
        key(b, offset, LINK_LOCAL_MASK, LINK_LOCAL);
        return;
    }
    memcpy(value, &b->rules->v6[i], sizeof(value));
    for (int k = 0; k < 4; k++)
        value[k] = ntohl(value[k]);
    words(b, offset, value);
}

static void next_is(struct builder *b, uint32_t next)
{
    key(b, AT_IP6_NEXT, 0xff00, next << 8);
}

/* What a router or a prober through other headers would send. */
static void refuse_control(struct builder *b)
{
    static const uint32_t headers[] = {NEXT_HOP, NEXT_ROUTING, NEXT_DEST};
    static const uint32_t types[] = {ND_ROUTER_AD, ND_REDIRECT};

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        next_is(b, headers[i]);
        refuse(b);
    }
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        next_is(b, NEXT_ICMP6);
        key(b, AT_IP6_BODY, FIRST_BYTE, types[i] << 24);
        refuse(b);
    }
    next_is(b, NEXT_FRAGMENT); /* hosts take no discovery in fragments (RFC 6980) */
    key(b, AT_IP6_BODY, FIRST_BYTE, (uint32_t)NEXT_ICMP6 << 24);
    refuse(b);
}

static void pass_reports(struct builder *b)
{
    static const uint32_t none[4];

    for (size_t i = 0; i < ARRAY_SIZE(listener_reports); i++)
        for (int nobody = 0; nobody < 2; nobody++) {
            next_is(b, NEXT_HOP);
            key(b, AT_IP6_BODY, HIGH16, (uint32_t)NEXT_ICMP6 << 24); /* eight bytes of options */
            key(b, AT_EXT_BODY, FIRST_BYTE, listener_reports[i] << 24);
            if (nobody && !b->rules->any_source)
                words(b, AT_IP6_SRC, none);
            else
                own6(b, AT_IP6_SRC, b->rules->n6);
            pass(b);
        }
}

static void pass_advertisements(struct builder *b)
{
    for (size_t source = 0; source <= b->rules->n6; source++)
        for (size_t target = 0; target <= b->rules->n6; target++) {
            next_is(b, NEXT_ICMP6);
            key(b, AT_IP6_BODY, FIRST_BYTE, (uint32_t)ND_ADVERT << 24);
            own6(b, AT_IP6_SRC, source);
            own6(b, AT_NA_TARGET, target);
            pass(b);
        }
    next_is(b, NEXT_ICMP6);
    key(b, AT_IP6_BODY, FIRST_BYTE, (uint32_t)ND_ADVERT << 24);
    refuse(b);
}

static void build_ip6(struct builder *b)
{
    static const uint32_t none[4];

    stage(b, RTNL_GUARD_IP6);
    for (size_t i = 0; !b->rules->metadata && i < ARRAY_SIZE(metadata6); i++) {
        words(b, AT_IP6_DST, metadata6[i]);
        refuse(b);
    }
    pass_reports(b);
    refuse_control(b);
    if (b->rules->any_source)
        return;
    pass_advertisements(b);
    for (size_t i = 0; i <= b->rules->n6; i++) {
        own6(b, AT_IP6_SRC, i);
        key(b, AT_IP6_DST_END, 0, 0);
        pass(b);
    }
    words(b, AT_IP6_SRC, none); /* duplicate detection */
    key(b, AT_IP6_DST, FIRST_BYTE, GROUP6);
    key(b, AT_IP6_DST_END, 0, 0);
    pass(b);
}

int guard_u32(struct rtnl *nl, int tap, int pod, const struct guard_rules *rules, struct err *err)
{
    struct builder b = {.nl = nl, .rules = rules, .tap = tap, .pod = pod, .err = err};

    stage(&b, RTNL_GUARD_8021Q);
    refuse(&b);
    stage(&b, RTNL_GUARD_8021AD);
    refuse(&b);
    if (!rules->any_source)
        build_arp(&b);
    build_ip4(&b);
    build_ip6(&b);
    stage(&b, RTNL_LINK);
    key(&b, RTNL_U32_ALWAYS_THERE, 0, 0);
    filter(&b, rules->any_source ? pod : tap);
    return b.rc;
}
