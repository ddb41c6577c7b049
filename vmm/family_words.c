/* SPDX-License-Identifier: Apache-2.0 */
/* family_words - what the syntaxes of several families share: words that cannot be told, lists of
 * words, and the pod's IPv4 address with all that belongs to it. */
#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define NEAR_PREFIX 8

int family_word_check(const char *guest, const char *what, const char *word, const char *bad,
                      struct err *err)
{
    for (const char *p = word; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s '%.100s': %s cannot be given control characters", what, word, guest);
        if (strchr(bad, *p))
            return err_set(err, ERR_UNSUPPORTED, "%s '%.100s': %s cannot be given a %s in it", what,
                           word, guest,
                           *p == ' '    ? "blank"
                           : *p == '"'  ? "double quote"
                           : *p == '\'' ? "single quote"
                           : *p == '\\' ? "backslash"
                           : *p == ','  ? "comma"
                           : *p == '$'  ? "dollar sign"
                                        : "character like that");
    }
    return 0;
}

int family_take_words(const char *what, char *const *list,
                      int (*quote)(const char *what, const char *word, char **ret, struct err *err),
                      char ***words, struct err *err)
{
    for (; list && *list; list++) {
        char *word;

        if (quote(what, *list, &word, err) < 0)
            return -1;
        strv_take(words, word);
    }
    return 0;
}

static void set_mask(struct family_ipv4 *net)
{
    struct in_addr mask = {.s_addr = htonl(UINT32_MAX << (32 - net->prefix))};

    (void)inet_ntop(AF_INET, &mask, net->mask, sizeof(net->mask));
}

int family_ipv4_of(const char *guest, const struct vmm_spec *spec, struct family_ipv4 *ret,
                   struct err *err)
{
    const struct vmm_net *net = spec->n_nets > 0 ? &spec->nets[0] : NULL;
    struct in_addr a, gateway;
    size_t n = 0;

    *ret = (struct family_ipv4){.ip = "", .gateway = ""};
    if (!net || !net->ip || !*net->ip) {
        if (net && net->ip6 && *net->ip6)
            return err_set(err, ERR_UNSUPPORTED,
                           "network: address '%s': %s is told IPv4 addresses only", net->ip6,
                           guest);
        return 0;
    }
    if (family_address(AF_INET, net->ip, net->prefix, net->gateway, err) < 0)
        return -1;
    ret->ip = net->ip;
    ret->prefix = net->prefix;
    ret->gateway = net->gateway ? net->gateway : "";
    ret->any_gateway = net->any_gateway;
    set_mask(ret);
    ret->far_gateway = inet_pton(AF_INET, ret->gateway, &gateway) == 1 &&
                       inet_pton(AF_INET, ret->ip, &a) == 1 &&
                       (ntohl(a.s_addr ^ gateway.s_addr) >> (32 - ret->prefix));
    for (char *const *d = net->dns; d && *d && n < ARRAY_SIZE(ret->dns); d++)
        if (inet_pton(AF_INET, *d, &a) == 1)
            ret->dns[n++] = *d;
    return 0;
}

/*
 * A large network, for the first and last address of it are lost to the guest: they must not be
 * those of other pods. The neighbour that becomes its gateway may well exist; what is sent to its
 * address reaches it by the true gateway, like everything else.
 */
static void make_near(struct family_ipv4 *net)
{
    struct in_addr own, gateway;
    uint32_t hosts, host;

    (void)inet_pton(AF_INET, net->ip, &own);
    for (net->prefix = NEAR_PREFIX; net->prefix > 1; net->prefix--) {
        hosts = UINT32_MAX >> net->prefix;
        host = ntohl(own.s_addr) & hosts;
        if (host != 0 && host != hosts)
            break;
    }
    hosts = UINT32_MAX >> net->prefix;
    host = (ntohl(own.s_addr) ^ 1) & hosts;
    gateway.s_addr = own.s_addr ^ htonl(host == 0 || host == hosts ? 2 : 1);
    (void)inet_ntop(AF_INET, &gateway, net->near, sizeof(net->near));
    net->gateway = net->near;
    net->far_gateway = false;
    set_mask(net);
}

int family_gateway_near(const char *guest, struct family_ipv4 *net, struct err *err)
{
    if (!net->far_gateway)
        return 0;
    if (net->any_gateway) {
        make_near(net);
        return 0;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "network: gateway '%s': is not within %s/%d, and %s finds no way to such a one "
                   "(on a kernel with BPF classifiers it need not)",
                   net->gateway, net->ip, net->prefix, guest);
}
