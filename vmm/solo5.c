/* SPDX-License-Identifier: Apache-2.0 */
/*
 * solo5 - the drivers tender-spt and tender-hvt: Solo5 unikernels on our own unicri-tender. Its
 * command line and its exit statuses are a contract written down in vmm/tender/main.c.
 *
 * Every device that the guest's manifest declares must be attached, and nothing else may be: both
 * are checked here, so that the user reads a clear error before anything runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/private.h"
#include "vmm/tender/fault.h"
#include "vmm/tender/solo5_abi.h"

#define KERNEL_FD       3
#define KVM_FD          4
#define FIRST_DEVICE_FD 5
#define MEMORY_MIN      (UINT64_C(2) << 20)
#define SPT_GRAIN       UINT64_C(4096)
#define HVT_GRAIN       (UINT64_C(2) << 20)
#define SPT_MAX         (UINT64_C(64) << 30)
#define HVT_MAX         (UINT64_C(4) << 30)
#define KVM_API         12

/* What differs between the two. */
struct backend {
    const char *name;
    uint64_t grain, max; /* of guest memory, bytes */
    bool kvm;
};
static const struct backend spt = {"spt", SPT_GRAIN, SPT_MAX, false};
static const struct backend hvt = {"hvt", HVT_GRAIN, HVT_MAX, true};

/* ---------------------------------------------------------------- can it run? */

static char *wrong_machine(void)
{
#if defined(__x86_64__)
    return NULL;
#else
    return xstrdup("the built-in tender runs on x86_64 only");
#endif
}

static char *spt_unavailable(const struct vmm_handler *handler)
{
    (void)handler;
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        return xstrdup("the kernel is built without seccomp filters");
    return wrong_machine();
}

static char *hvt_unavailable(const struct vmm_handler *handler)
{
    autofd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int version;

    (void)handler;
    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return xstrdup("there is no /dev/kvm: the machine has no hardware virtualization, it is "
                       "switched off, or the kernel module is not loaded");
    if (fd < 0)
        return xasprintf("/dev/kvm cannot be opened: %s", strerror(errno));
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API)
        return xasprintf("/dev/kvm has API version %d, not %d", version, KVM_API);
    return wrong_machine();
}

static int accepts(const struct backend *b, const struct guest *guest, struct err *err)
{
    if (!guest->solo5)
        return err_set(err, ERR_UNSUPPORTED, "kernel '%s': is not a Solo5 unikernel",
                       guest->binary);
    if (!str_eq(guest->solo5_target, b->name))
        return err_set(err, ERR_UNSUPPORTED, "kernel '%s': is built for Solo5 %s, not for %s",
                       guest->binary, guest->solo5_target, b->name);
    if (*guest->hypervisor && !str_eq(guest->hypervisor, b->name))
        return err_set(err, ERR_INVALID,
                       "image: declares hypervisor '%s', but its kernel is built for Solo5 %s",
                       guest->hypervisor, guest->solo5_target);
    if (*guest->initrd)
        return err_set(err, ERR_UNSUPPORTED, "initrd '%s': Solo5 unikernels have none",
                       guest->initrd);
    return family_fits(guest, err);
}

static int spt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return accepts(&spt, guest, err);
}

static int hvt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return accepts(&hvt, guest, err);
}

/* ---------------------------------------------------------------- the plan */

