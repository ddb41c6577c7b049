/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_proto_container - a container as lists and statuses show it. Mounts are those that were asked
 * for and no others: a kubelet finds the termination message by them.
 */
#include <string.h>

#include "base/json.h"
#include "cri/to_proto.h"

Runtime__V1__ContainerState container_state_to_proto(enum container_state state)
{
    switch (state) {
    case CONTAINER_CREATING:
    case CONTAINER_CREATED:
    case CONTAINER_STARTING:
        return RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
    case CONTAINER_RUNNING:
    case CONTAINER_STOPPING:
        return RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
    case CONTAINER_EXITED:
    case CONTAINER_REMOVING:
        return RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
    }
    return RUNTIME__V1__CONTAINER_STATE__CONTAINER_UNKNOWN;
}

static Runtime__V1__ContainerMetadata *metadata(struct arena *arena,
                                                const struct container_spec *spec)
{
    Runtime__V1__ContainerMetadata *new =
        PROTO_NEW(arena, Runtime__V1__ContainerMetadata, runtime__v1__container_metadata);

    new->name = arena_text(arena, spec->name);
    new->attempt = spec->attempt;
    return new;
}

static Runtime__V1__ImageSpec *image_spec(struct arena *arena, const char *name,
                                          const char *user_specified)
{
    Runtime__V1__ImageSpec *new = PROTO_NEW(arena, Runtime__V1__ImageSpec, runtime__v1__image_spec);

    new->image = arena_text(arena, name);
    new->user_specified_image = arena_text(arena, user_specified);
    return new;
}

/* All but the state. */
static Runtime__V1__Container *unchanging(struct arena *arena, const struct container_view *view)
{
    const struct container_spec *spec = view->spec;
    Runtime__V1__Container *new = PROTO_NEW(arena, Runtime__V1__Container, runtime__v1__container);

    new->id = arena_text(arena, view->id);
    new->pod_sandbox_id = arena_text(arena, view->pod_id);
    new->metadata = metadata(arena, spec);
    new->image = image_spec(arena, spec->image, spec->user_specified_image);
    new->image_ref = arena_text(arena, view->image_id);
    new->image_id = arena_text(arena, view->image_id);
    new->created_at = view->created_at;
    new->labels = proto_map(arena, &spec->labels, &runtime__v1__container__labels_entry__descriptor,
                            &new->n_labels);
    new->annotations =
        proto_map(arena, &spec->annotations, &runtime__v1__container__annotations_entry__descriptor,
                  &new->n_annotations);
    return new;
}

struct piece *container_to_list(const struct container_view *view)
{
    struct arena arena;

    arena_init(&arena, 0);

    struct piece *piece = proto_element(&unchanging(&arena, view)->base);

    arena_done(&arena);
    return piece;
}

static Runtime__V1__Mount *mount(struct arena *arena, const struct mount_spec *spec)
{
    Runtime__V1__Mount *new = PROTO_NEW(arena, Runtime__V1__Mount, runtime__v1__mount);

    new->container_path = arena_text(arena, spec->container_path);
    new->host_path = arena_text(arena, spec->host_path);
    new->readonly = spec->readonly;
    new->recursive_read_only = spec->recursive_readonly;
    new->selinux_relabel = spec->selinux_relabel;
    new->propagation = (Runtime__V1__MountPropagation)spec->propagation;
    new->uidmappings = proto_idmaps(arena, spec->uids, new->n_uidmappings = spec->n_uids);
    new->gidmappings = proto_idmaps(arena, spec->gids, new->n_gidmappings = spec->n_gids);
    if (spec->image && *spec->image) {
        new->image = image_spec(arena, spec->image, "");
        new->image_sub_path = arena_text(arena, spec->image_sub_path);
    }
    new->mount_options = proto_strv(arena, spec->options, &new->n_mount_options);
    return new;
}

static Runtime__V1__ContainerUser *user(struct arena *arena, const struct container_view *view)
{
    Runtime__V1__ContainerUser *new =
        PROTO_NEW(arena, Runtime__V1__ContainerUser, runtime__v1__container_user);
    Runtime__V1__LinuxContainerUser *linux =
        PROTO_NEW(arena, Runtime__V1__LinuxContainerUser, runtime__v1__linux_container_user);

    linux->uid = view->user;
    linux->gid = view->group >= 0 ? view->group : 0;
    linux->n_supplemental_groups = view->n_groups;
    if (view->n_groups) {
        linux->supplemental_groups = ARENA_ARRAY(arena, int64_t, view->n_groups);
        memcpy(linux->supplemental_groups, view->groups, view->n_groups * sizeof *view->groups);
    }
    new->linux = linux;
    return new;
}

/* What the status shows of the life so far; started_at and the rest stay 0 until they have a
 * meaning. */
