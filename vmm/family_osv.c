/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_osv - what an OSv guest is told: `--option=value ... program arguments`. Two parsers read
 * the line. The loader takes words while they begin with '-'; a backslash takes the next byte as it
 * is, quotes mean nothing. From the first other word on, the rest is the program's: words, or
 * strings in double quotes with backslashes before quotes and backslashes; outside of quotes ';',
 * '&' and '!' end the command. There the first '$' of a word and all behind it is replaced by a
 * variable, quotes or not, so that a dollar sign cannot be told.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define GUEST "OSv"

/* For the loader. */
static int escape(const char *what, const char *word, char **ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    if (family_word_check(GUEST, what, word, "", err) < 0)
        return -1;
    strbuf_adds(&out, "--env=");
    for (const char *p = word; *p; p++) {
        if (*p == ' ' || *p == '\\')
            strbuf_addc(&out, '\\');
        strbuf_addc(&out, *p);
    }
    *ret = strbuf_detach(&out);
    return 0;
}

/* For the program. A quote in front also keeps a first word that begins with '-' from the loader.
 */
static int quote(const char *what, const char *word, char **ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;

    if (family_word_check(GUEST, what, word, "$", err) < 0)
        return -1;
    if (*word && *word != '-' && !strpbrk(word, " \"'\\;&!")) {
        *ret = xstrdup(word);
        return 0;
    }
    strbuf_addc(&out, '"');
    for (const char *p = word; *p; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_addc(&out, '\\');
        strbuf_addc(&out, *p);
    }
    strbuf_addc(&out, '"');
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
    if (family_gateway_near(GUEST, &net, err) < 0)
        return -1;
    strv_take(ret, xasprintf("--ip=eth0,%s,%s", net.ip, net.mask));
    if (*net.gateway)
        strv_take(ret, xasprintf("--defaultgw=%s", net.gateway));
    if (net.dns[0])
        strv_take(ret, xasprintf("--nameserver=%s", net.dns[0]));
    return 0;
}

/* A disk it finds by itself. */
static void take_root(const struct vmm_spec *spec, char ***ret)
{
    enum vmm_root root = spec->storage ? spec->storage->root : VMM_ROOT_NONE;

    if (root == VMM_ROOT_SHARE)
        strv_push(ret, "--rootfs=virtiofs");
    else if (root == VMM_ROOT_NONE && spec->n_blocks == 0)
        strv_push(ret, "--rootfs=ramfs");
}

int family_osv_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    /* else a guest that aborts stays there, halted */
    strv_push(ret, "--power-off-on-abort");
    take_root(spec, ret);
    if (take_network(spec, ret, err) < 0 ||
        family_take_words(FAMILY_ENV, spec->env, escape, ret, err) < 0 ||
        family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (!user || !*user)
        return err_set(err, ERR_INVALID,
                       "arguments: OSv has to be told the program to run, and there is none");
    if (spec->workdir && *spec->workdir && !str_eq(spec->workdir, "/")) {
        if (family_word_check(GUEST, "working directory", spec->workdir, " \\", err) < 0)
            return -1;
        strv_take(ret, xasprintf("--cwd=%s", spec->workdir));
    }
    return family_take_words(FAMILY_ARGUMENT, user, quote, ret, err);
}
