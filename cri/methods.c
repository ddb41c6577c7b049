/* SPDX-License-Identifier: Apache-2.0 */
/*
 * methods - the table, and the life of one RPC between unpacked bytes and the answer: log context,
 * handler, one log line, metrics. A method without handler is answered here, by name.
 */
#include "cri/methods.h"

#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "cri/handlers.h"
#include "cri/rpc_metrics.h"

#define METHOD(service_, name_, request_, reply_, handle_, stream_, log_)                          \
    {                                                                                              \
        .path = "/runtime.v1." service_ "/" #name_, .name = #name_,                                \
        .request = &runtime__v1__##request_##__descriptor,                                         \
        .reply = &runtime__v1__##reply_##__descriptor, .handle = (handle_), .stream = (stream_),   \
        .log = (log_)                                                                              \
    }
#define RUNTIME(...) METHOD("RuntimeService", __VA_ARGS__)
#define IMAGE(...)   METHOD("ImageService", __VA_ARGS__)

/* clang-format off: one line a method */
const struct method methods[METHODS_N] = {
    RUNTIME(Version, version_request, version_response, on_version, false, METHOD_QUIET),
    RUNTIME(RunPodSandbox, run_pod_sandbox_request, run_pod_sandbox_response, on_run_pod_sandbox,
            false, METHOD_EVENT),
    RUNTIME(StopPodSandbox, stop_pod_sandbox_request, stop_pod_sandbox_response,
            on_stop_pod_sandbox, false, METHOD_EVENT),
    RUNTIME(RemovePodSandbox, remove_pod_sandbox_request, remove_pod_sandbox_response,
            on_remove_pod_sandbox, false, METHOD_EVENT),
    RUNTIME(PodSandboxStatus, pod_sandbox_status_request, pod_sandbox_status_response,
            on_pod_sandbox_status, false, METHOD_QUIET),
    RUNTIME(ListPodSandbox, list_pod_sandbox_request, list_pod_sandbox_response,
            on_list_pod_sandbox, false, METHOD_QUIET),
    RUNTIME(StreamPodSandboxes, stream_pod_sandboxes_request, stream_pod_sandboxes_response,
            on_stream_pod_sandboxes, true, METHOD_QUIET),
    RUNTIME(CreateContainer, create_container_request, create_container_response,
            on_create_container, false, METHOD_EVENT),
    RUNTIME(StartContainer, start_container_request, start_container_response, on_start_container,
            false, METHOD_EVENT),
    RUNTIME(StopContainer, stop_container_request, stop_container_response, on_stop_container,
            false, METHOD_EVENT),
    RUNTIME(RemoveContainer, remove_container_request, remove_container_response,
            on_remove_container, false, METHOD_EVENT),
    RUNTIME(ListContainers, list_containers_request, list_containers_response, on_list_containers,
            false, METHOD_QUIET),
    RUNTIME(StreamContainers, stream_containers_request, stream_containers_response,
            on_stream_containers, true, METHOD_QUIET),
    RUNTIME(ContainerStatus, container_status_request, container_status_response,
            on_container_status, false, METHOD_QUIET),
    RUNTIME(UpdateContainerResources, update_container_resources_request,
            update_container_resources_response, on_update_container_resources, false,
            METHOD_EVENT),
    RUNTIME(ReopenContainerLog, reopen_container_log_request, reopen_container_log_response,
            on_reopen_container_log, false, METHOD_QUIET),
    RUNTIME(ExecSync, exec_sync_request, exec_sync_response, on_exec_sync, false, METHOD_QUIET),
    RUNTIME(Exec, exec_request, exec_response, on_exec, false, METHOD_EVENT),
    RUNTIME(Attach, attach_request, attach_response, on_attach, false, METHOD_EVENT),
    RUNTIME(PortForward, port_forward_request, port_forward_response, on_port_forward, false,
            METHOD_EVENT),
    RUNTIME(ContainerStats, container_stats_request, container_stats_response, on_container_stats,
            false, METHOD_QUIET),
    RUNTIME(ListContainerStats, list_container_stats_request, list_container_stats_response,
            on_list_container_stats, false, METHOD_QUIET),
    RUNTIME(StreamContainerStats, stream_container_stats_request, stream_container_stats_response,
            on_stream_container_stats, true, METHOD_QUIET),
    RUNTIME(PodSandboxStats, pod_sandbox_stats_request, pod_sandbox_stats_response,
            on_pod_sandbox_stats, false, METHOD_QUIET),
    RUNTIME(ListPodSandboxStats, list_pod_sandbox_stats_request, list_pod_sandbox_stats_response,
            on_list_pod_sandbox_stats, false, METHOD_QUIET),
    RUNTIME(StreamPodSandboxStats, stream_pod_sandbox_stats_request,
            stream_pod_sandbox_stats_response, on_stream_pod_sandbox_stats, true, METHOD_QUIET),
    RUNTIME(UpdateRuntimeConfig, update_runtime_config_request, update_runtime_config_response,
            on_update_runtime_config, false, METHOD_EVENT),
    RUNTIME(Status, status_request, status_response, on_status, false, METHOD_QUIET),
    RUNTIME(CheckpointContainer, checkpoint_container_request, checkpoint_container_response,
            on_checkpoint_container, false, METHOD_EVENT),
    RUNTIME(CheckpointPod, checkpoint_pod_request, checkpoint_pod_response, NULL, false,
            METHOD_QUIET),
    RUNTIME(RestorePod, restore_pod_request, restore_pod_response, NULL, false, METHOD_QUIET),
    RUNTIME(GetContainerEvents, get_events_request, container_event_response,
            on_get_container_events, true, METHOD_QUIET),
    RUNTIME(ListMetricDescriptors, list_metric_descriptors_request,
            list_metric_descriptors_response, on_list_metric_descriptors, false, METHOD_QUIET),
    RUNTIME(ListPodSandboxMetrics, list_pod_sandbox_metrics_request,
            list_pod_sandbox_metrics_response, on_list_pod_sandbox_metrics, false, METHOD_QUIET),
    RUNTIME(StreamPodSandboxMetrics, stream_pod_sandbox_metrics_request,
            stream_pod_sandbox_metrics_response, on_stream_pod_sandbox_metrics, true, METHOD_QUIET),
    RUNTIME(RuntimeConfig, runtime_config_request, runtime_config_response, on_runtime_config,
            false, METHOD_QUIET),
    RUNTIME(UpdatePodSandboxResources, update_pod_sandbox_resources_request,
            update_pod_sandbox_resources_response, on_update_pod_sandbox_resources, false,
            METHOD_EVENT),
    IMAGE(ListImages, list_images_request, list_images_response, on_list_images, false,
          METHOD_QUIET),
    IMAGE(StreamImages, stream_images_request, stream_images_response, on_stream_images, true,
          METHOD_QUIET),
    IMAGE(ImageStatus, image_status_request, image_status_response, on_image_status, false,
          METHOD_QUIET),
    IMAGE(PullImage, pull_image_request, pull_image_response, on_pull_image, false, METHOD_EVENT),
    IMAGE(RemoveImage, remove_image_request, remove_image_response, on_remove_image, false,
          METHOD_EVENT),
    IMAGE(ImageFsInfo, image_fs_info_request, image_fs_info_response, on_image_fs_info, false,
          METHOD_QUIET),
};
/* clang-format on */

