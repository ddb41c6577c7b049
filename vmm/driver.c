/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver - the table of drivers, the choice among them, and the frame of a plan. What a driver does
 * stands in its own file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/private.h"

#define TENDER_NAME "unicri-tender"
#define AUTO        "auto"

/* In the order in which "auto" tries them. */
static const struct vmm_driver *const drivers[] = {
    &vmm_tender_spt,  &vmm_tender_hvt,      &vmm_qemu, &vmm_solo5_spt, &vmm_solo5_hvt,
    &vmm_firecracker, &vmm_cloud_hypervisor};
static const char *const names[] = {"tender-spt",       "tender-hvt", "qemu",
                                    "solo5-spt",        "solo5-hvt",  "firecracker",
                                    "cloud-hypervisor", NULL};
_Static_assert(ARRAY_SIZE(names) == ARRAY_SIZE(drivers) + 1, "a name for each driver");

#define AT(member) offsetof(struct vmm_config, member)
const struct option vmm_options[] = {
    {"vmm.tender_program", OPTION_STRING, AT(tender_program), "", 0, 0,
     "program of the built-in VMM; empty: " TENDER_NAME " beside the daemon"},
    {"vmm.boot_files", OPTION_STRV, AT(boot_files), NULL, 0, 0,
     "kernels and initrds of this node that images may name as bootKernel and bootInitrd"},
    {"vmm.default_memory", OPTION_BYTES, AT(default_memory), "256MiB", 2 << 20, INT64_C(1) << 40,
     "memory of a guest whose container has no limit"},
    {"vmm.uid_first", OPTION_INT, AT(uid_first), "2000000000", 1, UINT32_MAX - 1,
     "first of the uids and gids that are given to VMMs, each to one at a time; nothing else may "
     "use them"},
    {"vmm.uid_count", OPTION_INT, AT(uid_count), "100000", 1, 1 << 30, "how many there are"},
    {"vmm.memory_overhead", OPTION_BYTES, AT(memory_overhead), "8MiB", 1 << 20, INT64_C(1) << 40,
     "what a VMM's cgroup may hold beside the memory of its guest"},
    {"vmm.ready_timeout", OPTION_SECONDS, AT(ready_timeout), "30", 1, 600,
     "from the start of a VMM that has an API until it says that its guest runs"},
    {"vmm.solo5_spt_program", OPTION_STRING, AT(solo5_spt_program), "", 0, 0,
     "program of the driver solo5-spt; empty: solo5-spt where programs usually are"},
    {"vmm.solo5_hvt_program", OPTION_STRING, AT(solo5_hvt_program), "", 0, 0,
     "program of the driver solo5-hvt; empty: solo5-hvt where programs usually are"},
    {"vmm.firecracker_program", OPTION_STRING, AT(firecracker_program), "", 0, 0,
     "program of the driver firecracker; empty: firecracker where programs usually are"},
    {"vmm.cloud_hypervisor_program", OPTION_STRING, AT(cloud_hypervisor_program), "", 0, 0,
     "program of the driver cloud-hypervisor; empty: cloud-hypervisor where programs usually are"},
    {"vmm.net_queues", OPTION_INT, AT(net_queues), "4", 1, VMM_QUEUES_MAX,
     "queues of the network device of a guest with several processors: as many as it has, at most "
     "these; by QEMU. 1: always one"},
    {"vmm.qemu_program", OPTION_STRING, AT(qemu_program), "", 0, 0,
     "program of the driver qemu; empty: qemu-system-x86_64 where programs usually are"},
    {"vmm.qemu_machine", OPTION_STRING, AT(qemu_machine), "auto", 0, 0,
     "\"q35\" or \"microvm\"; \"auto\": q35"},
    {"vmm.virtiofsd_program", OPTION_STRING, AT(virtiofsd_program), "", 0, 0,
     "program that serves shares by virtiofs, QEMU's own or the one in Rust; empty: virtiofsd "
     "where "
     "distributions put it"},
    {"vmm.qemu_accel", OPTION_STRING, AT(qemu_accel), "auto", 0, 0,
     "\"kvm\", \"tcg\" (emulation), or \"auto\": kvm where a guest could use it"},
};
const size_t vmm_options_n = ARRAY_SIZE(vmm_options);

struct metric vmm_metric_plans = {
    .name = "unicri_vmm_plans_total", .help = "Guests planned", .type = METRIC_COUNTER};
struct metric vmm_metric_failures = {.name = "unicri_vmm_plan_failures_total",
                                     .help = "Guests that could not be planned",
                                     .type = METRIC_COUNTER};
struct metric *const vmm_metrics[] = {&vmm_metric_plans, &vmm_metric_failures, NULL};

/* ---------------------------------------------------------------- opening */

