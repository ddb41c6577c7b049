/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_unikraft - what a Unikraft guest is told: `NAME library.parameter=value ... -- arguments`.
 * From 0.16.1 on lists are `parameter=[ value ... ]` and there are netdev.ip, env.vars and
 * vfs.fstab; older ones have a parameter each for address, mask and gateway, and no environment.
 *
 * Its parser splits at white space outside of quotes. Within single quotes every byte stands for
 * itself; older parsers know no backslash, so single quotes are taken wherever they can be. An
 * empty argument cannot be told.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

static int quote(const char *what, const char *word, char **ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    if (!*word)
        return err_set(err, ERR_UNSUPPORTED, "%s '': Unikraft cannot be given an empty one", what);
    for (const char *p = word; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s '%.100s': Unikraft cannot be given control characters", what, word);
    if (!strpbrk(word, " '\"\\")) {
        *ret = xstrdup(word);
    } else if (!strchr(word, '\'')) {
        *ret = xasprintf("'%s'", word);
    } else {
        strbuf_addc(&out, '"');
        for (const char *p = word; *p; p++) {
            if (*p == '"' || *p == '\\')
                strbuf_addc(&out, '\\');
            strbuf_addc(&out, *p);
        }
        strbuf_addc(&out, '"');
        *ret = strbuf_detach(&out);
    }
    return 0;
}

/* Older than 0.16.1; what cannot be read is new. */
static bool is_old(const char *version)
{
    const unsigned long long first[] = {0, 16, 1};

    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        unsigned long long n;

        if (!scan_u64(&version, UINT32_MAX, &n))
            return false;
        if (n != first[i])
            return n < first[i];
        if (i < 2 && *version++ != '.')
            return i == 1 && version[-1] == '\0';
    }
    return false;
}

static int take_network(const struct vmm_net *net, bool old, char ***ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;
    struct in_addr a;
    size_t servers = 0;

    if (!net->ip || !*net->ip)
        return net->ip6 && *net->ip6
                   ? err_set(err, ERR_UNSUPPORTED,
                             "network: address '%s': Unikraft is told IPv4 addresses only",
                             net->ip6)
                   : 0;
    if (family_address(AF_INET, net->ip, net->prefix, net->gateway, err) < 0)
        return -1;
    if (old) {
        a.s_addr = htonl(UINT32_MAX << (32 - net->prefix));
        strv_take(ret, xasprintf("netdev.ipv4_addr=%s", net->ip));
        if (net->gateway && *net->gateway)
            strv_take(ret, xasprintf("netdev.ipv4_gw_addr=%s", net->gateway));
        strv_take(ret, xasprintf("netdev.ipv4_subnet_mask=%s", inet_ntoa(a)));
        return 0;
    }
    strbuf_addf(&out, "netdev.ip=%s/%d:%s", net->ip, net->prefix, net->gateway ? net->gateway : "");
    for (char *const *d = net->dns; d && *d && servers < 2; d++)
        if (inet_pton(AF_INET, *d, &a) == 1 && ++servers)
            strbuf_addf(&out, ":%s", *d);
    if (net->hostname && *net->hostname && !strpbrk(net->hostname, ": '\"\\[]"))
        strbuf_addf(&out, "%s%s", servers == 0 ? ":::" : servers == 1 ? "::" : ":", net->hostname);
    strv_take(ret, strbuf_detach(&out));
    return 0;
}

static int take_env(char *const *env, char ***ret, struct err *err)
{
    if (!env || !*env)
        return 0;
    strv_push(ret, "env.vars=[");
    for (; *env; env++) {
        char *word;

        if ((*env)[strlen(*env) - 1] == ']')
            return err_set(err, ERR_UNSUPPORTED,
                           "environment variable '%.100s': for Unikraft it must not end with ']'",
                           *env);
        if (quote("environment variable", *env, &word, err) < 0)
            return -1;
        strv_take(ret, word);
    }
    strv_push(ret, "]");
    return 0;
}

static int take_mounts(const struct vmm_spec *spec, bool old, char ***ret, struct err *err)
{
    bool initrd = spec->initrd_fd >= 0;

    if (initrd && old)
        strv_push(ret, "vfs.rootfs=initrd");
    if (old || (!initrd && spec->n_shares == 0))
        return 0;
    strv_push(ret, "vfs.fstab=[");
    if (initrd)
        strv_push(ret, "\"initrd0:/:extract::ramfs=1:\"");
    for (size_t i = 0; i < spec->n_shares; i++) {
        const struct vmm_share *s = &spec->shares[i];

        if (s->virtiofs || strpbrk(s->mount_point, ":,'\"\\ []"))
            return err_set(err, ERR_UNSUPPORTED, "volume '%s': Unikraft cannot mount it there",
                           s->mount_point);
        strv_take(ret, xasprintf("\"%s:%s:9pfs:::\"", s->tag, s->mount_point));
    }
    strv_push(ret, "]");
    return 0;
}

int family_unikraft_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    bool old = is_old(spec->guest->version);
    autostrv char **user = NULL;

    /* QEMU puts the kernel's name in front for multiboot, and only then. */
    if (spec->guest->kernel != KERNEL_MULTIBOOT)
        strv_push(ret, "unikraft");
    if ((spec->n_nets > 0 && take_network(&spec->nets[0], old, ret, err) < 0) ||
        (!old && take_env(spec->env, ret, err) < 0) || take_mounts(spec, old, ret, err) < 0 ||
        family_user_arguments(spec, &user, err) < 0)
        return -1;
    strv_push(ret, "--");
    for (char **arg = user; arg && *arg; arg++) {
        char *word;

        if (quote("argument", *arg, &word, err) < 0)
            return -1;
        strv_take(ret, word);
    }
    return 0;
}
