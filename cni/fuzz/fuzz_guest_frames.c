/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's frames, any bytes: what reads them in the kernel, here as programs of this process. The
 * classifiers (bpf/guest_link.c) are compiled as they are, with the kernel's helpers made of a
 * frame whose every byte is watched; the guard's instructions are interpreted, given to the kernel
 * too where that takes them (BPF_PROG_TEST_RUN), and held against its rules written down a second
 * time.
 *
 * An input is a byte that says which program and circumstances (see the bits below), and a frame.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "cni/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAME_MAX 2048
#define TAP       7u
#define POD       9u
#define FAILED    (-EFAULT)

/* Bits of the first byte. */
#define RULES(b)   ((b)&3)
#define PROGRAM(b) ((b) >> 2 & 3)
#define SOCKET     0x10 /* a local socket wants it */
#define VLAN       0x20
#define OTHER_HOST 0x40
#define FAR        0x80 /* FROM_GUEST: the gateway is */

enum { GUARD, FROM_GUEST, FROM_POD, FROM_LO };

/* ------------------------------------------------------------ the kernel's helpers */

static uint8_t *frame; /* of exactly `frame_len` bytes */
static size_t frame_len;
static bool has_socket, written;
static struct {
    int n;
    enum { SENT_TO, SENT_NEIGHBOUR } how;
    uint32_t ifindex;
    uint64_t flags;
} sent;
static unsigned clones;
static struct bpf_sock a_socket;

static bool within(uint32_t off, uint32_t n)
{
    return off <= frame_len && n <= frame_len - off;
}

static long load_bytes(const void *skb, __u32 off, void *to, __u32 n)
{
    (void)skb;
    if (!within(off, n))
        return FAILED;
    memcpy(to, frame + off, n);
    return 0;
}

static long store_bytes(struct __sk_buff *skb, __u32 off, const void *from, __u32 n, __u64 flags)
{
    (void)skb;
    (void)flags;
    if (!within(off, n))
        return FAILED;
    memcpy(frame + off, from, n);
    written = true;
    return 0;
}

static struct bpf_sock *lookup(void *skb, const struct bpf_sock_tuple *tuple, __u32 n, __u64 netns,
                               __u64 flags)
{
    uint8_t all[sizeof(*tuple)];

    (void)skb;
    (void)flags;
    assert(netns == (__u64)BPF_F_CURRENT_NETNS);
    assert(n == sizeof(tuple->ipv4) || n == sizeof(tuple->ipv6));
    memcpy(all, tuple, n); /* all of it is there */
    return has_socket ? &a_socket : NULL;
}

static long release(void *sk)
{
    assert(sk == &a_socket);
    return 0;
}

static long clone_to(struct __sk_buff *skb, __u32 ifindex, __u64 flags)
{
    (void)skb;
    assert(ifindex == TAP && flags == 0);
    clones++;
    return 0;
}

static long redirect(__u32 ifindex, __u64 flags)
{
    sent.n++;
    sent.how = SENT_TO;
    sent.ifindex = ifindex;
    sent.flags = flags;
    return TC_ACT_REDIRECT;
}

static long redirect_neigh(__u32 ifindex, struct bpf_redir_neigh *hop, int n, __u64 flags)
{
    assert(n == sizeof(*hop) && flags == 0 && (hop->nh_family == 2 || hop->nh_family == 10));
    (void)redirect(ifindex, flags);
    sent.how = SENT_NEIGHBOUR;
    return TC_ACT_REDIRECT;
}

static long csum_replace(struct __sk_buff *skb, __u32 off, __u64 from, __u64 to, __u64 flags)
{
    (void)skb;
    (void)from;
    (void)to;
    (void)flags;
    return within(off, 2) ? 0 : FAILED;
}

static __s64 csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __wsum seed)
{
    (void)from;
    (void)to;
    assert(from_size == 16 && to_size == 16 && seed == 0);
    return 0;
}

