/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family - how guests are told their arguments and address. A family is a row of a table; one that
 * no driver of this build can run has a row without a function, so that the error says so instead
 * of "unknown".
 *
 * Guests get one string, the arguments joined by blanks. What splits it again lies in the guest:
 * each row quotes for its own.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define ARGUMENTS_MAX 1024
#define GENERIC       "generic"
#define SOLO5         "solo5"

/* ---------------------------------------------------------------- mirage */

/*
 * MirageOS splits at blanks, knows double quotes, and a backslash before a quote or a backslash
 * within them. An option is quoted behind its '=', the way its users write it: --hello="a b".
 */
#define MIRAGE_SPECIAL " \t\n\v\f\r\"\\"

static char *mirage_quote(const char *arg)
{
    autostrbuf out = STRBUF_INIT;
    const char *value = arg, *equals = arg[0] == '-' ? strchr(arg, '=') : NULL;

    if (*arg && !strpbrk(arg, MIRAGE_SPECIAL))
        return xstrdup(arg);
    if (equals && strcspn(arg, MIRAGE_SPECIAL) > (size_t)(equals - arg))
        value = equals + 1;
    strbuf_add(&out, arg, (size_t)(value - arg));
    strbuf_addc(&out, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            strbuf_addc(&out, '\\');
        strbuf_addc(&out, *value);
    }
    strbuf_addc(&out, '"');
    return strbuf_detach(&out);
}

static int check_address(int af, const char *s, const char *what, struct err *err)
{
    unsigned char buf[sizeof(struct in6_addr)];

    if (inet_pton(af, s, buf) == 1)
        return 0;
    return err_set(err, ERR_INVALID, "network: %s '%s': is not an address", what, s);
}

int family_address(int af, const char *ip, int prefix, const char *gateway, struct err *err)
{
    if (check_address(af, ip, "address", err) < 0)
        return -1;
    if (prefix < 1 || prefix > (af == AF_INET ? 32 : 128))
        return err_set(err, ERR_INVALID, "network: address '%s': prefix length %d", ip, prefix);
    return gateway && *gateway ? check_address(af, gateway, "gateway", err) : 0;
}

/* --ipv4=A/LEN --ipv4-gateway=G, or the same for IPv6. */
static int mirage_address(int af, const char *ip, int prefix, const char *gateway, char ***ret,
                          struct err *err)
{
    const char *name = af == AF_INET ? "ipv4" : "ipv6";

    if (!ip || !*ip)
        return 0;
    if (family_address(af, ip, prefix, gateway, err) < 0)
        return -1;
    strv_take(ret, xasprintf("--%s=%s/%d", name, ip, prefix));
    if (gateway && *gateway)
        strv_take(ret, xasprintf("--%s-gateway=%s", name, gateway));
    return 0;
}

static bool has_net_device(const struct guest *guest)
{
    for (size_t i = 0; i < guest->n_devices; i++)
        if (guest->devices[i].type == GUEST_NET)
            return true;
    return false;
}

int family_user_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **words = NULL;
    char *save = NULL;

    if (spec->args && spec->args[0]) {
        *ret = strv_dup(spec->args);
    } else if (spec->guest->cmdline && *spec->guest->cmdline) {
        autofree char *line = xstrdup(spec->guest->cmdline);

        for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
            strv_push(&words, w);
        *ret = TAKE_PTR(words);
    }
    if (strv_len(*ret) > ARGUMENTS_MAX)
        return err_set(err, ERR_INVALID, "arguments: more than %d", ARGUMENTS_MAX);
    return 0;
}

/* Only a unikernel with a network device knows the options of one: the others refuse to start with
 * them. */
static int mirage_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (has_net_device(spec->guest) && spec->n_nets > 0) {
        const struct vmm_net *net = &spec->nets[0];

        if (mirage_address(AF_INET, net->ip, net->prefix, net->gateway, ret, err) < 0 ||
            mirage_address(AF_INET6, net->ip6, net->prefix6, net->gateway6, ret, err) < 0)
            return -1;
    }
    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    for (char **arg = user; arg && *arg; arg++)
        strv_take(ret, mirage_quote(*arg));
    return 0;
}

