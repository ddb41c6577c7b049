/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox - pods and containers: the engine behind the CRI. Facade of the folder.
 *
 * A call is a request to reach a state. The work is a job keyed by the object (a pod by namespace,
 * name, uid and attempt; a container by pod, name and attempt): a duplicate joins the job that
 * runs, or gets the result of the one that ended. A caller whose client goes away or whose deadline
 * passes leaves; the job goes on, and the name is never blocked. Rows come first, effects second; a
 * pod or container whose row says CREATING or REMOVING at start is cleaned away.
 *
 * Lists and statuses answer from memory, without I/O and without waiting for any job.
 * Thread: any worker; calls may block up to their deadline. Lock order: engine < pod < container <
 * db.
 */
#ifndef UNICRI_SANDBOX_SANDBOX_H
#define UNICRI_SANDBOX_SANDBOX_H

#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/options.h"
#include "sandbox/spec.h"

struct engine;
struct db;
struct cni;
struct vmm;
struct imagestore;
struct loop;

struct sandbox_config {
    char *root_dir, *run_dir;  /* durable and per-boot state; set from the daemon's own options */
    char *monitor_program;     /* unicri-monitor; "" = beside the daemon */
    char *default_handler;     /* what "" means: "auto", "runc", or a driver's name */
    json_t *handlers;          /* [handlers.NAME]: kind = "runc" | "auto" | driver, program, root,
                                  pod_annotations ... */
    char *cgroup_root;         /* parent when a request names none: "/unicri" */
    char *cgroup_driver;       /* "cgroupfs" or "systemd" */
    uint64_t log_line_max;     /* 16 KiB: longer lines become P...F */
    nsec_t runtime_timeout;    /* for one call of an OCI runtime */
    int64_t reserve_bytes;     /* kept free so that stop and remove work on a full disk */
    char **cdi_dirs;           /* of CDI files; a later one takes precedence */
    uint64_t crash_core_bytes; /* of one core file */
    nsec_t stats_period;       /* between samples of what containers use, while someone asks */
};
extern const struct option sandbox_options[];
extern const size_t sandbox_options_n;
extern struct metric *const sandbox_metrics[];

/** engine_open() - loads the rows, recovers pods, containers and networks (reboot included) and
 * starts watching exits. A bad row is quarantined and logged. All arguments are borrowed until
 * engine_close(). */
struct engine *engine_open(const struct sandbox_config *config, struct db *db, struct cni *cni,
                           struct vmm *vmm, struct imagestore *images, struct loop *loop,
                           struct err *err);
/** engine_close() - lets go; workloads live on with their monitors. After loop_run() has returned
 * and no call is in flight. */
void engine_close(struct engine *engine);

/* What a call waits for: its deadline, and whether its client is still there (polled, may be NULL).
 */
struct caller {
    deadline_t deadline;
    bool (*cancelled)(void *arg);
    void *arg;
};

/* ---------------------------------------------------------------- pods */

enum pod_state { POD_CREATING, POD_READY, POD_STOPPING, POD_NOTREADY, POD_REMOVING };

#define POD_IPS_MAX 16

/* A moment's view of a pod. `spec` is borrowed from the engine and lives as long as the view. */
struct pod_view {
    char id[65];
    enum pod_state state;
    nsec_t created_at;
    const struct pod_spec *spec; /* as asked for; its resources may have changed since: */
    const struct linux_resources *overhead, *resources;
    char ips[POD_IPS_MAX][46];
    size_t n_ips;
    char netns[256], cgroup[512];
    int32_t init_pid;    /* of the pod's reaping init, or 0 */
    const char *handler; /* resolved name */
    void *hold;          /* engine's own reference, as are the next two */
    void *hold_overhead, *hold_resources;
};
void pod_view_done(struct pod_view *view);
void pod_views_free(struct pod_view *views, size_t n);

/** pod_run() - RunPodSandbox. The spec is copied. ret_id: ID_LEN + 1 bytes. A changed request with
 * a key in use: EXISTS unless the old attempt is gone. Errors name the step: "network: plugin
 * 'bridge': ...". */
int pod_run(struct engine *engine, const struct pod_spec *spec, const struct caller *caller,
            char *ret_id, struct err *err) MUST_CHECK;
/** pod_stop() - containers killed, network released or its DEL owed, processes dead; the record
 * stays. Unknown id: success. */
