/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container - one container: its state machine, its references, its row.
 *
 *   (none) --container_create--> CREATING --steps up to "bundle"--> CREATED --container_start-->
 * STARTING --steps up--> RUNNING RUNNING --container_stop--> STOPPING;  RUNNING, STOPPING --exit
 * file, or facts (exits.c)--> EXITED;  STARTING --fails--> EXITED CREATING (failed), CREATED,
 * EXITED --container_remove--> REMOVING --steps down to 0, row deleted--> (none) After an exit the
 * steps go down to "bundle" in the background (cgroup, link and runtime state are gone then).
 */
#ifndef UNICRI_SANDBOX_CONTAINER_H
#define UNICRI_SANDBOX_CONTAINER_H

#include "sandbox/pod.h"
#include "sandbox/resources.h"

struct runtime_ops;

#define CONTAINER_MESSAGE_MAX 1024 /* bytes, with the NUL */

struct container {
    struct engine *engine; /* fixed, as is all up to `refs` */
    char id[ID_LEN + 1];
    struct pod *pod; /* a reference */
    struct container_spec *spec;
    char spec_hash[33];
    char *image_id, *image_ref;
    char *log_path; /* absolute, "" without log */
    nsec_t created_at;
    const struct handler *handler;
    const struct runtime_ops *runtime;
    char *runtime_name; /* "runc", a driver's name */
    char *run_dir;      /* RUN/containers/ID: bundle, control socket */
    char *rootfs_dir;   /* ROOT/containers/ID: writable layer */
    char *cgroup;
    int stop_signal;
    int64_t user, group, *groups; /* resolved with the root filesystem, before CREATED */
    size_t n_groups;
    _Atomic unsigned refs;

    int state; /* enum container_state */
    nsec_t started_at, finished_at;
    int exit_code;
    char reason[64], message[CONTAINER_MESSAGE_MAX]; /* written once, before it is EXITED */
    bool end_claimed;                                /* see container_claim_end() */
    struct listing_entry listed;
    struct resources *resources; /* in force; replaced by the container's job only */
    struct process workload, monitor;
    bool monitor_done;           /* it has left its exit file: it needs nothing but to be reaped */
    bool monitor_is_child;       /* of this very daemon: it must be reaped */
    deadline_t kill_at;          /* STOPPING: when SIGKILL is due */
    nsec_t phases[START_PHASES]; /* of its start; see start_phases.h */

    size_t step;         /* of the container's job only, as is all below */
    struct image *image; /* until it has been started; NULL after a restart */
    struct guest *guest;
    struct cdi *cdi;      /* from check to bundle; NULL: none */
    uint32_t jail_uid;    /* 0: none */
    char *guest_family;   /* vmm_guest_family(); "" none */
    char **guest_ignored; /* vmm_words_ignored(); owned, never changes once it is listed */
    bool wants_address;   /* a guest with a network device */
    struct guest_link guest_link;
    uint64_t guest_memory, guest_overhead; /* of the VMM's cgroup; 0: not known */
    bool stands_claimed; /* see guest_stands.c; GUARDED by the engine's lock, as the next is */
    bool has_debugger;   /* see guest_session.h */
    bool guest_served;   /* launched with a file server beside its VMM */
    bool checkpointing;  /* see checkpoint.h */
    bool update_pending; /* the row is ahead of the cgroup: see container_update.c */
    bool in_table;
    bool volume_failed; /* why its creation failed */
    TAILQ_ENTRY(container) link;
};

extern const struct state_table container_states;

/** container_new() - a container in CREATING with one reference; takes the spec over, refs the pod.
 */
struct container *container_new(struct pod *pod, const char *id, struct container_spec *spec);
struct container *container_ref(struct container *c);
void container_unref(struct container *c);
DEFINE_CLEANUP(struct container *, container_unref);
#define autocontainer CLEANUP(container_unref_cleanup) struct container

struct container *container_find(struct engine *engine, const char *id);
/** containers_of() - references to all of a pod (NULL: all), newest first; caller:
 * containers_free(). */
size_t containers_of(struct engine *engine, const struct pod *pod, struct container ***ret);
void containers_free(struct container **list, size_t n);
void container_list_add(struct container *c);
void container_list_remove(struct container *c);

/** container_state_move() - memory alone: every change of a state comes by here, so that lists
 * follow. The caller holds engine->lock. */
void container_state_move(struct container *c, enum container_state to);
/** container_view_fill() - the caller holds engine->lock. */
void container_view_fill(struct container *c, struct container_view *ret);
/** container_cri_state() - 0 CREATED, 1 RUNNING, 2 EXITED, 3 UNKNOWN. The caller holds
 * engine->lock. */
uint8_t container_cri_state(const struct container *c);
/** container_matches() - is it listed, and by this filter (NULL: all)? The caller holds
 * engine->lock. */
bool container_matches(const struct container *c, const struct list_filter *f);
/** container_move() - row first, then memory; not for RUNNING and EXITED, which carry more. */
int container_move(struct container *c, enum container_state to, struct err *err) MUST_CHECK;
enum container_state container_state(struct container *c);
int container_set_running(struct container *c, nsec_t started_at, struct err *err) MUST_CHECK;
/** container_claim_end() - several threads may find that it has ended; one tells. Returns: true,
 * once in its life, to the one which then calls container_set_exited(). */
bool container_claim_end(struct container *c) MUST_CHECK;
/** container_set_exited() - row, memory, waiters; after container_claim_end(). A row that cannot be
 * written is logged: the fact counts. */
void container_set_exited(struct container *c, nsec_t finished_at, int exit_code,
                          const char *reason, const char *message);
int container_save_runtime(struct container *c, struct err *err) MUST_CHECK;
void container_load_runtime(struct container *c, const char *json);

/** container_set_resources() - the row (with `pending`), then memory; takes a reference of its own.
 */
int container_set_resources(struct container *c, struct resources *r, bool pending,
                            struct err *err) MUST_CHECK;
/* container_update.c */
/** container_update_again() - at start: write the limits of a row that is ahead of its cgroup. */
void container_update_again(struct container *c);

/* container_steps.c */
extern const struct step_table container_steps;
size_t container_step_created(void); /* how many steps CREATED has */

/* container_stop.c */
/** container_kill_begin() - RUNNING becomes STOPPING with SIGKILL sent; other states: nothing. Does
 * not wait. */
void container_kill_begin(struct container *c);
/** container_wait_exited() - until EXITED or a state before RUNNING; past `deadline` it is EXITED
 * as "Unkillable". */
void container_wait_exited(struct container *c, deadline_t deadline);
/** container_reap() - steps down to CREATED's mark; in the background after an exit. */
void container_reap_later(struct container *c);
/** container_remove_work() - the caller holds the container's job. */
int container_remove_work(struct container *c, struct err *err) MUST_CHECK;

/** container_signal_to_cri() - a signal of this kernel as the CRI's Signal; 0: the API has none. */
int container_signal_to_cri(int number);
/** container_signal_number() - the CRI's Signal, or the image's name ("SIGTERM", "15",
 * "SIGRTMIN+3"). Errors: INVALID. */
int container_signal_number(int cri_signal, const char *image_signal, int *ret,
                            struct err *err) MUST_CHECK;

#endif