static void life(struct arena *arena, const struct container_view *view,
                 Runtime__V1__ContainerStatus *new)
{
    new->state = container_state_to_proto(view->state);
    new->created_at = view->created_at;
    if (new->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED)
        return;
    new->started_at = view->started_at;
    if (new->state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
        return;
    new->finished_at = view->finished_at;
    new->exit_code = view->exit_code;
    new->reason = arena_text(arena, view->reason);
    new->message = arena_text(arena, view->message);
}

Runtime__V1__ContainerStatus *container_status_to_proto(struct arena *arena,
                                                        const struct container_view *view,
                                                        const struct image *image)
{
    const struct container_spec *spec = view->spec;
    Runtime__V1__ContainerStatus *new =
        PROTO_NEW(arena, Runtime__V1__ContainerStatus, runtime__v1__container_status);
    const char *name = view->image_ref && *view->image_ref ? view->image_ref : spec->image;

    new->id = arena_text(arena, view->id);
    new->metadata = metadata(arena, spec);
    life(arena, view, new);
    new->image = image_spec(arena, name, spec->user_specified_image);
    new->image_ref =
        arena_text(arena, image && strv_len(image->digests) ? image->digests[0] : view->image_id);
    new->image_id = arena_text(arena, view->image_id);
    new->labels =
        proto_map(arena, &spec->labels, &runtime__v1__container_status__labels_entry__descriptor,
                  &new->n_labels);
    new->annotations = proto_map(arena, &spec->annotations,
                                 &runtime__v1__container_status__annotations_entry__descriptor,
                                 &new->n_annotations);
    new->n_mounts = spec->n_mounts;
    if (spec->n_mounts)
        new->mounts = ARENA_ARRAY(arena, Runtime__V1__Mount *, spec->n_mounts);
    for (size_t i = 0; i < spec->n_mounts; i++)
        new->mounts[i] = mount(arena, &spec->mounts[i]);
    new->log_path = arena_text(arena, view->log_path);
    new->resources =
        PROTO_NEW(arena, Runtime__V1__ContainerResources, runtime__v1__container_resources);
    new->resources->linux = proto_resources(arena, view->resources);
    if (view->user >= 0)
        new->user = user(arena, view);
    new->stop_signal = (Runtime__V1__Signal)view->stop_signal;
    return new;
}

/* The request as it is kept, with the names that clients of other runtimes look for. */
static json_t *config_json(const struct container_view *view)
{
    const struct container_spec *spec = view->spec;
    autofree char *text = container_spec_write(spec);
    json_t *config = json_loads(text, 0, NULL), *metadata_json = json_object(),
           *image = json_object();

    if (!config)
        config = json_object();
    json_put_string(metadata_json, "name", spec->name);
    json_put_int(metadata_json, "attempt", spec->attempt);
    json_put_string(image, "image", spec->image);
    json_put_string(image, "user_specified_image", spec->user_specified_image);
    json_put(config, "metadata", metadata_json);
    json_put(config, "image", image);
    return config;
}

/* What it is, and what of the request it is not told. */
static json_t *unikernel_json(const struct container_view *view)
{
    json_t *guest = json_object();

    json_put_string(guest, "type", view->guest_family);
    json_put_strv(guest, "ignored", view->guest_ignored);
    return guest;
}

/* How long the phases of its start took, in seconds; what it did not go through is left out. */
static json_t *phases_json(const struct container_view *view)
{
    json_t *o = json_object();

    for (size_t i = 0; i < START_PHASES; i++)
        if (view->phases[i] > 0)
            json_put(o, start_phase_name(i), json_real((double)view->phases[i] / NSEC_PER_SEC));
    return o;
}

char *container_info_to_proto(struct arena *arena, const struct container_view *view,
                              const char *runtime_spec)
{
    autojson *info = json_object();
    json_t *spec = runtime_spec ? json_loads(runtime_spec, 0, NULL) : NULL;

    json_put_string(info, "sandboxID", view->pod_id);
    json_put(info, "pid", json_integer(view->pid));
    json_put(info, "removing", json_boolean(view->state == CONTAINER_REMOVING));
    json_put_string(info, "snapshotKey", view->id);
    json_put_string(info, "snapshotter", "overlayfs");
    json_put_string(info, "runtimeType", view->runtime);
    json_put_string(info, "runtime", view->runtime);
    json_put_string(info, "image", view->spec->image);
    json_put_string(info, "imageID", view->image_id);
    json_put_bool(info, "privileged", view->spec->privileged);
    if (view->guest_family && *view->guest_family)
        json_put(info, "unikernel", unikernel_json(view));
    json_put(info, "startSeconds", phases_json(view));
    json_put(info, "config", config_json(view));
    if (spec)
        json_put(info, "runtimeSpec", spec);
    autofree char *text = json_text(info);
    return arena_text(arena, text);
}
