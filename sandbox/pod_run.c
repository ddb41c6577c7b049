/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_run - RunPodSandbox. The job is keyed by (namespace, name, uid, attempt); within it the row
 * decides: no row -> build; a READY pod of the same request -> its id; a READY pod of another
 * request -> EXISTS with what differs; anything else under that key is what an earlier attempt
 * left: it is removed, then built anew.
 */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/pod.h"

static bool same_key(const struct pod_spec *a, const struct pod_spec *b)
{
    return a->attempt == b->attempt && str_eq(a->uid, b->uid) && str_eq(a->name, b->name) &&
           str_eq(a->namespace_, b->namespace_);
}

static struct pod *find_key(struct engine *engine, const struct pod_spec *spec)
{
    struct pod *pod;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (pod, &engine->pods, link)
        if (same_key(pod->spec, spec))
            break;
    if (pod)
        (void)pod_ref(pod);
    mutex_unlock(&engine->lock);
    return pod;
}

/* Take down what a failed or replaced attempt left. Its job may be running: wait for it. */
static int remove_old(struct engine *engine, struct pod *old, struct err *err)
{
    struct job *job;
    int rc = jobs_enter(engine->jobs, old->id, "remove", NULL, &job, NULL, err);

    if (rc <= 0)
        return rc;
    return jobs_leave(job, pod_remove_work(old, err), NULL, err);
}

/* Returns: 1 nothing is in the way, 0 the pod is there already (ret_id), -1. */
static int look_up(struct engine *engine, const struct pod_spec *spec, const char *text,
                   const char *hash, char *ret_id, struct err *err)
{
    autopod *old = find_key(engine, spec);

    if (!old)
        return 1;

    bool ready = pod_state(old) == POD_READY;

    if (ready && str_eq(old->spec_hash, hash)) {
        memcpy(ret_id, old->id, sizeof(old->id));
        metric_joined();
        return 0;
    }
    if (ready) {
        autofree char *was = pod_spec_write(old->spec);
        autofree char *what = spec_difference(was, text);

        return err_set(err, ERR_EXISTS,
                       "pod '%s/%s' attempt %u runs already as '%s' with another '%s'",
                       spec->namespace_, spec->name, spec->attempt, old->id, what);
    }
    if (remove_old(engine, old, err) < 0)
        return err_wrap(err, "remove what an earlier attempt left");
    return 1;
}

static int insert_row(struct pod *pod, char *text, struct err *err)
{
    struct pod_row row = {
        .id = pod->id,
        .namespace_ = pod->spec->namespace_,
        .name = pod->spec->name,
        .uid = pod->spec->uid,
        .attempt = pod->spec->attempt,
        .handler = pod->spec->handler,
        .spec = text,
        .spec_hash = pod->spec_hash,
        .state = POD_CREATING,
        .created_at = pod->created_at,
        .runtime = (char[]){"{}"},
    };

    return db_pod_insert(pod->engine->db, &row, err);
}

/* Undo a failed start. When even that fails the pod stays listed as not ready, so that a client
 * will remove it again. */
static void roll_back(struct pod *pod)
{
    struct err err = ERR_INIT;

    if (pod_remove_work(pod, &err) == 0)
        return;
    log_error("pod %s: undo of its failed start: %s; it stays to be removed", pod->id, err.msg);
    pod_list_add(pod, true);
}

static int build(struct engine *engine, const struct pod_spec *wanted, const char *hash, char *text,
                 char *ret_id, struct err *err)
{
    nsec_t start = clock_mono();
    const struct handler *handler = handler_find(engine->handlers, wanted->handler, err);
    struct pod_spec *spec = handler ? pod_spec_parse(text, err) : NULL;
    char id[ID_LEN + 1];

    id_new(id);

    autopod *pod = spec ? pod_new(engine, id, spec, handler, err) : NULL;

    if (!pod)
        return -1;
    pod->created_at = clock_wall();
    (void)snprintf(pod->spec_hash, sizeof(pod->spec_hash), "%s", hash);
    if (insert_row(pod, text, err) < 0)
        return -1;
    pod_list_add(pod, false);
    if (steps_up(&pod_steps, pod, &pod->step, pod_steps.n, err) < 0 ||
        pod_move(pod, POD_READY, err) < 0) {
        engine_out_of_space(engine, err);
        roll_back(pod);
        return -1;
    }
    pod_list_add(pod, true);
    metric_pod_started(start);
    memcpy(ret_id, pod->id, sizeof(pod->id));
    return 0;
}

int pod_run(struct engine *engine, const struct pod_spec *spec, const struct caller *caller,
            char *ret_id, struct err *err)
{
    autofree char *text = pod_spec_write(spec);
    autofree char *key =
        xasprintf("pod/%s/%s/%s/%u", spec->namespace_, spec->name, spec->uid, spec->attempt);
    char hash[33], id[ID_LEN + 1] = "";
    struct job *job;

    spec_hash(text, hash);
    if (pod_check(engine, spec, err) < 0 || caller_check(caller, "run pod", err) < 0)
        return -1;

    int rc = jobs_enter(engine->jobs, key, hash, caller, &job, ret_id, err);

    if (rc == 0)
        metric_joined();
    if (rc <= 0)
        return rc;
    rc = look_up(engine, spec, text, hash, id, err);
    if (rc > 0)
        rc = build(engine, spec, hash, text, id, err);
    if (rc == 0)
        memcpy(ret_id, id, sizeof(id));
    return jobs_leave(job, rc, id, err);
}
