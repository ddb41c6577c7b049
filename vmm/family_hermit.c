/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_hermit - what a Hermit guest is told: `-ip A -mask M -gateway G env=NAME=value ... --
 * arguments`, split by the rules of a POSIX shell. Within single quotes every byte stands for
 * itself; a single quote is written '\''.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define GUEST "Hermit"

static int quote(const char *what, const char *word, char **ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    if (family_word_check(GUEST, what, word, "", err) < 0)
        return -1;
    strbuf_adds(&out, str_eq(what, FAMILY_ENV) ? "'env=" : "'");
    for (const char *p = word; *p; p++) {
        if (*p == '\'')
            strbuf_adds(&out, "'\\''");
        else
            strbuf_addc(&out, *p);
    }
    strbuf_addc(&out, '\'');
    *ret = strbuf_detach(&out);
    return 0;
}

static int take_network(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    struct family_ipv4 net;

    if (family_ipv4_of(GUEST, spec, &net, err) < 0)
        return -1;
    if (!*net.ip)
        return 0;
    /* It takes no neighbour from elsewhere. */
    if (family_gateway_near(GUEST, &net, err) < 0)
        return -1;
    strv_take(ret, xasprintf("-ip %s -mask %s", net.ip, net.mask));
    if (*net.gateway)
        strv_take(ret, xasprintf("-gateway %s", net.gateway));
    if (net.dns[0])
        strv_take(ret, xasprintf("env=HERMIT_DNS1=%s", net.dns[0]));
    return 0;
}

int family_hermit_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (take_network(spec, ret, err) < 0 ||
        family_take_words(FAMILY_ENV, spec->env, quote, ret, err) < 0 ||
        family_user_arguments(spec, &user, err) < 0)
        return -1;
    strv_push(ret, "--");
    return family_take_words(FAMILY_ARGUMENT, user, quote, ret, err);
}