static int plan_memory(const struct backend *b, const struct vmm_config *config,
                       const struct vmm_spec *spec, uint64_t *ret, struct err *err)
{
    uint64_t wanted = spec->memory_limit > 0 ? spec->memory_limit : config->default_memory;
    uint64_t size = wanted / b->grain * b->grain;

    if (size < MEMORY_MIN)
        return err_set(err, ERR_INVALID,
                       "memory limit of %llu bytes: a Solo5 unikernel needs at least %llu",
                       (unsigned long long)wanted, (unsigned long long)MEMORY_MIN);
    if (size > b->max)
        return err_set(err, ERR_INVALID, "memory limit of %llu bytes: %s guests have at most %llu",
                       (unsigned long long)wanted, b->name, (unsigned long long)b->max);
    *ret = size;
    return 0;
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

/* Which devices of the manifest have been attached. */
struct attached {
    bool by_index[GUEST_DEVICES_MAX];
};

static int attach(struct attached *attached, const struct guest *guest,
                  const struct guest_device *d, struct err *err)
{
    size_t index = (size_t)(d - guest->devices);

    if (attached->by_index[index])
        return err_set(err, ERR_INVALID, "device '%s': attached twice", d->name);
    attached->by_index[index] = true;
    return 0;
}

static int check_mac(const char *mac, struct err *err)
{
    size_t len = mac ? strlen(mac) : 0;

    for (size_t i = 0; i < len; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdefABCDEF", mac[i]))
            len = 0;
    return len == 17 ? 0 : err_set(err, ERR_INVALID, "MAC address '%s'", mac ? mac : "");
}

static int plan_nets(const struct vmm_spec *spec, struct vmm_plan *plan, struct attached *attached,
                     int *fd, struct err *err)
{
    for (size_t i = 0; i < spec->n_nets; i++) {
        const struct vmm_net *net = &spec->nets[i];
        const struct guest_device *d = declared(spec->guest, GUEST_NET, net->device, err);

        if (!d || attach(attached, spec->guest, d, err) < 0)
            return -1;
        if (check_mac(net->mac, err) < 0)
            return err_wrap(err, "network device '%s'", d->name);
        strv_take(&plan->argv,
                  net->mtu > 0 ? xasprintf("--net=%s:%d:%s:%d", d->name, *fd, net->mac, net->mtu)
                               : xasprintf("--net=%s:%d:%s", d->name, *fd, net->mac));
        if (plan_fd(plan, net->tap_fd, (*fd)++, false, err) < 0)
            return -1;
    }
    return 0;
}

/* How far a write may reach into the file: no guest makes its disk grow. */
static uint64_t file_size(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static int plan_blocks(const struct vmm_spec *spec, struct vmm_plan *plan,
                       struct attached *attached, int *fd, uint64_t *file_bytes, struct err *err)
{
    for (size_t i = 0; i < spec->n_blocks; i++) {
        const struct vmm_block *block = &spec->blocks[i];
        const struct guest_device *d = declared(spec->guest, GUEST_BLOCK, block->device, err);

        if (!d || attach(attached, spec->guest, d, err) < 0)
            return -1;
        strv_take(&plan->argv,
                  xasprintf("--block=%s:%d%s", d->name, *fd, block->readonly ? ":ro" : ""));
        if (!block->readonly && file_size(block->fd) > *file_bytes)
            *file_bytes = file_size(block->fd);
        if (plan_fd(plan, block->fd, (*fd)++, false, err) < 0)
            return -1;
    }
    return 0;
}

static int check_all_attached(const struct guest *guest, const struct attached *attached,
                              struct err *err)
{
    for (size_t i = 0; i < guest->n_devices; i++)
        if (!attached->by_index[i])
            return err_set(err, ERR_INVALID,
                           "%s device '%s': the guest declares it, but the pod has none to attach",
                           type_name(guest->devices[i].type), guest->devices[i].name);
    return 0;
}

static int plan_arguments(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err)
{
    autostrv char **arguments = NULL;
    size_t bytes = 0;

    if (family_arguments(spec, &arguments, err) < 0)
        return -1;
    strv_push(&plan->argv, "--");
    for (char **arg = arguments; arg && *arg; arg++) {
        bytes += strlen(*arg) + 1;
        strv_push(&plan->argv, *arg);
    }
    if (bytes > SOLO5_CMDLINE_SIZE)
        return err_set(err, ERR_INVALID, "arguments: %zu bytes, a Solo5 unikernel takes at most %u",
                       bytes - 1, SOLO5_CMDLINE_SIZE - 1);
    return 0;
}

static int plan_kvm(struct vmm_plan *plan, struct err *err)
{
    autofd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '/dev/kvm'");
    strv_take(&plan->argv, xasprintf("--kvm-fd=%d", KVM_FD));
    if (plan_fd(plan, fd, KVM_FD, true, err) < 0)
        return -1;
    (void)TAKE_FD(fd); /* the plan's */
    return 0;
}

static int plan(const struct backend *b, const struct vmm_handler *handler,
                const struct vmm_spec *spec, struct vmm_plan *ret, struct err *err)
{
    struct attached attached = {{false}};
    uint64_t file_bytes = 0;
    int fd = FIRST_DEVICE_FD;

    if (accepts(b, spec->guest, err) < 0 ||
        plan_memory(b, handler->vmm->config, spec, &ret->guest_memory, err) < 0)
        return -1;
    if (spec->cpus > 1)
        return err_set(err, ERR_INVALID, "cpus: a Solo5 unikernel has one, not %u", spec->cpus);
    strv_push(&ret->argv, "unicri-tender");
    strv_take(&ret->argv, xasprintf("--backend=%s", b->name));
    strv_take(&ret->argv, xasprintf("--kernel-fd=%d", KERNEL_FD));
    strv_take(&ret->argv, xasprintf("--mem=%llu", (unsigned long long)ret->guest_memory));
    strv_take(&ret->argv, xasprintf("--name=%s", spec->id));
    if (plan_fd(ret, spec->kernel_fd, KERNEL_FD, false, err) < 0 ||
        (b->kvm && plan_kvm(ret, err) < 0))
        return -1;
    if (plan_nets(spec, ret, &attached, &fd, err) < 0 ||
        plan_blocks(spec, ret, &attached, &fd, &file_bytes, err) < 0 ||
        check_all_attached(spec->guest, &attached, err) < 0)
        return -1;
    ret->jail.fsize = file_bytes;
    return plan_arguments(spec, ret, err);
}

static int spt_plan(const struct vmm_handler *handler, const struct vmm_spec *spec,
                    struct vmm_plan *ret, struct err *err)
{
    return plan(&spt, handler, spec, ret, err);
}

static int hvt_plan(const struct vmm_handler *handler, const struct vmm_spec *spec,
                    struct vmm_plan *ret, struct err *err)
{
    return plan(&hvt, handler, spec, ret, err);
}

/* ---------------------------------------------------------------- what an end means */

struct meaning {
    int code;
    const char *reason, *message;
};

/* Statuses that tender and guest share: the tender's own come with a line on its stderr, the
 * guest's without. */
static const struct meaning tender_statuses[] = {
    {STATUS_SETUP, "StartError",
     "the tender could not set the guest up, unless the guest itself "
     "ended with this status"},
    {STATUS_KERNEL, "StartError",
     "the tender refused the guest's kernel or manifest, unless the "
     "guest itself ended with this status"},
    {SOLO5_EXIT_ABORT, "Error", "the guest aborted"},
};
static const struct meaning hvt_statuses[] = {
    {STATUS_KVM, "GuestCrashed", "KVM could not go on with the guest"},
    {STATUS_GUEST_FAULT, "GuestCrashed",
     "triple fault, or access to memory that is not the guest's"},
    {STATUS_GUEST_CALL, "GuestCrashed", "the guest made a call that does not exist"},
};
static const struct meaning signals[] = {
    {SIGSEGV, "GuestCrashed", "access to memory that is not the guest's"},
    {SIGBUS, "GuestCrashed", "access to memory that is not there"},
    {SIGILL, "GuestCrashed", "illegal instruction"},
    {SIGFPE, "GuestCrashed", "arithmetic fault"},
    {SIGTRAP, "GuestCrashed", "breakpoint"},
    {SIGSYS, "GuestCrashed", "the guest made a system call that it may not make"},
    {SIGXFSZ, "GuestCrashed", "the guest wrote behind the end of its disk"},
};

static bool look_up(const struct meaning *table, size_t n, int code, const char **reason,
                    const char **message)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].code == code) {
            *reason = table[i].reason;
            *message = table[i].message;
            return true;
        }
    }
    return false;
}

