/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_update - UpdatePodSandboxResources, and the limits of a pod's own cgroup.
 *
 * A kubelet asks before it writes to the pod's cgroup itself, and takes any error for a refusal of
 * the resize: with a cgroup of the client's there is nothing to write and nothing to refuse.
 */
#include "base/fault.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/pod.h"

int pod_limit(struct pod *pod, struct err *err)
{
    autoresources *sum = resources_sum(&pod->overhead->r, &pod->resources->r);

    return pod->cgroup_ours ? cgroup_limit(&pod->engine->cgroups, pod->cgroup, &sum->r, 0, err) : 0;
}

void pod_limit_again(struct pod *pod)
{
    struct err err = ERR_INIT;

    if (resources_same(&pod->overhead->r, &pod->spec->overhead) &&
        resources_same(&pod->resources->r, &pod->spec->resources))
        return;
    if (pod_limit(pod, &err) < 0)
        log_warn("pod %s: write the limits of its row again: %s", pod->id, err.msg);
}

/* Under the lock: views read both. The old ones are the caller's then. */
static void exchange(struct pod *pod, struct resources **overhead, struct resources **resources)
{
    struct resources *o = pod->overhead, *r = pod->resources;

    mutex_lock(&pod->engine->lock);
    pod->overhead = *overhead;
    pod->resources = *resources;
    mutex_unlock(&pod->engine->lock);
    *overhead = o;
    *resources = r;
}

static int save_and_limit(struct pod *pod, struct err *err)
{
    if (pod_save_runtime(pod, err) < 0)
        return -1;
    FAULT_POINT("pod.update");
    return pod_limit(pod, err);
}

static int put(struct pod *pod, struct resources **overhead, struct resources **resources,
               struct err *err)
{
    exchange(pod, overhead, resources);
    if (save_and_limit(pod, err) == 0)
        return 0;
    exchange(pod, overhead, resources);
    if (pod_save_runtime(pod, &(struct err){0}) < 0 || pod_limit(pod, &(struct err){0}) < 0)
        return err_wrap(err, "half done: update pod sandbox '%s'", pod->id);
    return err_wrap(err, "update pod sandbox '%s'", pod->id);
}

static int update_work(struct pod *pod, const struct linux_resources *overhead,
                       const struct linux_resources *resources, struct err *err)
{
    struct linux_resources nothing;

    if (pod_state(pod) != POD_READY)
        return err_set(err, ERR_STATE, "pod sandbox '%s' is not ready", pod->id);
    linux_resources_init(&nothing);

    autoresources *o = resources_merge(&pod->overhead->r, overhead ? overhead : &nothing, false);
    autoresources *r = resources_merge(&pod->resources->r, resources ? resources : &nothing, false);
    autoresources *sum = resources_sum(&o->r, &r->r);

    linux_resources_done(&nothing);
    if (pod->cgroup_ours &&
        resources_floor(&pod->engine->cgroups, pod->cgroup, sum->r.memory_limit, err) < 0)
        return err_wrap(err, "update pod sandbox '%s'", pod->id);
    return put(pod, &o, &r, err);
}

static char *request_text(const struct linux_resources *r)
{
    autojson *json = r ? resources_write(r) : json_null();

    return json_text(json);
}

int pod_update(struct engine *engine, const char *id, const struct linux_resources *overhead,
               const struct linux_resources *resources, const struct caller *caller,
               struct err *err)
{
    autopod *pod = pod_find(engine, id);
    autofree char *o = request_text(overhead), *r = request_text(resources);
    autofree char *what = xasprintf("update %s %s", o, r);
    struct job *job;

    if (!pod || !pod->listed)
        return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': no such sandbox", id);

    int rc = jobs_enter(engine->jobs, id, what, caller, &job, NULL, err);

    if (rc <= 0)
        return rc;
    return jobs_leave(job, update_work(pod, overhead, resources, err), NULL, err);
}
