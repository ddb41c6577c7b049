/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_unikernel - containers that are guests. No root filesystem is mounted: the kernel is
 * opened straight from the image's layers, which are only held. The driver (vmm/) writes a plan,
 * the tap comes from cni/, the monitor carries it out in the jail.
 *
 * The pod's address goes to one guest at a time (pod->guest). Its tap and its uid are given back
 * with the step "link".
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/cdi.h"
#include "sandbox/guest_debug.h"
#include "sandbox/guest_leftovers.h"
#include "sandbox/guest_net.h"
#include "sandbox/guest_run.h"
#include "sandbox/guest_session.h"
#include "sandbox/guest_stands.h"
#include "sandbox/guest_storage.h"
#include "sandbox/guest_watch.h"
#include "sandbox/handlers.h"

#define TAP_NAME           "tap0"
#define GUEST_LINK_TIMEOUT (5 * NSEC_PER_SEC)

static size_t count_devices(const struct guest *guest, enum guest_device_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < guest->n_devices; i++)
        n += guest->devices[i].type == type;
    return n;
}

static const char *device_name(const struct guest *guest, enum guest_device_type type)
{
    for (size_t i = 0; i < guest->n_devices; i++)
        if (guest->devices[i].type == type)
            return guest->devices[i].name;
    return NULL;
}

/* A Solo5 kernel says what it needs; to others is given what there is. */
static bool has_net(const struct container *c)
{
    return c->guest->solo5 ? count_devices(c->guest, GUEST_NET) > 0 : *c->pod->netns != '\0';
}

/* ---------------------------------------------------------------------- create */

static int check_no_cdi(const struct container_spec *spec, struct err *err)
{
    autostrv char **cdi = NULL;

    if (cdi_names(spec, &cdi, err) < 0)
        return -1;
    if (cdi)
        return err_set(err, ERR_UNSUPPORTED,
                       "CDI device '%s': a unikernel cannot be given devices of the node", cdi[0]);
    return 0;
}

static int check_request(const struct container *c, struct err *err)
{
    const struct container_spec *spec = c->spec;

    if (check_no_cdi(spec, err) < 0)
        return -1;
    if (spec->privileged)
        return err_set(err, ERR_INVALID, "a unikernel cannot be privileged");
    if (spec->ns.pid == NS_TARGET)
        return err_set(err, ERR_INVALID,
                       "a unikernel has no processes to share with container '%s'",
                       spec->ns.target_id);
    if (spec->tty)
        return err_set(err, ERR_UNSUPPORTED,
                       "a unikernel's console is not a terminal: tty is not supported");
    return 0;
}

static int check_devices(const struct container *c, struct err *err)
{
    const struct guest *guest = c->guest;

    if (count_devices(guest, GUEST_NET) > 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "the guest declares %zu network devices; one is supported",
                       count_devices(guest, GUEST_NET));
    if (count_devices(guest, GUEST_NET) && !*c->pod->netns)
        return err_set(
            err, ERR_INVALID,
            "a unikernel with a network device cannot use the node's network (hostNetwork)");
    return 0;
}

/* The command line: the request's words; else the image's own line, which the driver takes; else
 * the image's command. */
static char **guest_args(struct container *c, const struct image *image)
{
    if (!c->spec->command && !c->spec->args && *c->guest->cmdline)
        return NULL;

    char **argv = container_args(c->spec, &image->config);

    if (c->guest->bare && argv && argv[0]) {
        free(argv[0]); /* the kernel itself */
        memmove(argv, argv + 1, (strv_len(argv + 1) + 1) * sizeof(char *));
    }
    return argv;
}

static const char *guest_workdir(const struct container *c, const struct image *image)
{
    return *c->spec->working_dir ? c->spec->working_dir : image->config.working_dir;
}

/* What start will tell the guest, so that it is refused now and not then. */
static int check_words(struct container *c, char *const *env, struct err *err)
{
    autofree struct cni_result *network = XNEW(struct cni_result);
    autostrv char **args = guest_args(c, c->image);
    struct vmm_net net;
    struct vmm_spec spec = {
        .guest = c->guest,
        .kernel_fd = -1,
        .initrd_fd = *c->guest->initrd ? STDIN_FILENO : -1, /* there will be one */
        .args = args,
        .env = env,
        .nets = &net,
        .n_nets = has_net(c),
        .workdir = guest_workdir(c, c->image),
    };

    guest_net_fill(c, device_name(c->guest, GUEST_NET), network, &net);
    if (vmm_words_check(&spec, err) < 0)
        return -1;
    strv_free(c->guest_ignored);
    c->guest_ignored = vmm_words_ignored(&spec);
    return 0;
}

