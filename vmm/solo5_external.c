/* SPDX-License-Identifier: Apache-2.0 */
/*
 * solo5_external - the drivers solo5-spt and solo5-hvt: Solo5's own tenders, for who wants exactly
 * those. "auto" prefers the built-in one.
 *
 * They open everything by name, so their jail holds the kernel, the disks and the devices they
 * need. A tap handed over as a descriptor is broken in v0.10 and later (its MTU stays unknown), so
 * they open it by name too, in the pod's network namespace, as its owner.
 */
#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/private.h"
#include "vmm/solo5_guest.h"

#define MEMORY_MAX (UINT64_C(64) << 30)
#define KERNEL     "/kernel"
#define FSIZE_MIN  65536 /* its seccomp program goes through a memfd */
#define OVERHEAD   (16 * MIB)

/* What differs between the two. */
struct tender {
    const char *program, *target;
    bool kvm;
};
static const struct tender spt = {"solo5-spt", "spt", false};
static const struct tender hvt = {"solo5-hvt", "hvt", true};

/* The ABI of the guests has been the same since. */
static const struct host_version version = {
    .name = "Solo5's tender", .before = "tender, version v", .major = 0, .minor = 8};

static char *find(const struct tender *t, const struct vmm_handler *handler)
{
    const struct vmm_config *config = handler->vmm->config;

    return host_program(t->kvm ? config->solo5_hvt_program : config->solo5_spt_program, t->program);
}

static char *unavailable(const struct tender *t, const struct vmm_handler *handler)
{
    autofree char *program = find(t, handler);
    char *why = host_unfit(program, t->program, &version);

    return !why && t->kvm ? host_no_kvm() : why;
}

/* ---------------------------------------------------------------- the plan */

static int plan_size(const struct vmm_config *config, const struct vmm_spec *spec,
                     struct vmm_plan *plan, struct err *err)
{
    if (plan_memory(plan, config, spec, "a tender", SOLO5_MEMORY_MIN, MEMORY_MAX, err) < 0)
        return -1;
    plan->overhead = config->memory_overhead > OVERHEAD ? config->memory_overhead : OVERHEAD;
    strv_take(&plan->argv, xasprintf("--mem=%llu", (unsigned long long)(plan->guest_memory / MIB)));
    return 0;
}

static int plan_nets(const struct vmm_spec *spec, struct vmm_plan *plan,
                     struct solo5_attached *attached, struct err *err)
{
    for (size_t i = 0; i < spec->n_nets; i++) {
        const struct vmm_net *net = &spec->nets[i];
        const struct guest_device *d =
            solo5_attach_net(attached, spec->guest, net->device, net->mac, err);

        if (!d)
            return -1;
        strv_take(&plan->argv, xasprintf("--net:%s=%s", d->name, net->tap));
        strv_take(&plan->argv, xasprintf("--net-mac:%s=%s", d->name, net->mac));
    }
    if (spec->n_nets == 0)
        return 0;
    plan->jail.pod_netns = plan->jail.interface_sockets = true;
    return host_put(plan, VMM_BIND_DEVICE, "/dev/net/tun", "/dev/net/tun", err);
}

static int plan_blocks(const struct vmm_spec *spec, struct vmm_plan *plan,
                       struct solo5_attached *attached, struct err *err)
{
    for (size_t i = 0; i < spec->n_blocks; i++) {
        const struct vmm_block *block = &spec->blocks[i];
        const struct guest_device *d =
            solo5_attach(attached, spec->guest, GUEST_BLOCK, block->device, err);
        autofree char *path = xasprintf("/disk%zu", i);

        if (!d)
            return -1;
        if (block->readonly)
            return err_set(err, ERR_UNSUPPORTED,
                           "block device '%s': Solo5's own tenders know no read-only disks; the "
                           "driver tender-%s does",
                           d->name, spec->guest->solo5_target);
        strv_take(&plan->argv, xasprintf("--block:%s=%s", d->name, path));
        if (host_put_disk(plan, block, path, err) < 0)
            return -1;
    }
    return 0;
}

