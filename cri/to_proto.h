/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_proto - the engine's views become replies. Everything is copied into the arena of the call, so
 * the views may end before the reply is packed. CRI's states are computed here and nowhere else.
 */
#ifndef UNICRI_CRI_TO_PROTO_H
#define UNICRI_CRI_TO_PROTO_H

#include "runtime.pb-c.h"

#include "base/piece.h"
#include "cri/arena.h"
#include "imagestore/imagestore.h"
#include "sandbox/sandbox.h"

/* A message in the arena, initialised: PROTO_NEW(arena, Runtime__V1__Image, runtime__v1__image) */
#define PROTO_NEW(arena, type, init_prefix)                                                        \
    __extension__({                                                                                \
        __auto_type new_ = ARENA_NEW(arena, type);                                                 \
        init_prefix##__init(new_);                                                                 \
        new_;                                                                                      \
    })

Runtime__V1__PodSandboxState pod_state_to_proto(enum pod_state state);
Runtime__V1__ContainerState container_state_to_proto(enum container_state state);

/** pod_to_list(), container_to_list() - an element of ListPodSandbox's and ListContainers' replies,
 * and of their streams' messages: see pod_pack_fn. */
struct piece *pod_to_list(const struct pod_view *view);
struct piece *container_to_list(const struct container_view *view);
Runtime__V1__PodSandboxStatus *pod_status_to_proto(struct arena *arena,
                                                   const struct pod_view *view);
/** pod_info_to_proto() - what verbose adds, as JSON text. */
char *pod_info_to_proto(struct arena *arena, const struct pod_view *view);

/** container_status_to_proto() - `image` is the container's, NULL when it is gone. */
Runtime__V1__ContainerStatus *container_status_to_proto(struct arena *arena,
                                                        const struct container_view *view,
                                                        const struct image *image);
Runtime__V1__ContainerStats *container_stats_to_proto(struct arena *arena,
                                                      const struct container_stats_view *view);
Runtime__V1__PodSandboxStats *pod_stats_to_proto(struct arena *arena,
                                                 const struct pod_stats_view *view);
char *container_info_to_proto(struct arena *arena, const struct container_view *view,
                              const char *runtime_spec);

Runtime__V1__Image *image_to_proto(struct arena *arena, const struct image *image);
char *image_info_to_proto(struct arena *arena, const struct image *image);
/** image_user() - the user of an image's configuration as the CRI wants it: a number in *ret_uid
 * (-1: none), or a name in `name` (at most name_size - 1 bytes, "": none). The group behind ':'
 * does not count. */
void image_user(const char *user, int64_t *ret_uid, char *name, size_t name_size);
Runtime__V1__FilesystemUsage *fs_usage_to_proto(struct arena *arena,
                                                const struct image_fs_info *info);
Runtime__V1__FilesystemUsage *layers_usage_to_proto(struct arena *arena,
                                                    const struct layers_usage *usage);

/* ------------------------------------------------ for the files of to_proto */

/** proto_map() - key-value pairs as map entries; `entry_type` is the descriptor of the map's entry
 * message. */
void *proto_map(struct arena *arena, const struct kvs *kvs,
                const ProtobufCMessageDescriptor *entry_type, size_t *ret_n);
/** proto_element() - a message whose enum field `state` is 0, as an element of the field 1 of a
 * reply. The state comes last, even though it is 0, so that its byte can be found. */
struct piece *proto_element(const ProtobufCMessage *message);
/** proto_map_one() - a map with one entry: {"info": json}. */
void *proto_map_one(struct arena *arena, const char *key, char *value,
                    const ProtobufCMessageDescriptor *entry_type, size_t *ret_n);
char **proto_strv(struct arena *arena, char *const *v, size_t *ret_n);
Runtime__V1__UInt64Value *proto_u64(struct arena *arena, uint64_t value);
Runtime__V1__Int64Value *proto_i64(struct arena *arena, int64_t value);
Runtime__V1__NamespaceOption *proto_namespaces(struct arena *arena, const struct ns_options *ns);
Runtime__V1__IDMapping **proto_idmaps(struct arena *arena, const struct id_map *maps, size_t n);
Runtime__V1__LinuxContainerResources *proto_resources(struct arena *arena,
                                                      const struct linux_resources *resources);

#endif
