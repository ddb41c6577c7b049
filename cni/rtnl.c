/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl - see rtnl.h. Messages are put together with libnl's core; its object caches would dump
 * whole tables for every lookup, and its classifier objects know no bpf.
 *
 * Invariant: no answer is waited for longer than ANSWER_SECONDS.
 */
#include "cni/rtnl_private.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_SECONDS 30

struct rtnl {
    struct nl_sock *sk;
};

struct rtnl *rtnl_open(struct err *err)
{
    struct timeval wait = {.tv_sec = ANSWER_SECONDS};
    autortnl *nl = XNEW(struct rtnl);
    int r;

    nl->sk = nl_socket_alloc();
    if (!nl->sk) {
        (void)err_set(err, ERR_EXHAUSTED, "open rtnetlink: out of memory");
        return NULL;
    }
    r = nl_connect(nl->sk, NETLINK_ROUTE);
    if (r < 0) {
        (void)err_set(err, ERR_INTERNAL, "open rtnetlink: %s", nl_geterror(r));
        return NULL;
    }
    (void)setsockopt(nl_socket_get_fd(nl->sk), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return TAKE_PTR(nl);
}

void rtnl_close(struct rtnl *nl)
{
    if (!nl)
        return;
    nl_socket_free(nl->sk);
    free(nl);
}

int rtnl_fail(int r, struct err *err, const char *what)
{
    enum err_code code = ERR_INTERNAL;

    if (r == -NLE_OBJ_NOTFOUND || r == -NLE_NODEV)
        code = ERR_NOT_FOUND;
    else if (r == -NLE_OPNOTSUPP)
        code = ERR_UNSUPPORTED;
    else if (r == -NLE_EXIST)
        code = ERR_EXISTS;
    else if (r == -NLE_PERM)
        code = ERR_DENIED;
    else if (r == -NLE_NOMEM)
        code = ERR_EXHAUSTED;
    return err_set(err, code, "%s: %s", what, nl_geterror(r));
}

void rtnl_put(struct nl_msg *msg, int type, const void *data, size_t len)
{
    if (nla_put(msg, type, (int)len, data) < 0)
        abort();
}
void rtnl_put_u32(struct nl_msg *msg, int type, uint32_t v)
{
    rtnl_put(msg, type, &v, sizeof(v));
}
void rtnl_put_string(struct nl_msg *msg, int type, const char *s)
{
    rtnl_put(msg, type, s, strlen(s) + 1);
}
struct nlattr *rtnl_nest(struct nl_msg *msg, int type)
{
    struct nlattr *a = nla_nest_start(msg, type);

    if (!a)
        abort();
    return a;
}

struct nl_msg *rtnl_message(int type, int flags, const void *header, size_t len)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags | NLM_F_REQUEST);
    void *p = msg ? nlmsg_reserve(msg, len, NLMSG_ALIGNTO) : NULL;

    if (!p)
        abort();
    memcpy(p, header, len);
    return msg;
}

int rtnl_talk(struct rtnl *nl, struct nl_msg *msg)
{
    return nl_send_sync(nl->sk, msg);
}