const struct method *method_find(const char *path, size_t len)
{
    for (size_t i = 0; i < METHODS_N; i++)
        if (strlen(methods[i].path) == len && memcmp(methods[i].path, path, len) == 0)
            return &methods[i];
    return NULL;
}

/* The id that a message names, by the field's name; NULL when it has none. */
static const char *message_id(const ProtobufCMessage *message, const char *field_name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field_name);

    if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
        field->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    const char *id = *(char *const *)(const void *)((const char *)message + field->offset);
    return *id ? id : NULL;
}

/* People give the beginning of an id, which clients pass on: the full one takes its place, here for
 * all methods. What is not the only one stays, and is not found. */
static void complete_id(struct call *call, const char *field_name,
                        bool (*full)(struct engine *engine, const char *prefix, char ret[65]))
{
    const char *id = message_id(call->request, field_name);
    char found[65];

    if (!id || strlen(id) >= ID_LEN || id[strspn(id, "0123456789abcdef")] ||
        !full(call->daemon->engine, id, found))
        return;

    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(call->request->descriptor, field_name);

    *(char **)(void *)((char *)call->request + field->offset) = arena_text(call->arena, found);
}

/* What a client's own doing or a question explains is no event for the log. */
static bool is_quiet(enum err_code code)
{
    return code == ERR_UNSUPPORTED || code == ERR_NOT_FOUND;
}

