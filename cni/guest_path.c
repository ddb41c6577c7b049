/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_path - how a pod's namespace reaches others, from its routing table. Plugins need not tell:
 * the results of some have an address and nothing else, while the namespace has routes.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "cni/cni.h"
#include "cni/netns.h"
#include "cni/rtnl_private.h"

struct path_job {
    const char *ifname, *ip;
    struct guest_path *ret;
    int index;
    uint32_t metric4, metric6; /* of the default routes found */
    struct in_addr own;
};

/* The first of the lowest metric. */
static void take_gateway(int family, const struct nlattr *gateway, uint32_t metric, uint32_t *best,
                         char *ret, size_t size)
{
    if (nla_len(gateway) != (family == AF_INET ? 4 : 16) || (*ret && metric >= *best))
        return;
    if (inet_ntop(family, nla_data(gateway), ret, (socklen_t)size))
        *best = metric;
}

static bool covers(const struct nlattr *dst, unsigned len, struct in_addr own)
{
    struct in_addr net;

    if (!dst || nla_len(dst) != sizeof(net) || len == 0 || len > 31)
        return false;
    memcpy(&net, nla_data(dst), sizeof(net));
    return ((ntohl(net.s_addr) ^ ntohl(own.s_addr)) >> (32 - len)) == 0;
}

static int on_route(struct nl_msg *msg, void *arg)
{
    struct nlmsghdr *h = nlmsg_hdr(msg);
    const struct rtmsg *rtm = nlmsg_data(h);
    struct nlattr *a[RTA_MAX + 1];
    struct path_job *job = arg;
    uint32_t metric;

    if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(*rtm), a, RTA_MAX, NULL) < 0 ||
        rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST || !a[RTA_OIF] ||
        (int)nla_get_u32(a[RTA_OIF]) != job->index)
        return NL_OK;
    metric = a[RTA_PRIORITY] ? nla_get_u32(a[RTA_PRIORITY]) : 0;
    if (rtm->rtm_family == AF_INET && !a[RTA_GATEWAY])
        job->ret->on_link = job->ret->on_link || covers(a[RTA_DST], rtm->rtm_dst_len, job->own);
    if (rtm->rtm_dst_len != 0 || !a[RTA_GATEWAY])
        return NL_OK;
    if (rtm->rtm_family == AF_INET)
        take_gateway(AF_INET, a[RTA_GATEWAY], metric, &job->metric4, job->ret->gateway,
                     sizeof(job->ret->gateway));
    else if (rtm->rtm_family == AF_INET6)
        take_gateway(AF_INET6, a[RTA_GATEWAY], metric, &job->metric6, job->ret->gateway6,
                     sizeof(job->ret->gateway6));
    return NL_OK;
}

static int read_routes(struct path_job *job, struct rtnl *nl, int family, struct err *err)
{
    struct rtmsg rtm = {.rtm_family = (unsigned char)family};

    return rtnl_dump(nl, rtnl_message(RTM_GETROUTE, NLM_F_DUMP, &rtm, sizeof(rtm)), on_route, job,
                     "list routes", err);
}

static int path_run(void *arg, struct err *err)
{
    struct path_job *job = arg;
    autortnl *nl = rtnl_open(err);

    job->index = (int)if_nametoindex(job->ifname);
    if (!nl)
        return -1;
    if (job->index == 0)
        return err_set(err, ERR_NOT_FOUND, "the pod has no interface '%s'", job->ifname);
    if (inet_pton(AF_INET, job->ip, &job->own) != 1)
        job->own.s_addr = 0;
    return read_routes(job, nl, AF_INET, err) < 0 ? -1 : read_routes(job, nl, AF_INET6, err);
}

int guest_path_read(const char *netns, const char *ifname, const char *ip, struct guest_path *ret,
                    struct err *err)
{
    struct path_job job = {.ifname = ifname, .ip = ip, .ret = ret};
    autofd int fd = netns_open(netns, err);

    *ret = (struct guest_path){.on_link = false};
    return fd < 0 || netns_run(fd, path_run, &job, err) < 0 ? -1 : 0;
}