#define bpf_skb_load_bytes  load_bytes
#define bpf_skb_store_bytes store_bytes
#define bpf_skc_lookup_tcp  lookup
#define bpf_sk_lookup_udp   lookup
#define bpf_sk_release      release
#define bpf_clone_redirect  clone_to
#define bpf_redirect        redirect
#define bpf_redirect_neigh  redirect_neigh
#define bpf_l3_csum_replace csum_replace
#define bpf_l4_csum_replace csum_replace
#define bpf_csum_diff       csum_diff
/* It has numbers of its own for these. */
#undef AF_INET
#undef AF_INET6
#undef IPPROTO_ICMPV6
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "cni/bpf/guest_link.c" /* NOLINT(bugprone-suspicious-include): the program itself */
#pragma GCC diagnostic pop

/* ------------------------------------------------------------ the guard's rules, once more */

static const uint8_t mac[ETH_ALEN] = {2, 0, 0, 0, 0, 1};
static struct guard_rules rules[4]; /* strict, without IPv4, any source, with metadata services */

static void make_rules(void)
{
    static const char *const v4[] = {"10.1.2.3", "192.0.2.77"};
    static const char *const v6[] = {"2001:db8::5", "fd00::1:2"};

    for (int i = 0; i < 4; i++) {
        struct guard_rules *r = &rules[i];
        memcpy(r->mac, mac, sizeof(mac));
        r->n4 = i == 1 ? 0 : 2;
        r->n6 = 2;
        for (int k = 0; k < 2; k++) {
            assert(inet_pton(AF_INET, v4[k], &r->v4[k]) == 1);
            assert(inet_pton(AF_INET6, v6[k], &r->v6[k]) == 1);
        }
    }
    rules[2].any_source = true;
    rules[3].metadata = true;
}

static uint16_t type_of(void)
{
    return (uint16_t)(frame[12] << 8 | frame[13]);
}

static bool own4(const struct guard_rules *r, size_t at)
{
    for (size_t i = 0; i < r->n4; i++)
        if (memcmp(frame + at, &r->v4[i], 4) == 0)
            return true;
    return false;
}

static bool own6(const struct guard_rules *r, size_t at)
{
    for (size_t i = 0; i < r->n6; i++)
        if (memcmp(frame + at, &r->v6[i], 16) == 0)
            return true;
    return frame[at] == 0xfe && (frame[at + 1] & 0xc0) == 0x80;
}

static bool is_text(size_t at, int family, const char *text)
{
    uint8_t a[16];

    assert(inet_pton(family, text, a) == 1);
    return memcmp(frame + at, a, family == AF_INET ? 4 : 16) == 0;
}

static bool arp_opinion(const struct guard_rules *r)
{
    static const uint8_t none[4];

    if (r->any_source)
        return true;
    return frame_len >= 42 && memcmp(frame + 22, mac, 6) == 0 &&
           (memcmp(frame + 28, none, 4) == 0 || own4(r, 28));
}

static bool ip6_opinion(const struct guard_rules *r)
{
    if (frame_len < 54)
        return false;
    if (!r->metadata &&
        (is_text(38, AF_INET6, "fd00:ec2::254") || is_text(38, AF_INET6, "fd20:ce::254")))
        return false;
    if (r->any_source)
        return true;
    if (!own6(r, 22) && !(frame[38] == 0xff && is_text(22, AF_INET6, "::")))
        return false;
    if (frame[20] != 58)
        return true;
    if (frame_len < 58 || frame[54] != 136)
        return frame_len >= 58;
    return frame_len >= 78 && own6(r, 62);
}

static bool opinion(const struct guard_rules *r)
{
    if (frame_len < 14 || (!r->any_source && memcmp(frame + 6, mac, 6) != 0))
        return false;
    switch (type_of()) {
    case 0x0800:
        return frame_len >= 34 && (r->any_source || own4(r, 26)) &&
               (r->metadata || !is_text(30, AF_INET, "169.254.169.254"));
    case 0x86dd:
        return ip6_opinion(r);
    case 0x0806:
        return arp_opinion(r);
    default:
        return r->any_source;
    }
}

/* ------------------------------------------------------------ the guard's program, run */

/* A load beyond the frame ends a program with 0, which is "pass up". */
static bool load_abs(const struct bpf_insn *in, uint64_t *ret)
{
    uint32_t n = BPF_SIZE(in->code) == BPF_W ? 4 : BPF_SIZE(in->code) == BPF_H ? 2 : 1;

    if (in->imm < 0 || !within((uint32_t)in->imm, n))
        return false;
    *ret = 0;
    for (uint32_t i = 0; i < n; i++)
        *ret = *ret << 8 | frame[(uint32_t)in->imm + i];
    return true;
}

