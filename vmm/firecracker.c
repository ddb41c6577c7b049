/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker - the driver firecracker: KVM only. The machine stands in a configuration file of its
 * jail, so that the guest runs as soon as the program does; its API, a socket in the jail, tells
 * that it runs and takes Ctrl-Alt-Del. Its own seccomp filters stay on.
 *
 * It opens kernel, initrd, disks and the tap by name. A guest ends by resetting the machine through
 * the keyboard controller, and Firecracker with status 0: it does not tell whether that was the end
 * of its work, a panic or a triple fault.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/api.h"
#include "vmm/host.h"
#include "vmm/private.h"

#define PROGRAM      "firecracker"
#define MEMORY_MIN   (8 * MIB)
#define MEMORY_MAX   (UINT64_C(1) << 40)
#define CPUS_MAX     32
#define LINE_MAX     2047
#define OVERHEAD     (32 * MIB)
#define PIDS         8
#define NOFILE       192
#define TMPFS_BYTES  65536
#define FSIZE        65536
#define STATE_PAUSE  (10 * NSEC_PER_MSEC)
#define CONTROL_DIR  "/run"
#define CONTROL_PATH CONTROL_DIR "/api"

#define KERNELS (1U << KERNEL_PVH | 1U << KERNEL_ELF64)

static const struct host_version version = {
    .name = "Firecracker", .before = "Firecracker v", .major = 1, .minor = 6};

static char *find(const struct vmm_handler *handler)
{
    return host_program(handler->vmm->config->firecracker_program, PROGRAM);
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
    if (*guest->hypervisor && !str_eq(guest->hypervisor, "firecracker"))
        return err_set(err, ERR_UNSUPPORTED, "image: declares hypervisor '%s'", guest->hypervisor);
    if (kernel_fits(guest, KERNELS, "Firecracker", err) < 0)
        return -1;
    return family_fits(guest, err);
}

/* ---------------------------------------------------------------- the configuration */

static int put_machine(const struct vmm_config *config, const struct vmm_spec *spec,
                       struct vmm_plan *plan, json_t *file, struct err *err)
{
    json_t *machine;

    if (plan_memory(plan, config, spec, "Firecracker", MEMORY_MIN, MEMORY_MAX, err) < 0)
        return -1;
    machine = json_object();
    json_put(machine, "vcpu_count", json_integer(spec->cpus ? spec->cpus : 1));
    json_put(machine, "mem_size_mib", json_integer((json_int_t)(plan->guest_memory / MIB)));
    json_put(file, "machine-config", machine);
    if (spec->cpus > CPUS_MAX)
        return err_set(err, ERR_INVALID, "cpus: %u, Firecracker takes at most %d", spec->cpus,
                       CPUS_MAX);
    plan->overhead = config->memory_overhead > OVERHEAD ? config->memory_overhead : OVERHEAD;
    return 0;
}

/* A Linux kernel must be told how to reset the machine, and that looking for PCI is in vain. */
static int boot_line(const struct vmm_spec *spec, char **ret, struct err *err)
{
    bool linux_guest = str_eq(vmm_guest_family(spec->guest), "linux");
    autostrbuf line = STRBUF_INIT;
    autostrv char **arguments = NULL;

    if (family_arguments(spec, &arguments, err) < 0)
        return -1;
    strbuf_adds(&line, linux_guest ? "reboot=k pci=off" : "");
    for (char **arg = arguments; arg && *arg; arg++)
        strbuf_addf(&line, "%s%s", line.len ? " " : "", *arg);
    if (line.len > LINE_MAX)
        return err_set(err, ERR_INVALID,
                       "arguments: %zu bytes, a guest of Firecracker takes at most %d", line.len,
                       LINE_MAX);
    *ret = xstrdup(line.len ? line.s : "");
    return 0;
}

static int put_boot(const struct vmm_spec *spec, struct vmm_plan *plan, json_t *file,
                    struct err *err)
{
    json_t *boot = json_object();
    autofree char *line = NULL;

    json_put(file, "boot-source", boot);
    json_put_string(boot, "kernel_image_path", "/kernel");
    if (host_put_image_file(plan, spec->kernel_fd, spec->guest->binary, "/kernel", err) < 0)
        return -1;
    if (spec->initrd_fd >= 0) {
        json_put_string(boot, "initrd_path", "/initrd");
        if (host_put_image_file(plan, spec->initrd_fd, spec->guest->initrd, "/initrd", err) < 0)
            return -1;
    }
    if (boot_line(spec, &line, err) < 0)
        return -1;
    autojson *text = json_string(line);

    if (!text)
        return err_set(err, ERR_INVALID, "arguments: are not UTF-8, as Firecracker needs");
    json_put(boot, "boot_args", json_incref(text));
    return 0;
}

static int put_drives(const struct vmm_spec *spec, struct vmm_plan *plan, json_t *file,
                      struct err *err)
{
    json_t *drives = json_array();

    json_put(file, "drives", drives);
    for (size_t i = 0; i < spec->n_blocks; i++) {
        autofree char *id = xasprintf("disk%zu", i), *path = xasprintf("/disk%zu", i);
        json_t *drive = json_object();

        json_put_string(drive, "drive_id", id);
        json_put_string(drive, "path_on_host", path);
        json_put(drive, "is_root_device", json_false()); /* the family names the root */
        json_put(drive, "is_read_only", json_boolean(spec->blocks[i].readonly));
        if (json_array_append_new(drives, drive) < 0)
            abort();
        if (host_put_disk(plan, &spec->blocks[i], path, err) < 0)
            return -1;
    }
    return 0;
}

