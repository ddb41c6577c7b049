/* SPDX-License-Identifier: Apache-2.0 */
/* solo5_guest - see solo5_guest.h. */
#include "vmm/solo5_guest.h"

#include <signal.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"
#include "vmm/tender/solo5_abi.h"

int solo5_accepts(const char *target, const struct guest *guest, struct err *err)
{
    if (!guest->solo5)
        return err_set(err, ERR_UNSUPPORTED, "kernel '%s': is not a Solo5 unikernel",
                       guest->binary);
    if (!str_eq(guest->solo5_target, target))
        return err_set(err, ERR_UNSUPPORTED, "kernel '%s': is built for Solo5 %s, not for %s",
                       guest->binary, guest->solo5_target, target);
    if (*guest->hypervisor && !str_eq(guest->hypervisor, target))
        return err_set(err, ERR_INVALID,
                       "image: declares hypervisor '%s', but its kernel is built for Solo5 %s",
                       guest->hypervisor, guest->solo5_target);
    if (*guest->initrd)
        return err_set(err, ERR_UNSUPPORTED, "initrd '%s': Solo5 unikernels have none",
                       guest->initrd);
    return family_fits(guest, err);
}

static size_t count_devices(const struct guest *guest, enum guest_device_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < guest->n_devices; i++)
        n += guest->devices[i].type == type;
    return n;
}

static const char *type_name(enum guest_device_type type)
{
    return type == GUEST_NET ? "network" : "block";
}

/* The manifest's name of an attached device: NULL stands for the only one. */
static const struct guest_device *declared(const struct guest *guest, enum guest_device_type type,
                                           const char *name, struct err *err)
{
    for (size_t i = 0; i < guest->n_devices; i++) {
        const struct guest_device *d = &guest->devices[i];

        if (d->type == type && (!name || str_eq(d->name, name))) {
            if (name || count_devices(guest, type) == 1)
                return d;
            err_set(err, ERR_INVALID, "guest declares %zu %s devices: which one is meant?",
                    count_devices(guest, type), type_name(type));
            return NULL;
        }
    }
    if (name)
        err_set(err, ERR_INVALID, "%s device '%s': the guest does not declare it", type_name(type),
                name);
    else
        err_set(err, ERR_INVALID, "%s device: the guest declares none", type_name(type));
    return NULL;
}

const struct guest_device *solo5_attach(struct solo5_attached *attached, const struct guest *guest,
                                        enum guest_device_type type, const char *name,
                                        struct err *err)
{
    const struct guest_device *d = declared(guest, type, name, err);
    size_t index = d ? (size_t)(d - guest->devices) : 0;

    if (d && attached->by_index[index]) {
        err_set(err, ERR_INVALID, "device '%s': attached twice", d->name);
        return NULL;
    }
    attached->by_index[index] = attached->by_index[index] || d;
    return d;
}

static int check_mac(const char *mac, struct err *err)
{
    size_t len = mac ? strlen(mac) : 0;

    for (size_t i = 0; i < len; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdefABCDEF", mac[i]))
            len = 0;
    return len == 17 ? 0 : err_set(err, ERR_INVALID, "MAC address '%s'", mac ? mac : "");
}

const struct guest_device *solo5_attach_net(struct solo5_attached *attached,
                                            const struct guest *guest, const char *name,
                                            const char *mac, struct err *err)
{
    const struct guest_device *d = solo5_attach(attached, guest, GUEST_NET, name, err);

    if (d && check_mac(mac, err) < 0) {
        err_wrap(err, "network device '%s'", d->name);
        return NULL;
    }
    return d;
}

int solo5_check_attached(const struct guest *guest, const struct solo5_attached *attached,
                         struct err *err)
{
    for (size_t i = 0; i < guest->n_devices; i++)
        if (!attached->by_index[i])
            return err_set(err, ERR_INVALID,
                           "%s device '%s': the guest declares it, but the pod has none to attach",
                           type_name(guest->devices[i].type), guest->devices[i].name);
    return 0;
}

int solo5_arguments(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err)
{
    autostrv char **arguments = NULL;
    size_t bytes = 0;

    if (family_arguments(spec, &arguments, err) < 0)
        return -1;
    for (char **arg = arguments; arg && *arg; arg++) {
        bytes += strlen(*arg) + 1;
        strv_push(&plan->argv, *arg);
    }
    if (bytes > SOLO5_CMDLINE_SIZE)
        return err_set(err, ERR_INVALID, "arguments: %zu bytes, a Solo5 unikernel takes at most %u",
                       bytes - 1, SOLO5_CMDLINE_SIZE - 1);
    return 0;
}

/* ---------------------------------------------------------------- what an end means */

bool solo5_look_up(const struct solo5_meaning *table, size_t n, int code, const char **ret_reason,
                   const char **ret_message)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].code == code) {
            *ret_reason = table[i].reason;
            *ret_message = table[i].message;
            return true;
        }
    }
    return false;
}

static const struct solo5_meaning signals[] = {
    {SIGSEGV, "GuestCrashed", "access to memory that is not the guest's"},
    {SIGBUS, "GuestCrashed", "access to memory that is not there"},
    {SIGILL, "GuestCrashed", "illegal instruction"},
    {SIGFPE, "GuestCrashed", "arithmetic fault"},
    {SIGTRAP, "GuestCrashed", "breakpoint"},
    {SIGSYS, "GuestCrashed", "the guest made a system call that it may not make"},
    {SIGXFSZ, "GuestCrashed", "the guest wrote behind the end of its disk"},
};

bool solo5_explain_signal(int signal, const char **ret_reason, const char **ret_message)
{
    return solo5_look_up(signals, ARRAY_SIZE(signals), signal, ret_reason, ret_message);
}
