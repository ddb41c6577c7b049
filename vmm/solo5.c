/* SPDX-License-Identifier: Apache-2.0 */
/*
 * solo5 - the drivers tender-spt and tender-hvt: Solo5 unikernels on our own unicri-tender. Its
 * command line and its exit statuses are a contract written down in vmm/tender/main.c.
 *
 * Every device that the guest's manifest declares must be attached, and nothing else may be: both
 * are checked here, so that the user reads a clear error before anything runs.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/private.h"
#include "vmm/solo5_guest.h"
#include "vmm/tender/fault.h"
#include "vmm/tender/solo5_abi.h"

#define KERNEL_FD       3
#define KVM_FD          4
#define FIRST_DEVICE_FD 5
#define SPT_GRAIN       UINT64_C(4096)
#define HVT_GRAIN       (UINT64_C(2) << 20)
#define SPT_MAX         (UINT64_C(64) << 30)
#define HVT_MAX         (UINT64_C(4) << 30)
#define WAIT_TRACER_MS  5000

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
    char *missing = host_no_kvm();

    (void)handler;
    return missing ? missing : wrong_machine();
}

static int spt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return solo5_accepts(spt.name, guest, err);
}

static int hvt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return solo5_accepts(hvt.name, guest, err);
}

/* ---------------------------------------------------------------- the plan */

static int plan_grains(const struct backend *b, const struct vmm_config *config,
                       const struct vmm_spec *spec, uint64_t *ret, struct err *err)
{
    uint64_t wanted = spec->memory_limit > 0 ? spec->memory_limit : config->default_memory;
    uint64_t size = wanted / b->grain * b->grain;

    if (size < SOLO5_MEMORY_MIN)
        return err_set(err, ERR_INVALID,
                       "memory limit of %llu bytes: a Solo5 unikernel needs at least %llu",
                       (unsigned long long)wanted, (unsigned long long)SOLO5_MEMORY_MIN);
    if (size > b->max)
        return err_set(err, ERR_INVALID, "memory limit of %llu bytes: %s guests have at most %llu",
                       (unsigned long long)wanted, b->name, (unsigned long long)b->max);
    *ret = size;
    return 0;
}

static int plan_nets(const struct vmm_spec *spec, struct vmm_plan *plan,
                     struct solo5_attached *attached, int *fd, struct err *err)
{
    for (size_t i = 0; i < spec->n_nets; i++) {
        const struct vmm_net *net = &spec->nets[i];
        const struct guest_device *d =
            solo5_attach_net(attached, spec->guest, net->device, net->mac, err);

        if (!d)
            return -1;
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
                       struct solo5_attached *attached, int *fd, uint64_t *file_bytes,
                       struct err *err)
{
    for (size_t i = 0; i < spec->n_blocks; i++) {
        const struct vmm_block *block = &spec->blocks[i];
        const struct guest_device *d =
            solo5_attach(attached, spec->guest, GUEST_BLOCK, block->device, err);

        if (!d)
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
    struct solo5_attached attached = {{false}};
    uint64_t file_bytes = 0;
    int fd = FIRST_DEVICE_FD;

    if (solo5_accepts(b->name, spec->guest, err) < 0 ||
        plan_grains(b, handler->vmm->config, spec, &ret->guest_memory, err) < 0)
        return -1;
    /* A limit of several CPUs is one that a guest with a single one keeps. */
    strv_push(&ret->argv, "unicri-tender");
    strv_take(&ret->argv, xasprintf("--backend=%s", b->name));
    strv_take(&ret->argv, xasprintf("--kernel-fd=%d", KERNEL_FD));
    strv_take(&ret->argv, xasprintf("--mem=%llu", (unsigned long long)ret->guest_memory));
    strv_take(&ret->argv, xasprintf("--name=%s", spec->id));
    if (spec->debuggable)
        strv_push(&ret->argv, "--debug");
    if (spec->watched)
        strv_take(&ret->argv, xasprintf("--wait-tracer=%d", WAIT_TRACER_MS));
    if (plan_fd(ret, spec->kernel_fd, KERNEL_FD, false, err) < 0 ||
        (b->kvm && plan_kvm(ret, err) < 0))
        return -1;
    if (plan_nets(spec, ret, &attached, &fd, err) < 0 ||
        plan_blocks(spec, ret, &attached, &fd, &file_bytes, err) < 0 ||
        solo5_check_attached(spec->guest, &attached, err) < 0)
        return -1;
    ret->jail.fsize = file_bytes;
    strv_push(&ret->argv, "--");
    return solo5_arguments(spec, ret, err);
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

/* Statuses that tender and guest share: the tender's own come with a line on its stderr, the
 * guest's without. */
static const struct solo5_meaning tender_statuses[] = {
    {STATUS_SETUP, "StartError",
     "the tender could not set the guest up, unless the guest itself "
     "ended with this status"},
    {STATUS_KERNEL, "StartError",
     "the tender refused the guest's kernel or manifest, unless the "
     "guest itself ended with this status"},
    {SOLO5_EXIT_ABORT, "Error", "the guest aborted"},
};
static const struct solo5_meaning hvt_statuses[] = {
    {STATUS_KVM, "GuestCrashed", "KVM could not go on with the guest"},
    {STATUS_GUEST_FAULT, "GuestCrashed",
     "triple fault, or access to memory that is not the guest's"},
    {STATUS_GUEST_CALL, "GuestCrashed", "the guest made a call that does not exist"},
};

static void explain(bool is_hvt, const struct vmm_ending *end, struct vmm_verdict *ret)
{
    bool ok = end->exited && end->code == 0;

    *ret = (struct vmm_verdict){.exit_code = end->exited ? end->code : 128 + end->code,
                                .reason = ok ? "Completed" : "Error",
                                .message = ""};
    if (!end->exited)
        (void)solo5_explain_signal(end->code, &ret->reason, &ret->message);
    else if (!is_hvt || !solo5_look_up(hvt_statuses, ARRAY_SIZE(hvt_statuses), end->code,
                                       &ret->reason, &ret->message))
        (void)solo5_look_up(tender_statuses, ARRAY_SIZE(tender_statuses), end->code, &ret->reason,
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
    .ioctls = IOCTLS_TAP,
    .stop = VMM_STOP_SIGTERM,
    .explain = spt_explain,
};
const struct vmm_driver vmm_tender_hvt = {
    .name = "tender-hvt",
    .unavailable = hvt_unavailable,
    .accepts = hvt_accepts,
    .plan = hvt_plan,
    .can = VMM_CAN_NET | VMM_CAN_BLOCK,
    .ioctls = IOCTLS_KVM_TENDER | IOCTLS_TAP,
    .stop = VMM_STOP_SIGTERM,
    .explain = hvt_explain,
};
