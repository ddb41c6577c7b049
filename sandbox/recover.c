/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover - see recover.h.
 *
 * Rows say what was meant, facts (boot id, exit files, monitors, cgroups) what is. In this order:
 * load all rows; containers found in the middle of a step go down; living ones are told from dead
 * ones; pods in the middle go down; a reboot empties pods; what lies in our directories without a
 * row is cleared away (census.c); owed DELs are taken up again.
 */
#include "sandbox/recover.h"
#include "sandbox/checkpoint.h"

#include <dirent.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/census.h"
#include "sandbox/exits.h"
#include "sandbox/handlers.h"
#include "sandbox/network.h"
#include "sandbox/runtime.h"

#define META_BOOT          "boot"
#define PING_TIMEOUT       (5 * NSEC_PER_SEC)
#define NETWORK_GC_TIMEOUT (30 * NSEC_PER_SEC)
#define EXIT_CODE_UNKNOWN  255

/* ----------------------------------------------------------------------- load */

static int load_pod(struct engine *engine, const struct pod_row *row, struct err *err)
{
    struct err unknown = ERR_INIT;
    struct pod_spec *spec = pod_spec_parse(row->spec, err);
    const struct handler *handler =
        spec ? handler_find(engine->handlers, spec->handler, &unknown) : NULL;

    if (!spec)
        return -1;
    /* A handler that has gone from the configuration: the pod can still be stopped and removed. */
    if (!handler)
        handler = handler_find(engine->handlers, "", NULL);

    autopod *pod = pod_new(engine, row->id, spec, handler, err);

    if (!pod)
        return -1;
    if (row->state < POD_CREATING || row->state > POD_REMOVING || row->step > pod_steps.n)
        return err_set(err, ERR_CORRUPT, "state %d, step %zu", row->state, row->step);
    pod->state = row->state;
    pod->step = row->step;
    pod->created_at = row->created_at;
    (void)snprintf(pod->spec_hash, sizeof(pod->spec_hash), "%s", row->spec_hash);
    pod_load_runtime(pod, row->runtime);
    network_load(pod);
    pod_list_add(pod, true);
    return 0;
}

static int load_container(struct engine *engine, const struct container_row *row, struct err *err)
{
    autopod *pod = pod_find(engine, row->pod_id);
    struct container_spec *spec = pod ? container_spec_parse(row->spec, err) : NULL;

    if (!pod)
        return err_set(err, ERR_CORRUPT, "its pod '%s' has no row", row->pod_id);
    if (!spec)
        return -1;

    autocontainer *c = container_new(pod, row->id, spec);

    if (row->state < CONTAINER_CREATING || row->state > CONTAINER_REMOVING ||
        row->step > container_steps.n)
        return err_set(err, ERR_CORRUPT, "state %d, step %zu", row->state, row->step);
    c->state = row->state;
    c->step = row->step;
    c->created_at = row->created_at;
    c->started_at = row->started_at;
    c->finished_at = row->finished_at;
    c->exit_code = row->exit_code;
    (void)snprintf(c->spec_hash, sizeof(c->spec_hash), "%s", row->spec_hash);
    (void)snprintf(c->reason, sizeof(c->reason), "%s", row->reason);
    (void)snprintf(c->message, sizeof(c->message), "%s", row->message);
    free(c->image_id);
    c->image_id = xstrdup(row->image_id);
    container_load_runtime(c, row->runtime);
    runtime_restore(c);
    if (c->jail_uid)
        engine_uid_use(engine, c->jail_uid);
    if (c->wants_address && c->step > step_find(&container_steps, "link") && !pod->guest)
        pod->guest = c;
    container_list_add(c);
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const struct pod_row *x = a, *y = b;

    return (x->created_at > y->created_at) - (x->created_at < y->created_at);
}

static int containers_by_age(const void *a, const void *b)
{
    const struct container_row *x = a, *y = b;

    return (x->created_at > y->created_at) - (x->created_at < y->created_at);
}

/* A row that cannot be understood must not keep the daemon from starting; what it named is cleared
 * away as a stranger. */
static void put_aside(struct engine *engine, enum db_kind kind, const char *what, const char *id,
                      const struct err *why)
{
    struct err err = ERR_INIT;

    log_error("%s row %s goes into quarantine, it is not managed any more: %s", what, id, why->msg);
    if (db_quarantine(engine->db, kind, id, why->msg, &err) < 0)
        log_error("%s row %s: %s", what, id, err.msg);
}

