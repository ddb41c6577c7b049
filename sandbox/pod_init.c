/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_init - the only process a pod may have of its own: pid 1 of a PID namespace that its
 * containers share. It reaps and waits, nothing else. `unicri-init` makes the namespace, tells the
 * pid by a pipe and leaves the child behind.
 */
#include "base/strbuf.h"
#include "sandbox/init_client.h"
#include "sandbox/pod.h"

char *pod_init_cgroup(const struct pod *pod)
{
    return xasprintf("%s/%s", pod->cgroup, pod->cgroup_ours ? "init" : pod->id);
}

int pod_init_start(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    autofree char *cgroup = pod_init_cgroup(pod);
    autostrv char **dirs = NULL;
    autofd int user = -1;
    struct process init;

    mutex_lock(&engine->lock);
    init = pod->init;
    mutex_unlock(&engine->lock);
    if (process_alive(&init))
        return 0;
    if (init.pid)
        return err_set(
            err, ERR_STATE,
            "the init process of the shared PID namespace has ended; the pod must be replaced");
    if (cgroup_create(&engine->cgroups, cgroup, NULL, err) < 0)
        return -1;
    dirs = cgroup_dirs(&engine->cgroups, cgroup);
    if (pod_userns_open(pod, &user, err) < 0 || init_start(engine, dirs, user, &init, err) < 0)
        return err_wrap(err, "init of the shared PID namespace");
    mutex_lock(&engine->lock);
    pod->init = init;
    mutex_unlock(&engine->lock);
    return pod_save_runtime(pod, err);
}

/* Its cgroup is unique to the pod, so it is found even when the daemon ended before its pid was
 * recorded. */
int pod_init_stop(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    autofree char *cgroup = pod_init_cgroup(pod);

    if (!cgroup_exists(&engine->cgroups, cgroup))
        return 0;
    if (cgroup_kill(&engine->cgroups, cgroup, deadline_in(KILL_TIMEOUT), err) < 0 ||
        cgroup_remove(&engine->cgroups, cgroup, deadline_in(CGROUP_REMOVE_TIMEOUT), err) < 0)
        return -1;
    mutex_lock(&engine->lock);
    pod->init = (struct process){0};
    mutex_unlock(&engine->lock);
    return 0;
}
