/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_proto_pod - a pod as lists and statuses show it. `timestamp` and `containers_statuses` of the
 * status reply stay unset: a kubelet takes container statuses from there as soon as the time is
 * set, and then it wants all of them.
 */
#include <string.h>

#include "base/json.h"
#include "cri/to_proto.h"

Runtime__V1__PodSandboxState pod_state_to_proto(enum pod_state state)
{
    return state == POD_READY ? RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY
                              : RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static Runtime__V1__PodSandboxMetadata *metadata(struct arena *arena, const struct pod_spec *spec)
{
    Runtime__V1__PodSandboxMetadata *new =
        PROTO_NEW(arena, Runtime__V1__PodSandboxMetadata, runtime__v1__pod_sandbox_metadata);

    new->name = arena_text(arena, spec->name);
    new->uid = arena_text(arena, spec->uid);
    new->namespace_ = arena_text(arena, spec->namespace_);
    new->attempt = spec->attempt;
    return new;
}

/* All but the state. */
static Runtime__V1__PodSandbox *unchanging(struct arena *arena, const struct pod_view *view)
{
    const struct pod_spec *spec = view->spec;
    Runtime__V1__PodSandbox *new =
        PROTO_NEW(arena, Runtime__V1__PodSandbox, runtime__v1__pod_sandbox);

    new->id = arena_text(arena, view->id);
    new->metadata = metadata(arena, spec);
    new->created_at = view->created_at;
    new->labels = proto_map(arena, &spec->labels,
                            &runtime__v1__pod_sandbox__labels_entry__descriptor, &new->n_labels);
    new->annotations =
        proto_map(arena, &spec->annotations,
                  &runtime__v1__pod_sandbox__annotations_entry__descriptor, &new->n_annotations);
    new->runtime_handler = arena_text(arena, spec->handler);
    return new;
}

struct piece *pod_to_list(const struct pod_view *view)
{
    struct arena arena;

    arena_init(&arena, 0);

    struct piece *piece = proto_element(&unchanging(&arena, view)->base);

    arena_done(&arena);
    return piece;
}

/* Present even without an address: a pod in the host's network has none of its own. */
static Runtime__V1__PodSandboxNetworkStatus *network(struct arena *arena,
                                                     const struct pod_view *view)
{
    Runtime__V1__PodSandboxNetworkStatus *new = PROTO_NEW(
        arena, Runtime__V1__PodSandboxNetworkStatus, runtime__v1__pod_sandbox_network_status);

    if (view->n_ips == 0)
        return new;
    new->ip = arena_text(arena, view->ips[0]);
    new->n_additional_ips = view->n_ips - 1;
    if (new->n_additional_ips)
        new->additional_ips = ARENA_ARRAY(arena, Runtime__V1__PodIP *, new->n_additional_ips);
    for (size_t i = 1; i < view->n_ips; i++) {
        new->additional_ips[i - 1] = PROTO_NEW(arena, Runtime__V1__PodIP, runtime__v1__pod_ip);
        new->additional_ips[i - 1]->ip = arena_text(arena, view->ips[i]);
    }
    return new;
}

Runtime__V1__PodSandboxStatus *pod_status_to_proto(struct arena *arena, const struct pod_view *view)
{
    const struct pod_spec *spec = view->spec;
    Runtime__V1__PodSandboxStatus *new =
        PROTO_NEW(arena, Runtime__V1__PodSandboxStatus, runtime__v1__pod_sandbox_status);

    new->id = arena_text(arena, view->id);
    new->metadata = metadata(arena, spec);
    new->state = pod_state_to_proto(view->state);
    new->created_at = view->created_at;
    new->network = network(arena, view);
    new->linux =
        PROTO_NEW(arena, Runtime__V1__LinuxPodSandboxStatus, runtime__v1__linux_pod_sandbox_status);
    new->linux->namespaces = PROTO_NEW(arena, Runtime__V1__Namespace, runtime__v1__namespace);
    new->linux->namespaces->options = proto_namespaces(arena, &spec->ns);
    new->labels =
        proto_map(arena, &spec->labels, &runtime__v1__pod_sandbox_status__labels_entry__descriptor,
                  &new->n_labels);
    new->annotations = proto_map(arena, &spec->annotations,
                                 &runtime__v1__pod_sandbox_status__annotations_entry__descriptor,
                                 &new->n_annotations);
    new->runtime_handler = arena_text(arena, spec->handler);
    return new;
}

/* The request as it is kept, with the names that clients of other runtimes look for. */
static json_t *config_json(const struct pod_spec *spec)
{
    autofree char *text = pod_spec_write(spec);
    json_t *config = json_loads(text, 0, NULL), *metadata_json = json_object();

    if (!config)
        config = json_object();
    json_put_string(metadata_json, "name", spec->name);
    json_put_string(metadata_json, "namespace", spec->namespace_);
    json_put_string(metadata_json, "uid", spec->uid);
    json_put_int(metadata_json, "attempt", spec->attempt);
    json_put(config, "metadata", metadata_json);
    return config;
}

char *pod_info_to_proto(struct arena *arena, const struct pod_view *view)
{
    static const char *const names[] = {[POD_CREATING] = "creating",
                                        [POD_READY] = "ready",
                                        [POD_STOPPING] = "stopping",
                                        [POD_NOTREADY] = "notready",
                                        [POD_REMOVING] = "removing"};
    autojson *info = json_object();

    json_put_string(info, "state", names[view->state]);
    json_put_string(info, "handler", view->handler);
    json_put_string(info, "runtimeHandler", view->spec->handler);
    json_put_string(info, "netns", view->netns);
    json_put_string(info, "cgroup", view->cgroup);
    json_put(info, "pid", json_integer(view->init_pid));
    json_put(info, "config", config_json(view->spec));
    autofree char *text = json_text(info);
    return arena_text(arena, text);
}
