/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_tells - what of a pod a guest is not told, because its type has no way to be told it. That
 * is no reason to refuse it: a kubelet gives every container an environment and every pod a name
 * server. But it is said, so that nobody looks for it in the guest.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define NAMES_MAX 3

static unsigned tells(const struct vmm_spec *spec)
{
    const struct family *family = family_row(vmm_guest_family(spec->guest));

    if (!family)
        return 0;
    return family->tells_of ? family->tells_of(spec) : family->tells;
}

static void add_env(char *const *env, char ***list)
{
    autostrbuf names = STRBUF_INIT;
    size_t n = 0;

    for (; env && env[n]; n++)
        if (n < NAMES_MAX)
            strbuf_addf(&names, "%s%.*s", n ? ", " : "", (int)strcspn(env[n], "="), env[n]);
    if (n > 0)
        strv_take(list, xasprintf("environment: %zu variable%s (%.200s%s)", n, n == 1 ? "" : "s",
                                  names.s, n > NAMES_MAX ? ", ..." : ""));
}

static void add_net(const struct vmm_net *net, unsigned told, char ***list)
{
    autostrbuf dns = STRBUF_INIT;
    bool v4 = net->ip && *net->ip, v6 = net->ip6 && *net->ip6;

    if (v4 && !(told & TELLS_IPV4))
        strv_take(list, xasprintf("address %s/%d", net->ip, net->prefix));
    if (v6 && !(told & TELLS_IPV6))
        strv_take(list, xasprintf("address %s/%d", net->ip6, net->prefix6));
    for (char *const *d = net->dns; d && *d; d++)
        strbuf_addf(&dns, "%s%.100s", dns.len ? ", " : "", *d);
    if (dns.len && !(told & TELLS_DNS))
        strv_take(list, xasprintf("name servers %.200s", dns.s));
    if (net->hostname && *net->hostname && !(told & TELLS_HOSTNAME))
        strv_take(list, xasprintf("host name %.100s", net->hostname));
}

char **vmm_words_ignored(const struct vmm_spec *spec)
{
    unsigned told = tells(spec);
    char **list = NULL;

    if (!(told & TELLS_ENV))
        add_env(spec->env, &list);
    if (spec->n_nets > 0)
        add_net(&spec->nets[0], told, &list);
    if (spec->workdir && *spec->workdir && !str_eq(spec->workdir, "/") && !(told & TELLS_WORKDIR))
        strv_take(&list, xasprintf("working directory %.100s", spec->workdir));
    return list;
}