static int plan(const struct tender *t, const struct vmm_handler *handler,
                const struct vmm_spec *spec, struct vmm_plan *ret, struct err *err)
{
    autofree char *program = find(t, handler);
    struct solo5_attached attached = {{false}};

    if (solo5_accepts(t->target, spec->guest, err) < 0)
        return -1;
    ret->jail.fsize = FSIZE_MIN;
    strv_push(&ret->argv, t->program);
    if (plan_size(handler->vmm->config, spec, ret, err) < 0 ||
        host_set_program(ret, program, err) < 0 || host_put_libraries(ret, program, err) < 0 ||
        (t->kvm && host_put_kvm(ret, err) < 0))
        return -1;
    if (host_put_image_file(ret, spec->kernel_fd, spec->guest->binary, KERNEL, err) < 0 ||
        plan_nets(spec, ret, &attached, err) < 0 || plan_blocks(spec, ret, &attached, err) < 0 ||
        solo5_check_attached(spec->guest, &attached, err) < 0)
        return -1;
    strv_push(&ret->argv, "--");
    strv_push(&ret->argv, KERNEL);
    return solo5_arguments(spec, ret, err);
}

/* ---------------------------------------------------------------- what an end means */

/* The guest's own statuses and the tender's are not told apart; what the tender had to say stands
 * in the log. */
static const struct solo5_meaning spt_statuses[] = {
    {1, "Error", "the guest ended with this status, or the tender could not set it up"},
    {255, "Error", "the guest aborted"},
};
static const struct solo5_meaning hvt_statuses[] = {
    {1, "Error", "the guest ended with this status, or crashed, or the tender could not set it up"},
    {255, "Error", "the guest aborted"},
};

static void explain(bool is_hvt, const struct vmm_ending *end, struct vmm_verdict *ret)
{
    bool ok = end->exited && end->code == 0;

    *ret = (struct vmm_verdict){.exit_code = end->exited ? end->code : 128 + end->code,
                                .reason = ok ? "Completed" : "Error",
                                .message = ""};
    if (!end->exited && is_hvt)
        ret->message = "the tender was ended by a signal";
    else if (!end->exited)
        (void)solo5_explain_signal(end->code, &ret->reason, &ret->message);
    else if (is_hvt)
        (void)solo5_look_up(hvt_statuses, ARRAY_SIZE(hvt_statuses), end->code, &ret->reason,
                            &ret->message);
    else
        (void)solo5_look_up(spt_statuses, ARRAY_SIZE(spt_statuses), end->code, &ret->reason,
                            &ret->message);
}

static char *spt_unavailable(const struct vmm_handler *handler)
{
    return unavailable(&spt, handler);
}

static char *hvt_unavailable(const struct vmm_handler *handler)
{
    return unavailable(&hvt, handler);
}

static int spt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return solo5_accepts(spt.target, guest, err);
}

static int hvt_accepts(const struct vmm_handler *handler, const struct guest *guest,
                       struct err *err)
{
    (void)handler;
    return solo5_accepts(hvt.target, guest, err);
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

static void spt_explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    explain(false, end, ret);
}

static void hvt_explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    explain(true, end, ret);
}

const struct vmm_driver vmm_solo5_spt = {
    .name = "solo5-spt",
    .unavailable = spt_unavailable,
    .accepts = spt_accepts,
    .plan = spt_plan,
    .can = VMM_CAN_NET | VMM_CAN_BLOCK,
    .ioctls = IOCTLS_TAP | IOCTLS_TAP_NAME,
    .stop =
        VMM_STOP_KILL, /* it has no handler, and the first process of a namespace ends by none */
    .explain = spt_explain,
};
const struct vmm_driver vmm_solo5_hvt = {
    .name = "solo5-hvt",
    .unavailable = hvt_unavailable,
    .accepts = hvt_accepts,
    .plan = hvt_plan,
    .can = VMM_CAN_NET | VMM_CAN_BLOCK,
    .ioctls = IOCTLS_KVM_TENDER | IOCTLS_TAP | IOCTLS_TAP_NAME,
    .stop = VMM_STOP_SIGTERM,
    .explain = hvt_explain,
};
