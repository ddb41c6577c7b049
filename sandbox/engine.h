/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - what all of sandbox/ shares: the tables of pods and containers, their lock, the jobs,
 * the paths.
 *
 * Two kinds of members: those marked "fixed" never change after the object is in a table and are
 * read by anyone with a reference; the others are guarded by engine->lock, which is held for memory
 * work only, never over I/O. `engine->changed` is broadcast whenever a state changes, so that
 * whoever waits for one (a stop for its exit, a pod's stop for its creates) looks again. Steps and
 * rows of an object are touched only by the job that holds its key (jobs.h).
 */
#ifndef UNICRI_SANDBOX_ENGINE_H
#define UNICRI_SANDBOX_ENGINE_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "base/id.h"
#include "base/loop.h"
#include "base/pidref.h"
#include "base/state.h"
#include "base/steps.h"
#include "base/thread.h"
#include "cni/cni.h"
#include "db/db.h"
#include "imagestore/imagestore.h"
#include "sandbox/cgroup.h"
#include "sandbox/idmap.h"
#include "sandbox/jobs.h"
#include "sandbox/listing.h"
#include "sandbox/sandbox.h"
#include "vmm/vmm.h"

#define ENGINE_TICK           (10 * NSEC_PER_SEC) /* reconcile, owed DELs */
#define CGROUP_REMOVE_TIMEOUT (5 * NSEC_PER_SEC)
#define KILL_TIMEOUT          (10 * NSEC_PER_SEC) /* SIGKILL to empty cgroup; later is "Unkillable" */
#define NETWORK_ADD_TIMEOUT   (120 * NSEC_PER_SEC) /* a whole chain; each plugin has its own */
#define NETWORK_DEL_TIMEOUT   (60 * NSEC_PER_SEC)
#define ROW_JSON_MAX_BYTES    (1024 * 1024)
#define POD_IFNAME            "eth0"

struct handlers;
struct handler;
struct pod;
struct container;

TAILQ_HEAD(pod_head, pod);
TAILQ_HEAD(container_head, container);
STAILQ_HEAD(background_head, background);
STAILQ_HEAD(ending_head, ending);

/* A process that outlives the daemon: what a row keeps of it. */
struct process {
    pid_t pid; /* 0: none */
    uint64_t start_time;
};

struct engine {
    /* fixed */
    const struct sandbox_config *config; /* borrowed, as are the next five */
    struct db *db;
    struct cni *cni;
    struct vmm *vmm;
    struct imagestore *images;
    struct loop *loop;
    struct cgroups cgroups;
    struct handlers *handlers;
    struct jobs *jobs;
    char *cgroup_root;
    char *monitor_program, *init_program, *exec_program, *debug_program, *freeze_program;
    char *pods_dir, *netns_dir, *userns_dir, *containers_dir, *exits_dir,
        *runc_dir;    /* below run_dir */
    char *rootfs_dir; /* below root_dir: writable layers */
    char *reserve_file;
    int exits_fd;
    int cgroup_lock_fd; /* held for life: the census takes what is in cgroup_root for its own */
    int vmm_netns_fd;   /* one empty network namespace for all VMMs */

    struct mutex lock;
    struct cond changed;
    struct idmap pods_by_id, containers_by_id;
    struct pod_head pods;             /* newest first */
    struct container_head containers; /* newest first */
    struct listing listed_pods, listed_containers;
    uint8_t *uids; /* jail uids in use, one byte each */
    uint32_t uid_first, uid_count, uid_next;
    struct background_head queue; /* work for the pool that has not begun */
    size_t background;            /* that has begun and not ended */
    struct ending_head ending; /* monitors of ours that have done their work and are about to end */
    atomic_bool child_ended;   /* a look at the monitors is under way: see exits_child_ended() */
    atomic_bool stands_watched; /* the next look is due: see guest_stands.h */
    bool closing;
    unsigned followers;       /* of events: see events.h */
    int64_t events_delivered; /* the newest that some client has got from this daemon */
    bool reserve_released;
    struct {
        bool works;
        nsec_t at; /* of the last try; 0: none */
        char why[240];
    } userns;            /* see userns_probe.h */
    struct debts *debts; /* owed DELs: see network.h */
    struct stats *stats; /* see stats.h */
};

/** engine_background() - run f(arg) on a pool thread; engine_close() waits for it. Returns: false
 * when closing. */
bool engine_background(struct engine *engine, void (*f)(struct engine *engine, void *arg),
                       void *arg);
/** engine_reap_later() - a monitor that is our child will end soon: nobody waits for it, the tick
 * reaps it. */
void engine_reap_later(struct engine *engine, const struct process *monitor);
/** engine_reap_at_its_end() - the same for a child that lives as long as it likes. */
void engine_reap_at_its_end(struct engine *engine, const struct process *child);
/** engine_uid_take() - a uid that no other running guest has. Errors: EXHAUSTED. */
int engine_uid_take(struct engine *engine, uint32_t *ret, struct err *err) MUST_CHECK;
/** engine_uid_use() - the uid of a guest found at start. */
void engine_uid_use(struct engine *engine, uint32_t uid);
void engine_uid_give(struct engine *engine, uint32_t uid);
/** engine_out_of_space() - after an error: on a full disk the reserve is given up, so that stop and
 * remove can write. */
void engine_out_of_space(struct engine *engine, const struct err *err);
/** engine_reserve() - make the reserve (again). */
void engine_reserve(struct engine *engine);

/** process_alive() - facts only: pid, start time. */
bool process_alive(const struct process *p);
void process_put(json_t *o, const char *key, const struct process *p);
void process_get(const json_t *o, const char *key, struct process *ret);

/* Stages of a pod's start, as histograms. */
enum stage {
    STAGE_POD_CGROUP,
    STAGE_POD_NETNS,
    STAGE_POD_NETWORK,
    STAGE_ROOM,
    STAGE_ROOTFS,
    STAGE_BUNDLE,
    STAGE_LINK,
    STAGE_MONITOR,
    STAGE_FIRST_BYTE, /* since the monitor's start: its first millisecond is the stage before */
    STAGES
};
void stage_observe(enum stage stage, nsec_t since);
void metric_pod_started(nsec_t since);
void metric_container_started(nsec_t since);
void metric_joined(void);
void metric_owed_dels(size_t n);
void metric_lost_monitors(void);
void metric_first_byte(nsec_t took);

/** spec_hash() - 32 hex digits and a NUL: tells a repeated request from a changed one. */
void spec_hash(const char *text, char ret[33]);
/** spec_difference() - the first top-level member in which two specs differ; owned. */
char *spec_difference(const char *a, const char *b);

#endif