static int put_nets(const struct vmm_spec *spec, struct vmm_plan *plan, json_t *file,
                    struct err *err)
{
    json_t *nets = json_array();

    json_put(file, "network-interfaces", nets);
    for (size_t i = 0; i < spec->n_nets; i++) {
        autofree char *id = xasprintf("eth%zu", i);
        json_t *net = json_object();

        json_put_string(net, "iface_id", id);
        json_put_string(net, "guest_mac", spec->nets[i].mac);
        json_put_string(net, "host_dev_name", spec->nets[i].tap);
        if (json_array_append_new(nets, net) < 0)
            abort();
    }
    if (spec->n_nets == 0)
        return 0;
    plan->jail.pod_netns = true;
    return host_put(plan, VMM_BIND_DEVICE, "/dev/net/tun", "/dev/net/tun", err);
}

static int put_config(const struct vmm_config *config, const struct vmm_spec *spec,
                      struct vmm_plan *plan, struct err *err)
{
    autojson *file = json_object();
    autofree char *text = NULL;

    if (put_machine(config, spec, plan, file, err) < 0 || put_boot(spec, plan, file, err) < 0 ||
        put_drives(spec, plan, file, err) < 0 || put_nets(spec, plan, file, err) < 0)
        return -1;
    text = json_text(file);
    return plan_entry(plan, VMM_FILE, "/config.json", -1, false, text, err);
}

static void arg2(struct vmm_plan *plan, const char *option, const char *value)
{
    strv_push(&plan->argv, option);
    strv_push(&plan->argv, value);
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
    ret->jail.tmpfs_bytes = TMPFS_BYTES;
    strv_push(&ret->argv, PROGRAM);
    arg2(ret, "--id", spec->id);
    arg2(ret, "--api-sock", CONTROL_PATH);
    arg2(ret, "--config-file", "/config.json");
    /* Its log would go among the console's lines; what is fatal it says on stderr anyway. */
    arg2(ret, "--level", "Off");
    if (host_set_program(ret, program, err) < 0 || host_put_libraries(ret, program, err) < 0 ||
        host_put_kvm(ret, err) < 0)
        return -1;
    if (plan_entry(ret, VMM_DIR, CONTROL_DIR, -1, false, NULL, err) < 0)
        return -1;
    return put_config(handler->vmm->config, spec, ret, err);
}

/* ---------------------------------------------------------------- control */

static int ready(int fd, deadline_t deadline, struct err *err)
{
    struct api api = {.fd = fd, .vmm = "Firecracker", .deadline = deadline};

    for (;;) {
        autojson *info = NULL;
        const char *state;

        if (api_call(&api, "GET", "/", NULL, &info, err) < 0)
            return -1;
        state = json_string_value(json_object_get(info, "state"));
        if (!state)
            return err_set(err, ERR_CORRUPT, "API answer to '/': tells no state");
        if (str_eq(state, "Running"))
            return 0;
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE, "Firecracker does not run its guest");
        clock_sleep_until(deadline_min(deadline, deadline_in(STATE_PAUSE)));
    }
}

static int shut_down(int fd, deadline_t deadline, struct err *err)
{
    struct api api = {.fd = fd, .vmm = "Firecracker", .deadline = deadline};

    return api_call(&api, "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", NULL, err);
}

/* ---------------------------------------------------------------- what an end means */

static const struct {
    int code;
    const char *reason, *message;
} statuses[] = {
    {1, "GuestCrashed", "KVM could not go on with the guest, or Firecracker could not set it up"},
    {148, "Error", "Firecracker made a system call that its filter forbids"},
    {149, "Error", "Firecracker crashed: access to memory that is not there"},
    {150, "Error", "Firecracker crashed: access to memory that is not its own"},
    {151, "Error", "Firecracker wrote behind the end of a file"},
    {152, "StartError", "Firecracker does not take the machine's configuration"},
    {153, "StartError", "Firecracker does not take its arguments"},
    {157, "Error", "Firecracker crashed: illegal instruction"},
};

static void explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    *ret = (struct vmm_verdict){
        .exit_code = end->exited ? end->code : 128 + end->code, .reason = "Error", .message = ""};
    if (!end->exited)
        ret->message = "the VMM was ended by a signal";
    else if (end->code == 0)
        family_end(end->family, VMM_END_SHUTDOWN, -1, ret);
    for (size_t i = 0; end->exited && i < ARRAY_SIZE(statuses); i++) {
        if (statuses[i].code == end->code) {
            ret->reason = statuses[i].reason;
            ret->message = statuses[i].message;
        }
    }
}

const struct vmm_driver vmm_firecracker = {
    .name = "firecracker",
    .unavailable = unavailable,
    .accepts = accepts,
    .plan = plan,
    .can = VMM_CAN_NET | VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_SMP | VMM_CAN_MANY_NETS,
    .ioctls = IOCTLS_KVM | IOCTLS_TAP | IOCTLS_TAP_NAME | IOCTLS_DISK,
    .vnet_hdr = true,
    .stop = VMM_STOP_CONTROL,
    .control = VMM_CONTROL_PATH,
    .control_path = CONTROL_PATH,
    .ready = ready,
    .shutdown = shut_down,
    .explain = explain,
};