static unsigned mirage_tells(const struct vmm_spec *spec)
{
    return has_net_device(spec->guest) ? TELLS_IPV4 | TELLS_IPV6 : 0;
}

/* ---------------------------------------------------------------- generic */

static int generic_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    autostrv char **user = NULL;

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    for (char **arg = user; arg && *arg; arg++) {
        if (family_word_check("a guest of no known family", FAMILY_ARGUMENT, *arg, "", err) < 0)
            return -1;
        strv_push(ret, *arg);
    }
    return 0;
}

/* ---------------------------------------------------------------- the table */

/* The image's own initrd or disk, or neither. */
#define ROOT_OF_IMAGE (1U << VMM_ROOT_NONE | 1U << VMM_ROOT_INITRD | 1U << VMM_ROOT_BLOCK)

#define UNIKRAFT_SILENT "Unikraft does not tell its application's exit status"

/* Solo5's virtio binding writes the same at every end. */
static const struct family_told solo5_told[] = {
    {41, 0, "Completed", "Solo5 does not tell the guest's exit status on virtio"},
    {0},
};
static const struct family_told unikraft_told[] = {
    {41, 0, "Completed", UNIKRAFT_SILENT},
    {42, 1, "GuestCrashed", "Unikraft crashed"},
    {0},
};
static const struct family_told hermit_told[] = {
    {0, 1, "Error", "Hermit tells of a failure, but not the exit status"},
    {1, 0, "Completed", ""},
    {0},
};

static const struct family families[] = {
    {.name = GENERIC, .arguments = generic_arguments, .roots = ROOT_OF_IMAGE},
    {.name = SOLO5,
     .arguments = generic_arguments,
     .kernels = 1U << KERNEL_SOLO5 | 1U << KERNEL_MULTIBOOT,
     .roots = 1U << VMM_ROOT_NONE | 1U << VMM_ROOT_BLOCK,
     .told = solo5_told,
     .deaf = true},
    {.name = "mirage",
     .arguments = mirage_arguments,
     .roots = ROOT_OF_IMAGE,
     .tells_of = mirage_tells,
     .told = solo5_told,
     .deaf = true},
    {.name = "unikraft",
     .arguments = family_unikraft_arguments,
     .kernels = 1U << KERNEL_MULTIBOOT | 1U << KERNEL_PVH | 1U << KERNEL_ELF64,
     .roots = 1U << VMM_ROOT_NONE | 1U << VMM_ROOT_INITRD | 1U << VMM_ROOT_SHARE,
     .volumes = 1U << VMM_VOLUMES_CPIO | 1U << VMM_VOLUMES_SHARE | 1U << VMM_VOLUMES_IN_ROOT,
     .shares = VMM_CAN_9P,
     .one_segment = true,
     .tells_of = family_unikraft_tells,
     .told = unikraft_told,
     .deaf = true,
     .silent = UNIKRAFT_SILENT},
    {.name = "rumprun",
     .arguments = family_rumprun_arguments,
     .kernels = 1U << KERNEL_SOLO5 | 1U << KERNEL_MULTIBOOT,
     .roots = 1U << VMM_ROOT_NONE | 1U << VMM_ROOT_BLOCK | 1U << VMM_ROOT_DISK,
     .disk_kind = "ext2",
     .tells_of = family_rumprun_tells,
     .told = solo5_told,
     .deaf = true},
    {.name = "mewz",
     .arguments = family_mewz_arguments,
     .kernels = 1U << KERNEL_MULTIBOOT,
     .roots = 1U << VMM_ROOT_NONE,
     .deaf = true,
     .modern = true,
     .tells = TELLS_IPV4},
    {.name = "linux",
     .arguments = family_linux_arguments,
     .kernels = 1U << KERNEL_BZIMAGE | 1U << KERNEL_PVH | 1U << KERNEL_ELF64,
     .roots = ROOT_OF_IMAGE | 1U << VMM_ROOT_DISK | 1U << VMM_ROOT_SHARE,
     .volumes = 1U << VMM_VOLUMES_CPIO | 1U << VMM_VOLUMES_IN_ROOT,
     .shares = VMM_CAN_9P | VMM_CAN_VIRTIOFS,
     .disk_kind = "ext4",
     .tells = TELLS_ENV | TELLS_IPV4 | TELLS_DNS | TELLS_HOSTNAME},
    {.name = "hermit",
     .arguments = family_hermit_arguments,
     .kernels = 1U << KERNEL_MULTIBOOT | 1U << KERNEL_PVH | 1U << KERNEL_ELF64,
     .roots = 1U << VMM_ROOT_INITRD,
     .debug_port = {0xf4, 4},
     .modern = true,
     .tells = TELLS_ENV | TELLS_IPV4 | TELLS_DNS,
     .told = hermit_told,
     .deaf = true},
    {.name = "osv",
     .arguments = family_osv_arguments,
     .kernels = 1U << KERNEL_PVH | 1U << KERNEL_ELF64 | 1U << KERNEL_MULTIBOOT,
     .roots = 1U << VMM_ROOT_NONE | 1U << VMM_ROOT_BLOCK | 1U << VMM_ROOT_SHARE,
     .volumes = 1U << VMM_VOLUMES_IN_ROOT,
     .shares = VMM_CAN_VIRTIOFS,
     .tells = TELLS_ENV | TELLS_IPV4 | TELLS_DNS | TELLS_WORKDIR,
     .silent = "OSv does not tell its program's exit status"},
    {.name = "nanos",
     .arguments = family_nanos_arguments,
     .kernels = 1U << KERNEL_PVH | 1U << KERNEL_ELF64,
     .roots = 1U << VMM_ROOT_BLOCK,
     .tells_of = family_nanos_tells,
     .silent = "Nanos tells its exit status only when the manifest of its disk sets debug_exit"},
    {.name = "includeos",
     .arguments = family_includeos_arguments,
     .kernels = 1U << KERNEL_MULTIBOOT | 1U << KERNEL_ELF64 | 1U << KERNEL_PVH,
     .roots = 1U << VMM_ROOT_NONE | 1U << VMM_ROOT_INITRD | 1U << VMM_ROOT_BLOCK,
     .silent = "IncludeOS does not tell its program's exit status"},
    {.name = "toro",
     .arguments = family_toro_arguments,
     .kernels = 1U << KERNEL_PVH | 1U << KERNEL_ELF64,
     .roots = 1U << VMM_ROOT_NONE,
     .ends_by_reset = true,
     .silent = "Toro does not tell an exit status"},
    {.name = "freebsd"},
};

