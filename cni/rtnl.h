/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl - the few rtnetlink requests that guests' links need, each one message and its
 * acknowledgement. libnl stops here.
 *
 * A handle speaks about the namespace of the thread that opened it. Thread: one at a time.
 */
#ifndef UNICRI_CNI_RTNL_H
#define UNICRI_CNI_RTNL_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "cni/cni.h"

#define RTNL_ALIAS_MAX_BYTES 128
#define RTNL_MAC_BYTES       6
#define RTNL_LINKS_MAX       64
#define RTNL_LO_IFINDEX      1 /* in every namespace */

struct rtnl;
struct rtnl_iface {
    int index;
    int mtu;
    char name[IFNAMSIZ];
    char alias[RTNL_ALIAS_MAX_BYTES];
    uint8_t mac[RTNL_MAC_BYTES];
};

struct rtnl *rtnl_open(struct err *err);
void rtnl_close(struct rtnl *nl);
DEFINE_CLEANUP(struct rtnl *, rtnl_close);
#define autortnl CLEANUP(rtnl_close_cleanup) struct rtnl

/** rtnl_ifaces() - all interfaces, at most RTNL_LINKS_MAX of them. */
int rtnl_ifaces(struct rtnl *nl, struct rtnl_iface ret[RTNL_LINKS_MAX], size_t *ret_n,
                struct err *err) MUST_CHECK;
/** rtnl_link_stats() - the counters of all interfaces but loopback, at most `max`. */
int rtnl_link_stats(struct rtnl *nl, struct link_stats *ret, size_t max, size_t *ret_n,
                    struct err *err) MUST_CHECK;
/** rtnl_iface_setup() - MAC, MTU, alias, and no IPv6 address generation, while it is down. */
int rtnl_iface_setup(struct rtnl *nl, const struct rtnl_iface *iface, struct err *err) MUST_CHECK;
int rtnl_iface_up(struct rtnl *nl, int index, struct err *err) MUST_CHECK;
/** rtnl_iface_del() - absent: success. */
int rtnl_iface_del(struct rtnl *nl, int index, struct err *err) MUST_CHECK;
/** rtnl_neigh_add() - a permanent neighbour; `addr` in network order, 4 or 16 bytes by family.
 * Replaces. */
int rtnl_neigh_add(struct rtnl *nl, int index, int family, const void *addr,
                   const uint8_t mac[RTNL_MAC_BYTES], struct err *err) MUST_CHECK;

#define RTNL_ADDRESSES_MAX 32
struct rtnl_address {
    int family;       /* AF_INET or AF_INET6 */
    uint8_t addr[16]; /* network order; 4 or 16 bytes */
};
/** rtnl_addresses() - those of one interface, at most RTNL_ADDRESSES_MAX. */
int rtnl_addresses(struct rtnl *nl, int index, struct rtnl_address ret[RTNL_ADDRESSES_MAX],
                   size_t *ret_n, struct err *err) MUST_CHECK;

/* Filters. All of ours have priorities of their own, one for each stage. Stages of a protocol see
 * its frames only: a tagged one is its tag's. */
enum rtnl_side { RTNL_INGRESS, RTNL_EGRESS };
enum rtnl_stage { /* in this order; numbers are priorities in the kernel, and stay */
                  RTNL_GUARD_8021Q = -5,
                  RTNL_GUARD_8021AD,
                  RTNL_GUARD_ARP,
                  RTNL_GUARD_IP4,
                  RTNL_GUARD_IP6,
                  RTNL_GUARD, /* these two: one filter on each side of an interface */
                  RTNL_LINK,
};

/** rtnl_clsact_add() - the qdisc that carries filters; there already: success. */
int rtnl_clsact_add(struct rtnl *nl, int index, struct err *err) MUST_CHECK;
/** rtnl_filter_bpf() - run the program behind prog_fd, in direct action, with `classid` as its
 * argument. */
int rtnl_filter_bpf(struct rtnl *nl, int index, enum rtnl_side side, enum rtnl_stage stage,
                    int prog_fd, uint16_t classid, struct err *err) MUST_CHECK;
/** rtnl_filter_redirect() - every frame that arrives at `index` leaves by `to`. `kind`: "matchall"
 * or "u32". */
int rtnl_filter_redirect(struct rtnl *nl, int index, const char *kind, int to,
                         struct err *err) MUST_CHECK;

#define RTNL_U32_KEYS_MAX 16
/* 32 bits of a frame are compared; one that ends before them ends the stage, unmatched. */
struct rtnl_u32_key {
    int offset;           /* from the network header; negative: of Ethernet's */
    uint32_t mask, value; /* host order */
};
#define RTNL_U32_ALWAYS_THERE (-4) /* the end of Ethernet's header */
/** rtnl_filter_u32() - frames that arrive at `index` and have all `n` keys leave by `to`. Filters
 * of a stage are asked in the order of their numbers, 1 to 4095; each number once. */
int rtnl_filter_u32(struct rtnl *nl, int index, enum rtnl_stage stage, uint32_t order,
                    const struct rtnl_u32_key *keys, size_t n, int to, struct err *err) MUST_CHECK;
/** rtnl_filter_del() - those of one stage; absent: success. */
int rtnl_filter_del(struct rtnl *nl, int index, enum rtnl_side side, enum rtnl_stage stage,
                    struct err *err) MUST_CHECK;

#endif
