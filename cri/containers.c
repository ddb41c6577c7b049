/* SPDX-License-Identifier: Apache-2.0 */
/* containers - CreateContainer, StartContainer, StopContainer, RemoveContainer, ContainerStatus,
 * ListContainers, CheckpointContainer. */
#include <string.h>

#include "base/id.h"
#include "base/strbuf.h"
#include "cri/handlers.h"

/* In a verbose status, beside the request itself: a larger one is left out. */
#define RUNTIME_SPEC_MAX_BYTES ((size_t)4 * 1024 * 1024)

/* A container gets no more than its pod was granted. */
static int fits_pod(struct call *call, const struct container_spec *spec, struct err *err)
{
    CLEANUP(pod_view_done) struct pod_view pod = {0};

    if (pod_get(call->daemon->engine, spec->pod_id, &pod, err) < 0)
        return -1;
    if (spec->privileged && !pod.spec->privileged)
        return err_set(err, ERR_INVALID,
                       "config.linux.security_context.privileged: the pod sandbox '%s' is not",
                       spec->pod_id);
    if (spec->ns.network == NS_NODE && pod.spec->ns.network != NS_NODE)
        return err_set(
            err, ERR_INVALID,
            "config.linux.security_context.namespace_options.network: NODE, but the pod sandbox "
            "'%s' has a network of its own",
            spec->pod_id);
    return 0;
}

int on_create_container(struct call *call, struct err *err)
{
    const Runtime__V1__CreateContainerRequest *request =
        REQUEST(call, Runtime__V1__CreateContainerRequest);
    CLEANUP(container_spec_free_cleanup)
    struct container_spec *spec = container_spec_from_proto(request, err);
    char id[ID_LEN + 1];

    if (!spec || fits_pod(call, spec, err) < 0 ||
        container_create(call->daemon->engine, spec, &call->caller, id, err) < 0)
        return -1;
    REPLY(call, Runtime__V1__CreateContainerResponse, runtime__v1__create_container_response)
        ->container_id = arena_text(call->arena, id);
    return 0;
}

int on_start_container(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__StartContainerRequest)->container_id;

    if (id_from_proto(id, "container_id", err) < 0 ||
        container_start(call->daemon->engine, id, &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__StartContainerResponse, runtime__v1__start_container_response);
    return 0;
}

int on_stop_container(struct call *call, struct err *err)
{
    const Runtime__V1__StopContainerRequest *request =
        REQUEST(call, Runtime__V1__StopContainerRequest);
    int64_t seconds = request->timeout;

    if (id_from_proto(request->container_id, "container_id", err) < 0)
        return -1;
    if (seconds < 0)
        return err_set(err, ERR_INVALID, "timeout: %lld is negative", (long long)seconds);
    if (seconds > INT64_MAX / 4 / NSEC_PER_SEC)
        seconds = INT64_MAX / 4 / NSEC_PER_SEC;
    if (container_stop(call->daemon->engine, request->container_id, seconds * NSEC_PER_SEC,
                       &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__StopContainerResponse, runtime__v1__stop_container_response);
    return 0;
}

int on_remove_container(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__RemoveContainerRequest)->container_id;

    if (id_from_proto(id, "container_id", err) < 0 ||
        container_remove(call->daemon->engine, id, &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__RemoveContainerResponse, runtime__v1__remove_container_response);
    return 0;
}

/* The image that an image volume is of, where it is still known. */
static void name_volume(struct call *call, Runtime__V1__ImageSpec *spec)
{
    autoimage *image = spec ? imagestore_find(call->daemon->images, spec->image, NULL) : NULL;

    if (image)
        spec->image_ref = arena_text(call->arena, image->id);
}

int on_container_status(struct call *call, struct err *err)
{
    const Runtime__V1__ContainerStatusRequest *request =
        REQUEST(call, Runtime__V1__ContainerStatusRequest);
    CLEANUP(container_view_done) struct container_view view = {0};

    if (id_from_proto(request->container_id, "container_id", err) < 0 ||
        container_get(call->daemon->engine, request->container_id, &view, err) < 0)
        return -1;
    /* The image may be gone by now; the status is complete without it. */
    autoimage *image = imagestore_find(call->daemon->images, view.image_id, NULL);
    Runtime__V1__ContainerStatusResponse *reply =
        REPLY(call, Runtime__V1__ContainerStatusResponse, runtime__v1__container_status_response);
    reply->status = container_status_to_proto(call->arena, &view, image);
    for (size_t i = 0; i < reply->status->n_mounts; i++)
        name_volume(call, reply->status->mounts[i]->image);
    if (!request->verbose)
        return 0;

    autofree char *spec =
        container_runtime_spec(call->daemon->engine, view.id, RUNTIME_SPEC_MAX_BYTES);

    reply->info = proto_map_one(
        call->arena, "info", container_info_to_proto(call->arena, &view, spec),
        &runtime__v1__container_status_response__info_entry__descriptor, &reply->n_info);
    return 0;
}

int on_list_containers(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;

    if (container_filter_from_proto(REQUEST(call, Runtime__V1__ListContainersRequest)->filter,
                                    &filter, err) < 0)
        return -1;
    call->n_pieces =
        container_list_packed(call->daemon->engine, &filter.list, container_to_list, &call->pieces);
    return 0;
}

/* Zero is this daemon's own patience; a kubelet waits no longer than it said itself. */
int on_checkpoint_container(struct call *call, struct err *err)
{
    const Runtime__V1__CheckpointContainerRequest *request =
        REQUEST(call, Runtime__V1__CheckpointContainerRequest);
    int64_t seconds = request->timeout;

    if (id_from_proto(request->container_id, "container_id", err) < 0)
        return -1;
    if (!str_is_utf8(request->location, strlen(request->location)) || seconds < 0)
        return err_set(err, ERR_INVALID, "location is no path, or timeout is negative");
    if (seconds > INT64_MAX / 4 / NSEC_PER_SEC)
        seconds = INT64_MAX / 4 / NSEC_PER_SEC;
    if (container_checkpoint(call->daemon->engine, request->container_id, request->location,
                             seconds * NSEC_PER_SEC, &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__CheckpointContainerResponse,
                runtime__v1__checkpoint_container_response);
    return 0;
}
