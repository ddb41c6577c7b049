/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_linux - what a Linux guest is told on its kernel's command line: console, address, root,
 * the environment of init, init itself and, behind `--`, its arguments.
 *
 * The kernel splits at blanks (a byte 0xa0, as letters of UTF-8 have, is one to it), takes double
 * quotes off around a word, and knows no escapes: a double quote cannot be told. A word before `--`
 * that is an option of the kernel never reaches init, so only names that no option has may be in
 * the environment: capitals, and proxies. What a line cannot hold goes into the initrd instead,
 * where there is one: linux_start.c.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/guestinit/start_file.h"
#include "vmm/private.h"

#define INIT_WORDS_MAX 30   /* CONFIG_INIT_ENV_ARG_LIMIT is 32; beyond it the kernel panics */
#define LINE_MAX_BYTES 2047 /* COMMAND_LINE_SIZE of x86 */

#define GUEST  "Linux' command line"
#define BLANKS " \xa0"

static int quote(const char *what, const char *word, char **ret, struct err *err)
{
    if (family_word_check(GUEST, what, word, "\"", err) < 0)
        return -1;
    *ret = !*word || strpbrk(word, BLANKS) ? xasprintf("\"%s\"", word) : xstrdup(word);
    return 0;
}

static bool env_name_ok(const char *env)
{
    static const char *const others[] = {"http_proxy=", "https_proxy=", "no_proxy=", "ftp_proxy="};
    const char *p = env;

    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (str_has_prefix(env, others[i]))
            return true;
    for (; *p && *p != '='; p++)
        if (!((*p >= 'A' && *p <= 'Z') || *p == '_' || (p > env && *p >= '0' && *p <= '9')))
            return false;
    return *p == '=' && p > env;
}

static int take_env(char *const *env, char ***ret, struct err *err)
{
    size_t n = 0;

    for (; env && *env; env++) {
        char *word;

        if (!env_name_ok(*env))
            return err_set(err, ERR_UNSUPPORTED,
                           "environment variable '%.100s': a Linux guest is given names of "
                           "capitals, digits and '_' only: others might be options of its kernel",
                           *env);
        if (++n > INIT_WORDS_MAX)
            return err_set(
                err, ERR_UNSUPPORTED,
                "environment: a Linux guest without an initrd can be given %d variables (a kubelet "
                "adds some for each service unless enableServiceLinks is false)",
                INIT_WORDS_MAX);
        if (quote(FAMILY_ENV, *env, &word, err) < 0)
            return -1;
        strv_take(ret, word);
    }
    return 0;
}

static int take_network(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrbuf out = STRBUF_INIT;
    struct family_ipv4 net;
    const char *name;

    if (family_ipv4_of(GUEST, spec, &net, err) < 0)
        return -1;
    if (!*net.ip)
        return 0;
    if (net.any_gateway && family_gateway_near(GUEST, &net, err) < 0)
        return -1;
    name = spec->nets[0].hostname;
    strbuf_addf(&out, "ip=%s::%s:%s:%s:eth0:off", net.ip, net.gateway, net.mask,
                name && !strpbrk(name, ":\"" BLANKS) ? name : "");
    for (size_t i = 0; i < ARRAY_SIZE(net.dns) && net.dns[i]; i++)
        strbuf_addf(&out, ":%s", net.dns[i]);
    strv_take(ret, strbuf_detach(&out));
    if (net.far_gateway) /* the kernel makes no route to it: for urunit, the init of urunc's images
                          */
        strv_push(ret, "URUNC_DEFROUTE=1");
    return 0;
}

/* What lies in it may be writable though it is not: the node's side sees to that. */
static const char *share_mode(const struct vmm_share *share)
{
    bool writes = !share->readonly;

    for (size_t i = 0; i < share->n_mounts; i++)
        writes = writes || !share->mounts[i].readonly;
    return writes ? "rw" : "ro";
}

static void take_root(const struct vmm_spec *spec, char ***ret)
{
    const struct vmm_storage none = {0}, *s = spec->storage ? spec->storage : &none;
    const char *mode = s->root_readonly ? "ro" : "rw";

    if (s->root == VMM_ROOT_DISK && s->disk_kind)
        strv_take(ret, xasprintf("root=/dev/vda rootfstype=%s %s", s->disk_kind, mode));
    else if (s->root == VMM_ROOT_BLOCK || s->root == VMM_ROOT_DISK)
        strv_take(ret, xasprintf("root=/dev/vda %s", mode));
    else if (s->root == VMM_ROOT_SHARE && spec->n_shares > 0 && s->virtiofs)
        strv_take(ret, xasprintf("root=%s rootfstype=virtiofs %s", spec->shares[0].tag,
                                 share_mode(&spec->shares[0])));
    else if (s->root == VMM_ROOT_SHARE && spec->n_shares > 0)
        strv_take(ret, xasprintf("root=%s rootfstype=9p "
                                 "rootflags=trans=virtio,version=9p2000.L,msize=262144 %s",
                                 spec->shares[0].tag, share_mode(&spec->shares[0])));
}

static int take_init(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    bool initrd = !spec->storage || spec->storage->root == VMM_ROOT_INITRD;
    autostrv char **user = NULL;

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (!user || !*user)
        return 0;
    if (family_word_check(GUEST, FAMILY_ARGUMENT, *user, "", err) < 0)
        return -1;
    if (**user != '/' || strpbrk(*user, "\"" BLANKS))
        return err_set(err, ERR_INVALID,
                       "argument '%.100s': is no absolute path without blanks, as init needs",
                       *user);
    if (strv_len(user) > INIT_WORDS_MAX)
        return err_set(err, ERR_UNSUPPORTED, "arguments: a Linux guest can be given %d",
                       INIT_WORDS_MAX);
    strv_take(ret, xasprintf("%sinit=%s", initrd && spec->initrd_fd >= 0 ? "rd" : "", *user));
    strv_push(ret, "--");
    return family_take_words(FAMILY_ARGUMENT, user + 1, quote, ret, err);
}

int family_linux_words(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    return take_env(spec->env, ret, err) < 0 ? -1 : take_init(spec, ret, err);
}

/* By the file that lies in its initrd. */
static int take_start(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrbuf text = STRBUF_INIT;

    if (linux_start_text(spec, &text, err) < 0)
        return -1;
    strv_push(ret, "rdinit=" START_PROGRAM);
    return 0;
}

int family_linux_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    bool by_file = linux_start_needed(spec);
    size_t len = 0;

    strv_push(ret, "console=ttyS0");
    strv_push(ret, "panic=-1");
    take_root(spec, ret);
    if (take_network(spec, ret, err) < 0 ||
        (by_file ? take_start(spec, ret, err) : family_linux_words(spec, ret, err)) < 0)
        return -1;
    for (char **w = *ret; *w; w++)
        len += strlen(*w) + 1;
    if (len > LINE_MAX_BYTES)
        return err_set(err, ERR_UNSUPPORTED,
                       "arguments and environment have %zu bytes; Linux' command line holds %d",
                       len, LINE_MAX_BYTES);
    return 0;
}
