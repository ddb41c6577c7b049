/* SPDX-License-Identifier: Apache-2.0 */
/* resources - UpdateContainerResources, UpdatePodSandboxResources. */
#include "cri/handlers.h"

#define autolimits CLEANUP(linux_resources_done) struct linux_resources

int on_update_container_resources(struct call *call, struct err *err)
{
    const Runtime__V1__UpdateContainerResourcesRequest *request =
        REQUEST(call, Runtime__V1__UpdateContainerResourcesRequest);
    autolimits update;

    linux_resources_init(&update);
    if (id_from_proto(request->container_id, "container_id", err) < 0)
        return -1;
    if (!request->linux && request->windows)
        return err_set(err, ERR_INVALID, "windows: containers of this node are Linux containers");
    if (spec_resources(request->linux, "linux", &update, err) < 0 ||
        container_update(call->daemon->engine, request->container_id, &update, &call->caller, err) <
            0)
        return -1;
    (void)REPLY(call, Runtime__V1__UpdateContainerResourcesResponse,
                runtime__v1__update_container_resources_response);
    return 0;
}

int on_update_pod_sandbox_resources(struct call *call, struct err *err)
{
    const Runtime__V1__UpdatePodSandboxResourcesRequest *request =
        REQUEST(call, Runtime__V1__UpdatePodSandboxResourcesRequest);
    autolimits overhead, resources;

    linux_resources_init(&overhead);
    linux_resources_init(&resources);
    if (id_from_proto(request->pod_sandbox_id, "pod_sandbox_id", err) < 0 ||
        spec_resources(request->overhead, "overhead", &overhead, err) < 0 ||
        spec_resources(request->resources, "resources", &resources, err) < 0 ||
        pod_update(call->daemon->engine, request->pod_sandbox_id, &overhead, &resources,
                   &call->caller, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__UpdatePodSandboxResourcesResponse,
                runtime__v1__update_pod_sandbox_resources_response);
    return 0;
}