int guest_start_files(struct container *c, struct vmm_tree ret[VMM_START_FILES], size_t *ret_n,
                      struct err *err)
{
    const struct image *image = container_image(c, err);
    autostrv char **args = NULL, **env = NULL;

    if (!image || container_env(c->spec, &image->config, &env, err) < 0)
        return -1;
    args = guest_args(c, image);

    struct vmm_spec spec = {
        .guest = c->guest,
        .kernel_fd = -1,
        .initrd_fd = *c->guest->initrd ? STDIN_FILENO : -1,
        .args = args,
        .env = env,
    };

    return vmm_start_files(&spec, ret, ret_n, err);
}

static void log_ignored(const struct container *c)
{
    autostrbuf list = STRBUF_INIT;

    for (char *const *s = c->guest_ignored; s && *s; s++)
        strbuf_addf(&list, "%s%s", list.len ? "; " : "", *s);
    if (list.len)
        log_info("container %s: a guest of type '%s' is not told: %s", c->id, c->guest_family,
                 list.s);
}

static int check(struct container *c, struct err *err)
{
    autostrv char **env = NULL;

    free(c->guest_family);
    c->guest_family = xstrdup(vmm_guest_family(c->guest));
    c->wants_address = has_net(c);
    if (check_request(c, err) < 0 || check_devices(c, err) < 0 ||
        container_env(c->spec, &c->image->config, &env, err) < 0 || check_words(c, env, err) < 0 ||
        guest_storage_check(c, err) < 0)
        return -1;
    log_ignored(c);
    return 0;
}

static int rootfs(struct container *c, struct err *err)
{
    return rootfs_hold(c->engine->images, c->image, c->rootfs_dir, err);
}

/* ------------------------------------------------------------------------ link */

/* After a restart of the daemon between create and start: look at the image again. */
static int have_guest(struct container *c, struct err *err)
{
    if (c->guest)
        return 0;
    if (!container_image(c, err) || runtime_guest(c, &c->guest, err) < 0)
        return -1;
    if (!c->guest)
        return err_set(err, ERR_STATE, "image '%s' declares no unikernel any more", c->image_ref);

    autofd int kernel = guest_open_image(c, "kernel", c->guest->binary, err);

    return kernel < 0 ? -1 : guest_probe_kernel(c->guest, kernel, err);
}

/* Take the pod's address. One whose guest has just ended gets it as soon as the old tap is gone. */
static int take_address(struct container *c, struct err *err)
{
    struct engine *engine = c->engine;
    struct pod *pod = c->pod;
    deadline_t deadline = deadline_in(GUEST_LINK_TIMEOUT);
    autofree char *holder = NULL;
    bool waiting = true, taken;

    mutex_lock(&engine->lock);
    while (pod->guest && pod->guest != c && pod->guest->state == CONTAINER_EXITED && waiting)
        waiting = cond_wait(&engine->changed, &engine->lock, deadline);
    taken = !pod->guest || pod->guest == c;
    if (taken)
        pod->guest = c;
    else
        holder = xstrdup(pod->guest->spec->name);
    mutex_unlock(&engine->lock);
    return taken ? 0
                 : err_set(err, ERR_UNSUPPORTED,
                           "unikernel '%s' of this pod has its address: one guest with a network "
                           "device per pod is supported",
                           holder);
}

static uint32_t guest_cpus(const struct linux_resources *r)
{
    int64_t period = r->cpu_period > 0 ? r->cpu_period : 100000;

    return r->cpu_quota > 0 ? (uint32_t)((r->cpu_quota + period - 1) / period) : 0;
}

