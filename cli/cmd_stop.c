/* SPDX-License-Identifier: Apache-2.0 */
/* unicri stop, rm - containers and pods, whichever a word names (containers first). */
#include <stdio.h>

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/stop.h"

int stop_container(struct cli *cli, const char *id, nsec_t grace, struct err *err)
{
    V1(StopContainerRequest) request = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
    request.container_id = (char *)id;
    request.timeout = (grace + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
    automessage V1(StopContainerResponse) *reply = NULL;
    return cli_call(cli, "RuntimeService/StopContainer", &request.base,
                    &runtime__v1__stop_container_response__descriptor, cli->timeout + grace, &reply,
                    err);
}

int remove_container(struct cli *cli, const char *id, struct err *err)
{
    V1(RemoveContainerRequest) request = RUNTIME__V1__REMOVE_CONTAINER_REQUEST__INIT;
    request.container_id = (char *)id;
    automessage V1(RemoveContainerResponse) *reply = NULL;
    return cli_call(cli, "RuntimeService/RemoveContainer", &request.base,
                    &runtime__v1__remove_container_response__descriptor, 0, &reply, err);
}

int stop_pod(struct cli *cli, const char *id, struct err *err)
{
    V1(StopPodSandboxRequest) request = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;
    request.pod_sandbox_id = (char *)id;
    automessage V1(StopPodSandboxResponse) *reply = NULL;
    return cli_call(cli, "RuntimeService/StopPodSandbox", &request.base,
                    &runtime__v1__stop_pod_sandbox_response__descriptor, 0, &reply, err);
}

int remove_pod(struct cli *cli, const char *id, struct err *err)
{
    V1(RemovePodSandboxRequest) request = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
    request.pod_sandbox_id = (char *)id;
    automessage V1(RemovePodSandboxResponse) *reply = NULL;
    return cli_call(cli, "RuntimeService/RemovePodSandbox", &request.base,
                    &runtime__v1__remove_pod_sandbox_response__descriptor, 0, &reply, err);
}

/* A word names a container, or else a pod. */
static int find(struct cli *cli, const char *word, bool *ret_is_pod, char **ret_id, struct err *err)
{
    *ret_is_pod = false;
    if (find_container(cli, word, ret_id, err) == 0)
        return 0;
    if (err->code != ERR_NOT_FOUND || !cli->client)
        return -1;
    if (find_pod(cli, word, ret_id, err) < 0)
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, "no container or pod has the id or name '%s'",
                             word)
                   : -1;
    *ret_is_pod = true;
    return 0;
}

int cmd_stop(struct cli *cli, int argc, char **argv)
{
    nsec_t grace = 10 * NSEC_PER_SEC;
    const struct flag flags[] = {
        {"grace", 'g', FLAG_SECONDS, &grace, "SECONDS", "until the container is killed (10)"},
    };
    int at = flags_parse(command_find("stop"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at >= argc)
        return usage_error("stop", "which pod or container?");
    int rc = 0;
    for (; at < argc; at++) {
        struct err err = ERR_INIT;
        autofree char *id = NULL;
        bool is_pod;
        if (find(cli, argv[at], &is_pod, &id, &err) < 0 ||
            (is_pod ? stop_pod(cli, id, &err) : stop_container(cli, id, grace, &err)) < 0)
            rc = complain(&err);
        else
            printf("%s\n", argv[at]);
    }
    return rc;
}

/* A running container or a ready pod is removed only with --force. */
static int remove_one(struct cli *cli, const char *id, bool is_pod, bool force, struct err *err)
{
    if (is_pod) {
        if (!force && pod_is_ready(cli, id))
            return err_set(err, ERR_STATE, "pod '%.12s' is ready; stop it first or use --force",
                           id);
        return stop_pod(cli, id, err) < 0 ? -1 : remove_pod(cli, id, err);
    }
    if (!force && container_is_running(cli, id))
        return err_set(err, ERR_STATE, "container '%.12s' is running; stop it first or use --force",
                       id);
    return remove_container(cli, id, err);
}

bool pod_is_ready(struct cli *cli, const char *id)
{
    struct err err = ERR_INIT;
    V1(PodSandboxStatusRequest) request = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
    request.pod_sandbox_id = (char *)id;
    automessage V1(PodSandboxStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/PodSandboxStatus", &request.base,
                 &runtime__v1__pod_sandbox_status_response__descriptor, 0, &reply, &err) < 0)
        return false;
    return reply->status && reply->status->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
}

bool container_is_running(struct cli *cli, const char *id)
{
    struct err err = ERR_INIT;
    V1(ContainerStatusRequest) request = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    request.container_id = (char *)id;
    automessage V1(ContainerStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ContainerStatus", &request.base,
                 &runtime__v1__container_status_response__descriptor, 0, &reply, &err) < 0)
        return false;
    return reply->status && reply->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
}

int cmd_rm(struct cli *cli, int argc, char **argv)
{
    bool force = false;
    const struct flag flags[] = {
        {"force", 'f', FLAG_BOOL, &force, NULL, "running ones too"},
    };
    int at = flags_parse(command_find("rm"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at >= argc)
        return usage_error("rm", "which pod or container?");
    int rc = 0;
    for (; at < argc; at++) {
        struct err err = ERR_INIT;
        autofree char *id = NULL;
        bool is_pod;
        if (find(cli, argv[at], &is_pod, &id, &err) < 0 ||
            remove_one(cli, id, is_pod, force, &err) < 0)
            rc = complain(&err);
        else
            printf("%s\n", argv[at]);
    }
    return rc;
}