int pod_stop(struct engine *engine, const char *id, const struct caller *caller,
             struct err *err) MUST_CHECK;
/** pod_remove() - stop, then containers and record go. Unknown id: success. */
int pod_remove(struct engine *engine, const char *id, const struct caller *caller,
               struct err *err) MUST_CHECK;
/**
 * pod_update() - UpdatePodSandboxResources: what the pod may use in all from now on; either may be
 * NULL. A cgroup that is ours gets the sum as its limits. One that the client named stays the
 * client's: it sets it itself, before or after, and here the values are only kept. Errors:
 * NOT_FOUND; STATE when the pod is not ready or uses more memory than that; as the kernel's.
 */
int pod_update(struct engine *engine, const char *id, const struct linux_resources *overhead,
               const struct linux_resources *resources, const struct caller *caller,
               struct err *err) MUST_CHECK;
/** pod_get() - by id. Errors: NOT_FOUND. */
int pod_get(struct engine *engine, const char *id, struct pod_view *ret,
            struct err *err) MUST_CHECK;

struct list_filter {
    const char *id;           /* prefix; NULL or "" = all */
    const char *pod_id;       /* containers only; prefix */
    int state;                /* CRI's enum value, -1 = all */
    const struct kvs *labels; /* all must match; NULL = all */
};
/** pod_list() - newest first; pods that are being created are not listed until they are READY.
 * Caller: pod_views_free(). */
size_t pod_list(struct engine *engine, const struct list_filter *filter, struct pod_view **ret);
/* One pod as an element of a list's reply, with one reference. It is kept and shown until the pod
 * has gone: its last byte is the state, which is set anew whenever it changes, and all else of it
 * must come from what never changes: id, spec, time of creation, the names of the image. */
typedef struct piece *pod_pack_fn(const struct pod_view *view);
/**
 * pod_list_packed() - the same list as bytes: element after element. Without a filter nothing is
 * copied. Returns: how many pieces *ret has; caller: pieces_free().
 */
size_t pod_list_packed(struct engine *engine, const struct list_filter *filter, pod_pack_fn *pack,
                       struct piece ***ret);

/* ---------------------------------------------------------- containers */

enum container_state {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_STARTING,
    CONTAINER_RUNNING,
    CONTAINER_STOPPING,
    CONTAINER_EXITED,
    CONTAINER_REMOVING
};

/* Of the start of a container, in their order; for a unikernel all, for others some. */
enum start_phase {
    PHASE_STORAGE, /* root filesystem, disks, initrd, bundle */
    PHASE_NETWORK, /* the tap and its link to the pod's interface */
    PHASE_PLAN,    /* arguments and what the jail holds */
    PHASE_EXEC,    /* monitor and jail, until the program runs */
    PHASE_API,     /* until the VMM's API says that the guest runs */
    PHASE_BOOT,    /* from the VMM's exec to the first byte of the guest's output */
    START_PHASES
};
/** start_phase_name() - static. */
const char *start_phase_name(enum start_phase phase);

struct container_view {
    char id[65], pod_id[65];
    enum container_state state;
    nsec_t created_at, started_at, finished_at;
    int exit_code;
    const char *reason, *message;      /* "" until it is EXITED; borrowed, as all below is */
    const struct container_spec *spec; /* as asked for; its resources may have changed since: */
    const struct linux_resources *resources;
    const char *image_id;
    const char *image_ref;      /* the name to show: user_specified_image, a tag, or the id */
    const char *log_path;       /* absolute, "" without log */
    const char *runtime;        /* "runc" or a driver's name */
    const char *guest_family;   /* of a unikernel; "" of any other */
    char *const *guest_ignored; /* what of the request its guest is not told, for people; NULL
                                   nothing */
    int32_t pid;                /* of the workload, 0 when it does not run */
    int stop_signal;            /* that stops it, whoever chose it: the CRI's Signal */
    int64_t user, group;        /* as resolved; -1 where it has no meaning */
    const int64_t *groups;      /* supplementary, as resolved */
    size_t n_groups;
    nsec_t phases[START_PHASES]; /* how long they took; 0: not gone through, or not known */
    void *hold, *hold_resources;
};
void container_view_done(struct container_view *view);
void container_views_free(struct container_view *views, size_t n);

int container_create(struct engine *engine, const struct container_spec *spec,
                     const struct caller *caller, char *ret_id, struct err *err) MUST_CHECK;
