/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_steps - how a container is built and unbuilt: directory -> rootfs -> bundle | cgroup ->
 * link -> monitor.
 *
 * CreateContainer walks to the bar, StartContainer beyond it. After the workload's end the walk
 * goes back to the bar, RemoveContainer and recovery back to nothing.
 */
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/exits.h"
#include "sandbox/runtime.h"
#include "sandbox/runtime_scope.h"
#include "sandbox/start_phases.h"
#include "sandbox/volumes.h"

static int directory_up(void *object, struct err *err)
{
    struct container *c = object;

    if (fs_mkdir(AT_FDCWD, c->run_dir, 0700, err) < 0)
        return -1;
    /* The way to a root filesystem must be searchable for the users inside. */
    return fs_mkdir(AT_FDCWD, c->rootfs_dir, 0711, err);
}

static int directory_down(void *object, struct err *err)
{
    struct container *c = object;

    if (fs_remove_tree(AT_FDCWD, c->run_dir, err) < 0)
        return -1;
    return fs_remove_tree(AT_FDCWD, c->rootfs_dir, err);
}

static int rootfs_up(void *object, struct err *err)
{
    struct container *c = object;
    nsec_t start = clock_mono();

    if (c->runtime->rootfs(c, err) < 0 || volumes_mount(c, err) < 0)
        return -1;
    stage_observe(STAGE_ROOTFS, start);
    phase_over(c, PHASE_STORAGE, start);
    return 0;
}

static int rootfs_down(void *object, struct err *err)
{
    struct container *c = object;

    if (volumes_unmount(c->engine, c->rootfs_dir, err) < 0)
        return -1;
    return rootfs_unmount(c->engine->images, c->rootfs_dir, err);
}

static int bundle_up(void *object, struct err *err)
{
    struct container *c = object;
    nsec_t start = clock_mono();

    if (c->runtime->bundle(c, err) < 0)
        return -1;
    stage_observe(STAGE_BUNDLE, start);
    phase_over(c, PHASE_STORAGE, start);
    return container_save_runtime(c, err);
}

static int cgroup_up(void *object, struct err *err)
{
    struct container *c = object;

    /* A scope is systemd's to make. */
    return scope_is(c->cgroup) ? 0 : cgroup_create(&c->engine->cgroups, c->cgroup, NULL, err);
}

static int cgroup_down(void *object, struct err *err)
{
    struct container *c = object;

    if (cgroup_kill(&c->engine->cgroups, c->cgroup, deadline_in(KILL_TIMEOUT), err) < 0)
        return -1;
    return cgroup_remove(&c->engine->cgroups, c->cgroup, deadline_in(CGROUP_REMOVE_TIMEOUT), err);
}

static int link_up(void *object, struct err *err)
{
    struct container *c = object;
    nsec_t start = clock_mono();

    if (!c->runtime->link)
        return 0;
    if (c->runtime->link(c, err) < 0)
        return -1;
    stage_observe(STAGE_LINK, start);
    if (c->wants_address) /* else there was none to make */
        phase_over(c, PHASE_NETWORK, start);
    return 0;
}

static int link_down(void *object, struct err *err)
{
    struct container *c = object;

    return c->runtime->unlink ? c->runtime->unlink(c, err) : 0;
}

static int monitor_up(void *object, struct err *err)
{
    struct container *c = object;
    struct engine *engine = c->engine;
    automonitor_plan plan = MONITOR_PLAN_INIT;
    struct process workload = {0}, monitor = {0};
    nsec_t start = clock_mono(), spawned;
    autostrv char **dirs = cgroup_dirs(&engine->cgroups, c->cgroup);
    autofree char *memory = cgroup_dir(&engine->cgroups, "memory", c->cgroup);

    monitor_field(&plan, "id", c->id);
    if (*c->log_path) {
        monitor_field(&plan, "log_dir", c->pod->spec->log_directory);
        monitor_field(&plan, "log", c->spec->log_path);
    }
    monitor_field_int(&plan, "log_line_max", (int64_t)engine->config->log_line_max);
    monitor_field_int(&plan, "timeout_ms", engine->config->runtime_timeout / NSEC_PER_MSEC);
    monitor_field(&plan, "kill_on_start_failure", "1");
    if (memory)
        monitor_field(&plan, "cgroup_memory", memory);
    for (char *const *d = dirs; d && *d; d++)
        monitor_field(&plan, "cgroup_kill", *d);
    if (c->runtime->launch(c, &plan, err) < 0)
        return -1;
    phase_over(c, PHASE_PLAN, start);
    spawned = clock_mono();
    if (monitor_spawn(engine, c->id, c->run_dir, &plan,
                      deadline_in(engine->config->runtime_timeout + 5 * NSEC_PER_SEC), &workload,
                      &monitor, err) < 0)
        return -1;
    monitor_plan_done(&plan); /* nobody but the workload holds what is its own from here on */
    phase_over(c, PHASE_EXEC, spawned);
    mutex_lock(&engine->lock);
    c->workload = workload;
    c->monitor = monitor;
    c->monitor_is_child = true;
    mutex_unlock(&engine->lock);
    if (container_save_runtime(c, err) < 0 ||
        (c->runtime->started && c->runtime->started(c, err) < 0))
        return -1;
    stage_observe(STAGE_MONITOR, start);
    return 0;
}

/* The workload first, by its cgroup; then the monitor ends by itself, or is ended. */
static int monitor_down(void *object, struct err *err)
{
    struct container *c = object;
    struct engine *engine = c->engine;
    struct process monitor;
    bool is_child, done;

    if (cgroup_kill(&engine->cgroups, c->cgroup, deadline_in(KILL_TIMEOUT), err) < 0)
        return -1;
    mutex_lock(&engine->lock);
    monitor = c->monitor;
    is_child = c->monitor_is_child;
    c->monitor_is_child =
        false; /* reaped by one thread only: its number may be another's afterwards */
    done = c->monitor_done;
    mutex_unlock(&engine->lock);
    if (!done && !monitor.pid)
        (void)monitor_find(c->id, &monitor);
    if (monitor.pid && (!is_child || !monitor_reap(&monitor, deadline_in(2 * NSEC_PER_SEC))))
        monitor_kill(&monitor, is_child, deadline_in(KILL_TIMEOUT));
    /* A runtime that was killed in the middle may have put one more process into the cgroup. */
    if (cgroup_kill(&engine->cgroups, c->cgroup, deadline_in(KILL_TIMEOUT), err) < 0 ||
        c->runtime->cleanup(c, err) < 0 || exits_forget(engine, c->id, err) < 0)
        return -1;
    mutex_lock(&engine->lock);
    c->monitor = c->workload = (struct process){0};
    c->monitor_is_child = false;
    mutex_unlock(&engine->lock);
    return 0;
}

static int record(void *object, size_t done, struct err *err)
{
    struct container *c = object;

    return db_container_set_step(c->engine->db, c->id, done, err);
}

static const struct step steps[] = {
    {"directory", directory_up, directory_down},
    {"rootfs", rootfs_up, rootfs_down},
    {"bundle", bundle_up, NULL},
    {"cgroup", cgroup_up, cgroup_down},
    {"link", link_up, link_down},
    {"monitor", monitor_up, monitor_down},
};
const struct step_table container_steps = {
    .name = "container", .steps = steps, .n = ARRAY_SIZE(steps), .record = record};

size_t container_step_created(void)
{
    return step_find(&container_steps, "bundle") + 1;
}