static void explain(bool is_hvt, const struct vmm_ending *end, struct vmm_verdict *ret)
{
    bool ok = end->exited && end->code == 0;

    *ret = (struct vmm_verdict){.exit_code = end->exited ? end->code : 128 + end->code,
                                .reason = ok ? "Completed" : "Error",
                                .message = ""};
    if (!end->exited)
        (void)look_up(signals, ARRAY_SIZE(signals), end->code, &ret->reason, &ret->message);
    else if (!is_hvt || !look_up(hvt_statuses, ARRAY_SIZE(hvt_statuses), end->code, &ret->reason,
                                 &ret->message))
        (void)look_up(tender_statuses, ARRAY_SIZE(tender_statuses), end->code, &ret->reason,
                      &ret->message);
}

static void spt_explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    explain(false, end, ret);
}

static void hvt_explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    explain(true, end, ret);
}

const struct vmm_driver vmm_tender_spt = {
    .name = "tender-spt",
    .unavailable = spt_unavailable,
    .accepts = spt_accepts,
    .plan = spt_plan,
    .can = VMM_CAN_NET | VMM_CAN_BLOCK,
    .stop = VMM_STOP_SIGTERM,
    .explain = spt_explain,
};
const struct vmm_driver vmm_tender_hvt = {
    .name = "tender-hvt",
    .unavailable = hvt_unavailable,
    .accepts = hvt_accepts,
    .plan = hvt_plan,
    .can = VMM_CAN_NET | VMM_CAN_BLOCK,
    .stop = VMM_STOP_SIGTERM,
    .explain = hvt_explain,
};