int container_start(struct engine *engine, const char *id, const struct caller *caller,
                    struct err *err) MUST_CHECK;
/** container_stop() - stop signal, then after `grace` SIGKILL. A later call with less grace
 * shortens the wait. Unknown or ended: success. */
int container_stop(struct engine *engine, const char *id, nsec_t grace, const struct caller *caller,
                   struct err *err) MUST_CHECK;
/** container_remove() - kills it when it runs. Unknown: success. */
int container_remove(struct engine *engine, const char *id, const struct caller *caller,
                     struct err *err) MUST_CHECK;
/**
 * container_update() - UpdateContainerResources: zero, "" and absent keys mean "leave". The row
 * comes first, so that status and a restart tell what is in force; of a container that is CREATED
 * it counts from its start. A unikernel's limits are its VMM's: the guest's memory and what the VMM
 * needs beside it. Errors: NOT_FOUND; STATE when it has ended, or when a memory limit is below what
 * is in use or what the guest has; INVALID, UNSUPPORTED: see resources_check(); as the kernel's,
 * then nothing has changed.
 */
int container_update(struct engine *engine, const char *id, const struct linux_resources *update,
                     const struct caller *caller, struct err *err) MUST_CHECK;
int container_get(struct engine *engine, const char *id, struct container_view *ret,
                  struct err *err) MUST_CHECK;
/** container_runtime_spec() - the OCI config.json of a container as it is now, owned by the caller;
 * NULL without one (a unikernel, after a reboot) or when it is larger than `max_bytes`. Reads a
 * file. */
char *container_runtime_spec(struct engine *engine, const char *id, size_t max_bytes);
/** container_list() - newest first; all but those that are being created. Caller:
 * container_views_free(). */
size_t container_list(struct engine *engine, const struct list_filter *filter,
                      struct container_view **ret);
/** container_list_packed() - see pod_list_packed(). */
typedef struct piece *container_pack_fn(const struct container_view *view);
size_t container_list_packed(struct engine *engine, const struct list_filter *filter,
                             container_pack_fn *pack, struct piece ***ret);

#define EXEC_OUTPUT_MAX_BYTES                                                                      \
    (16 * 1024 * 1024 -                                                                            \
     64 * 1024) /* both streams together: the client's message limit less framing */

struct exec_result {
    char *out, *errout; /* owned, binary */
    size_t out_len, errout_len;
    int exit_code;
};
void exec_result_done(struct exec_result *result);
/**
 * container_checkpoint() - CheckpointContainer: memory and changed files of a running container as
 * an archive at `location`, an absolute path whose directory is there; mode 0600; an older file is
 * replaced when the new one is whole. The container goes on.
 * @timeout: for all of it; 0: runtime.timeout. Then what has not been done is given up (DEADLINE).
 * Errors: NOT_FOUND, INVALID (location), STATE (not running), UNSUPPORTED (a unikernel; CRIU is
 * missing or cannot work on this node: why), EXHAUSTED (disk), INTERNAL with CRIU's own words.
 */
int container_checkpoint(struct engine *engine, const char *id, const char *location,
                         nsec_t timeout, const struct caller *caller, struct err *err) MUST_CHECK;

/** container_exec_sync() - run argv in a running container; timeout 0 = none. At the timeout the
 * whole process tree of the exec is killed and the error is DEADLINE; when the caller has gone,
 * too. Of a unikernel: as container_exec_check(). */
int container_exec_sync(struct engine *engine, const char *id, char *const *argv, nsec_t timeout,
                        const struct caller *caller, struct exec_result *ret,
                        struct err *err) MUST_CHECK;
/** container_reopen_log() - the new file exists when it returns. Errors: STATE when not running. */
int container_reopen_log(struct engine *engine, const char *id, struct err *err) MUST_CHECK;

/* ------------------------------------------------------------- streams */

/* What a client wants to see of a command. With `tty` there is no `errout`. */
struct exec_streams {
    bool tty, in, out, errout;
};
/* A command of Exec while it runs. The descriptors are the caller's to close, `ended` excepted. */
struct exec_run {
    int in, out, errout; /* our ends; -1: not wanted. A terminal is one descriptor: in == out */
    int ended;           /* readable once the command has ended; belongs to `exec` */
    struct exec_stream *exec;
};
/** container_exec_check() - can argv be run in it now? In a unikernel that is "unicri:COMMAND", as
 * far as its handler allows it. Errors: NOT_FOUND, STATE, DENIED (the handler), UNSUPPORTED (a
 * unikernel) saying what to do instead. Thread: any; does not block. */