int rtnl_dump(struct rtnl *nl, struct nl_msg *msg, nl_recvmsg_msg_cb_t f, void *arg,
              const char *what, struct err *err)
{
    int r;

    (void)nl_socket_modify_cb(nl->sk, NL_CB_VALID, NL_CB_CUSTOM, f, arg);
    r = nl_send_auto(nl->sk, msg);
    nlmsg_free(msg);
    if (r >= 0)
        r = nl_recvmsgs_default(nl->sk);
    (void)nl_socket_modify_cb(nl->sk, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    return r < 0 ? rtnl_fail(r, err, what) : 0;
}

/* --------------------------------------------------------- interfaces */

struct dump {
    struct rtnl_iface *ifaces;
    size_t n;
};

static int on_link(struct nl_msg *msg, void *arg)
{
    struct nlmsghdr *h = nlmsg_hdr(msg);
    const struct ifinfomsg *ifi = nlmsg_data(h);
    struct nlattr *a[IFLA_MAX + 1];
    struct dump *dump = arg;
    struct rtnl_iface *iface = &dump->ifaces[dump->n];

    if (dump->n == RTNL_LINKS_MAX || h->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse(h, sizeof(*ifi), a, IFLA_MAX, NULL) < 0 || !a[IFLA_IFNAME])
        return NL_OK;
    memset(iface, 0, sizeof(*iface));
    iface->index = ifi->ifi_index;
    (void)nla_strlcpy(iface->name, a[IFLA_IFNAME], sizeof(iface->name));
    if (a[IFLA_IFALIAS])
        (void)nla_strlcpy(iface->alias, a[IFLA_IFALIAS], sizeof(iface->alias));
    if (a[IFLA_MTU])
        iface->mtu = (int)nla_get_u32(a[IFLA_MTU]);
    if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == RTNL_MAC_BYTES)
        memcpy(iface->mac, nla_data(a[IFLA_ADDRESS]), RTNL_MAC_BYTES);
    dump->n++;
    return NL_OK;
}

int rtnl_ifaces(struct rtnl *nl, struct rtnl_iface ret[RTNL_LINKS_MAX], size_t *ret_n,
                struct err *err)
{
    struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = rtnl_message(RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi));
    struct dump dump = {.ifaces = ret};

    rtnl_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (rtnl_dump(nl, msg, on_link, &dump, "list interfaces", err) < 0)
        return -1;
    *ret_n = dump.n;
    return 0;
}

struct address_dump {
    int index;
    struct rtnl_address *addresses;
    size_t n;
};

static int on_address(struct nl_msg *msg, void *arg)
{
    struct nlmsghdr *h = nlmsg_hdr(msg);
    const struct ifaddrmsg *ifa = nlmsg_data(h);
    struct nlattr *a[IFA_MAX + 1], *own;
    struct address_dump *dump = arg;
    struct rtnl_address *to = &dump->addresses[dump->n];
    int len = ifa->ifa_family == AF_INET6 ? 16 : 4;

    if (dump->n == RTNL_ADDRESSES_MAX || h->nlmsg_type != RTM_NEWADDR ||
        (int)ifa->ifa_index != dump->index ||
        (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
        nlmsg_parse(h, sizeof(*ifa), a, IFA_MAX, NULL) < 0)
        return NL_OK;
    own = a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS]; /* the other one may be a peer's */
    if (!own || nla_len(own) != len)
        return NL_OK;
    *to = (struct rtnl_address){.family = ifa->ifa_family};
    memcpy(to->addr, nla_data(own), (size_t)len);
    dump->n++;
    return NL_OK;
}

int rtnl_addresses(struct rtnl *nl, int index, struct rtnl_address ret[RTNL_ADDRESSES_MAX],
                   size_t *ret_n, struct err *err)
{
    struct ifaddrmsg ifa = {.ifa_family = AF_UNSPEC};
    struct address_dump dump = {.index = index, .addresses = ret};

    if (rtnl_dump(nl, rtnl_message(RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa)), on_address, &dump,
                  "list addresses", err) < 0)
        return -1;
    *ret_n = dump.n;
    return 0;
}

struct stats_dump {
    struct link_stats *links;
    size_t n, max;
};

