/* SPDX-License-Identifier: Apache-2.0 */
/* to_proto - what several replies have in common: maps, vectors, numbers that may be absent,
 * namespaces, resources. */
#include "cri/to_proto.h"

#include <string.h>

#include "cri/to_spec.h"

static struct map_entry *entry(struct arena *arena, const ProtobufCMessageDescriptor *type,
                               char *key, char *value)
{
    struct map_entry *new = ARENA_NEW(arena, struct map_entry);

    protobuf_c_message_init(type, new);
    new->key = key;
    new->value = value;
    return new;
}

void *proto_map(struct arena *arena, const struct kvs *kvs,
                const ProtobufCMessageDescriptor *entry_type, size_t *ret_n)
{
    struct map_entry **entries = kvs->n ? ARENA_ARRAY(arena, struct map_entry *, kvs->n) : NULL;

    for (size_t i = 0; i < kvs->n; i++)
        entries[i] = entry(arena, entry_type, arena_text(arena, kvs->v[i].key),
                           arena_text(arena, kvs->v[i].value));
    *ret_n = kvs->n;
    return entries;
}

void *proto_map_one(struct arena *arena, const char *key, char *value,
                    const ProtobufCMessageDescriptor *entry_type, size_t *ret_n)
{
    struct map_entry **entries = ARENA_ARRAY(arena, struct map_entry *, 1);

    entries[0] = entry(arena, entry_type, arena_text(arena, key), value);
    *ret_n = 1;
    return entries;
}

struct piece *proto_element(const ProtobufCMessage *message)
{
    enum { LENGTH_PREFIXED = 2, VARINT = 0, VARINT_MAX_BYTES = 10 };
    const ProtobufCFieldDescriptor *state =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "state");
    size_t len = protobuf_c_message_get_packed_size(message), head = 0;
    uint8_t start[1 + VARINT_MAX_BYTES];

    start[head++] = 1 << 3 | LENGTH_PREFIXED;
    for (size_t left = len + 2; left; left >>= 7)
        start[head++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));

    struct piece *piece = piece_new(head + len + 2);

    memcpy(piece->bytes, start, head);
    (void)protobuf_c_message_pack(message, piece->bytes + head);
    piece->bytes[head + len] = (uint8_t)(state->id << 3 | VARINT);
    piece->bytes[head + len + 1] = 0;
    return piece;
}

char **proto_strv(struct arena *arena, char *const *v, size_t *ret_n)
{
    size_t n = strv_len(v);
    char **copy = n ? ARENA_ARRAY(arena, char *, n) : NULL;

    for (size_t i = 0; i < n; i++)
        copy[i] = arena_text(arena, v[i]);
    *ret_n = n;
    return copy;
}

Runtime__V1__UInt64Value *proto_u64(struct arena *arena, uint64_t value)
{
    Runtime__V1__UInt64Value *new =
        PROTO_NEW(arena, Runtime__V1__UInt64Value, runtime__v1__uint64_value);

    new->value = value;
    return new;
}

Runtime__V1__Int64Value *proto_i64(struct arena *arena, int64_t value)
{
    Runtime__V1__Int64Value *new =
        PROTO_NEW(arena, Runtime__V1__Int64Value, runtime__v1__int64_value);

    new->value = value;
    return new;
}

Runtime__V1__IDMapping **proto_idmaps(struct arena *arena, const struct id_map *maps, size_t n)
{
    Runtime__V1__IDMapping **copy = n ? ARENA_ARRAY(arena, Runtime__V1__IDMapping *, n) : NULL;

    for (size_t i = 0; i < n; i++) {
        copy[i] = PROTO_NEW(arena, Runtime__V1__IDMapping, runtime__v1__idmapping);
        copy[i]->host_id = maps[i].host_id;
        copy[i]->container_id = maps[i].container_id;
        copy[i]->length = maps[i].length;
    }
    return copy;
}

Runtime__V1__NamespaceOption *proto_namespaces(struct arena *arena, const struct ns_options *ns)
{
    Runtime__V1__NamespaceOption *new =
        PROTO_NEW(arena, Runtime__V1__NamespaceOption, runtime__v1__namespace_option);
    Runtime__V1__UserNamespace *user =
        PROTO_NEW(arena, Runtime__V1__UserNamespace, runtime__v1__user_namespace);

    new->network = (Runtime__V1__NamespaceMode)ns->network;
    new->pid = (Runtime__V1__NamespaceMode)ns->pid;
    new->ipc = (Runtime__V1__NamespaceMode)ns->ipc;
    new->target_id = arena_text(arena, ns->target_id);
    user->mode = ns->userns ? RUNTIME__V1__NAMESPACE_MODE__POD : RUNTIME__V1__NAMESPACE_MODE__NODE;
    user->uids = proto_idmaps(arena, ns->uids, user->n_uids = ns->n_uids);
    user->gids = proto_idmaps(arena, ns->gids, user->n_gids = ns->n_gids);
    new->userns_options = user;
    return new;
}

Runtime__V1__LinuxContainerResources *proto_resources(struct arena *arena,
                                                      const struct linux_resources *resources)
{
    Runtime__V1__LinuxContainerResources *new = PROTO_NEW(
        arena, Runtime__V1__LinuxContainerResources, runtime__v1__linux_container_resources);

    new->cpu_period = resources->cpu_period;
    new->cpu_quota = resources->cpu_quota;
    new->cpu_shares = resources->cpu_shares;
    new->memory_limit_in_bytes = resources->memory_limit;
    new->memory_swap_limit_in_bytes = resources->memory_swap_limit;
    new->oom_score_adj = resources->oom_score_adj;
    new->cpuset_cpus = arena_text(arena, resources->cpuset_cpus);
    new->cpuset_mems = arena_text(arena, resources->cpuset_mems);
    new->unified = proto_map(arena, &resources->unified,
                             &runtime__v1__linux_container_resources__unified_entry__descriptor,
                             &new->n_unified);
    new->n_hugepage_limits = resources->n_hugepages;
    if (resources->n_hugepages)
        new->hugepage_limits =
            ARENA_ARRAY(arena, Runtime__V1__HugepageLimit *, resources->n_hugepages);
    for (size_t i = 0; i < resources->n_hugepages; i++) {
        Runtime__V1__HugepageLimit *limit =
            PROTO_NEW(arena, Runtime__V1__HugepageLimit, runtime__v1__hugepage_limit);
        limit->page_size = arena_text(arena, resources->hugepages[i].page_size);
        limit->limit = resources->hugepages[i].limit;
        new->hugepage_limits[i] = limit;
    }
    return new;
}
