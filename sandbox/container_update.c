/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_update - UpdateContainerResources: limits change in place.
 *
 * Row first: the row tells what is to be in force and that it may not be yet (update_pending); then
 * the runtime writes it; then the row loses the mark. A start of the daemon that finds the mark
 * writes the limits again. What cannot be written is taken back, row and cgroup.
 */
#include "base/fault.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/runtime.h"

/* The kernel's answer is about a cgroup; when that has gone, the container's end says more. */
static int explain(struct container *c, struct err *err)
{
    enum container_state state = container_state(c);

    if (state == CONTAINER_EXITED || state == CONTAINER_REMOVING)
        return err_set(err, ERR_STATE, "container '%s' has ended", c->id);
    return err_wrap(err, "update container '%s'", c->spec->name);
}

static void take_back(struct container *c, struct resources *old,
                      const struct linux_resources *update, bool running)
{
    autoresources *back = resources_touched(update, &old->r);
    struct err err = ERR_INIT;

    if (container_set_resources(c, old, false, &err) < 0 ||
        c->runtime->update(c, running, &back->r, &err) < 0)
        log_warn("container %s: take a refused change of its resources back: %s", c->id, err.msg);
}

static int apply(struct container *c, bool running, const struct linux_resources *change,
                 struct err *err)
{
    FAULT_POINT("container.update");
    return c->runtime->update(c, running, change, err);
}

static int update_work(struct container *c, const struct linux_resources *update, struct err *err)
{
    enum container_state state = container_state(c);
    bool running = state == CONTAINER_RUNNING || state == CONTAINER_STOPPING;

    if (state != CONTAINER_CREATED && !running)
        return err_set(err, ERR_STATE,
                       "container '%s' is %s: resources can be changed until a container ends",
                       c->id, state_name(&container_states, state));

    autoresources *old = resources_ref(c->resources);
    autoresources *merged = resources_merge(&old->r, update, running);
    autoresources *change = resources_touched(update, &merged->r);

    if (resources_check(&c->engine->cgroups, &merged->r, err) < 0)
        return err_wrap(err, "update container '%s'", c->spec->name);
    if (container_set_resources(c, merged, true, err) < 0)
        return -1;
    if (apply(c, running, &change->r, err) < 0) {
        take_back(c, old, update, running);
        return explain(c, err);
    }

    struct err why = ERR_INIT;

    if (container_set_resources(c, merged, false, &why) < 0)
        log_warn("container %s: record that its resources are in force: %s", c->id, why.msg);
    return 0;
}

int container_update(struct engine *engine, const char *id, const struct linux_resources *update,
                     const struct caller *caller, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    autojson *json = resources_write(update);
    autofree char *text = json_text(json), *what = xasprintf("update %s", text);
    struct job *job;

    if (!c || container_state(c) == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);

    int rc = jobs_enter(engine->jobs, id, what, caller, &job, NULL, err);

    if (rc <= 0)
        return rc;
    rc = update_work(c, update, err);
    if (rc < 0)
        engine_out_of_space(engine, err);
    return jobs_leave(job, rc, NULL, err);
}

void container_update_again(struct container *c)
{
    enum container_state state = container_state(c);
    bool running = state == CONTAINER_RUNNING || state == CONTAINER_STOPPING;
    autoresources *all = resources_touched(&c->resources->r, &c->resources->r);
    struct err err = ERR_INIT;

    if (!c->update_pending || (state != CONTAINER_CREATED && !running))
        return;
    if (c->runtime->update(c, running, &all->r, &err) < 0 ||
        container_set_resources(c, c->resources, false, &err) < 0)
        log_warn("container %s: its resources were being changed when the daemon ended: %s", c->id,
                 err.msg);
}
