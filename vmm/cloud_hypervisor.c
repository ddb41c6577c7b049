/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloud_hypervisor - the driver cloud-hypervisor: KVM only. The machine stands in the arguments,
 * the API comes on a listening socket of the daemon, the tap as a descriptor; kernel, initrd and
 * disks are opened by name in the jail. Disks are raw whatever their first bytes say. Its own
 * seccomp filters stay on.
 *
 * What becomes of the guest it tells as events, objects of JSON, in the record: a panic (by the
 * guest's driver for its pvpanic device), a shutdown, a reboot. A guest that powers off ends it
 * with status 0. One that resets is booted anew in the same process, until the daemon sees it and
 * ends that: whether a container starts again is not its VMM's to say. The size of the pod's frames
 * (MTU) is not told to its guests: it would ask for it with a socket that the jail forbids.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/api.h"
#include "vmm/host.h"
#include "vmm/private.h"

#define PROGRAM     "cloud-hypervisor"
#define MEMORY_MIN  (16 * MIB)
#define MEMORY_MAX  (UINT64_C(1) << 40)
#define CPUS_MAX    64
#define LINE_MAX    2047
#define OVERHEAD    (64 * MIB)
#define PIDS        32
#define NOFILE      254
#define FSIZE       (1 << 20) /* also of its events */
#define API_FD      3
#define EVENTS_FD   4
#define NET_FD      5
#define STATE_PAUSE (10 * NSEC_PER_MSEC)

#define KERNELS (1U << KERNEL_PVH | 1U << KERNEL_BZIMAGE)

/* The oldest that can be told that a disk is raw. */
static const struct host_version version = {
    .name = "Cloud Hypervisor", .before = "cloud-hypervisor v", .major = 51, .minor = 0};

static char *find(const struct vmm_handler *handler)
{
    return host_program(handler->vmm->config->cloud_hypervisor_program, PROGRAM);
}

static char *unavailable(const struct vmm_handler *handler)
{
    autofree char *program = find(handler);
    char *why = host_unfit(program, PROGRAM, &version);

    return why ? why : host_no_kvm();
}

static int accepts(const struct vmm_handler *handler, const struct guest *guest, struct err *err)
{
    (void)handler;
    if (*guest->hypervisor && !str_eq(guest->hypervisor, "cloud-hypervisor"))
        return err_set(err, ERR_UNSUPPORTED, "image: declares hypervisor '%s'", guest->hypervisor);
    if (kernel_fits(guest, KERNELS, "Cloud Hypervisor", err) < 0)
        return -1;
    return family_find(guest->family, err) ? 0 : -1;
}

/* ---------------------------------------------------------------- the plan */

static void arg2(struct vmm_plan *plan, const char *option, char *value)
{
    strv_push(&plan->argv, option);
    strv_take(&plan->argv, value);
}

static int plan_machine(const struct vmm_config *config, const struct vmm_spec *spec,
                        struct vmm_plan *plan, struct err *err)
{
    if (plan_memory(plan, config, spec, "Cloud Hypervisor", MEMORY_MIN, MEMORY_MAX, err) < 0)
        return -1;
    if (spec->cpus > CPUS_MAX)
        return err_set(err, ERR_INVALID, "cpus: %u, Cloud Hypervisor is given at most %d",
                       spec->cpus, CPUS_MAX);
    plan->overhead = config->memory_overhead > OVERHEAD ? config->memory_overhead : OVERHEAD;
    arg2(plan, "--cpus", xasprintf("boot=%u", spec->cpus ? spec->cpus : 1));
    arg2(plan, "--memory",
         xasprintf("size=%lluM%s", (unsigned long long)(plan->guest_memory / MIB),
                   spec->n_shares ? ",shared=on" : ""));
    return 0;
}

static int plan_kernel(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err)
{
    autostrv char **arguments = NULL;
    autostrbuf line = STRBUF_INIT;

    arg2(plan, "--kernel", xstrdup("/kernel"));
    if (host_put_image_file(plan, spec->kernel_fd, spec->guest->binary, "/kernel", err) < 0)
        return -1;
    if (spec->initrd_fd >= 0) {
        arg2(plan, "--initramfs", xstrdup("/initrd"));
        if (host_put_image_file(plan, spec->initrd_fd, spec->guest->initrd, "/initrd", err) < 0)
            return -1;
    }
    if (family_arguments(spec, &arguments, err) < 0)
        return -1;
    for (char **arg = arguments; arg && *arg; arg++)
        strbuf_addf(&line, "%s%s", line.len ? " " : "", *arg);
    if (line.len > LINE_MAX)
        return err_set(err, ERR_INVALID,
                       "arguments: %zu bytes, a guest of Cloud Hypervisor takes at most %d",
                       line.len, LINE_MAX);
    if (line.len) /* one word: what it begins with is no option */
        strv_take(&plan->argv, xasprintf("--cmdline=%s", line.s));
    return 0;
}

static int plan_disks(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err)
{
    if (spec->n_blocks > 0)
        strv_push(&plan->argv, "--disk");
    for (size_t i = 0; i < spec->n_blocks; i++) {
        autofree char *path = xasprintf("/disk%zu", i);

        strv_take(&plan->argv, xasprintf("path=%s,readonly=%s,image_type=raw", path,
                                         spec->blocks[i].readonly ? "on" : "off"));
        if (host_put_disk(plan, &spec->blocks[i], path, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_nets(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err)
{
    if (spec->n_nets > 0)
        strv_push(&plan->argv, "--net");
    for (size_t i = 0; i < spec->n_nets; i++) {
        int fd = NET_FD + (int)i;

        strv_take(&plan->argv, xasprintf("fd=[%d],mac=%s", fd, spec->nets[i].mac));
        if (plan_fd(plan, spec->nets[i].tap_fd, fd, false, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_share(const struct vmm_config *config, const struct vmm_spec *spec,
                      struct vmm_plan *plan, struct err *err)
{
    if (spec->n_shares == 0)
        return 0;
    if (!spec->shares[0].virtiofs)
        return err_set(err, ERR_INVALID, "share '%s': is given by virtiofs", spec->shares[0].tag);
    if (virtiofsd_plan(config, spec, plan, err) < 0)
        return -1;
    arg2(plan, "--fs", xasprintf("tag=%s,socket=/fs", spec->shares[0].tag));
    plan->jail.connects = true;
    return plan_entry(plan, VMM_BIND_RW, "/fs", spec->fs_socket, false, NULL, err);
}

static int plan(const struct vmm_handler *handler, const struct vmm_spec *spec,
                struct vmm_plan *ret, struct err *err)
{
    autofree char *program = find(handler);

    if (accepts(handler, spec->guest, err) < 0)
        return -1;
    ret->jail.pids_max = PIDS + spec->cpus;
    ret->jail.nofile = NOFILE;
    ret->jail.fsize = FSIZE;
    strv_push(&ret->argv, PROGRAM);
    arg2(ret, "--api-socket", xasprintf("fd=%d", API_FD));
    arg2(ret, "--serial", xstrdup("tty"));
    arg2(ret, "--console", xstrdup("off"));
    arg2(ret, "--rng", xstrdup("src=/dev/urandom"));
    strv_push(&ret->argv, "--pvpanic");
    /* Its warnings would go among the console's lines; of what it ends with it says the reason on
     * stderr anyway. */
    arg2(ret, "--log-file", xstrdup("/dev/null"));
    if (host_set_program(ret, program, err) < 0 || host_put_libraries(ret, program, err) < 0 ||
        host_put_kvm(ret, err) < 0 ||
        host_put(ret, VMM_BIND_DEVICE, "/dev/urandom", "/dev/urandom", err) < 0 ||
        host_put(ret, VMM_BIND_DEVICE, "/dev/null", "/dev/null", err) < 0 ||
        plan_fd(ret, spec->control_fd, API_FD, false, err) < 0)
        return -1;
    if (spec->record_fd >= 0) {
        arg2(ret, "--event-monitor", xasprintf("fd=%d", EVENTS_FD));
        if (plan_fd(ret, spec->record_fd, EVENTS_FD, false, err) < 0)
            return -1;
    }
    if (plan_machine(handler->vmm->config, spec, ret, err) < 0 || plan_kernel(spec, ret, err) < 0 ||
        plan_disks(spec, ret, err) < 0 || plan_share(handler->vmm->config, spec, ret, err) < 0)
        return -1;
    return plan_nets(spec, ret, err);
}

/* ---------------------------------------------------------------- control */

/* Until the machine is made, the API answers with errors; they count when nothing better comes. */
static int ready(int fd, deadline_t deadline, struct err *err)
{
    struct api api = {.fd = fd, .vmm = "Cloud Hypervisor", .deadline = deadline};
    struct err last = ERR_INIT;

    for (;;) {
        autojson *info = NULL;
        struct err now = ERR_INIT;
        const char *state = "";

        if (api_call(&api, "GET", "/api/v1/vm.info", NULL, &info, &now) == 0) {
            state = json_string_value(json_object_get(info, "state"));
            if (!state)
                return err_set(err, ERR_CORRUPT, "API answer to 'vm.info': tells no state");
            if (str_eq(state, "Running"))
                return 0;
        } else if (api.status < 400) {
            if (err)
                *err = last.code ? last : now;
            return -1;
        } else {
            last = now;
        }
        if (deadline_passed(deadline)) {
            if (err && last.code)
                *err = last;
            else
                err_set(err, ERR_DEADLINE, "Cloud Hypervisor does not run its guest");
            return -1;
        }
        clock_sleep_until(deadline_min(deadline, deadline_in(STATE_PAUSE)));
    }
}

static int shut_down(int fd, deadline_t deadline, struct err *err)
{
    struct api api = {.fd = fd, .vmm = "Cloud Hypervisor", .deadline = deadline};

    return api_call(&api, "PUT", "/api/v1/vm.power-button", NULL, NULL, err);
}

/* Whether the record has this event: "event": "NAME". */
static bool happened(const char *record, const char *name)
{
    static const char key[] = "\"event\"";
    size_t len = strlen(name);

    for (const char *p = record; (p = strstr(p, key)) != NULL;) {
        p += sizeof(key) - 1;
        p += strspn(p, " \t\r\n:");
        if (*p == '"' && strncmp(p + 1, name, len) == 0 && p[1 + len] == '"')
            return true;
    }
    return false;
}

static bool rebooted(const char *record)
{
    return happened(record, "rebooting");
}

static void explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    *ret = (struct vmm_verdict){.exit_code = end->exited ? end->code : 128 + end->code,
                                .reason = "Error",
                                .message = "Cloud Hypervisor could not set the guest up, or could "
                                           "not go on with it"};
    if (happened(end->record, "panic") && (end->exited || rebooted(end->record)))
        family_end(end->family, VMM_END_PANIC, -1, ret);
    else if (!end->exited && rebooted(end->record))
        family_end(end->family, VMM_END_RESET, -1, ret);
    else if (!end->exited)
        ret->message = "the VMM was ended by a signal";
    else if (end->code == 0)
        family_end(end->family, VMM_END_SHUTDOWN, -1, ret);
    else if (!happened(end->record, "booted"))
        ret->reason = "StartError";
}

const struct vmm_driver vmm_cloud_hypervisor = {
    .name = "cloud-hypervisor",
    .unavailable = unavailable,
    .accepts = accepts,
    .plan = plan,
    .can = VMM_CAN_NET | VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_VIRTIOFS | VMM_CAN_SMP |
           VMM_CAN_MANY_NETS,
    .fs_by_path = true,
    .ioctls = IOCTLS_KVM | IOCTLS_TAP | IOCTLS_TAP_NAME | IOCTLS_DISK,
    .vnet_hdr = true,
    .stop = VMM_STOP_CONTROL,
    .control = VMM_CONTROL_LISTENER,
    .ready = ready,
    .shutdown = shut_down,
    .record = true,
    .stands = rebooted,
    .explain = explain,
};
