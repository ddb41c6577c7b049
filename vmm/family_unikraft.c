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
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define GUEST "Unikraft"

static int quote(const char *what, const char *word, char **ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    if (!*word)
        return err_set(err, ERR_UNSUPPORTED, "%s '': Unikraft cannot be given an empty one", what);
    if (family_word_check(GUEST, what, word, "", err) < 0)
        return -1;
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

/* For a parser without backslashes. */
static int quote_old(const char *what, const char *word, char **ret, struct err *err)
{
    if (strchr(word, '\'') && family_word_check("Unikraft before 0.16.1, beside a single quote,",
                                                what, word, "\"\\", err) < 0)
        return -1;
    return quote(what, word, ret, err);
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

static int take_network(const struct vmm_spec *spec, bool old, char ***ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;
    struct family_ipv4 net;
    const char *name;

    if (family_ipv4_of(GUEST, spec, &net, err) < 0)
        return -1;
    if (!*net.ip)
        return 0;
    if (old) {
        strv_take(ret, xasprintf("netdev.ipv4_addr=%s", net.ip));
        if (*net.gateway)
            strv_take(ret, xasprintf("netdev.ipv4_gw_addr=%s", net.gateway));
        strv_take(ret, xasprintf("netdev.ipv4_subnet_mask=%s", net.mask));
        return 0;
    }
    name = spec->nets[0].hostname;
    if (!name || strpbrk(name, ": '\"\\[]"))
        name = "";
    strbuf_addf(&out, "netdev.ip=%s/%d:%s", net.ip, net.prefix, net.gateway);
    if (net.dns[0] || *name)
        strbuf_addf(&out, ":%s", net.dns[0] ? net.dns[0] : "");
    if (net.dns[1] || *name)
        strbuf_addf(&out, ":%s", net.dns[1] ? net.dns[1] : "");
    if (*name)
        strbuf_addf(&out, ":%s", name);
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
        if (quote(FAMILY_ENV, *env, &word, err) < 0)
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
    if (old && spec->n_shares > 0) {
        if (!str_eq(spec->shares[0].mount_point, "/"))
            return err_set(err, ERR_UNSUPPORTED,
                           "volume '%s': Unikraft before 0.16.1 cannot be told of volumes",
                           spec->shares[0].mount_point);
        strv_take(ret, xasprintf("vfs.rootfs=9pfs vfs.rootdev=%s", spec->shares[0].tag));
    }
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
    if (take_network(spec, old, ret, err) < 0 || (!old && take_env(spec->env, ret, err) < 0) ||
        take_mounts(spec, old, ret, err) < 0 || family_user_arguments(spec, &user, err) < 0)
        return -1;
    strv_push(ret, "--");
    return family_take_words(FAMILY_ARGUMENT, user, old ? quote_old : quote, ret, err);
}

unsigned family_unikraft_tells(const struct vmm_spec *spec)
{
    return is_old(spec->guest->version) ? TELLS_IPV4
                                        : TELLS_ENV | TELLS_IPV4 | TELLS_DNS | TELLS_HOSTNAME;
}
