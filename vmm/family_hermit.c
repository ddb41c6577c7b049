/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_hermit - what a Hermit guest is told: `-ip A -mask M -gateway G env=NAME=value ... --
 * arguments`, split by the rules of a POSIX shell. Within single quotes every byte stands for
 * itself; a single quote is written '\''.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

static int take(const char *what, const char *prefix, const char *word, char ***ret,
                struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    strbuf_addf(&out, "'%s", prefix);
    for (const char *p = word; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s '%.100s': Hermit is given no control characters", what, word);
        if (*p == '\'')
            strbuf_adds(&out, "'\\''");
        else
            strbuf_addc(&out, *p);
    }
    strbuf_addc(&out, '\'');
    strv_take(ret, strbuf_detach(&out));
    return 0;
}

static int take_network(const struct vmm_net *net, char ***ret, struct err *err)
{
    struct in_addr a;

    if (!net->ip || !*net->ip)
        return net->ip6 && *net->ip6
                   ? err_set(err, ERR_UNSUPPORTED,
                             "network: address '%s': Hermit is told IPv4 addresses only", net->ip6)
                   : 0;
    if (family_address(AF_INET, net->ip, net->prefix, net->gateway, err) < 0)
        return -1;
    a.s_addr = htonl(UINT32_MAX << (32 - net->prefix));
    strv_take(ret, xasprintf("-ip %s -mask %s", net->ip, inet_ntoa(a)));
    if (net->gateway && *net->gateway)
        strv_take(ret, xasprintf("-gateway %s", net->gateway));
    for (char *const *d = net->dns; d && *d; d++)
        if (inet_pton(AF_INET, *d, &a) == 1) {
            strv_take(ret, xasprintf("env=HERMIT_DNS1=%s", *d));
            break;
        }
    return 0;
}

int family_hermit_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (spec->n_nets > 0 && take_network(&spec->nets[0], ret, err) < 0)
        return -1;
    for (char *const *env = spec->env; env && *env; env++)
        if (take("environment variable", "env=", *env, ret, err) < 0)
            return -1;
    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    strv_push(ret, "--");
    for (char **arg = user; arg && *arg; arg++)
        if (take("argument", "", *arg, ret, err) < 0)
            return -1;
    return 0;
}