static int load(struct engine *engine, struct err *err)
{
    struct pod_row *pods = NULL;
    struct container_row *containers = NULL;
    size_t n_pods = 0, n_containers = 0;
    struct err why = ERR_INIT;

    if (db_pods_load(engine->db, &pods, &n_pods, err) < 0)
        return -1;
    if (db_containers_load(engine->db, &containers, &n_containers, err) < 0) {
        pod_rows_free(pods, n_pods);
        return -1;
    }
    if (n_pods)
        qsort(pods, n_pods, sizeof(*pods), by_age);
    if (n_containers)
        qsort(containers, n_containers, sizeof(*containers), containers_by_age);
    for (size_t i = 0; i < n_pods; i++)
        if (load_pod(engine, &pods[i], &why) < 0)
            put_aside(engine, DB_PODS, "pod", pods[i].id, &why);
    for (size_t i = 0; i < n_containers; i++)
        if (load_container(engine, &containers[i], &why) < 0)
            put_aside(engine, DB_CONTAINERS, "container", containers[i].id, &why);
    pod_rows_free(pods, n_pods);
    container_rows_free(containers, n_containers);
    return 0;
}

/* ------------------------------------------------------------------ containers */

enum verdict recover_verdict(const struct container_facts *f)
{
    if (!f->same_boot)
        return VERDICT_REBOOTED;
    if (f->exit_file)
        return VERDICT_EXITED;
    /* A monitor that lives keeps its workload, or will write the exit file: both are told by it,
     * not by us. */
    if (f->monitor && (f->answers || f->populated))
        return VERDICT_RUNNING;
    return VERDICT_LOST;
}

static struct container_facts look(struct container *c, bool same_boot, struct process *workload)
{
    struct engine *engine = c->engine;
    struct container_facts f = {.same_boot = same_boot};
    char answer[128];

    if (!same_boot)
        return f;
    f.monitor = process_alive(&c->monitor) || monitor_find(c->id, &c->monitor);
    f.answers = f.monitor &&
                monitor_ask(c->run_dir, "ping", deadline_in(PING_TIMEOUT), answer, sizeof(answer),
                            &(struct err){0}) == 0 &&
                monitor_parse_ok(answer, workload, &(struct err){0}) == 0;
    f.populated = cgroup_populated(&engine->cgroups, c->cgroup);
    /* Last: a monitor that ended meanwhile has written it. */
    f.exit_file = faccessat(engine->exits_fd, c->id, F_OK, 0) == 0;
    return f;
}

static void adopt(struct container *c, const struct process *workload, bool answers)
{
    struct err err = ERR_INIT;

    if (answers)
        c->workload = *workload;
    if (c->state == CONTAINER_STARTING) {
        log_info("container %s: was being started when the daemon ended, and runs: adopted", c->id);
        if (container_set_running(c, clock_wall(), &err) < 0)
            log_warn("container %s: %s", c->id, err.msg);
    } else if (c->state == CONTAINER_STOPPING) {
        /* Whoever wanted it stopped has lost the connection and asks again; until then it has its
         * grace. */
        c->kill_at = DEADLINE_NEVER;
    }
    if (container_save_runtime(c, &err) < 0)
        log_warn("container %s: %s", c->id, err.msg);
}

static void recover_living(struct container *c, bool same_boot)
{
    struct process workload = {0};
    struct container_facts f = look(c, same_boot, &workload);

    switch (recover_verdict(&f)) {
    case VERDICT_RUNNING:
        adopt(c, &workload, f.answers);
        if (c->runtime->adopted)
            c->runtime->adopted(c);
        break;
    case VERDICT_EXITED:
        if (c->state == CONTAINER_STARTING)
            adopt(c, &workload, false);
        (void)exits_take(c);
        break;
    case VERDICT_REBOOTED:
        c->monitor = c->workload = (struct process){0};
        if (container_claim_end(c))
            container_set_exited(c, clock_wall(), EXIT_CODE_UNKNOWN, "NodeRebooted",
                                 "the node was rebooted");
        break;
    case VERDICT_LOST:
        if (c->state == CONTAINER_STARTING && container_claim_end(c))
            container_set_exited(c, clock_wall(), EXIT_CODE_UNKNOWN, "StartError",
                                 "the daemon ended while it was being started");
        else
            exits_lost(c, "its monitor ended without an exit status while the daemon was away");
        break;
    }
}