static int link_up(struct container *c, struct err *err)
{
    if (have_guest(c, err) < 0)
        return -1;
    if (!c->jail_uid && engine_uid_take(c->engine, &c->jail_uid, err) < 0)
        return -1;
    if (guest_storage_link(c, err) < 0)
        return -1;
    if (!c->wants_address)
        return 0;
    if (take_address(c, err) < 0)
        return -1;
    const struct vmm_driver *driver = guest_driver(c);
    struct guest_link_options options = cni_link_options(c->engine->cni);

    options.owner_uid = c->jail_uid;
    options.vnet_hdr = driver && driver->vnet_hdr;
    guest_net_gateway(c, &options.gateway);
    options.queues = vmm_net_queues(c->engine->vmm, driver, guest_cpus(&c->resources->r));
    if (guest_link_create(c->pod->netns, POD_IFNAME, TAP_NAME, &options, &c->guest_link, err) < 0)
        return -1;
    /* Else the VMM's exit would take the device down itself, and wait 20 ms for the kernel. Where
     * it cannot be set, that is all. */
    (void)ioctl(c->guest_link.tap_fd, TUNSETPERSIST, 1);
    return 0;
}

static int link_down(struct container *c, struct err *err)
{
    struct engine *engine = c->engine;
    bool mine, stays;

    guest_link_close(&c->guest_link);
    mutex_lock(&engine->lock);
    mine = c->pod->guest == c;
    stays = c->pod->state == POD_READY;
    mutex_unlock(&engine->lock);
    /* A pod that stops takes its namespace along, and that the tap: no need to wait for the kernel
     * here. */
    if (mine && stays && guest_link_remove(c->pod->netns, POD_IFNAME, TAP_NAME, err) < 0)
        return -1;
    if (c->jail_uid)
        engine_uid_give(engine, c->jail_uid);
    c->jail_uid = 0;
    mutex_lock(&engine->lock);
    if (mine)
        c->pod->guest = NULL;
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    return 0;
}

/* ---------------------------------------------------------------------- launch */

/* The guest's memory is what it was started with: a limit moves around it. */
static int memory_of_vmm(const struct container *c, int64_t limit, int64_t *ret, struct err *err)
{
    uint64_t memory = limit > 0 ? (uint64_t)limit : c->guest_memory;

    if (!c->guest_memory)
        return err_set(err, ERR_STATE,
                       "memory_limit_in_bytes: not known how much memory the guest has");
    if (memory < c->guest_memory)
        return err_set(err, ERR_STATE,
                       "memory_limit_in_bytes %llu: below the %llu bytes that the guest has, which "
                       "cannot be taken from it while it runs",
                       (unsigned long long)memory, (unsigned long long)c->guest_memory);
    if (memory > INT64_MAX - c->guest_overhead)
        memory = INT64_MAX - c->guest_overhead;
    *ret = (int64_t)(memory + c->guest_overhead);
    return 0;
}

static int update(struct container *c, bool running, const struct linux_resources *change,
                  struct err *err)
{
    struct linux_resources r = *change; /* its strings are borrowed */

    if (!running)
        return 0;
    r.memory_limit = r.memory_swap_limit = 0;
    if (change->memory_limit && memory_of_vmm(c, change->memory_limit, &r.memory_limit, err) < 0)
        return -1;
    if (cgroup_enter_limited(&c->engine->cgroups, c->cgroup, &r, err) < 0)
        return -1;
    return cgroup_limit(&c->engine->cgroups, c->cgroup, &r, 0, err);
}

static int plan_and_put(struct container *c, const struct vmm_spec *spec, struct monitor_plan *m,
                        struct err *err)
{
    const struct vmm_handler *h = vmm_handler_find(c->engine->vmm, c->runtime_name, c->guest, err);
    struct vmm_plan plan = {.program_fd = -1};

    if (!h || vmm_plan(h, spec, c->jail_uid, &plan, err) < 0)
        return -1;
    c->guest_memory = plan.guest_memory;
    c->guest_overhead =
        plan.jail.memory_max > plan.guest_memory ? plan.jail.memory_max - plan.guest_memory : 0;
    c->guest_served = plan.helper != NULL;

    int rc = guest_put(c, &plan, m, err);

    vmm_plan_done(&plan);
    return rc;
}

