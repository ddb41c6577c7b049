/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - the tc program of one guest that knows who the guest is: frames that claim to be from
 * somebody else do not leave the pod.
 *
 * The classifiers of bpf/ are the same for all pods; a guard has its pod's addresses in its code.
 * It runs before from_guest and only ever drops. Without it a guest could move its neighbours'
 * traffic to itself (the MAC table of a bridge, ARP and neighbour caches) or answer for them.
 */
#ifndef UNICRI_CNI_GUARD_H
#define UNICRI_CNI_GUARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GUARD_ADDRESSES_MAX 16 /* of each family */
#define GUARD_INSNS_MAX     512

struct bpf_insn;

/* Who a guest may be. Addresses are in network order. */
struct guard_rules {
    uint8_t mac[6];
    size_t n4, n6;
    struct in_addr v4[GUARD_ADDRESSES_MAX];
    struct in6_addr v6[GUARD_ADDRESSES_MAX]; /* link-local ones are always the guest's */
    bool any_source;                         /* every frame passes, but for what `metadata` says */
    bool metadata;                           /* the cloud's metadata services may be asked */
};

/** guard_build() - the program. Memory only.
 * @ret: room for GUARD_INSNS_MAX instructions.
 * Returns: how many there are. */
size_t guard_build(const struct guard_rules *rules, struct bpf_insn *ret);
/** guard_load() - Returns: a descriptor of the program in the kernel, owned by the caller, or -1.
 * Errors: UNSUPPORTED with what the kernel says. Thread: any. */
int guard_load(const struct guard_rules *rules, struct err *err);

struct rtnl;
/** guard_u32() - the same rules without BPF: filters of the tap that send to the interface `pod`
 * what may leave, and back to the guest what may not. Stricter about IPv6: discovery is not looked
 * for behind extension headers, these are refused. Errors: UNSUPPORTED without u32. */
int guard_u32(struct rtnl *nl, int tap, int pod, const struct guard_rules *rules,
              struct err *err) MUST_CHECK;

#endif
