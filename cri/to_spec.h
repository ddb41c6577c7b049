/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_spec - requests become plain C: protobuf ends here. What is wrong in a request is said with
 * the path of the field in it ("config.mounts[2].container_path: not absolute"), always INVALID.
 *
 * wire.c has made sure of UTF-8, NULs and enum values; here are grammar, ranges and counts. Nothing
 * is looked up on the host. to_spec.c has what pods and containers share.
 */
#ifndef UNICRI_CRI_TO_SPEC_H
#define UNICRI_CRI_TO_SPEC_H

#include "runtime.pb-c.h"

#include "sandbox/sandbox.h"

/* Bounds of one request. */
#define SPEC_NAME_MAX_BYTES 253
#define SPEC_PATH_MAX_BYTES 4095
#define SPEC_TEXT_MAX_BYTES 4096
#define SPEC_HOSTNAME_MAX   64
#define SPEC_MAP_MAX        2048
#define SPEC_MAP_MAX_BYTES  ((size_t)1024 * 1024)
#define SPEC_DNS_MAX        64
#define SPEC_PORTS_MAX      1024
#define SPEC_IDMAPS_MAX     16
#define SPEC_GROUPS_MAX     4096
#define SPEC_ENVS_MAX       16384
#define SPEC_ARGS_MAX       16384
#define SPEC_ARGS_MAX_BYTES ((size_t)2 * 1024 * 1024)
#define SPEC_MOUNTS_MAX     1024
#define SPEC_DEVICES_MAX    1024
#define SPEC_CAPS_MAX       128
#define SPEC_MASKED_MAX     256
#define SPEC_HUGEPAGES_MAX  16
#define SPEC_UID_MAX        INT64_C(4294967294) /* 2^32 - 1 means "nobody" to the kernel */

/** pod_spec_from_proto() - of RunPodSandbox. Returns: owned by the caller; NULL with err. */
struct pod_spec *pod_spec_from_proto(const Runtime__V1__RunPodSandboxRequest *request,
                                     struct err *err);
/** container_spec_from_proto() - of CreateContainer. Returns: owned by the caller; NULL with err.
 */
struct container_spec *container_spec_from_proto(const Runtime__V1__CreateContainerRequest *request,
                                                 struct err *err);
/** argv_from_proto() - of ExecSync: at least one word. Caller frees with strv_free(). */
int argv_from_proto(size_t n, char **words, const char *what, char ***ret,
                    struct err *err) MUST_CHECK;
/** id_from_proto() - an id as clients give it: hex digits, at most ID_LEN of them. */
int id_from_proto(const char *id, const char *what, struct err *err) MUST_CHECK;

/* A filter and what it borrows its labels from. */
struct filter {
    struct list_filter list;
    struct kvs labels;
};
void filter_done(struct filter *filter);
int pod_filter_from_proto(const Runtime__V1__PodSandboxFilter *proto, struct filter *ret,
                          struct err *err) MUST_CHECK;
int container_filter_from_proto(const Runtime__V1__ContainerFilter *proto, struct filter *ret,
                                struct err *err) MUST_CHECK;

int container_stats_filter_from_proto(const Runtime__V1__ContainerStatsFilter *proto,
                                      struct filter *ret, struct err *err) MUST_CHECK;
int pod_stats_filter_from_proto(const Runtime__V1__PodSandboxStatsFilter *proto, struct filter *ret,
                                struct err *err) MUST_CHECK;

/* ------------------------------------------- for to_spec_pod.c and to_spec_container.c */

/* Every map<string, string> of the API has entries of this shape. */
struct map_entry {
    ProtobufCMessage base;
    char *key, *value;
};
_Static_assert(sizeof(struct map_entry) == sizeof(Runtime__V1__PodSandboxConfig__LabelsEntry),
               "entry");
#define MAP(entries) ((struct map_entry *const *)(void *)(entries))

/** spec_set() - replace an owned string by a copy. */
void spec_set(char **dst, const char *src);
int spec_count(size_t n, size_t max, const char *what, struct err *err) MUST_CHECK;
/** spec_text() - no control byte, at most `max` bytes; copied. */
int spec_text(const char *s, size_t max, const char *what, char **dst, struct err *err) MUST_CHECK;
/** spec_name() - letters, digits, '.', '_', '-'; begins with a letter or digit; not empty. */
int spec_name(const char *s, const char *what, char **dst, struct err *err) MUST_CHECK;
/** spec_path() - absolute, no "..", no control byte. */
int spec_path(const char *s, const char *what, char **dst, struct err *err) MUST_CHECK;
/** spec_target() - where something goes in a container: absolute, not its root. ".." and "." are
 * resolved by their letters, as clients of other runtimes know it. */
int spec_target(const char *s, const char *what, char **dst, struct err *err) MUST_CHECK;
/** spec_path_relative() - stays below where it is joined: not absolute, no "..". */
int spec_path_relative(const char *s, const char *what, char **dst, struct err *err) MUST_CHECK;
/** spec_strv() - words of at most `max` in number and `max_bytes` each; control bytes only when
 * `raw`. */
int spec_strv(size_t n, char **words, size_t max, size_t max_bytes, bool raw, const char *what,
              char ***dst, struct err *err) MUST_CHECK;
/** spec_map() - labels, annotations: kept unaltered. */
int spec_map(size_t n, struct map_entry *const *entries, const char *what, struct kvs *dst,
             struct err *err) MUST_CHECK;
/** spec_id() - a uid or gid. */
int spec_id(const Runtime__V1__Int64Value *value, const char *what, struct optional_int *dst,
            struct err *err) MUST_CHECK;
int spec_groups(size_t n, const int64_t *groups, const char *what, int64_t **dst, size_t *dst_n,
                struct err *err) MUST_CHECK;
int spec_idmaps(size_t n, Runtime__V1__IDMapping **maps, const char *what, struct id_map **dst,
                size_t *dst_n, struct err *err) MUST_CHECK;
/** spec_namespaces() - `pod`: TARGET makes no sense there. */
int spec_namespaces(const Runtime__V1__NamespaceOption *proto, bool pod, const char *what,
                    struct ns_options *dst, struct err *err) MUST_CHECK;
/** spec_profile() - the message, or in its absence the older string ("runtime/default",
 * "localhost/x"). */
int spec_profile(const Runtime__V1__SecurityProfile *proto, const char *older, const char *what,
                 struct security_profile *dst, struct err *err) MUST_CHECK;
int spec_selinux(const Runtime__V1__SELinuxOption *proto, const char *what,
                 struct selinux_option *dst, struct err *err) MUST_CHECK;
int spec_resources(const Runtime__V1__LinuxContainerResources *proto, const char *what,
                   struct linux_resources *dst, struct err *err) MUST_CHECK;

#endif
