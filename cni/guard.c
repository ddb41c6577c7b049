/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - see guard.h. The program is put together here, instruction by instruction: it is a list
 * of comparisons with constants, and constants are what differs between pods.
 *
 * What passes, unless any source may: frames from the guest's MAC that are
 * - IPv4 from one of its addresses;
 * - ARP that speaks of its MAC and one of its addresses (or none: a probe);
 * - IPv6 from one of its addresses, from a link-local one, or from :: to a group (duplicate
 *   detection); a neighbour advertisement must be about such an address.
 * All other protocols (bridges', switches', VLANs') are not a guest's business. Neighbour discovery
 * behind extension headers is dropped by from_guest, which looks behind them.
 *
 * The program reads with BPF_ABS loads, whose bounds the kernel checks: a frame too short for a
 * load ends the program with "pass up", so each length is checked before.
 */
#include "cni/guard.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "base/mem.h"
#include "cni/classifier.h"

#define AT_SOURCE_MAC 6
#define AT_TYPE       12
#define ARP_END       (ETH_HLEN + 28)
#define AT_ARP_SHA    (ETH_HLEN + 8)
#define AT_ARP_SPA    (ETH_HLEN + 14)
#define IP4_END       (ETH_HLEN + 20)
#define AT_IP4_SRC    (ETH_HLEN + 12)
#define AT_IP4_DST    (ETH_HLEN + 16)
#define IP6_END       (ETH_HLEN + 40)
#define AT_IP6_NEXT   (ETH_HLEN + 6)
#define AT_IP6_SRC    (ETH_HLEN + 8)
#define AT_IP6_DST    (ETH_HLEN + 24)
#define NA_END        (IP6_END + 24)
#define AT_NA_TARGET  (IP6_END + 8)
#define ND_ADVERT     136
#define MULTICAST6    0xff
#define METADATA4     0xa9fea9fe /* 169.254.169.254 */

/* Link-local: fe80::/10. */
#define LINK_LOCAL      0xfe800000
#define LINK_LOCAL_MASK 0xffc00000

static const uint32_t metadata6[][4] = {
    {0xfd000ec2, 0, 0, 0x254}, /* fd00:ec2::254 */
    {0xfd2000ce, 0, 0, 0x254}, /* fd20:ce::254 */
};

/* Where a jump leads that is not yet written. */
enum label { L_PASS, L_DROP, L_ARP, L_IP4, L_IP4_FROM, L_IP6, L_IP6_FROM, LABELS };

struct builder {
    struct bpf_insn *insns;
    size_t n;
    size_t at[LABELS];
    enum label target[GUARD_INSNS_MAX]; /* of the jump at this place; LABELS: no such jump */
};

static void emit(struct builder *b, struct bpf_insn insn)
{
    assert(b->n < GUARD_INSNS_MAX);
    b->target[b->n] = LABELS;
    b->insns[b->n++] = insn;
}

static void load(struct builder *b, int size, int offset)
{
    emit(b, (struct bpf_insn){.code = (uint8_t)(BPF_LD | BPF_ABS | size), .imm = offset});
}

/* Compare R0 as 32 bits and go to `to`. */
static void jump(struct builder *b, int op, uint32_t value, enum label to)
{
    emit(b, (struct bpf_insn){.code = (uint8_t)(BPF_JMP32 | op | BPF_K), .imm = (int32_t)value});
    b->target[b->n - 1] = to;
}

static void go(struct builder *b, enum label to)
{
    emit(b, (struct bpf_insn){.code = BPF_JMP | BPF_JA});
    b->target[b->n - 1] = to;
}

static void label(struct builder *b, enum label l)
{
    b->at[l] = b->n;
}

static void ret(struct builder *b, int action)
{
    emit(b, (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = action});
    emit(b, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

/* Go to L_DROP unless the frame has so many bytes. Clobbers R0. */
static void need(struct builder *b, int bytes)
{
    emit(b, (struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,
                              .dst_reg = BPF_REG_0,
                              .src_reg = BPF_REG_6,
                              .off = offsetof(struct __sk_buff, len)});
    jump(b, BPF_JLT, (uint32_t)bytes, L_DROP);
}

static void mac_or_drop(struct builder *b, int offset, const uint8_t mac[6])
{
    load(b, BPF_W, offset);
    jump(b, BPF_JNE,
         (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3], L_DROP);
    load(b, BPF_H, offset + 4);
    jump(b, BPF_JNE, (uint32_t)mac[4] << 8 | mac[5], L_DROP);
}

/* Go to `to` if the address at `offset` is these four words. */
static void jump6(struct builder *b, int offset, const uint32_t words[4], enum label to)
{
    enum { PER_WORD = 2 };

    for (int i = 0; i < 4; i++) {
        load(b, BPF_W, offset + 4 * i);
        /* Past the other words and the jump. */
        emit(b, (struct bpf_insn){.code = BPF_JMP32 | BPF_JNE | BPF_K,
                                  .off = (int16_t)(PER_WORD * (3 - i) + 1),
                                  .imm = (int32_t)words[i]});
    }
    go(b, to);
}

/* Go to `to` if the address at `offset` may be the guest's. */
static void jump_if_own6(struct builder *b, const struct guard_rules *rules, int offset,
                         enum label to)
{
    for (size_t i = 0; i < rules->n6; i++) {
        uint32_t words[4];

        memcpy(words, &rules->v6[i], sizeof(words));
        for (int k = 0; k < 4; k++)
            words[k] = ntohl(words[k]);
        jump6(b, offset, words, to);
    }
    load(b, BPF_W, offset);
    emit(b, (struct bpf_insn){.code = BPF_ALU | BPF_AND | BPF_K, .imm = (int32_t)LINK_LOCAL_MASK});
    jump(b, BPF_JEQ, LINK_LOCAL, to);
}

static void build_arp(struct builder *b, const struct guard_rules *rules)
{
    label(b, L_ARP);
    if (rules->any_source) {
        go(b, L_PASS);
        return;
    }
    need(b, ARP_END);
    mac_or_drop(b, AT_ARP_SHA, rules->mac);
    load(b, BPF_W, AT_ARP_SPA);
    jump(b, BPF_JEQ, 0, L_PASS);
    for (size_t i = 0; i < rules->n4; i++)
        jump(b, BPF_JEQ, ntohl(rules->v4[i].s_addr), L_PASS);
    go(b, L_DROP);
}

static void build_ip4(struct builder *b, const struct guard_rules *rules)
{
    label(b, L_IP4);
    if (!rules->any_source && rules->n4 == 0) {
        go(b, L_DROP);
        return; /* the verifier takes no code that nothing leads to */
    }
    need(b, IP4_END);
    if (!rules->any_source) {
        load(b, BPF_W, AT_IP4_SRC);
        for (size_t i = 0; i < rules->n4; i++)
            jump(b, BPF_JEQ, ntohl(rules->v4[i].s_addr), L_IP4_FROM);
        go(b, L_DROP);
    }
    label(b, L_IP4_FROM);
    if (!rules->metadata) {
        load(b, BPF_W, AT_IP4_DST);
        jump(b, BPF_JEQ, METADATA4, L_DROP);
    }
    go(b, L_PASS);
}

static void build_ip6(struct builder *b, const struct guard_rules *rules)
{
    static const uint32_t none[4];

    label(b, L_IP6);
    need(b, IP6_END);
    if (!rules->any_source) {
        jump_if_own6(b, rules, AT_IP6_SRC, L_IP6_FROM);
        load(b, BPF_B, AT_IP6_DST);
        jump(b, BPF_JNE, MULTICAST6, L_DROP);
        jump6(b, AT_IP6_SRC, none, L_IP6_FROM);
        go(b, L_DROP);
    }
    label(b, L_IP6_FROM);
    for (size_t i = 0; !rules->metadata && i < ARRAY_SIZE(metadata6); i++)
        jump6(b, AT_IP6_DST, metadata6[i], L_DROP);
    if (rules->any_source) {
        go(b, L_PASS);
        return;
    }
    load(b, BPF_B, AT_IP6_NEXT);
    jump(b, BPF_JNE, IPPROTO_ICMPV6, L_PASS);
    need(b, IP6_END + 4);
    load(b, BPF_B, IP6_END);
    jump(b, BPF_JNE, ND_ADVERT, L_PASS);
    need(b, NA_END);
    jump_if_own6(b, rules, AT_NA_TARGET, L_PASS);
    go(b, L_DROP);
}

size_t guard_build(const struct guard_rules *rules, struct bpf_insn *insns)
{
    struct builder b = {.insns = insns};

    assert(rules->n4 <= GUARD_ADDRESSES_MAX && rules->n6 <= GUARD_ADDRESSES_MAX);
    emit(&b, (struct bpf_insn){
                 .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1});
    need(&b, ETH_HLEN);
    if (!rules->any_source)
        mac_or_drop(&b, AT_SOURCE_MAC, rules->mac);
    load(&b, BPF_H, AT_TYPE);
    jump(&b, BPF_JEQ, ETH_P_IP, L_IP4);
    jump(&b, BPF_JEQ, ETH_P_IPV6, L_IP6);
    jump(&b, BPF_JEQ, ETH_P_ARP, L_ARP);
    go(&b, rules->any_source ? L_PASS : L_DROP);
    build_arp(&b, rules);
    build_ip4(&b, rules);
    build_ip6(&b, rules);
    label(&b, L_DROP);
    ret(&b, TC_ACT_SHOT);
    label(&b, L_PASS);
    ret(&b, TC_ACT_UNSPEC); /* the next filter decides */
    for (size_t i = 0; i < b.n; i++)
        if (b.target[i] != LABELS)
            b.insns[i].off = (int16_t)(b.at[b.target[i]] - i - 1);
    return b.n;
}

int guard_load(const struct guard_rules *rules, struct err *err)
{
    struct bpf_insn insns[GUARD_INSNS_MAX];

    return classifier_load(insns, guard_build(rules, insns), "unicri_guard", err);
}
