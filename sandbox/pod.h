/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod - one sandbox: its state machine, its references, its row.
 *
 *   (none) --pod_run--> CREATING --steps up--> READY --pod_stop--> STOPPING --steps down to
 * "cgroup"--> NOTREADY |                     \________________________________ pod_remove
 * ______________|
 *                          +--a step fails--> REMOVING
 * <--------------------------------------------------- +
 *                                                 +--steps down to 0, row deleted--> (none)
 *   recover.c: CREATING -> REMOVING; STOPPING -> stopped again; READY of an earlier boot ->
 * NOTREADY.
 */
#ifndef UNICRI_SANDBOX_POD_H
#define UNICRI_SANDBOX_POD_H

#include "sandbox/engine.h"
#include "sandbox/resources.h"

struct pod {
    struct engine *engine; /* fixed, as is all up to `refs` */
    char id[ID_LEN + 1];
    struct pod_spec *spec;
    char spec_hash[33];
    nsec_t created_at;
    const struct handler *handler;
    char *dir;        /* RUN/pods/ID */
    char *cgroup;     /* parent of the pod's containers */
    bool cgroup_ours; /* no client named it: it goes with the pod */
    char *netns;      /* "" with the node's network */
    char *userns;     /* RUN/userns/ID; "" with the node's users */
    _Atomic unsigned refs;

    int state; /* enum pod_state */
    char ips[POD_IPS_MAX][46];
    size_t n_ips;
    struct cni_result *network;             /* owned; NULL without one of its own */
    struct process init;                    /* of a shared PID namespace */
    struct container *guest;                /* borrowed: the unikernel that has the pod's address */
    size_t creating;                        /* containers being created */
    struct resources *overhead, *resources; /* in force; replaced by the pod's job only */
    bool listed;                            /* clients see it */
    struct listing_entry entry;

    size_t step; /* of the pod's job only */
    bool cgroup_made;
    bool in_table;
    TAILQ_ENTRY(pod) link;
};

extern const struct state_table pod_states;

/** pod_new() - a pod in CREATING with one reference; takes the spec over. Errors: INVALID (cgroup
 * parent). */
struct pod *pod_new(struct engine *engine, const char *id, struct pod_spec *spec,
                    const struct handler *handler, struct err *err);
struct pod *pod_ref(struct pod *pod);
void pod_unref(struct pod *pod);
DEFINE_CLEANUP(struct pod *, pod_unref);
#define autopod CLEANUP(pod_unref_cleanup) struct pod

/** pod_find() - by id, with a reference; NULL when unknown. */
struct pod *pod_find(struct engine *engine, const char *id);
/** pods_all() - references to all, newest first; caller: pods_free(). */
size_t pods_all(struct engine *engine, struct pod ***ret);
void pods_free(struct pod **pods, size_t n);
/** pod_list_add() - into the tables; `listed`: clients see it. */
void pod_list_add(struct pod *pod, bool listed);
void pod_list_remove(struct pod *pod);

/** pod_view_fill() - the caller holds engine->lock. */
void pod_view_fill(struct pod *pod, struct pod_view *ret);
/** pod_cri_state() - 0 SANDBOX_READY, 1 SANDBOX_NOTREADY. The caller holds engine->lock. */
uint8_t pod_cri_state(const struct pod *pod);
/** pod_matches() - is it listed, and by this filter (NULL: all)? The caller holds engine->lock. */
bool pod_matches(const struct pod *pod, const struct list_filter *f);
/** pod_move() - row first, then memory. */
int pod_move(struct pod *pod, enum pod_state to, struct err *err) MUST_CHECK;
enum pod_state pod_state(struct pod *pod);
/** pod_save_runtime() - what the steps made, into the row. */
int pod_save_runtime(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_load_runtime() - the reverse, at start. */
void pod_load_runtime(struct pod *pod, const char *json);
/** pod_set_network() - a parsed result becomes the pod's addresses; takes `network` over. */
void pod_set_network(struct pod *pod, struct cni_result *network);

/* pod_steps.c */
extern const struct step_table pod_steps;
size_t pod_step_stopped(void); /* what is left of a stopped pod */
/** pod_check() - all of a spec that can be told to be wrong before anything is made. Errors:
 * INVALID, UNSUPPORTED. */
int pod_check(struct engine *engine, const struct pod_spec *spec, struct err *err) MUST_CHECK;

/* pod_update.c */
/** pod_limit() - of a cgroup that is ours: write what is in force. */
int pod_limit(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_limit_again() - at start: the row may be ahead of the cgroup. */
void pod_limit_again(struct pod *pod);

/* pod_userns.c: the user namespace of a pod that asks for one */
/** pod_userns_up() - make it and pin it. Without a wish for one: nothing. */
int pod_userns_up(struct pod *pod, struct err *err) MUST_CHECK;
int pod_userns_down(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_userns_open() - *ret: a descriptor of it, the caller's; -1 when the pod uses the node's
 * users. Errors: NOT_FOUND when it is gone. */
int pod_userns_open(const struct pod *pod, int *ret, struct err *err) MUST_CHECK;
/** pod_userns_netns() - the pod's network namespace, belonging to its user namespace. */
int pod_userns_netns(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_root_ids() - who root of the pod's containers is on the node. */
void pod_root_ids(const struct pod_spec *spec, uid_t *ret_uid, gid_t *ret_gid);
/** pod_userns_check() - Errors: INVALID, UNSUPPORTED naming what the handler lacks. Runs the OCI
 * runtime once to see what it can. */
int pod_userns_check(struct engine *engine, const struct pod_spec *spec,
                     const struct handler *handler, struct err *err) MUST_CHECK;

/* pod_room.c: what ordinary containers need of a pod and unikernels do not */
/** pod_room() - with `shares_pids` the reaping init too; files, shm, ipc and uts namespaces, made
 * for the first container that needs them. Errors as the kernel's. */
int pod_room(struct pod *pod, bool shares_pids, struct err *err) MUST_CHECK;
int pod_room_undo(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_files() - of all that only resolv.conf, hostname and hosts, for a guest that takes files.
 * While a container is created; again: nothing. */
int pod_files(const struct pod *pod, struct err *err) MUST_CHECK;
/** pod_sysctl_check() - is a sysctl of a pod's own namespaces? Errors: INVALID. */
int pod_sysctl_check(const struct pod_spec *spec, const char *name, const char *value,
                     struct err *err) MUST_CHECK;
char *pod_file(const struct pod *pod, const char *name); /* RUN/pods/ID/NAME, owned */

/* pod_init.c: the reaping init of a shared PID namespace */
int pod_init_start(struct pod *pod, struct err *err) MUST_CHECK;
int pod_init_stop(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_init_cgroup() - owned. */
char *pod_init_cgroup(const struct pod *pod);

/* pod_stop.c, for remove and recovery */
/** pod_stop_work() - the work of StopPodSandbox; the caller holds the pod's job. */
int pod_stop_work(struct pod *pod, struct err *err) MUST_CHECK;
/** pod_remove_work() - stop, containers, steps down to nothing, row. The caller holds the pod's
 * job. */
int pod_remove_work(struct pod *pod, struct err *err) MUST_CHECK;

#endif
