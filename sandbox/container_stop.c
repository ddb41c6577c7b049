/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_stop - StopContainer, RemoveContainer and the ends of containers.
 *
 * A stop is not a job but a state: the first one moves RUNNING to STOPPING and sends the signal;
 * every one, the later ones too, may bring `kill_at` nearer and waits for EXITED. Whoever sees
 * kill_at pass sends SIGKILL; when all callers have left, a timer does. EXITED comes from exits.c,
 * or from here when not even SIGKILL ends it, or its monitor does not tell.
 */
#include <signal.h>

#include "base/fault.h"
#include "base/log.h"
#include "sandbox/exits.h"
#include "sandbox/runtime.h"

#define EMPTY_LOOK (250 * NSEC_PER_MSEC)
/* A monitor reads its workload's streams for at most 2 s more (DRAIN_HARD_MS). */
#define EMPTY_PATIENCE (5 * NSEC_PER_SEC / 2)

static void kill_workload(struct container *c)
{
    cgroup_kill_now(&c->engine->cgroups, c->cgroup);
}

static void send_signal(struct container *c, int sig)
{
    struct engine *engine = c->engine;
    autopidref p = PIDREF_NONE;
    struct process workload;
    struct err err = ERR_INIT;

    mutex_lock(&engine->lock);
    workload = c->workload;
    mutex_unlock(&engine->lock);
    if (!workload.pid || pidref_open(workload.pid, workload.start_time, &p, &err) < 0)
        return;
    if (pidref_kill(&p, sig, &err) < 0)
        log_warn("container %s: signal %d: %s", c->id, sig, err.msg);
}

static void ask_to_end(struct container *c, deadline_t kill_at)
{
    struct err err = ERR_INIT;

    if (!c->runtime->stop || !c->runtime->stop(c, kill_at, &err))
        send_signal(c, c->stop_signal);
    if (err.code)
        log_warn("container %s: %s; it will be killed at the end of its grace period", c->id,
                 err.msg);
}

/* RUNNING becomes STOPPING. Returns: whether this call did it. `kill_at` only ever comes nearer. */
static bool begin(struct container *c, deadline_t kill_at)
{
    struct engine *engine = c->engine;
    struct err err = ERR_INIT;
    bool mine;

    mutex_lock(&engine->lock);
    mine = c->state == CONTAINER_RUNNING;
    if (mine) {
        container_state_move(c, CONTAINER_STOPPING);
        c->kill_at = kill_at;
    } else if (c->state == CONTAINER_STOPPING) {
        c->kill_at = deadline_min(c->kill_at, kill_at);
    }
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    if (mine)
        (void)fault_hit("container.stopping");
    /* It may have ended by itself meanwhile: its row says so and must go on saying so. */
    if (mine && db_container_change_state(engine->db, c->id, CONTAINER_RUNNING, CONTAINER_STOPPING,
                                          &err) < 0)
        log_warn("container %s: record its stop: %s", c->id, err.msg);
    return mine;
}

void container_kill_begin(struct container *c)
{
    (void)begin(c, clock_mono());
    if (container_state(c) == CONTAINER_STOPPING)
        kill_workload(c);
}

/* Returns: whether it is not STOPPING any more. */
static bool wait_until(struct container *c, deadline_t until)
{
    struct engine *engine = c->engine;
    bool in_time = true, ended;

    mutex_lock(&engine->lock);
    while (c->state == CONTAINER_STOPPING && in_time)
        in_time = cond_wait(&engine->changed, &engine->lock, until);
    ended = c->state != CONTAINER_STOPPING;
    mutex_unlock(&engine->lock);
    return ended;
}

/* A monitor whose cgroup has been empty for so long, and that has left no exit file, hears nothing
 * more. */
void container_wait_exited(struct container *c, deadline_t deadline)
{
    deadline_t patience = DEADLINE_NEVER;

    while (!deadline_passed(deadline)) {
        if (wait_until(c, deadline_min(deadline, deadline_in(EMPTY_LOOK))))
            return;
        if (cgroup_populated(&c->engine->cgroups, c->cgroup))
            patience = DEADLINE_NEVER;
        else if (patience == DEADLINE_NEVER)
            patience = deadline_in(EMPTY_PATIENCE);
        else if (deadline_passed(patience))
            exits_deaf(c);
    }
    if (!wait_until(c, deadline) && container_claim_end(c))
        container_set_exited(c, clock_wall(), 128 + SIGKILL, "Unkillable",
                             "the kernel did not end its processes in time");
}

/* ---------------------------------------------------------------------- stop */

/* All callers have left: the kill is still owed. */
static void owed_kill(struct engine *engine, void *arg)
{
    autocontainer *c = arg;
    bool due;

    mutex_lock(&engine->lock);
    due = c->state == CONTAINER_STOPPING && deadline_passed(c->kill_at);
    mutex_unlock(&engine->lock);
    if (!due)
        return;
    kill_workload(c);
    container_wait_exited(c, deadline_in(KILL_TIMEOUT));
}