const struct family *family_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        if (str_eq(families[i].name, *name ? name : GENERIC))
            return &families[i];
    return NULL;
}

bool family_is_known(const char *name)
{
    return *name && family_row(name);
}

const struct family *family_find(const char *name, struct err *err)
{
    const struct family *family = family_row(name);

    if (family && family->arguments)
        return family;
    err_set(err, ERR_UNSUPPORTED, "unikernel type '%s': %s", name,
            family ? "not supported by the drivers of this host" : "unknown");
    return NULL;
}

const char *vmm_guest_family(const struct guest *guest)
{
    const struct family *family = family_row(*guest->family ? guest->family
                                             : guest->solo5 ? SOLO5
                                                            : GENERIC);

    return family ? family->name : GENERIC;
}

int family_fits(const struct guest *guest, struct err *err)
{
    const struct family *family = family_find(guest->family, err);

    if (!family)
        return -1;
    if (!family->kernels || guest->kernel == KERNEL_UNKNOWN ||
        family->kernels & 1U << guest->kernel)
        return 0;
    return err_set(err, ERR_INVALID, "image: declares type '%s', but its kernel '%s' is %s",
                   family->name, guest->binary, kernel_kind_name(guest));
}

int family_arguments(const struct vmm_spec *spec, char ***ret, struct err *err)
{
    const struct family *family = family_find(spec->guest->family, err);
    autostrv char **arguments = NULL;

    if (!family || family->arguments(spec, &arguments, err) < 0)
        return -1;
    *ret = TAKE_PTR(arguments);
    return 0;
}

int vmm_words_check(const struct vmm_spec *spec, struct err *err)
{
    autostrv char **arguments = NULL;

    return family_arguments(spec, &arguments, err);
}
