/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_rumprun - what a Rumprun guest is told: one JSON object. "cmdline" is split afterwards, at
 * blanks outside of single quotes, a backslash taking the next byte as it is. Older guests take
 * strings as they stand between JSON's quotes, newer ones decode them: what would have to be
 * escaped means something else to each and is refused.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define GUEST "Rumprun"

static int take_arguments(const struct vmm_spec *spec, struct strbuf *out, struct err *err)
{
    autostrv char **user = NULL;

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    strbuf_adds(out, "{\"cmdline\":\"");
    for (char **arg = user; arg && *arg; arg++) {
        if (family_word_check(GUEST, FAMILY_ARGUMENT, *arg, "'\"\\", err) < 0)
            return -1;
        strbuf_addf(out, "%s'%s'", arg == user ? "" : " ", *arg);
    }
    strbuf_addc(out, '"');
    return 0;
}

/* Its kernel takes no route over a gateway that no interface leads to. */
static int take_network(const struct vmm_spec *spec, struct strbuf *out, struct err *err)
{
    const struct vmm_net *net = &spec->nets[0];
    bool v4 = net->ip && *net->ip, v6 = net->ip6 && *net->ip6;
    const char *ip = net->ip6, *gateway = net->gateway6;
    int prefix = net->prefix6;
    struct family_ipv4 net4;

    if (!v4 && !v6)
        return 0;
    if (v4) {
        if (family_ipv4_of(GUEST, spec, &net4, err) < 0 ||
            family_gateway_near(GUEST, &net4, err) < 0)
            return -1;
        ip = net4.ip;
        gateway = net4.gateway;
        prefix = net4.prefix;
    } else if (family_address(AF_INET6, ip, prefix, gateway, err) < 0) {
        return -1;
    }
    strbuf_addf(out,
                ",\"net\":{\"if\":\"ukvmif0\",\"cloner\":\"True\",\"type\":\"%s\","
                "\"method\":\"static\",\"addr\":\"%s\",\"mask\":\"%d\"",
                v4 ? "inet" : "inet6", ip, prefix);
    if (gateway && *gateway)
        strbuf_addf(out, ",\"gw\":\"%s\"", gateway);
    strbuf_addc(out, '}');
    return 0;
}

int family_rumprun_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    const char *mount = spec->guest->block_mount;
    autostrbuf out = STRBUF_INIT;

    if (take_arguments(spec, &out, err) < 0)
        return -1;
    for (char *const *env = spec->env; env && *env; env++) {
        if (family_word_check(GUEST, FAMILY_ENV, *env, "\"\\", err) < 0)
            return -1;
        strbuf_addf(&out, ",\"env\":\"%s\"", *env);
    }
    if (spec->n_nets > 0 && take_network(spec, &out, err) < 0)
        return -1;
    if (spec->n_blocks > 0)
        strbuf_addf(&out,
                    ",\"blk\":{\"source\":\"etfs\",\"path\":\"/dev/ld0a\",\"fstype\":\"blk\","
                    "\"mountpoint\":\"%s\"}",
                    mount && *mount ? mount : "/data");
    strbuf_addc(&out, '}');
    strv_take(ret, strbuf_detach(&out));
    return 0;
}

/* One address. */
unsigned family_rumprun_tells(const struct vmm_spec *spec)
{
    bool v4 = spec->n_nets > 0 && spec->nets[0].ip && *spec->nets[0].ip;

    return TELLS_ENV | (v4 ? TELLS_IPV4 : TELLS_IPV6);
}