static int interpret(const struct bpf_insn *v, size_t n)
{
    uint64_t r0 = 0;

    for (size_t pc = 0; pc < n; pc++) {
        const struct bpf_insn *in = &v[pc];
        uint32_t imm = (uint32_t)in->imm;
        bool jump = false;

        if (in->code == (BPF_ALU64 | BPF_MOV | BPF_X)) {
            assert(in->dst_reg == BPF_REG_6 && in->src_reg == BPF_REG_1);
        } else if (BPF_CLASS(in->code) == BPF_LD) {
            if (!load_abs(in, &r0))
                return 0;
        } else if (BPF_CLASS(in->code) == BPF_LDX) {
            assert(in->off == offsetof(struct __sk_buff, len) && in->dst_reg == 0);
            r0 = frame_len;
        } else if (in->code == (BPF_ALU | BPF_AND | BPF_K)) {
            r0 = (uint32_t)r0 & imm;
        } else if (in->code == (BPF_ALU64 | BPF_MOV | BPF_K)) {
            r0 = (uint64_t)(int64_t)in->imm;
        } else if (in->code == (BPF_JMP | BPF_EXIT)) {
            return (int)r0;
        } else if (in->code == (BPF_JMP | BPF_JA)) {
            jump = true;
        } else if (in->code == (BPF_JMP32 | BPF_JEQ | BPF_K)) {
            jump = (uint32_t)r0 == imm;
        } else if (in->code == (BPF_JMP32 | BPF_JNE | BPF_K)) {
            jump = (uint32_t)r0 != imm;
        } else if (in->code == (BPF_JMP32 | BPF_JLT | BPF_K)) {
            jump = (uint32_t)r0 < imm;
        } else {
            abort();
        }
        if (jump)
            pc = (size_t)((int64_t)pc + in->off);
    }
    abort();
}

/* -1 where the kernel runs no programs for us, or not on such a frame. */
static int ask_kernel(int which)
{
    static int fds[4] = {-1, -1, -1, -1};
    static bool refused;
    struct err err = ERR_INIT;
    union bpf_attr attr;

    if (!refused && fds[which] < 0) {
        fds[which] = guard_load(&rules[which], &err);
        refused = fds[which] < 0;
        if (refused)
            (void)fprintf(stderr, "the kernel is left out: %s\n", err.msg);
    }
    if (refused)
        return -1;
    memset(&attr, 0, sizeof(attr));
    attr.test.prog_fd = (uint32_t)fds[which];
    attr.test.data_in = (uintptr_t)frame;
    attr.test.data_size_in = (uint32_t)frame_len;
    attr.test.repeat = 1;
    if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) != 0)
        return -1;
    return (int)attr.test.retval == TC_ACT_SHOT;
}

static void try_guard(int which)
{
    struct bpf_insn insns[GUARD_INSNS_MAX];
    int verdict = interpret(insns, guard_build(&rules[which], insns));
    int kernel = ask_kernel(which);

    assert(verdict == TC_ACT_SHOT || verdict == TC_ACT_UNSPEC);
    assert((verdict == TC_ACT_UNSPEC) == opinion(&rules[which]));
    assert(kernel < 0 || kernel == (verdict == TC_ACT_SHOT));
}

/* ------------------------------------------------------------ the classifiers */

/* Where an IPv6 frame's chain of extension headers leads; -1: nowhere, or to a later fragment. */
static int last_header(size_t *ret_at)
{
    size_t at = 54;
    int next;

    if (frame_len < at)
        return -1;
    next = frame[20];
    while (next == 0 || next == 43 || next == 60 || next == 44) {
        if (frame_len < at + 8)
            return -1;
        if (next == 44 && (frame[at + 2] || (frame[at + 3] & 0xf8)))
            return -1;
        int before = next;
        next = frame[at];
        at += before == 44 ? 8 : 8 + (size_t)frame[at + 1] * 8;
    }
    *ret_at = at;
    return next;
}

