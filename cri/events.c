/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - GetContainerEvents. Each event goes out with the statuses of its pod and of all the
 * pod's containers as they are then. A pod that is gone is still told by its metadata: a client
 * that finds none passes the event over.
 */
#include "cri/handlers.h"

_Static_assert(
    (int)EVENT_CREATED == (int)RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT &&
        (int)EVENT_STARTED == (int)RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT &&
        (int)EVENT_STOPPED == (int)RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT &&
        (int)EVENT_DELETED == (int)RUNTIME__V1__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT,
    "an event's kind is the API's number");

static void pod_part(struct call *call, struct arena *arena, const struct event *event,
                     Runtime__V1__ContainerEventResponse *ret)
{
    CLEANUP(pod_view_done) struct pod_view view = {0};
    Runtime__V1__PodSandboxStatus *status;
    struct err gone = ERR_INIT;

    if (pod_get(call->daemon->engine, event->pod_id, &view, &gone) == 0) {
        ret->pod_sandbox_status = pod_status_to_proto(arena, &view);
        return;
    }
    status = PROTO_NEW(arena, Runtime__V1__PodSandboxStatus, runtime__v1__pod_sandbox_status);
    status->id = arena_text(arena, event->pod_id);
    status->state = RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
    status->metadata =
        PROTO_NEW(arena, Runtime__V1__PodSandboxMetadata, runtime__v1__pod_sandbox_metadata);
    status->metadata->name = arena_text(arena, event->name);
    status->metadata->uid = arena_text(arena, event->uid);
    status->metadata->namespace_ = arena_text(arena, event->namespace_);
    status->metadata->attempt = event->attempt;
    ret->pod_sandbox_status = status;
}

static void containers_part(struct call *call, struct arena *arena, const struct event *event,
                            Runtime__V1__ContainerEventResponse *ret)
{
    const struct list_filter of_pod = {.pod_id = event->pod_id, .state = -1};
    struct container_view *views = NULL;
    size_t n = container_list(call->daemon->engine, &of_pod, &views);

    if (n)
        ret->containers_statuses = ARENA_ARRAY(arena, Runtime__V1__ContainerStatus *, n);
    for (size_t i = 0; i < n; i++) {
        autoimage *image = imagestore_find(call->daemon->images, views[i].image_id, NULL);

        ret->containers_statuses[i] = container_status_to_proto(arena, &views[i], image);
    }
    ret->n_containers_statuses = n;
    container_views_free(views, n);
}

static int send_event(struct call *call, const struct event *event, struct err *err)
{
    struct arena arena;

    arena_init(&arena, 0);

    Runtime__V1__ContainerEventResponse *message = PROTO_NEW(
        &arena, Runtime__V1__ContainerEventResponse, runtime__v1__container_event_response);

    message->container_id = arena_text(&arena, event->id);
    message->container_event_type = (Runtime__V1__ContainerEventType)event->kind;
    message->created_at = event->at;
    pod_part(call, &arena, event, message);
    containers_part(call, &arena, event, message);

    int rc = call_send(call, &message->base, err);

    arena_done(&arena);
    return rc;
}

/* Ends with an error only: the client leaves, the daemon stops, or events were lost. */
int on_get_container_events(struct call *call, struct err *err)
{
    struct follower *f = follower_open(call->daemon->engine, err);
    int rc = f ? call_begin(call, err) : -1;

    while (rc == 0) {
        struct event event;

        rc = follower_next(f, &call->caller, &event, err);
        if (rc == 0)
            rc = send_event(call, &event, err);
        if (rc == 0)
            follower_done(f, &event);
    }
    follower_close(f);
    return rc;
}