/* Older kernels send fewer counters than the struct has: what is missing stays 0. */
static int on_link_stats(struct nl_msg *msg, void *arg)
{
    struct nlmsghdr *h = nlmsg_hdr(msg);
    const struct ifinfomsg *ifi = nlmsg_data(h);
    struct rtnl_link_stats64 s = {0};
    struct nlattr *a[IFLA_MAX + 1];
    struct stats_dump *dump = arg;
    struct link_stats *to = &dump->links[dump->n];
    size_t len;

    if (dump->n == dump->max || h->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse(h, sizeof(*ifi), a, IFLA_MAX, NULL) < 0 || !a[IFLA_IFNAME] ||
        !a[IFLA_STATS64] || (ifi->ifi_flags & IFF_LOOPBACK))
        return NL_OK;
    len = (size_t)nla_len(a[IFLA_STATS64]);
    memcpy(&s, nla_data(a[IFLA_STATS64]), len < sizeof(s) ? len : sizeof(s));
    *to = (struct link_stats){
        .rx_bytes = s.rx_bytes,
        .rx_packets = s.rx_packets,
        .rx_errors = s.rx_errors,
        .rx_dropped = s.rx_dropped,
        .tx_bytes = s.tx_bytes,
        .tx_packets = s.tx_packets,
        .tx_errors = s.tx_errors,
        .tx_dropped = s.tx_dropped,
    };
    (void)nla_strlcpy(to->name, a[IFLA_IFNAME], sizeof(to->name));
    dump->n++;
    return NL_OK;
}

int rtnl_link_stats(struct rtnl *nl, struct link_stats *ret, size_t max, size_t *ret_n,
                    struct err *err)
{
    struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = rtnl_message(RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi));
    struct stats_dump dump = {.links = ret, .max = max};

    if (rtnl_dump(nl, msg, on_link_stats, &dump, "read the counters of the interfaces", err) < 0)
        return -1;
    *ret_n = dump.n;
    return 0;
}

int rtnl_iface_setup(struct rtnl *nl, const struct rtnl_iface *iface, struct err *err)
{
    struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = iface->index};
    uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    struct nlattr *spec, *inet6;
    struct nl_msg *msg;
    int r;

    msg = rtnl_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi));
    rtnl_put(msg, IFLA_ADDRESS, iface->mac, sizeof(iface->mac));
    rtnl_put_u32(msg, IFLA_MTU, (uint32_t)iface->mtu);
    rtnl_put(msg, IFLA_IFALIAS, iface->alias, strlen(iface->alias));
    r = rtnl_talk(nl, msg);
    if (r < 0)
        return rtnl_fail(r, err, "set MAC and MTU of the tap");

    /* On its own: a kernel without IPv6 refuses it, and then there is nothing to be quiet about. */
    msg = rtnl_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi));
    spec = rtnl_nest(msg, IFLA_AF_SPEC);
    inet6 = rtnl_nest(msg, AF_INET6);
    rtnl_put(msg, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
    nla_nest_end(msg, inet6);
    nla_nest_end(msg, spec);
    r = rtnl_talk(nl, msg);
    if (r < 0 && r != -NLE_OPNOTSUPP && r != -NLE_AF_NOSUPPORT)
        return rtnl_fail(r, err, "turn off IPv6 address generation of the tap");
    return 0;
}

int rtnl_iface_up(struct rtnl *nl, int index, struct err *err)
{
    struct ifinfomsg ifi = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    int r = rtnl_talk(nl, rtnl_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi)));

    return r < 0 ? rtnl_fail(r, err, "bring the tap up") : 0;
}

int rtnl_iface_del(struct rtnl *nl, int index, struct err *err)
{
    struct ifinfomsg ifi = {.ifi_index = index};
    int r = rtnl_talk(nl, rtnl_message(RTM_DELLINK, 0, &ifi, sizeof(ifi)));

    if (r < 0 && r != -NLE_NODEV && r != -NLE_OBJ_NOTFOUND)
        return rtnl_fail(r, err, "delete the tap");
    return 0;
}

int rtnl_neigh_add(struct rtnl *nl, int index, int family, const void *addr,
                   const uint8_t mac[RTNL_MAC_BYTES], struct err *err)
{
    struct ndmsg ndm = {
        .ndm_family = (uint8_t)family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
    struct nl_msg *msg =
        rtnl_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &ndm, sizeof(ndm));
    int r;

    rtnl_put(msg, NDA_DST, addr, family == AF_INET ? 4 : 16);
    rtnl_put(msg, NDA_LLADDR, mac, RTNL_MAC_BYTES);
    r = rtnl_talk(nl, msg);
    return r < 0 ? rtnl_fail(r, err, "add the guest as a neighbour") : 0;
}