/* One line, with the ids of the request or, when it made something, of the reply. */
static void log_outcome(const struct call *call, int result, nsec_t duration, const struct err *err)
{
    const char *name = call->method->name;
    struct log_context context = log_context_set((struct log_context){0});

    context.rpc = NULL; /* the line begins with it */
    if (result == 0 && call->reply && !context.pod)
        context.pod = message_id(call->reply, "pod_sandbox_id");
    if (result == 0 && call->reply && !context.container)
        context.container = message_id(call->reply, "container_id");
    (void)log_context_set(context);
    if (result < 0 && is_quiet(err->code))
        log_debug("%s: %s: %s", name, err_code_name(err->code), err->msg);
    else if (result < 0)
        log_warn("%s: %s: %s", name, err_code_name(err->code), err->msg);
    else if (call->method->log == METHOD_EVENT)
        log_info("%s: done in %.1f ms", name, (double)duration / (double)NSEC_PER_MSEC);
    else
        log_debug("%s: done in %.1f ms", name, (double)duration / (double)NSEC_PER_MSEC);
}

static int run(struct call *call, const uint8_t *bytes, size_t len, struct err *err)
{
    if (!call->method->handle)
        return err_set(err, ERR_UNSUPPORTED, "unicri: %s is not implemented yet",
                       call->method->name);
    call->request = wire_unpack(call->method->request, bytes, len, call->arena, err);
    if (!call->request)
        return -1;
    complete_id(call, "container_id", container_full_id);
    complete_id(call, "pod_sandbox_id", pod_full_id);
    (void)log_context_set(
        (struct log_context){.rpc = call->method->name,
                             .pod = message_id(call->request, "pod_sandbox_id"),
                             .container = message_id(call->request, "container_id")});
    return call->method->handle(call, err);
}

static int may_send(const struct call *call, size_t size, struct err *err)
{
    if (deadline_passed(call->caller.deadline))
        return err_set(err, ERR_DEADLINE, "%s: the client's deadline has passed",
                       call->method->name);
    if (size > WIRE_MESSAGE_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "%s: message of more than %zu bytes", call->method->name,
                       WIRE_MESSAGE_MAX_BYTES);
    return 0;
}

int call_send(struct call *call, const ProtobufCMessage *message, struct err *err)
{
    if (may_send(call, protobuf_c_message_get_packed_size(message), err) < 0)
        return -1;
    return call->send(call->send_arg, message, err);
}

int call_begin(struct call *call, struct err *err)
{
    return call->send(call->send_arg, NULL, err);
}

static size_t bytes_of(struct piece *const *pieces, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += pieces[i]->len;
    return bytes;
}

int call_send_pieces(struct call *call, struct piece *const *pieces, size_t n, struct err *err)
{
    if (may_send(call, bytes_of(pieces, n), err) < 0)
        return -1;
    return call->send_pieces(call->send_arg, pieces, n, err);
}

void call_done(struct call *call)
{
    pieces_free(call->pieces, call->n_pieces);
    call->pieces = NULL;
    call->n_pieces = 0;
}

int method_run(struct call *call, const uint8_t *bytes, size_t len, struct err *err)
{
    struct log_context former = log_context_set((struct log_context){0});
    nsec_t start = clock_mono();
    int result = run(call, bytes, len, err);
    nsec_t duration = clock_mono() - start;

    if (result == 0 && call->reply)
        call->reply_size = protobuf_c_message_get_packed_size(call->reply);
    else if (result == 0)
        call->reply_size = bytes_of(call->pieces, call->n_pieces);
    if (call->reply_size > WIRE_MESSAGE_MAX_BYTES)
        result =
            err_set(err, ERR_EXHAUSTED, "reply of more than %zu bytes", WIRE_MESSAGE_MAX_BYTES);
    rpc_metrics_count((size_t)(call->method - methods), duration, result < 0);
    log_outcome(call, result, duration, err);
    (void)log_context_set(former);
    return result;
}