static char *tender_path(const struct vmm_config *config)
{
    char self[PATH_MAX];
    ssize_t n;
    char *slash;

    if (config->tender_program && *config->tender_program)
        return xstrdup(config->tender_program);
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return xstrdup(TENDER_NAME);
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    return path_join(self, TENDER_NAME);
}

struct vmm *vmm_open(const struct vmm_config *config, struct err *err)
{
    autofree char *path = tender_path(config);
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct vmm *vmm;

    if (fd < 0 || faccessat(AT_FDCWD, path, X_OK, 0) < 0) {
        err_sys(err, "open the tender's program '%s'", path);
        (void)close_fd(fd);
        return NULL;
    }
    vmm = XNEW(struct vmm);
    vmm->config = config;
    vmm->tender_fd = fd;
    vmm->handlers = xcalloc(ARRAY_SIZE(drivers), sizeof(vmm->handlers[0]));
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        vmm->handlers[i] = (struct vmm_handler){.driver = drivers[i], .vmm = vmm};
    return vmm;
}

void vmm_close(struct vmm *vmm)
{
    if (!vmm)
        return;
    (void)close_fd(vmm->tender_fd);
    free(vmm->handlers);
    free(vmm);
}

int vmm_host_file_open(const struct vmm *vmm, const char *path, struct err *err)
{
    char *const *allowed = vmm->config->boot_files;
    autofd int fd = -1;
    struct stat st;

    path += strlen(VMM_HOST_FILE);
    while (allowed && *allowed && !str_eq(*allowed, path))
        allowed++;
    if (!allowed || !*allowed)
        return err_set(
            err, ERR_DENIED,
            "file '%s' of the node: vmm.boot_files of the configuration does not list it", path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "file '%s' of the node", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "file '%s' of the node: is not a regular file", path);
    return TAKE_FD(fd);
}

/* ---------------------------------------------------------------- choosing */

/* The first driver that this host has and that takes the guest; else why none does. */
static const struct vmm_handler *choose(struct vmm *vmm, const struct guest *guest, struct err *err)
{
    autostrbuf whys = STRBUF_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        const struct vmm_handler *handler = &vmm->handlers[i];
        struct err why = ERR_INIT;
        autofree char *missing = NULL;

        if (handler->driver->accepts(handler, guest, &why) == 0) {
            missing = handler->driver->unavailable(handler);
            if (!missing)
                return handler;
        }
        strbuf_addf(&whys, "%s%s: %s", i ? "; " : "", handler->driver->name,
                    missing ? missing : why.msg);
    }
    err_set(err, ERR_UNSUPPORTED, "no VMM of this host can run the unikernel: %s", whys.s);
    return NULL;
}

static struct vmm_handler *by_name(struct vmm *vmm, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (str_eq(drivers[i]->name, name))
            return &vmm->handlers[i];
    return NULL;
}

const struct vmm_handler *vmm_handler_find(struct vmm *vmm, const char *name,
                                           const struct guest *guest, struct err *err)
{
    const struct vmm_handler *handler;
    autofree char *missing = NULL;

    if (str_eq(name, AUTO))
        return choose(vmm, guest, err);
    handler = by_name(vmm, name);
    if (!handler) {
        err_set(err, ERR_NOT_FOUND, "driver '%s': there is none of that name", name);
        return NULL;
    }
    if (guest && handler->driver->accepts(handler, guest, err) < 0) {
        err_wrap(err, "driver '%s'", name);
        return NULL;
    }
    missing = handler->driver->unavailable(handler);
    if (missing) {
        err_set(err, ERR_UNSUPPORTED, "driver '%s': %s", name, missing);
        return NULL;
    }
    return handler;
}

int vmm_check_choice(const char *driver, const char *machine, const char *accel, struct err *err)
{
    if (!*machine && !*accel)
        return 0;
    if (!str_eq(driver, AUTO) && !str_eq(driver, vmm_qemu.name))
        return err_set(err, ERR_INVALID, "kind '%s': has no machine or accelerator to choose",
                       driver);
    return qemu_check_choice(machine, accel, err);
}

int vmm_check_share(const char *driver, const char *share, struct err *err)
{
    if (!*share || str_eq(share, AUTO) || str_eq(share, "none"))
        return 0;
    if (!str_eq(share, "virtiofs") && !str_eq(share, "9p"))
        return err_set(err, ERR_INVALID,
                       "share '%s': neither 'auto' nor 'virtiofs' nor '9p' nor 'none'", share);

    const struct vmm_driver *d = vmm_driver_find(driver);
    unsigned can = str_eq(share, "9p") ? VMM_CAN_9P : VMM_CAN_VIRTIOFS;

    if (str_eq(driver, AUTO) || (d && d->can & can))
        return 0;
    return err_set(err, ERR_INVALID, "kind '%s': cannot share directories by %s", driver, share);
}

