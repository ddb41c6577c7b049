/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_net - what a guest is told of its network: the result of the pod's plugins, and the routes
 * of the pod's namespace where the result says less. May block on the kernel.
 */
#ifndef UNICRI_SANDBOX_GUEST_NET_H
#define UNICRI_SANDBOX_GUEST_NET_H

#include "sandbox/container.h"
#include "vmm/vmm.h"

/** guest_net_fill() - *ret borrows from `result` (filled here), c and `device`. */
void guest_net_fill(struct container *c, const char *device, struct cni_result *result,
                    struct vmm_net *ret);
/** guest_net_gateway() - the one that c's link has to answer for; 0.0.0.0: none. */
void guest_net_gateway(struct container *c, struct in_addr *ret);

#endif