static void recover_container(struct container *c, bool same_boot)
{
    struct err err = ERR_INIT;

    switch ((enum container_state)c->state) {
    case CONTAINER_CREATING:
    case CONTAINER_REMOVING:
        if (container_remove_work(c, &err) < 0)
            log_error(
                "container %s: remove what was half made: %s; its pod's removal will try again",
                c->id, err.msg);
        return;
    case CONTAINER_STARTING:
    case CONTAINER_RUNNING:
    case CONTAINER_STOPPING:
        recover_living(c, same_boot);
        break;
    case CONTAINER_CREATED:
    case CONTAINER_EXITED:
        break;
    }
    container_update_again(c);
    checkpoint_forget(c);
    if (c->state != CONTAINER_EXITED || c->step <= container_step_created())
        return;
    if (steps_down(&container_steps, c, &c->step, container_step_created(), &err) < 0)
        log_warn("container %s: clean up: %s; removing it will try again", c->id, err.msg);
}

/* A CREATED container of an earlier boot has lost its root mount and bundle: it can only be
 * removed. */
static void recover_created_rebooted(struct container *c)
{
    if (c->state == CONTAINER_CREATED && container_claim_end(c))
        container_set_exited(c, clock_wall(), EXIT_CODE_UNKNOWN, "NodeRebooted",
                             "the node was rebooted before it was started");
}

static void recover_containers(struct engine *engine, bool same_boot)
{
    struct container **list;
    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++) {
        if (!same_boot)
            recover_created_rebooted(list[i]);
        recover_container(list[i], same_boot);
    }
    containers_free(list, n);
}

/* ------------------------------------------------------------------------ pods */

static void recover_pod(struct pod *pod, bool same_boot)
{
    enum pod_state state = pod_state(pod);
    struct err err = ERR_INIT;
    int rc = 0;

    if (state == POD_CREATING || state == POD_REMOVING)
        rc = pod_remove_work(pod, &err);
    else if (state == POD_STOPPING || (state == POD_READY && !same_boot))
        rc = pod_stop_work(pod, &err);
    else if (state == POD_READY)
        pod_limit_again(pod);
    if (rc < 0)
        log_error("pod %s: found %s at start: %s; a client's removal will try again", pod->id,
                  state_name(&pod_states, (int)state), err.msg);
}

static void recover_pods(struct engine *engine, bool same_boot)
{
    struct pod **pods;
    size_t n = pods_all(engine, &pods);

    for (size_t i = 0; i < n; i++)
        recover_pod(pods[i], same_boot);
    pods_free(pods, n);
}

static int load_debts(struct engine *engine, struct err *err)
{
    struct network_row *rows = NULL;
    size_t n = 0;

    if (db_networks_load(engine->db, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        autopod *pod = pod_find(engine, rows[i].pod_id);

        if (rows[i].orphan || !pod)
            debt_add(engine, rows[i].pod_id, 0);
    }
    network_rows_free(rows, n);
    return 0;
}

/* Rows of pods may be lost with the power, and with a database that had to be begun anew: plugins
 * that know GC (CNI 1.1) let go of what no row names. Before anything is served, so that no fresh
 * attachment is taken for a stranger. */
static void collect_networks(struct engine *engine)
{
    struct network_row *rows = NULL;
    autostrv char **valid = NULL;
    size_t n = 0;
    struct err err = ERR_INIT;

    if (db_networks_load(engine->db, &rows, &n, &err) == 0)
        for (size_t i = 0; i < n; i++)
            strv_push(&valid, rows[i].pod_id);
    network_rows_free(rows, n);
    if (err.code || cni_gc(engine->cni, valid, deadline_in(NETWORK_GC_TIMEOUT), &err) < 0)
        log_warn("networks of pods that are gone: %s", err.msg);
}

int recover(struct engine *engine, struct err *err)
{
    autofree char *boot = NULL;

    if (db_meta_get(engine->db, META_BOOT, &boot, err) < 0)
        return -1;

    bool same_boot = !boot || str_eq(boot, boot_id());

    if (!same_boot)
        log_info("the node was rebooted since the daemon last ran: pods of before are not ready "
                 "any more");
    if (load(engine, err) < 0)
        return -1;
    recover_containers(engine, same_boot);
    recover_pods(engine, same_boot);
    census_clean(engine);
    if (load_debts(engine, err) < 0)
        return -1;
    if (!boot || !same_boot)
        collect_networks(engine);
    return db_meta_set(engine->db, META_BOOT, boot_id(), err);
}