int container_exec_check(struct engine *engine, const char *id, char *const *argv,
                         struct err *err) MUST_CHECK;
/** container_exec_start() - start argv. It blocks until the runtime has been started and, with a
 * terminal, until that has come. The caller ends it with container_exec_end(). */
int container_exec_start(struct engine *engine, const char *id, char *const *argv,
                         const struct exec_streams *streams, deadline_t deadline,
                         struct exec_run *ret, struct err *err) MUST_CHECK;
/** container_exec_end() - give it back, once, after `ended` is readable or with `kill`: then all
 * that the command has started is killed first. ret_code: 128 + signal for a signal. Errors: the
 * runtime's own, when the command never ran. Blocks. */
int container_exec_end(struct exec_stream *exec, bool kill, int *ret_code,
                       struct err *err) MUST_CHECK;

/* Stdio of a running container, at most this much in one packet: the first byte is the channel. */
#define ATTACH_PACKET_MAX_BYTES (32 * 1024 + 1)
#define ATTACH_IN               0 /* to the container; a packet with nothing else ends its stdin */
#define ATTACH_OUT              1
#define ATTACH_ERR              2
/** container_attach() - a packet socket that carries stdio from now on; it ends with the container.
 * *in: is stdin wanted; false on return when the container has none that is open. A container with
 * stdin_once loses its stdin when this descriptor is closed. Errors: NOT_FOUND, STATE, EXHAUSTED.
 * Blocks up to the deadline. */
int container_attach(struct engine *engine, const char *id, bool *in, deadline_t deadline,
                     int *ret_fd, struct err *err) MUST_CHECK;
/** container_resize() - of its terminal. Blocks up to the deadline. */
int container_resize(struct engine *engine, const char *id, unsigned width, unsigned height,
                     deadline_t deadline, struct err *err) MUST_CHECK;

#define POD_DIAL_MAX (2 + POD_IPS_MAX)
/* Where a port of a pod can be reached: sockets of its network namespace, not connected yet and
 * non-blocking, to be tried in this order. */
struct pod_dial {
    struct {
        int fd;           /* the caller's to close */
        char address[46]; /* numeric */
    } v[POD_DIAL_MAX];
    size_t n;
};
/** pod_dial_open() - 127.0.0.1 and ::1; then the pod's own addresses when a unikernel has them.
 * Errors: NOT_FOUND, STATE (not READY). Thread: any, no thread changes its namespace. */
int pod_dial_open(struct engine *engine, const char *id, struct pod_dial *ret,
                  struct err *err) MUST_CHECK;
void pod_dial_done(struct pod_dial *dial);

/* -------------------------------------------------------------- status */

/** container_full_id() - people give the beginning of an id: the id that alone begins so, into
 * `ret`. Returns: false when none or several do. */
bool container_full_id(struct engine *engine, const char *prefix, char ret[65]);
bool pod_full_id(struct engine *engine, const char *prefix, char ret[65]);

struct handler_view {
    const char *name; /* "" = the default; borrowed from the engine */
    const char *kind; /* "auto", "runc", a driver's name */
    bool recursive_readonly, user_namespaces;
    char *unavailable; /* owned: why this host cannot run it, or NULL */
};
/** engine_handlers() - all of the configuration, the default ("") first. The first call asks each
 * OCI runtime for its features. Caller: handler_views_free(). */
size_t engine_handlers(struct engine *engine, struct handler_view **ret);
void handler_views_free(struct handler_view *views, size_t n);
/** engine_ready() - can containers be run? Else *ret_why, owned by the caller. */
bool engine_ready(struct engine *engine, char **ret_why);
/** engine_cgroup_v2() - are control groups all of version 2 here? Some numbers exist there only. */
bool engine_cgroup_v2(const struct engine *engine);
/** engine_census() - what this daemon has made and not yet undone, as JSON (cgroups, netns, mounts,
 * taps, monitors, owed DELs): the leak census for metrics and `unicri info`. Owned by the caller.
 */
char *engine_census(struct engine *engine);

/* The facade goes on: what pods and containers use, and what happens to them. */
#include "sandbox/events.h"
#include "sandbox/usage.h"

#endif
