/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_filter - tc filters and the qdisc that carries them: the other half of rtnl.h. All filters
 * are of priorities of ours, so that those of others are neither replaced nor deleted.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "cni/rtnl_private.h"

/* With the stages added; high numbers come late: filters of others are asked first. */
#define FILTER_PRIORITY 0x7562
#define FILTER_HANDLE   1
#define CLSACT_HANDLE   0xffff0000u

/* What frames a stage sees. */
static uint16_t stage_protocol(enum rtnl_stage stage)
{
    switch (stage) {
    case RTNL_GUARD_8021Q:
        return ETH_P_8021Q;
    case RTNL_GUARD_8021AD:
        return ETH_P_8021AD;
    case RTNL_GUARD_ARP:
        return ETH_P_ARP;
    case RTNL_GUARD_IP4:
        return ETH_P_IP;
    case RTNL_GUARD_IP6:
        return ETH_P_IPV6;
    default:
        return ETH_P_ALL;
    }
}

int rtnl_clsact_add(struct rtnl *nl, int index, struct err *err)
{
    struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_handle = CLSACT_HANDLE, .tcm_parent = TC_H_CLSACT};
    struct nl_msg *msg = rtnl_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tcm, sizeof(tcm));
    int r;

    rtnl_put_string(msg, TCA_KIND, "clsact");
    r = rtnl_talk(nl, msg);
    if (r < 0 && r != -NLE_EXIST)
        return rtnl_fail(r, err, "add qdisc clsact");
    return 0;
}

static struct nl_msg *filter_message(int type, int flags, int index, enum rtnl_side side,
                                     enum rtnl_stage stage, uint32_t handle)
{
    uint32_t priority = (uint32_t)(FILTER_PRIORITY + (int)stage);
    struct tcmsg tcm = {
        .tcm_ifindex = index,
        .tcm_parent =
            TC_H_MAKE(TC_H_CLSACT, side == RTNL_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS),
        .tcm_handle = handle,
        .tcm_info = TC_H_MAKE(priority << 16, htons(stage_protocol(stage))),
    };

    return rtnl_message(type, flags, &tcm, sizeof(tcm));
}

int rtnl_filter_bpf(struct rtnl *nl, int index, enum rtnl_side side, enum rtnl_stage stage,
                    int prog_fd, uint16_t classid, struct err *err)
{
    struct nl_msg *msg = filter_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, index, side,
                                        stage, FILTER_HANDLE);
    struct nlattr *options;
    int r;

    rtnl_put_string(msg, TCA_KIND, "bpf");
    options = rtnl_nest(msg, TCA_OPTIONS);
    rtnl_put_u32(msg, TCA_BPF_FD, (uint32_t)prog_fd);
    rtnl_put_string(msg, TCA_BPF_NAME, "unicri");
    rtnl_put_u32(msg, TCA_BPF_CLASSID, classid);
    rtnl_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    nla_nest_end(msg, options);
    r = rtnl_talk(nl, msg);
    return r < 0 ? rtnl_fail(r, err, "add a bpf filter") : 0;
}

static void put_redirect(struct nl_msg *msg, int type, int to)
{
    struct tc_mirred mirred = {
        .eaction = TCA_EGRESS_REDIR, .action = TC_ACT_STOLEN, .ifindex = (uint32_t)to};
    struct nlattr *actions = rtnl_nest(msg, type);
    struct nlattr *first = rtnl_nest(msg, 1);
    struct nlattr *options;

    rtnl_put_string(msg, TCA_ACT_KIND, "mirred");
    options = rtnl_nest(msg, TCA_ACT_OPTIONS);
    rtnl_put(msg, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
    nla_nest_end(msg, options);
    nla_nest_end(msg, first);
    nla_nest_end(msg, actions);
}

static void put_u32_keys(struct nl_msg *msg, const struct rtnl_u32_key *keys, size_t n)
{
    union {
        struct tc_u32_sel sel;
        char bytes[sizeof(struct tc_u32_sel) + RTNL_U32_KEYS_MAX * sizeof(struct tc_u32_key)];
    } u;

    memset(&u, 0, sizeof(u));
    u.sel.flags = TC_U32_TERMINAL;
    u.sel.nkeys = (unsigned char)n;
    for (size_t i = 0; i < n; i++)
        u.sel.keys[i] = (struct tc_u32_key){
            .off = keys[i].offset, .mask = htonl(keys[i].mask), .val = htonl(keys[i].value)};
    rtnl_put(msg, TCA_U32_SEL, u.bytes, sizeof(u.sel) + n * sizeof(struct tc_u32_key));
}

int rtnl_filter_u32(struct rtnl *nl, int index, enum rtnl_stage stage, uint32_t order,
                    const struct rtnl_u32_key *keys, size_t n, int to, struct err *err)
{
    struct nl_msg *msg = filter_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index,
                                        RTNL_INGRESS, stage, order);
    struct nlattr *options;
    int r;

    rtnl_put_string(msg, TCA_KIND, "u32");
    options = rtnl_nest(msg, TCA_OPTIONS);
    put_u32_keys(msg, keys, n);
    put_redirect(msg, TCA_U32_ACT, to);
    nla_nest_end(msg, options);
    r = rtnl_talk(nl, msg);
    return r < 0 ? rtnl_fail(r, err, "add a filter 'u32' with action 'mirred'") : 0;
}

int rtnl_filter_redirect(struct rtnl *nl, int index, const char *kind, int to, struct err *err)
{
    struct nl_msg *msg = filter_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index,
                                        RTNL_INGRESS, RTNL_LINK, 0);
    const struct rtnl_u32_key any = {.offset = RTNL_U32_ALWAYS_THERE};
    struct nlattr *options;
    int r;

    rtnl_put_string(msg, TCA_KIND, kind);
    options = rtnl_nest(msg, TCA_OPTIONS);
    if (strcmp(kind, "u32") == 0) {
        put_u32_keys(msg, &any, 1);
        put_redirect(msg, TCA_U32_ACT, to);
    } else {
        put_redirect(msg, TCA_MATCHALL_ACT, to);
    }
    nla_nest_end(msg, options);
    r = rtnl_talk(nl, msg);
    if (r < 0) {
        (void)rtnl_fail(r, err, "with action 'mirred'");
        return err_wrap(err, "add a filter '%s'", kind);
    }
    return 0;
}

int rtnl_filter_del(struct rtnl *nl, int index, enum rtnl_side side, enum rtnl_stage stage,
                    struct err *err)
{
    int r = rtnl_talk(nl, filter_message(RTM_DELTFILTER, 0, index, side, stage, 0));

    /* INVAL: there is no clsact qdisc. */
    if (r < 0 && r != -NLE_OBJ_NOTFOUND && r != -NLE_NODEV && r != -NLE_INVAL)
        return rtnl_fail(r, err, "delete the redirect");
    return 0;
}