static void owed_kill_timer(void *arg)
{
    struct container *c = arg;

    if (!engine_background(c->engine, owed_kill, c))
        container_unref(c);
}

static void owe_kill(struct container *c, deadline_t kill_at)
{
    if (kill_at != DEADLINE_NEVER)
        loop_every(c->engine->loop, deadline_left(kill_at) + NSEC_PER_MSEC, 0, owed_kill_timer,
                   container_ref(c));
}

/* Wait until it has ended or kill_at has come. Returns: 0 ended, 1 kill_at has come, -1 the caller
 * leaves. */
static int wait_grace(struct container *c, const struct caller *caller, struct err *err)
{
    struct engine *engine = c->engine;
    int rc = 0;

    mutex_lock(&engine->lock);
    while (c->state == CONTAINER_STOPPING && rc == 0) {
        deadline_t until = deadline_min(c->kill_at, caller_deadline(caller));

        if (caller && caller->cancelled)
            until = deadline_min(until, deadline_in(JOBS_CANCEL_POLL));
        (void)cond_wait(&engine->changed, &engine->lock, until);
        if (c->state != CONTAINER_STOPPING)
            break;
        if (deadline_passed(c->kill_at))
            rc = 1;
        else if (caller_check(caller, "stop container", err) < 0)
            rc = -1;
    }
    mutex_unlock(&engine->lock);
    return rc;
}

static int wait_started(struct container *c, const struct caller *caller, struct err *err)
{
    struct engine *engine = c->engine;
    int rc = 0;

    mutex_lock(&engine->lock);
    while (c->state == CONTAINER_STARTING && rc == 0) {
        (void)cond_wait(&engine->changed, &engine->lock,
                        deadline_min(caller_deadline(caller), deadline_in(JOBS_CANCEL_POLL)));
        if (c->state == CONTAINER_STARTING)
            rc = caller_check(caller, "stop container", err);
    }
    mutex_unlock(&engine->lock);
    return rc;
}

int container_stop(struct engine *engine, const char *id, nsec_t grace, const struct caller *caller,
                   struct err *err)
{
    autocontainer *c = container_find(engine, id);
    deadline_t kill_at = deadline_in(grace > 0 ? grace : 0);

    if (!c)
        return 0;
    if (wait_started(c, caller, err) < 0)
        return -1;
    if (begin(c, kill_at) && grace > 0)
        ask_to_end(c, kill_at);

    int rc = wait_grace(c, caller, err);

    if (rc < 0) {
        owe_kill(c, kill_at);
        return -1;
    }
    if (rc > 0) {
        kill_workload(c);
        container_wait_exited(c, deadline_in(KILL_TIMEOUT));
    }
    return 0;
}

/* --------------------------------------------------------------- after the end */

static void reap(struct engine *engine, void *arg)
{
    autocontainer *c = arg;
    struct err err = ERR_INIT;
    struct job *job;

    if (jobs_enter(engine->jobs, c->id, "reap", NULL, &job, NULL, NULL) <= 0)
        return;
    if (container_state(c) == CONTAINER_EXITED && c->step > container_step_created() &&
        steps_down(&container_steps, c, &c->step, container_step_created(), &err) < 0)
        log_warn("container %s: clean up after its end: %s; removing it will try again", c->id,
                 err.msg);
    (void)jobs_leave(job, 0, NULL, NULL);
}

void container_reap_later(struct container *c)
{
    if (!engine_background(c->engine, reap, container_ref(c)))
        container_unref(c);
}

/* -------------------------------------------------------------------- remove */

int container_remove_work(struct container *c, struct err *err)
{
    enum container_state state = container_state(c);

    if (state == CONTAINER_RUNNING || state == CONTAINER_STOPPING) {
        container_kill_begin(c);
        container_wait_exited(c, deadline_in(KILL_TIMEOUT));
    }
    if (container_move(c, CONTAINER_REMOVING, err) < 0 ||
        steps_down(&container_steps, c, &c->step, 0, err) < 0 ||
        db_container_delete(c->engine->db, c->id, err) < 0)
        return -1;
    container_list_remove(c);
    return 0;
}

int container_remove(struct engine *engine, const char *id, const struct caller *caller,
                     struct err *err)
{
    autocontainer *c = container_find(engine, id);
    struct job *job;
    int rc = c ? jobs_enter(engine->jobs, id, "remove", caller, &job, NULL, err) : 0;

    if (rc <= 0)
        return rc;
    rc = c->in_table ? container_remove_work(c, err) : 0;
    if (rc < 0)
        engine_out_of_space(engine, err);
    return jobs_leave(job, rc, NULL, err);
}
