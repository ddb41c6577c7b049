/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_stop - StopPodSandbox and RemovePodSandbox: the pod's steps backwards. Once a pod is STOPPING
 * no container can be created or started in it; what is being created is waited for, what runs is
 * killed, then the steps go down.
 */
#include <string.h>

#include "base/log.h"
#include "sandbox/container.h"

#define CREATING_TIMEOUT                                                                           \
    (120 * NSEC_PER_SEC) /* creates in flight when the pod stops; each has its own bounds */

static int wait_creating(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    deadline_t deadline = deadline_in(CREATING_TIMEOUT);
    bool ok = true;

    mutex_lock(&engine->lock);
    while (pod->creating && ok)
        ok = cond_wait(&engine->changed, &engine->lock, deadline);
    ok = pod->creating == 0;
    mutex_unlock(&engine->lock);
    return ok ? 0
              : err_set(err, ERR_DEADLINE, "pod '%s': a container is still being created", pod->id);
}

/* SIGKILL to all at once, then wait for each; and let background work on them end. */
static void kill_containers(struct pod *pod)
{
    struct container **list;
    size_t n = containers_of(pod->engine, pod, &list);
    deadline_t deadline = deadline_in(KILL_TIMEOUT);

    for (size_t i = 0; i < n; i++)
        container_kill_begin(list[i]);
    for (size_t i = 0; i < n; i++) {
        struct job *job;

        container_wait_exited(list[i], deadline);
        if (jobs_enter(pod->engine->jobs, list[i]->id, "settle", NULL, &job, NULL, NULL) <= 0)
            continue;

        struct err err = ERR_INIT;

        /* A start that was under way when the kill was sent has ended by now. */
        container_kill_begin(list[i]);
        container_wait_exited(list[i], deadline_in(KILL_TIMEOUT));
        if (list[i]->step > container_step_created() &&
            steps_down(&container_steps, list[i], &list[i]->step, container_step_created(), &err) <
                0)
            log_warn("container %s: clean up: %s; removing it will try again", list[i]->id,
                     err.msg);
        (void)jobs_leave(job, 0, NULL, NULL);
    }
    containers_free(list, n);
}

int pod_stop_work(struct pod *pod, struct err *err)
{
    if (pod_state(pod) == POD_NOTREADY && pod->step <= pod_step_stopped())
        return 0;
    if (pod_move(pod, POD_STOPPING, err) < 0 || wait_creating(pod, err) < 0)
        return -1;
    kill_containers(pod);
    if (pod->step > pod_step_stopped() &&
        steps_down(&pod_steps, pod, &pod->step, pod_step_stopped(), err) < 0)
        return -1;
    return pod_move(pod, POD_NOTREADY, err);
}

static int remove_containers(struct pod *pod, struct err *err)
{
    struct container **list;
    size_t n = containers_of(pod->engine, pod, &list);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = container_remove(pod->engine, list[i]->id, NULL, err);
    containers_free(list, n);
    return rc;
}

int pod_remove_work(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    enum pod_state state = pod_state(pod);

    /* A pod that never was READY has no containers: straight down. */
    if (state != POD_CREATING && state != POD_REMOVING && pod_stop_work(pod, err) < 0)
        return -1;
    if (pod_move(pod, POD_REMOVING, err) < 0 || remove_containers(pod, err) < 0 ||
        steps_down(&pod_steps, pod, &pod->step, 0, err) < 0 ||
        db_pod_delete(engine->db, pod->id, err) < 0)
        return -1;
    pod_list_remove(pod);
    return 0;
}

int pod_stop(struct engine *engine, const char *id, const struct caller *caller, struct err *err)
{
    autopod *pod = pod_find(engine, id);
    struct job *job;
    int rc = pod ? jobs_enter(engine->jobs, id, "stop", caller, &job, NULL, err) : 0;

    if (rc <= 0)
        return rc;
    /* A remove may have run in between: then there is nothing left to stop. */
    if (pod_state(pod) != POD_REMOVING)
        rc = pod_stop_work(pod, err);
    else
        rc = 0;
    if (rc < 0)
        engine_out_of_space(engine, err);
    return jobs_leave(job, rc, NULL, err);
}

int pod_remove(struct engine *engine, const char *id, const struct caller *caller, struct err *err)
{
    autopod *pod = pod_find(engine, id);
    struct job *job;
    int rc = pod ? jobs_enter(engine->jobs, id, "remove", caller, &job, NULL, err) : 0;

    if (rc <= 0)
        return rc;
    rc = pod->in_table ? pod_remove_work(pod, err) : 0;
    if (rc < 0)
        engine_out_of_space(engine, err);
    else
        engine_reserve(engine);
    return jobs_leave(job, rc, NULL, err);
}
