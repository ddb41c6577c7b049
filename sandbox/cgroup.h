/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - control groups of version 1, version 2 and hybrid hosts behind one face.
 *
 * A cgroup is named by one path that starts with '/', the same in every hierarchy. On a version 1
 * host it is a directory in each hierarchy that counts (memory, cpu, cpuacct, pids, and the unified
 * one of a hybrid host, which knows cgroup.kill); other hierarchies an OCI runtime may use are
 * cleaned up too. What is in a cgroup is the truth about what lives: see cgroup_populated().
 *
 * Thread: any; cgroup_open() once, everything else reads that result only.
 */
#ifndef UNICRI_SANDBOX_CGROUP_H
#define UNICRI_SANDBOX_CGROUP_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sandbox/spec.h"

#define CGROUP_HIERARCHIES_MAX 24
#define CGROUP_PATH_MAX_BYTES  1024
#define CGROUP_PROCS_MAX_BYTES (1024 * 1024)

struct cgroup_hierarchy {
    char *mount;       /* "/sys/fs/cgroup/memory"; owned */
    char *controllers; /* ",memory," or "" for the unified hierarchy; owned */
    bool unified;
    bool counts; /* we make our cgroups here */
};

struct cgroups {
    bool v2; /* the unified hierarchy has the controllers */
    struct cgroup_hierarchy h[CGROUP_HIERARCHIES_MAX];
    size_t n;
    bool systemd; /* names given by clients are slices */
};

/** cgroups_open() - look at what is mounted. `driver`: "cgroupfs" or "systemd". Errors: UNSUPPORTED
 * without cgroups, and "systemd" where that does not run. */
int cgroups_open(const char *driver, struct cgroups *ret, struct err *err) MUST_CHECK;
/** cgroups_scan() - the same from a text in the form of /proc/self/mountinfo. */
int cgroups_scan(const char *mountinfo, struct cgroups *ret, struct err *err) MUST_CHECK;
void cgroups_done(struct cgroups *c);
/** cgroups_have() - can a controller be used: mounted as version 1, or of a version 2 host. */
bool cgroups_have(const struct cgroups *c, const char *controller);

/** cgroup_path_check() - absolute, no "..", no control byte, bounded. Errors: INVALID. */
int cgroup_path_check(const char *path, struct err *err) MUST_CHECK;
/** cgroup_parent_path() - what a client's cgroup_parent means as a path: with the systemd driver
 * "a-b.slice" is
 * "/a.slice/a-b.slice". Owned by the caller. Errors: INVALID. */
char *cgroup_parent_path(const struct cgroups *c, const char *parent, struct err *err);
/** cgroup_dir() - the directory of `path` in the hierarchy of a controller ("" = unified), or NULL.
 * Owned by the caller. */
char *cgroup_dir(const struct cgroups *c, const char *controller, const char *path);
/** cgroup_dirs() - strv of the directories a process must be put into: of the hierarchies that
 * count, and of others where this cgroup has been made. */
char **cgroup_dirs(const struct cgroups *c, const char *path);

/** cgroup_create() - with parents, in every hierarchy that counts. Idempotent. *ret_made (may be
 * NULL): it was not there before. */
int cgroup_create(const struct cgroups *c, const char *path, bool *ret_made,
                  struct err *err) MUST_CHECK;
/** cgroup_show() - one that is there: all users may search and list it and its parents, whatever a
 * daemon with another umask has left. An OCI runtime in a user namespace must. */
int cgroup_show(const struct cgroups *c, const char *path, struct err *err) MUST_CHECK;
/** cgroup_create_in() - only in the hierarchy of one controller. */
int cgroup_create_in(const struct cgroups *c, const char *controller, const char *path,
                     struct err *err) MUST_CHECK;
/** cgroup_limit() - write limits; zero and "" mean: leave. For cgroups without an OCI runtime, and
 * for what changes later. Errors: STATE when the memory limit is below what is in use; as the
 * kernel's. */
int cgroup_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                 int64_t pids_max, struct err *err) MUST_CHECK;
/** cgroup_enter_limited() - make the cgroup also in those hierarchies in which `r` limits something
 * and none was made so far, and put all of its processes there. For cgroups without an OCI runtime.
 */
int cgroup_enter_limited(const struct cgroups *c, const char *path, const struct linux_resources *r,
                         struct err *err) MUST_CHECK;
/** cgroup_lock() - an exclusive lock on a cgroup that is there, across all processes of the host.
 * Returns: an fd that holds it. Errors: STATE when another process holds it; see fs_lock(). */
int cgroup_lock(const struct cgroups *c, const char *path, struct err *err) MUST_CHECK;
bool cgroup_exists(const struct cgroups *c, const char *path);
/** cgroup_populated() - is any process in it or below it? A cgroup that is not there is empty. */
bool cgroup_populated(const struct cgroups *c, const char *path);
/* How all processes of a cgroup are made to stand still. */
struct cgroup_freezer {
    char *file; /* owned; where one of the next two is written */
    const char *freeze, *thaw;
    char *state_file; /* owned; has this word in it when they do: */
    const char *frozen;
};
/** cgroup_freezer() - Errors: UNSUPPORTED. End it with cgroup_freezer_done(). */
int cgroup_freezer(const struct cgroups *c, const char *path, struct cgroup_freezer *ret,
                   struct err *err) MUST_CHECK;
void cgroup_freezer_done(struct cgroup_freezer *f);
/** cgroup_thaw() - it goes on; nothing when it does already. */
void cgroup_thaw(const struct cgroups *c, const char *path);
/** cgroup_kill() - SIGKILL to everything in it and below, and wait until it is empty. Errors:
 * DEADLINE (something cannot be killed). */
int cgroup_kill(const struct cgroups *c, const char *path, deadline_t deadline,
                struct err *err) MUST_CHECK;
/** cgroup_kill_now() - send the kill without waiting. */
void cgroup_kill_now(const struct cgroups *c, const char *path);
/** cgroup_remove() - it and all below it, in every hierarchy; absent: success. Errors: STATE while
 * a process is in it. */
int cgroup_remove(const struct cgroups *c, const char *path, deadline_t deadline,
                  struct err *err) MUST_CHECK;
/** cgroup_children() - names below `path` in any hierarchy that counts; strv. */
char **cgroup_children(const struct cgroups *c, const char *path);

/* Of the two versions, for cgroup.c only. */
int cgroup_v1_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err) MUST_CHECK;
int cgroup_v2_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err) MUST_CHECK;
int cgroup_v1_enter_limited(const struct cgroups *c, const char *path,
                            const struct linux_resources *r, struct err *err) MUST_CHECK;
/** cgroup_v1_inherit() - a new cpuset has neither cpus nor memory nodes: take the parent's. */
int cgroup_v1_inherit(const char *dir, struct err *err) MUST_CHECK;
/** cgroup_v2_delegate() - switch the controllers on for the children of `dir`. */
int cgroup_v2_delegate(const char *dir, struct err *err) MUST_CHECK;
/** cgroup_put() - write a value to DIR/FILE. */
int cgroup_put(const char *dir, const char *file, const char *value, struct err *err) MUST_CHECK;

#endif