const struct vmm_driver *vmm_driver_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (str_eq(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

unsigned vmm_net_queues(const struct vmm *vmm, const struct vmm_driver *driver, uint32_t cpus)
{
    uint32_t most = (uint32_t)vmm->config->net_queues;

    if (!driver || !(driver->can & VMM_CAN_QUEUES) || cpus < 2)
        return 1;
    return cpus < most ? cpus : most;
}

nsec_t vmm_ready_timeout(const struct vmm *vmm)
{
    return vmm->config->ready_timeout;
}

const struct vmm_driver *vmm_handler_driver(const struct vmm_handler *handler)
{
    return handler->driver;
}

const char *const *vmm_driver_names(void)
{
    return names;
}

char *vmm_driver_unavailable(struct vmm *vmm, const char *name)
{
    const struct vmm_handler *handler = by_name(vmm, name);

    if (!handler)
        return xstrdup("there is no driver of that name");
    return handler->driver->unavailable(handler);
}

/* ---------------------------------------------------------------- planning */

int plan_memory(struct vmm_plan *plan, const struct vmm_config *config, const struct vmm_spec *spec,
                const char *who, uint64_t min, uint64_t max, struct err *err)
{
    uint64_t wanted = spec->memory_limit > 0 ? spec->memory_limit : config->default_memory;
    uint64_t size = wanted / MIB * MIB;

    if (size < min || size > max)
        return err_set(err, ERR_INVALID, "memory limit of %llu bytes: %s takes %llu to %llu",
                       (unsigned long long)wanted, who, (unsigned long long)min,
                       (unsigned long long)max);
    plan->guest_memory = size;
    return 0;
}

int plan_fd(struct vmm_plan *plan, int from, int to, bool own, struct err *err)
{
    if (plan->n_fds == VMM_FDS_MAX)
        return err_set(err, ERR_EXHAUSTED, "guest: more than %d descriptors", VMM_FDS_MAX);
    plan->fds[plan->n_fds].from = from;
    plan->fds[plan->n_fds].to = to;
    plan->fds[plan->n_fds++].own = own;
    return 0;
}

int plan_entry(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *path, int fd, bool own,
               const char *text, struct err *err)
{
    if (plan->n_entries == VMM_ENTRIES_MAX)
        return err_set(err, ERR_EXHAUSTED, "guest: more than %d files in its jail",
                       VMM_ENTRIES_MAX);
    plan->entries[plan->n_entries++] = (struct vmm_entry){.kind = kind,
                                                          .path = xstrdup(path),
                                                          .fd = fd,
                                                          .own = own,
                                                          .text = text ? xstrdup(text) : NULL};
    return 0;
}

int plan_entry_in(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *base,
                  const char *path, int fd, struct err *err)
{
    if (plan_entry(plan, kind, path, fd, false, NULL, err) < 0)
        return -1;
    plan->entries[plan->n_entries - 1].base = xstrdup(base);
    return 0;
}

void vmm_plan_done(struct vmm_plan *plan)
{
    if (plan->helper)
        vmm_plan_done(plan->helper);
    free(plan->helper);
    strv_free(plan->argv);
    strv_free(plan->env);
    if (plan->program_fd > 0)
        (void)close_fd(plan->program_fd);
    for (size_t i = 0; i < plan->n_fds; i++)
        if (plan->fds[i].own)
            (void)close_fd(plan->fds[i].from);
    for (size_t i = 0; i < plan->n_entries; i++) {
        if (plan->entries[i].own)
            (void)close_fd(plan->entries[i].fd);
        free(plan->entries[i].path);
        free(plan->entries[i].base);
        free(plan->entries[i].text);
    }
    *plan = (struct vmm_plan){.program_fd = -1};
}

int vmm_plan(const struct vmm_handler *handler, const struct vmm_spec *spec, uint32_t jail_uid,
             struct vmm_plan *ret, struct err *err)
{
    const struct vmm *vmm = handler->vmm;

    *ret = (struct vmm_plan){.program_fd = fcntl(vmm->tender_fd, F_DUPFD_CLOEXEC, 3)};
    if (ret->program_fd < 0) {
        err_sys(err, "copy the descriptor of the tender's program");
        goto fail;
    }
    if (jail_uid == 0) {
        err_set(err, ERR_INVALID, "jail: a VMM does not run as root");
        goto fail;
    }
    if (handler->driver->plan(handler, spec, ret, err) < 0)
        goto fail;
    if (!ret->env)
        ret->env = xcalloc(1, sizeof(char *));
    jail_fill(handler, spec, jail_uid, ret);
    metric_add(&vmm_metric_plans, 1);
    return 0;
fail:
    vmm_plan_done(ret);
    metric_add(&vmm_metric_failures, 1);
    return -1;
}
