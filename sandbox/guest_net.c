/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_net - see guest_net.h.
 *
 * Many networks give a pod one address and a gateway that is not within any network of it (Calico,
 * Cilium, the clouds' own), or a network of which nothing is on the link (ptp). Linux has routes
 * for that, guests an address, a mask and a gateway. There the link plays the gateway
 * (guest_link_options), and a guest whose stack wants one within its network is told of a network
 * that has one (vmm_net.any_gateway).
 */
#include "sandbox/guest_net.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"

/* The default route's gateway where the address itself has none. */
static const char *gateway_of(const struct cni_result *r, const struct cni_address *a)
{
    const char *any = a->family == AF_INET ? "0.0.0.0/0" : "::/0";

    if (*a->gateway)
        return a->gateway;
    for (size_t i = 0; i < r->n_routes; i++)
        if (str_eq(r->routes[i].dst, any) && *r->routes[i].gateway)
            return r->routes[i].gateway;
    return "";
}

static bool is_outside(const char *gateway, const char *ip, int prefix)
{
    struct in_addr g, a;

    return inet_pton(AF_INET, gateway, &g) == 1 && inet_pton(AF_INET, ip, &a) == 1 && prefix > 0 &&
           prefix <= 32 && (ntohl(g.s_addr ^ a.s_addr) >> (32 - prefix)) != 0;
}

/* What the namespace knows better. The result has room for the gateways. */
static void ask_namespace(const struct container *c, struct cni_result *r, struct vmm_net *net)
{
    struct guest_path path;
    struct err err = ERR_INIT;

    if (!*c->pod->netns)
        return;
    if (guest_path_read(c->pod->netns, POD_IFNAME, net->ip, &path, &err) < 0) {
        log_debug("container %s: its network's routes: %s", c->id, err.msg);
        return;
    }
    for (size_t i = 0; i < r->n_addresses; i++) {
        struct cni_address *a = &r->addresses[i];

        if (a->ip == net->ip && !*net->gateway) {
            memcpy(a->gateway, path.gateway, sizeof(path.gateway));
            net->gateway = a->gateway;
        } else if (a->ip == net->ip6 && !*net->gateway6) {
            memcpy(a->gateway, path.gateway6, sizeof(path.gateway6));
            net->gateway6 = a->gateway;
        }
    }
    if (guest_link_probe(NULL) != GUEST_LINK_BPF)
        return;
    if (!path.on_link && *net->gateway)
        net->prefix = 32;
    net->any_gateway = is_outside(net->gateway, net->ip, net->prefix);
}

void guest_net_fill(struct container *c, const char *device, struct cni_result *r,
                    struct vmm_net *net)
{
    mutex_lock(&c->engine->lock);
    if (c->pod->network)
        *r = *c->pod->network;
    mutex_unlock(&c->engine->lock);
    *net = (struct vmm_net){
        .device = device,
        .tap_fd = c->guest_link.tap_fd,
        .more_fds = c->guest_link.more_fds,
        .n_more = c->guest_link.n_more,
        .tap = c->guest_link.tap,
        .mac = c->guest_link.mac,
        .mtu = c->guest_link.mtu,
        .ip = "",
        .gateway = "",
        .ip6 = "",
        .gateway6 = "",
        .dns = c->pod->spec->dns_servers,
        .hostname = c->pod->spec->hostname,
    };
    for (size_t i = 0; i < r->n_addresses; i++) {
        const struct cni_address *a = &r->addresses[i];

        if (a->family == AF_INET && !*net->ip) {
            net->ip = a->ip;
            net->prefix = a->prefix;
            net->gateway = gateway_of(r, a);
        } else if (a->family == AF_INET6 && !*net->ip6) {
            net->ip6 = a->ip;
            net->prefix6 = a->prefix;
            net->gateway6 = gateway_of(r, a);
        }
    }
    ask_namespace(c, r, net);
}

void guest_net_gateway(struct container *c, struct in_addr *ret)
{
    autofree struct cni_result *network = XNEW(struct cni_result);
    struct vmm_net net;

    guest_net_fill(c, NULL, network, &net);
    if (!net.any_gateway || inet_pton(AF_INET, net.gateway, ret) != 1)
        ret->s_addr = 0;
}
