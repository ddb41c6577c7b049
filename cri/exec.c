/* SPDX-License-Identifier: Apache-2.0 */
/* exec - ExecSync and ReopenContainerLog. A command's own failure is a reply; its timeout is
 * DEADLINE_EXCEEDED, which a kubelet takes for a failed probe. */
#include <string.h>

#include "cri/handlers.h"

static ProtobufCBinaryData binary(struct arena *arena, const char *data, size_t len)
{
    ProtobufCBinaryData copy = {.len = len, .data = NULL};

    if (len) {
        copy.data = arena_alloc(arena, len);
        memcpy(copy.data, data, len);
    }
    return copy;
}

int on_exec_sync(struct call *call, struct err *err)
{
    const Runtime__V1__ExecSyncRequest *request = REQUEST(call, Runtime__V1__ExecSyncRequest);
    CLEANUP(exec_result_done) struct exec_result result = {0};
    autostrv char **argv = NULL;
    int64_t seconds = request->timeout;

    if (id_from_proto(request->container_id, "container_id", err) < 0 ||
        argv_from_proto(request->n_cmd, request->cmd, "cmd", &argv, err) < 0)
        return -1;
    if (seconds < 0)
        return err_set(err, ERR_INVALID, "timeout: %lld is negative", (long long)seconds);
    if (seconds > INT64_MAX / 4 / NSEC_PER_SEC)
        seconds = 0;
    if (container_exec_sync(call->daemon->engine, request->container_id, argv,
                            seconds * NSEC_PER_SEC, &call->caller, &result, err) < 0)
        return -1;
    Runtime__V1__ExecSyncResponse *reply =
        REPLY(call, Runtime__V1__ExecSyncResponse, runtime__v1__exec_sync_response);
    reply->stdout = binary(call->arena, result.out, result.out_len);
    reply->stderr = binary(call->arena, result.errout, result.errout_len);
    reply->exit_code = result.exit_code;
    return 0;
}

int on_reopen_container_log(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__ReopenContainerLogRequest)->container_id;

    if (id_from_proto(id, "container_id", err) < 0 ||
        container_reopen_log(call->daemon->engine, id, err) < 0)
        return -1;
    (void)REPLY(call, Runtime__V1__ReopenContainerLogResponse,
                runtime__v1__reopen_container_log_response);
    return 0;
}
