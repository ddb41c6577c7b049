/* SPDX-License-Identifier: Apache-2.0 */
/* guest_put - a VMM's plan in the monitor's words; see guest_run.h and monitor/monitor.h. */
#include <fcntl.h>

#include "base/strbuf.h"
#include "sandbox/guest_run.h"

/* KEY=FD:VALUE */
static int put_fd(struct monitor_plan *m, const char *key, int fd, const char *value,
                  struct err *err)
{
    int n = monitor_fd(m, fd, false, err);
    autofree char *text = n < 0 ? NULL : xasprintf("%d:%s", n, value);

    if (n < 0)
        return -1;
    monitor_field(m, key, text);
    return 0;
}

static int put_entry(struct monitor_plan *m, const struct vmm_entry *e, struct err *err)
{
    if (e->base)
        monitor_field(m, "root_base", e->base);
    switch (e->kind) {
    case VMM_BIND_RO:
        return put_fd(m, "root_ro", e->fd, e->path, err);
    case VMM_BIND_RW:
        return put_fd(m, "root_rw", e->fd, e->path, err);
    case VMM_BIND_DEVICE:
        return put_fd(m, "root_device", e->fd, e->path, err);
    case VMM_DIR:
        monitor_field(m, "root_dir", e->path);
        return 0;
    case VMM_PROC:
        monitor_field(m, "root_proc", e->path);
        return 0;
    case VMM_FILE:
        monitor_field(m, "root_file", e->path);
        break;
    case VMM_SYMLINK:
        monitor_field(m, "root_symlink", e->path);
        break;
    }
    if (e->text)
        monitor_field(m, "root_text", e->text);
    return 0;
}

static int put_jail(struct container *c, const struct vmm_jail *jail, struct monitor_plan *m,
                    struct err *err)
{
    struct engine *engine = c->engine;
    autofd int pod = -1;
    int n;

    if (jail->pod_netns) {
        pod = open(c->pod->netns, O_RDONLY | O_CLOEXEC);
        if (pod < 0)
            return err_sys(err, "open network namespace '%s'", c->pod->netns);
    }
    if (!jail->connects) { /* else one of its own, in which no other VMM has sockets */
        n = monitor_fd(m, jail->pod_netns ? pod : engine->vmm_netns_fd, jail->pod_netns, err);
        (void)TAKE_FD(pod); /* the monitor plan's, also on error */
        if (n < 0)
            return -1;
        monitor_field_int(m, "netns", n);
    }
    monitor_field_int(m, "uid", jail->uid);
    monitor_field_int(m, "gid", jail->gid);
    for (size_t i = 0; i < jail->n_groups; i++)
        monitor_field_int(m, "group", jail->groups[i]);
    if (jail->nofile)
        monitor_field_int(m, "nofile", (int64_t)jail->nofile);
    monitor_field_int(m, "fsize", (int64_t)jail->fsize);
    monitor_field_int(m, "new_pid_ns", jail->new_pid_ns);
    for (size_t i = 0; i < jail->n_ioctls; i++)
        monitor_field_int(m, "ioctl", jail->ioctls[i]);
    if (jail->new_user_ns)
        monitor_field_int(m, "new_user_ns", 1);
    if (jail->connects)
        monitor_field_int(m, "local_connect", 1);
    if (jail->file_server)
        monitor_field_int(m, "file_server", 1);
    if (jail->interface_sockets)
        monitor_field_int(m, "interface_sockets", 1);
    if (jail->tmpfs_bytes)
        monitor_field_int(m, "root_bytes", (int64_t)jail->tmpfs_bytes);
    return 0;
}

static int put_plan(struct container *c, const struct vmm_plan *plan, struct monitor_plan *m,
                    struct err *err)
{
    autostrv char **dirs = cgroup_dirs(&c->engine->cgroups, c->cgroup);
    int n;

    monitor_field(m, "mode", "vmm");
    for (char *const *a = plan->argv; a && *a; a++)
        monitor_field(m, "arg", *a);
    for (char *const *e = plan->env; e && *e; e++)
        monitor_field(m, "env", *e);
    n = monitor_fd(m, plan->program_fd, false, err);
    if (n < 0)
        return -1;
    monitor_field_int(m, "program_fd", n);
    for (size_t i = 0; i < plan->n_fds; i++) {
        char to[16];

        (void)snprintf(to, sizeof(to), "%d", plan->fds[i].to);
        if (put_fd(m, "fd", plan->fds[i].from, to, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < plan->n_entries; i++)
        if (put_entry(m, &plan->entries[i], err) < 0)
            return -1;
    for (char *const *d = dirs; d && *d; d++)
        monitor_field(m, "cgroup", *d);
    monitor_field_int(m, "stdin", c->spec->stdin_open);
    monitor_field_int(m, "stdin_once", c->spec->stdin_once);
    monitor_field_int(m, "oom_score_adj", oom_score_clamp(c->spec->resources.oom_score_adj));
    return put_jail(c, &plan->jail, m, err);
}

static int limit(struct container *c, const struct vmm_jail *jail, struct err *err)
{
    struct linux_resources r = c->resources->r; /* its strings are borrowed */

    r.memory_limit = (int64_t)jail->memory_max;
    r.memory_swap_limit = r.memory_limit;
    if (cgroup_enter_limited(&c->engine->cgroups, c->cgroup, &r, err) < 0)
        return -1;
    return cgroup_limit(&c->engine->cgroups, c->cgroup, &r, jail->pids_max, err);
}

/* Monitor and plan share descriptors: the monitor's copies are made here, so that the plan may end
 * first. */
static int own_fds(struct monitor_plan *m, struct err *err)
{
    for (size_t i = 0; i < m->n_fds; i++) {
        if (m->fds[i].own)
            continue;

        int fd = fcntl(m->fds[i].fd, F_DUPFD_CLOEXEC, 3);

        if (fd < 0)
            return err_sys(err, "duplicate a descriptor");
        m->fds[i].fd = fd;
        m->fds[i].own = true;
    }
    return 0;
}

int guest_put(struct container *c, const struct vmm_plan *plan, struct monitor_plan *m,
              struct err *err)
{
    if (limit(c, &plan->jail, err) < 0 || put_plan(c, plan, m, err) < 0)
        return -1;
    if (plan->helper) {
        monitor_field(m, "helper", "1");
        monitor_field(m, "id", c->id);
        if (put_plan(c, plan->helper, m, err) < 0)
            return -1;
    }
    return own_fds(m, err);
}
