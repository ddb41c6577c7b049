/* SPDX-License-Identifier: Apache-2.0 */
/* pods - RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, ListPodSandbox. */
#include "base/id.h"
#include "base/log.h"
#include "cri/handlers.h"

int on_run_pod_sandbox(struct call *call, struct err *err)
{
    const Runtime__V1__RunPodSandboxRequest *request =
        REQUEST(call, Runtime__V1__RunPodSandboxRequest);
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *spec = pod_spec_from_proto(request, err);
    char id[ID_LEN + 1];

    if (!spec)
        return -1;
    (void)log_context_set((struct log_context){
        .rpc = call->method->name,
        .pod = arena_printf(call->arena, "%s/%s", spec->namespace_, spec->name)});
    if (pod_run(call->daemon->engine, spec, &call->caller, id, err) < 0)
        return -1;
    REPLY(call, Runtime__V1__RunPodSandboxResponse, runtime__v1__run_pod_sandbox_response)
        ->pod_sandbox_id = arena_text(call->arena, id);
    return 0;
}

int on_stop_pod_sandbox(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__StopPodSandboxRequest)->pod_sandbox_id;

    if (id_from_proto(id, "pod_sandbox_id", err) < 0 ||
        pod_stop(call->daemon->engine, id, &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__StopPodSandboxResponse, runtime__v1__stop_pod_sandbox_response);
    return 0;
}

int on_remove_pod_sandbox(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__RemovePodSandboxRequest)->pod_sandbox_id;

    if (id_from_proto(id, "pod_sandbox_id", err) < 0 ||
        pod_remove(call->daemon->engine, id, &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__RemovePodSandboxResponse,
                runtime__v1__remove_pod_sandbox_response);
    return 0;
}

int on_pod_sandbox_status(struct call *call, struct err *err)
{
    const Runtime__V1__PodSandboxStatusRequest *request =
        REQUEST(call, Runtime__V1__PodSandboxStatusRequest);
    CLEANUP(pod_view_done) struct pod_view view = {0};

    if (id_from_proto(request->pod_sandbox_id, "pod_sandbox_id", err) < 0 ||
        pod_get(call->daemon->engine, request->pod_sandbox_id, &view, err) < 0)
        return -1;
    Runtime__V1__PodSandboxStatusResponse *reply = REPLY(
        call, Runtime__V1__PodSandboxStatusResponse, runtime__v1__pod_sandbox_status_response);
    reply->status = pod_status_to_proto(call->arena, &view);
    if (request->verbose)
        reply->info = proto_map_one(
            call->arena, "info", pod_info_to_proto(call->arena, &view),
            &runtime__v1__pod_sandbox_status_response__info_entry__descriptor, &reply->n_info);
    return 0;
}

int on_list_pod_sandbox(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;

    if (pod_filter_from_proto(REQUEST(call, Runtime__V1__ListPodSandboxRequest)->filter, &filter,
                              err) < 0)
        return -1;
    call->n_pieces =
        pod_list_packed(call->daemon->engine, &filter.list, pod_to_list, &call->pieces);
    return 0;
}
