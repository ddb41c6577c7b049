/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_plain - families whose guests split their line at blanks and know no quotes, or are told
 * next to nothing. A word that such a line cannot hold is refused.
 *
 * IncludeOS: words for main(). Its network is configured in the program.
 * Toro: words, split at commas too; one that has "virtio_mmio" in it announces a device. It has no
 * addresses: it is reached by vsock.
 * Mewz: ip= and gateway=; its program gets no arguments.
 * Nanos: entered by PVH it reads no line at all, all is in the manifest of its disk. Entered as
 * Linux is, words NAME=value or TUPLE.NAME=value are put over that manifest.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define INCLUDEOS_WORDS_MAX 63 /* it counts 64 with its own name */

static int word(const char *guest, const char *what, const char *text, const char *bad, char **ret,
                struct err *err)
{
    if (!*text)
        return err_set(err, ERR_UNSUPPORTED, "%s '': %s cannot be given an empty one", what, guest);
    if (family_word_check(guest, what, text, bad, err) < 0)
        return -1;
    *ret = xstrdup(text);
    return 0;
}

/* ---------------------------------------------------------------- IncludeOS */

static int includeos_word(const char *what, const char *text, char **ret, struct err *err)
{
    return word("IncludeOS", what, text, " ", ret, err);
}

int family_includeos_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    /* main() has the first word as its name: of multiboot it is the kernel's */
    if (spec->guest->kernel != KERNEL_MULTIBOOT)
        strv_push(ret, "includeos");
    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (spec->initrd_fd >= 0 && user && *user)
        return err_set(err, ERR_UNSUPPORTED,
                       "argument '%.100s': IncludeOS' chainloader hands no arguments on: leave "
                       "command and args out, also of the image",
                       *user);
    if (strv_len(user) > INCLUDEOS_WORDS_MAX)
        return err_set(err, ERR_UNSUPPORTED, "arguments: IncludeOS can be given %d",
                       INCLUDEOS_WORDS_MAX);
    return family_take_words(FAMILY_ARGUMENT, user, includeos_word, ret, err);
}

/* ---------------------------------------------------------------- Toro */

static int toro_word(const char *what, const char *text, char **ret, struct err *err)
{
    if (strstr(text, "virtio_mmio"))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s '%.100s': Toro would take it for the address of a device", what, text);
    return word("Toro", what, text, " ,", ret, err);
}

int family_toro_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    return family_take_words(FAMILY_ARGUMENT, user, toro_word, ret, err);
}

/* ---------------------------------------------------------------- Mewz */

int family_mewz_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;
    struct family_ipv4 net;

    if (family_ipv4_of("Mewz", spec, &net, err) < 0 || family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (user && *user)
        return err_set(err, ERR_UNSUPPORTED,
                       "argument '%.100s': Mewz gives its program no arguments: leave command and "
                       "args out, also of the image",
                       *user);
    if (!*net.ip)
        return 0;
    if (family_gateway_near("Mewz", &net, err) < 0)
        return -1;
    strv_take(ret, xasprintf("ip=%s/%d", net.ip, net.prefix));
    /* it takes an address only with both */
    strv_take(ret, xasprintf("gateway=%s", *net.gateway ? net.gateway : "0.0.0.0"));
    return 0;
}

/* ---------------------------------------------------------------- Nanos */

static int nanos_env(const char *what, const char *text, char **ret, struct err *err)
{
    const char *equals = strchr(text, '=');
    autofree char *name = equals ? xstrndup(text, (size_t)(equals - text)) : xstrdup("");

    if (!equals || !*name || strchr(name, '.') || !equals[1])
        return err_set(err, ERR_UNSUPPORTED,
                       "%s '%.100s': Nanos cannot be given an empty one, or a name with a dot",
                       what, text);
    if (family_word_check("Nanos", what, text, " ", err) < 0)
        return -1;
    *ret = xasprintf("environment.%s", text);
    return 0;
}

static int nanos_network(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    struct family_ipv4 net;

    if (family_ipv4_of("Nanos", spec, &net, err) < 0)
        return -1;
    if (!*net.ip)
        return 0;
    strv_take(ret, xasprintf("en1.ipaddr=%s", net.ip));
    strv_take(ret, xasprintf("en1.netmask=%s", net.mask));
    if (*net.gateway)
        strv_take(ret, xasprintf("en1.gateway=%s", net.gateway));
    return 0;
}

int family_nanos_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (spec->guest->kernel != KERNEL_ELF64) {
        if (!user || !*user)
            return 0;
        return err_set(err, ERR_UNSUPPORTED,
                       "argument '%.100s': Nanos takes its arguments from the manifest of its disk "
                       "only: put them there, and leave command and args out, also of the image",
                       *user);
    }
    if (nanos_network(spec, ret, err) < 0 ||
        family_take_words(FAMILY_ENV, spec->env, nanos_env, ret, err) < 0)
        return -1;
    for (size_t i = 0; user && user[i]; i++) {
        autofree char *text = NULL;

        if (word("Nanos", FAMILY_ARGUMENT, user[i], " ", &text, err) < 0)
            return -1;
        strv_take(ret, xasprintf("arguments.%zu=%s", i, text));
    }
    return 0;
}

unsigned family_nanos_tells(const struct vmm_spec *spec)
{
    return spec->guest->kernel == KERNEL_ELF64 ? TELLS_ENV | TELLS_IPV4 : 0;
}
