/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_spec - config.json of an ordinary container (OCI runtime-spec; ociVersion 1.0.2, which older
 * runtimes take too). Everything it depends on is in struct oci_input, resolved before: writing it
 * does no I/O but looks at host paths of mounts and devices.
 */
#ifndef UNICRI_SANDBOX_OCI_SPEC_H
#define UNICRI_SANDBOX_OCI_SPEC_H

#include "base/json.h"
#include "sandbox/cgroup.h"
#include "sandbox/users.h"

/* All borrowed. */
struct oci_input {
    const struct container_spec *spec;
    const struct pod_spec *pod;
    const char *rootfs; /* absolute */
    char *const *argv, *const *env, *const *caps;
    const char *cwd;
    char *const *ambient; /* capabilities; NULL none */
    const struct user *user;
    const struct cgroups *cgroups;
    const char *cgroup;
    char *const *volumes;           /* sources of the request's mounts that are image volumes */
    const char *pod_dir;            /* resolv.conf, hostname, hosts, shm */
    const char *netns, *userns;     /* "" the node's */
    const char *pidns;              /* path, "" = by ns.pid: a new one or the node's */
    const char *apparmor, *selinux; /* "" none */
    const char *selinux_mount;      /* label of the files that only this container sees */
    json_t *seccomp;                /* or NULL */
    int64_t oom_score_adj;
};

/** oci_check() - what of a request cannot be done, before anything is made. Errors: INVALID,
 * UNSUPPORTED. */
int oci_check(const struct pod_spec *pod, const struct container_spec *spec,
              struct err *err) MUST_CHECK;
/** oci_spec_build() - *ret: a new reference. Errors: INVALID naming mount, device, argument. */
int oci_spec_build(const struct oci_input *in, json_t **ret, struct err *err) MUST_CHECK;

/* The parts, one file each. */
int oci_process(const struct oci_input *in, json_t **ret, struct err *err) MUST_CHECK;
int oci_mounts(const struct oci_input *in, json_t **ret, bool *ret_shared, bool *ret_slave,
               struct err *err) MUST_CHECK;
int oci_linux(const struct oci_input *in, bool shared, bool slave, json_t **ret,
              struct err *err) MUST_CHECK;
/** oci_devices() - those of the request, and of a privileged container the node's; with the rules
 * that allow them, both appended. Errors: INVALID naming the device; as the kernel's. */
int oci_devices(const struct oci_input *in, json_t *devices, json_t *rules,
                struct err *err) MUST_CHECK;
/** oci_resources() - without the rules of devices; a new reference. */
json_t *oci_resources(const struct cgroups *c, const struct linux_resources *r);
/** oci_resources_replace() - in a config.json that is there. Errors: as the file's; CORRUPT. */
int oci_resources_replace(const char *path, const struct cgroups *c,
                          const struct linux_resources *r, int64_t oom_score_adj,
                          struct err *err) MUST_CHECK;
/** oci_process_args() - replace the arguments of a process object (exec). Errors: INVALID (not
 * UTF-8). */
int oci_process_args(json_t *process, char *const *argv, struct err *err) MUST_CHECK;
/** oci_same_path() - equal but for slashes at the end and doubled ones. */
bool oci_same_path(const char *a, const char *b);
/** oci_mounts_sort() - append to `out`, parents first; equal depths keep their order. */
void oci_mounts_sort(const json_t *list, json_t *out);
/** mount_source() - the directory or file on the node that a requested mount shows: made when it is
 * missing, links followed. Owned. Errors: INVALID; as the kernel's. */
char *mount_source(const struct mount_spec *m, struct err *err);
/** mount_propagation_of() - is the mount that holds `path` shared or a slave? From a text in the
 * form of /proc/self/mountinfo. */
void mount_propagation_of(const char *mountinfo, const char *path, bool *ret_shared,
                          bool *ret_slave);

#endif
