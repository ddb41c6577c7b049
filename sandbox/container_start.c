/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_start - StartContainer: the steps beyond the bar. A workload that does not start leaves
 * an EXITED container with reason "StartError" and exit code 128, as clients know it from other
 * runtimes, and the error is returned.
 */
#include "base/log.h"
#include "sandbox/runtime.h"
#include "sandbox/start_phases.h"

#define START_ERROR_CODE 128

static int check_state(struct container *c, struct err *err)
{
    enum container_state state = container_state(c);

    if (state != CONTAINER_CREATED)
        return err_set(err, ERR_STATE, "container '%s' is %s, not CREATED", c->id,
                       state_name(&container_states, state));
    if (pod_state(c->pod) != POD_READY)
        return err_set(err, ERR_STATE, "container '%s': its pod sandbox is not ready", c->id);
    return 0;
}

/* What the failed start left is undone before anyone hears of it. */
static void start_failed(struct container *c, const struct err *err)
{
    struct err undo = ERR_INIT;

    engine_out_of_space(c->engine, err);
    if (steps_down(&container_steps, c, &c->step, container_step_created(), &undo) < 0)
        log_warn("container %s: undo of its failed start: %s; removing it will try again", c->id,
                 undo.msg);
    if (container_claim_end(c))
        container_set_exited(c, clock_wall(), START_ERROR_CODE, "StartError", err->msg);
}

static int start_work(struct container *c, struct err *err)
{
    nsec_t start = clock_mono(),
           started_at =
               clock_wall(); /* before it runs, or a short life would end before its start */
    struct err why = ERR_INIT;

    if (check_state(c, err) < 0 || container_move(c, CONTAINER_STARTING, err) < 0)
        return -1;
    if (steps_up(&container_steps, c, &c->step, container_steps.n, &why) < 0 ||
        container_set_running(c, started_at, &why) < 0) {
        start_failed(c, &why);
        if (err)
            *err = why;
        return err_wrap(err, "start container '%s'", c->spec->name);
    }
    /* The image is only looked at once: layers stay held by the root filesystem's directory. */
    if (c->image)
        image_unref(c->image);
    c->image = NULL;
    metric_container_started(start);
    phases_count(c);
    return 0;
}

int container_start(struct engine *engine, const char *id, const struct caller *caller,
                    struct err *err)
{
    autocontainer *c = container_find(engine, id);
    struct job *job;

    if (!c || container_state(c) == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);

    int rc = jobs_enter(engine->jobs, id, "start", caller, &job, NULL, err);

    if (rc <= 0)
        return rc;
    /* A retry of a start that went well while its client was away. */
    if (container_state(c) == CONTAINER_RUNNING)
        return jobs_leave(job, 0, NULL, NULL);
    rc = start_work(c, err);
    return jobs_leave(job, rc, NULL, err);
}
