/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec - what a client asked for, as plain C: the CRI's PodSandboxConfig and ContainerConfig
 * without protobuf.
 *
 * cri/to_spec fills these from requests (values checked there: enums, bounds, UTF-8 where a file
 * depends on it); they are immutable afterwards, stored as JSON in the row's `spec`, and read back
 * at start. Optional strings are "" when unset, vectors NULL when empty. Everything is owned by the
 * struct. Part of the facade (sandbox.h includes it).
 */
#ifndef UNICRI_SANDBOX_SPEC_H
#define UNICRI_SANDBOX_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum ns_mode {
    NS_POD,
    NS_CONTAINER,
    NS_NODE,
    NS_TARGET
}; /* the CRI's NamespaceMode, same numbers */

struct ns_options {
    enum ns_mode network, pid, ipc;
    char *target_id;
    bool userns; /* userns_options present with mode POD */
    struct id_map {
        uint32_t host_id, container_id, length;
    } * uids, *gids;
    size_t n_uids, n_gids;
};

enum profile_type { PROFILE_RUNTIME_DEFAULT, PROFILE_UNCONFINED, PROFILE_LOCALHOST };
struct security_profile {
    bool set; /* message present */
    enum profile_type type;
    char *localhost_ref;
};

struct selinux_option {
    char *user, *role, *type, *level;
};

struct optional_int {
    bool set;
    int64_t value;
};

struct port_mapping {
    int protocol; /* 0 TCP, 1 UDP, 2 SCTP */
    int32_t container_port, host_port;
    char *host_ip;
};

struct linux_resources {
    int64_t cpu_period, cpu_quota, cpu_shares;
    int64_t memory_limit, memory_swap_limit, oom_score_adj;
    char *cpuset_cpus, *cpuset_mems;
    struct hugepage_limit {
        char *page_size;
        uint64_t limit;
    } * hugepages;
    size_t n_hugepages;
    struct kvs unified;
};

struct pod_spec {
    char *name, *uid, *namespace_;
    uint32_t attempt;
    char *handler; /* runtime_handler, "" = default */
    char *hostname, *log_directory;
    char **dns_servers, **dns_searches, **dns_options;
    bool has_dns;
    struct port_mapping *ports;
    size_t n_ports;
    struct kvs labels, annotations;
    char *cgroup_parent;
    struct kvs sysctls;
    struct ns_options ns;
    bool privileged;
    struct optional_int run_as_user, run_as_group;
    int64_t *supplemental_groups;
    size_t n_supplemental_groups;
    struct selinux_option selinux;
    struct security_profile seccomp, apparmor;
    struct linux_resources overhead, resources;
};

enum mount_propagation { MOUNT_PRIVATE, MOUNT_HOST_TO_CONTAINER, MOUNT_BIDIRECTIONAL };
struct mount_spec {
    char *container_path, *host_path;
    bool readonly, recursive_readonly, selinux_relabel;
    enum mount_propagation propagation;
    struct id_map *uids, *gids;
    size_t n_uids, n_gids;
    char *image, *image_sub_path; /* "" unless an image volume */
    char **options;
};

struct container_spec {
    char *pod_id;
    char *name;
    uint32_t attempt;
    char *image; /* as given: id, digest or tag */
    char *user_specified_image;
    char **command, **args;
    char *working_dir;
    struct env_var {
        char *key;
        char *value; /* may hold any byte but NUL */
    } * envs;
    size_t n_envs;
    struct mount_spec *mounts;
    size_t n_mounts;
    struct device_spec {
        char *container_path, *host_path, *permissions;
    } * devices;
    size_t n_devices;
    char **cdi_devices;
    struct kvs labels, annotations;
    char *log_path; /* relative to the pod's log_directory */
    bool stdin_open, stdin_once, tty;
    int stop_signal; /* the CRI's Signal enum, 0 = the image's */
    struct linux_resources resources;
    struct ns_options ns;
    bool privileged, readonly_rootfs, no_new_privs;
    char **add_caps, **drop_caps, **ambient_caps;
    struct optional_int run_as_user, run_as_group;
    char *run_as_username;
    int64_t *supplemental_groups;
    size_t n_supplemental_groups;
    int supplemental_groups_policy; /* 0 Merge, 1 Strict */
    char **masked_paths, **readonly_paths;
    struct selinux_option selinux;
    struct security_profile seccomp, apparmor;
};

/** id_maps_equal() - the same ranges in the same order. */
bool id_maps_equal(const struct id_map *a, size_t n_a, const struct id_map *b, size_t n_b);

void pod_spec_free(struct pod_spec *spec);
void container_spec_free(struct container_spec *spec);
DEFINE_CLEANUP(struct pod_spec *, pod_spec_free);
DEFINE_CLEANUP(struct container_spec *, container_spec_free);

/** linux_resources_init() - all strings "", the rest zero; ended by linux_resources_done(). */
void linux_resources_init(struct linux_resources *r);
void linux_resources_done(struct linux_resources *r);

/** pod_spec_new() - all strings "", the rest zero. */
struct pod_spec *pod_spec_new(void);
struct container_spec *container_spec_new(void);

/** X_spec_write() - as JSON text, owned by the caller; binary env values survive. */
char *pod_spec_write(const struct pod_spec *spec);
char *container_spec_write(const struct container_spec *spec);
/** X_spec_parse() - what X_spec_write() wrote. Errors: CORRUPT naming the member. */
struct pod_spec *pod_spec_parse(const char *json, struct err *err);
struct container_spec *container_spec_parse(const char *json, struct err *err);

#endif
