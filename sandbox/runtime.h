/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime - what differs between an ordinary container and a unikernel: one const ops table each,
 * chosen once at create and kept in the container. All ops may block; the caller holds the
 * container's job. Those that undo are idempotent.
 */
#ifndef UNICRI_SANDBOX_RUNTIME_H
#define UNICRI_SANDBOX_RUNTIME_H

#include "sandbox/container.h"
#include "sandbox/monitor_client.h"

struct runtime_ops {
    /** All that can be told to be wrong before anything is made. c->image is set. */
    int (*check)(struct container *c, struct err *err);
    /** The image's files at hand: a mounted root, or only the layers held. */
    int (*rootfs)(struct container *c, struct err *err);
    /** What start will need: config.json, private disks. */
    int (*bundle)(struct container *c, struct err *err);
    int (*link)(struct container *c, struct err *err);   /* NULL: none */
    int (*unlink)(struct container *c, struct err *err); /* NULL: none */
    /** Tell the monitor what to run. */
    int (*launch)(struct container *c, struct monitor_plan *plan, struct err *err);
    /** c->resources has changed: what start will use, and when `running` the limits of `change`,
     * which has zero for what stays. Errors: STATE: below what is in use. */
    int (*update)(struct container *c, bool running, const struct linux_resources *change,
                  struct err *err);
    /** The workload's program runs: wait until it does what it is for. NULL: it does. On failure it
     * is killed. */
    int (*started)(struct container *c, struct err *err);
    /** The daemon has found it running at its start. NULL: nothing is to be done. Does not block.
     */
    void (*adopted)(struct container *c);
    /** Ask the workload to end in a way of its own. Returns: false, nothing was done: it is to be
     * sent its stop signal. NULL: the same. What went wrong goes into err. */
    bool (*stop)(struct container *c, deadline_t deadline, struct err *err);
    /** The workload has ended: what the runtime keeps of it goes. */
    int (*cleanup)(struct container *c, struct err *err);
    /** One program in the container, for as long as the caller is there; NULL: not possible. */
    int (*exec)(struct container *c, char *const *argv, nsec_t timeout, const struct caller *caller,
                struct exec_result *ret, struct err *err);
    /** What an end means; exit_code is 128 + signal for a signal. `reason` and `message` may stay
     * NULL. */
    void (*explain)(struct container *c, bool exited, int code, int *exit_code, const char **reason,
                    const char **message);
};

extern const struct runtime_ops runtime_runc;
extern const struct runtime_ops runtime_unikernel;

/** runc_exec() - runtime_runc's exec. */
int runc_exec(struct container *c, char *const *argv, nsec_t timeout, const struct caller *caller,
              struct exec_result *ret, struct err *err);
/** exec_result_fit() - cut both outputs to `max` bytes together; stderr keeps a quarter at least.
 */
void exec_result_fit(struct exec_result *r, size_t max);

/** runtime_choose() - by handler and image: sets runtime, runtime_name and, for a unikernel, guest.
 * c->image is set. Errors: INVALID, UNSUPPORTED saying why no runtime can run the image. */
int runtime_choose(struct container *c, struct err *err) MUST_CHECK;
/** runtime_restore() - the same for a container found at start, by the name in its row. */
void runtime_restore(struct container *c);
/** runtime_guest() - what the image declares, for c->guest; c->image must be set. *ret NULL: no
 * unikernel. */
int runtime_guest(struct container *c, struct guest **ret, struct err *err) MUST_CHECK;
/** runtime_open_file() - a file of c's image, or of the node where the guest says so. Returns: fd
 * or -1. Errors: those of image_open_file() and vmm_host_file_open(). */
int runtime_open_file(struct container *c, const char *path, struct err *err);
/** container_image() - c->image, looked up again after a restart. Borrowed. NULL with err
 * NOT_FOUND. */
const struct image *container_image(struct container *c, struct err *err);

/** container_args() - the CRI's rules: command replaces the image's entrypoint and drops its cmd,
 * args replace its cmd. Owned; NULL when there is nothing to run. */
char **container_args(const struct container_spec *spec, const struct image_config *config);
/** container_env() - the image's, then the request's, which replaces by name. Owned. Errors:
 * INVALID (name). */
int container_env(const struct container_spec *spec, const struct image_config *config, char ***ret,
                  struct err *err) MUST_CHECK;
/** oom_score_clamp() - the lowest this daemon may set. */
int64_t oom_score_clamp(int64_t wanted);

#endif