/* A router's messages, wherever they are hidden. */
static bool is_routers(void)
{
    size_t at;

    return type_of() == 0x86dd && last_header(&at) == 58 && at < frame_len &&
           (frame[at] == 134 || frame[at] == 137);
}

static void try_from_guest(struct __sk_buff *skb, const uint8_t *was, bool far)
{
    static const uint8_t peer[ETH_ALEN] = {2, 0x75, 0x6e, 0x69, 0x63, 1};
    bool routers = is_routers(), vlan = skb->vlan_present;
    int act = far ? from_guest_far(skb) : from_guest(skb);

    assert(act == TC_ACT_SHOT || act == TC_ACT_REDIRECT);
    assert((act == TC_ACT_REDIRECT) == (sent.n == 1) && clones == 0);
    if (act != TC_ACT_REDIRECT)
        return;
    assert(!vlan);
    if (sent.how == SENT_NEIGHBOUR) { /* to the gateway that it knows under the peer's address */
        assert(far && sent.ifindex == POD && type_of() == 0x0800 && memcmp(was, peer, 6) == 0);
        return;
    }
    if (sent.ifindex == POD) {
        assert(sent.flags == 0 && !routers && memcmp(frame, was, frame_len) == 0);
    } else if (sent.ifindex == TAP) { /* it asked who the peer is */
        assert(type_of() == 0x0806 && frame_len >= 42 && frame[21] == 2 && sent.flags == 0);
    } else {
        assert(sent.ifindex == LO_IFINDEX && sent.flags == BPF_F_INGRESS);
        assert(type_of() == 0x0800 || type_of() == 0x86dd);
    }
}

static void try_from_pod(struct __sk_buff *skb, const uint8_t *was)
{
    int act = from_pod(skb);

    assert(!written && memcmp(frame, was, frame_len) == 0 && clones <= 1);
    assert(act == TC_ACT_OK ? sent.n == 0
                            : act == TC_ACT_REDIRECT && sent.n == 1 && sent.ifindex == TAP &&
                                  sent.flags == 0 && clones == 0);
}

static void try_from_lo(struct __sk_buff *skb)
{
    int act = from_lo(skb);

    assert(act == TC_ACT_OK || act == TC_ACT_SHOT || act == TC_ACT_REDIRECT);
    assert(clones == 0 && (act == TC_ACT_REDIRECT) == (sent.n == 1));
    assert(act != TC_ACT_OK || !written);
    assert(act != TC_ACT_REDIRECT ||
           (!has_socket && sent.how == SENT_NEIGHBOUR && sent.ifindex == TAP));
}

static void try_classifier(uint8_t how)
{
    struct __sk_buff skb = {.len = (uint32_t)frame_len, .ifindex = TAP};
    uint8_t was[FRAME_MAX];

    if (frame_len < ETH_HLEN)
        return; /* no interface delivers such a frame */
    memcpy(was, frame, frame_len);
    skb.protocol = htons(type_of());
    skb.vlan_present = how & VLAN ? 1 : 0;
    skb.tc_classid = PROGRAM(how) == FROM_GUEST ? POD : TAP;
    skb.pkt_type = how & OTHER_HOST ? 3 : PACKET_HOST;
    if (frame[0] & 1)
        skb.pkt_type = frame[0] == 0xff ? PACKET_BROAD : PACKET_MULTI;
    if (PROGRAM(how) == FROM_GUEST)
        try_from_guest(&skb, was, how & FAR);
    else if (PROGRAM(how) == FROM_POD)
        try_from_pod(&skb, was);
    else
        try_from_lo(&skb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how;

    if (rules[0].n6 == 0)
        make_rules();
    if (size < 2 || size - 1 > FRAME_MAX)
        return 0;
    how = *data;
    frame_len = size - 1;
    frame = malloc(frame_len);
    if (frame == NULL)
        abort();
    memcpy(frame, data + 1, frame_len);
    has_socket = how & SOCKET;
    written = false;
    memset(&sent, 0, sizeof(sent));
    clones = 0;
    if (PROGRAM(how) == GUARD)
        try_guard(RULES(how));
    else
        try_classifier(how);
    free(frame);
    return 0;
}