static int launch(struct container *c, struct monitor_plan *m, struct err *err)
{
    const struct image *image = container_image(c, err);
    autofree struct cni_result *network = XNEW(struct cni_result);
    const struct vmm_driver *driver = guest_driver(c);
    autofd int kernel = -1, control = -1, record = -1;
    autostrv char **args = NULL, **env = NULL;
    autoguest_storage storage = GUEST_STORAGE_INIT;
    struct vmm_net net;

    if (!image || have_guest(c, err) < 0 || container_env(c->spec, &image->config, &env, err) < 0)
        return -1;
    if ((kernel = guest_open_image(c, "kernel", c->guest->binary, err)) < 0 ||
        guest_storage_open(c, &storage, err) < 0)
        return -1;
    if (driver && driver->control == VMM_CONTROL_LISTENER && (control = guest_listen(c, err)) < 0)
        return -1;
    if (driver && driver->record && (record = guest_record_open(c, err)) < 0)
        return -1;
    if (storage.n_shares > 0 && storage.shares[0].virtiofs &&
        guest_fs_socket(c, driver && driver->fs_by_path, &storage, err) < 0)
        return -1;
    args = guest_args(c, image);
    guest_net_fill(c, device_name(c->guest, GUEST_NET), network, &net);

    struct vmm_spec spec = {
        .id = c->id,
        .guest = c->guest,
        .kernel_fd = kernel,
        .initrd_fd = storage.initrd,
        .args = args,
        .env = env,
        .memory_limit =
            c->resources->r.memory_limit > 0 ? (uint64_t)c->resources->r.memory_limit : 0,
        .cpus = guest_cpus(&c->resources->r),
        .nets = &net,
        .n_nets = has_net(c),
        .blocks = storage.blocks,
        .n_blocks = storage.n_blocks,
        .shares = storage.shares,
        .n_shares = storage.n_shares,
        .groups = storage.groups,
        .n_groups = storage.n_groups,
        .storage = &storage.how,
        .fs_listener = storage.fs_listener,
        .fs_socket = storage.fs_socket,
        .control_fd = control,
        .record_fd = record,
        .workdir = guest_workdir(c, image),
        .hold_end = guest_watch_holds(c),
        .machine = c->handler->machine,
        .accel = c->handler->accel,
        .debuggable = c->handler->debug & DEBUG_GDB,
        .watched = guest_watch_wanted(c),
    };
    int rc = plan_and_put(c, &spec, m, err);

    /* The monitor's copy is the only one from here on. */
    guest_link_close(&c->guest_link);
    return rc;
}

static int cleanup(struct container *c, struct err *err)
{
    (void)c;
    (void)err;
    return 0;
}

static void explain(struct container *c, bool exited, int code, int *exit_code, const char **reason,
                    const char **message)
{
    const struct vmm_driver *driver = guest_driver(c);
    autofree char *record = driver && driver->record ? guest_record_read(c) : NULL;
    struct vmm_ending end = {
        .family = c->guest_family, .exited = exited, .code = code, .record = record ? record : ""};
    struct vmm_verdict verdict;

    *exit_code = exited ? code : 128 + code;
    if (!driver)
        return;
    driver->explain(&end, &verdict);
    *exit_code = verdict.exit_code;
    *reason = verdict.reason;
    *message = verdict.message;
}

static int started(struct container *c, struct err *err)
{
    if (guest_started(c, err) < 0)
        return c->guest_served && err && err->code == ERR_DEADLINE
                   ? err_wrap(err, "it waits for its file server, virtiofsd, or hangs itself")
                   : -1;
    guest_watch_start(c);
    guest_stands_watch(c);
    return 0;
}

static void adopted(struct container *c)
{
    guest_gdb_adopted(c);
    guest_leftovers_adopted(c);
    guest_stands_watch(c);
}

static bool stop(struct container *c, deadline_t deadline, struct err *err)
{
    const struct vmm_driver *driver = guest_driver(c);

    if (driver && (driver->stop == VMM_STOP_KILL ||
                   (driver->stop == VMM_STOP_CONTROL && vmm_family_is_deaf(c->guest_family)))) {
        cgroup_kill_now(&c->engine->cgroups, c->cgroup);
        return true;
    }
    if (!driver || driver->stop != VMM_STOP_CONTROL)
        return false;
    guest_stop(c, deadline, err);
    return true;
}

const struct runtime_ops runtime_unikernel = {
    .check = check,
    .rootfs = rootfs,
    .bundle = guest_storage_make,
    .link = link_up,
    .unlink = link_down,
    .launch = launch,
    .started = started,
    .adopted = adopted,
    .stop = stop,
    .update = update,
    .exec = guest_exec_sync,
    .cleanup = cleanup,
    .explain = explain,
};
