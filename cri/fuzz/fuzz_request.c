/* SPDX-License-Identifier: Apache-2.0 */
/* Request bytes of any RPC: the first byte chooses the method, the rest is its request; then
 * to_spec where there is one. */
#include "cri/handlers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void to_spec(const ProtobufCMessage *request)
{
    const ProtobufCMessageDescriptor *type = request->descriptor;
    struct err err;
    struct filter filter;

    if (type == &runtime__v1__run_pod_sandbox_request__descriptor) {
        CLEANUP(pod_spec_free_cleanup)
        struct pod_spec *spec = pod_spec_from_proto((const void *)request, &err);
        if (!spec && err.code != ERR_INVALID)
            abort();
    } else if (type == &runtime__v1__create_container_request__descriptor) {
        CLEANUP(container_spec_free_cleanup)
        struct container_spec *spec = container_spec_from_proto((const void *)request, &err);
        if (!spec && err.code != ERR_INVALID)
            abort();
    } else if (type == &runtime__v1__list_pod_sandbox_request__descriptor) {
        (void)!pod_filter_from_proto(
            ((const Runtime__V1__ListPodSandboxRequest *)(const void *)request)->filter, &filter,
            &err);
        filter_done(&filter);
    } else if (type == &runtime__v1__list_containers_request__descriptor) {
        (void)!container_filter_from_proto(
            ((const Runtime__V1__ListContainersRequest *)(const void *)request)->filter, &filter,
            &err);
        filter_done(&filter);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct err err;

    if (size == 0)
        return 0;
    arena_init(&arena, 16 * 1024 * 1024);
    ProtobufCMessage *request =
        wire_unpack(methods[data[0] % METHODS_N].request, data + 1, size - 1, &arena, &err);
    if (request)
        to_spec(request);
    arena_done(&arena);
    return 0;
}
