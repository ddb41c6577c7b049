/* SPDX-License-Identifier: Apache-2.0 */
/* unicri inspect - the verbose status of whatever the word names: a container, a pod or an image.
 */
#include <stdio.h>

#include "cli/cli.h"

static int inspect_container(struct cli *cli, const char *id, struct err *err)
{
    V1(ContainerStatusRequest) request = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    request.container_id = (char *)id;
    request.verbose = 1;
    automessage V1(ContainerStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ContainerStatus", &request.base,
                 &runtime__v1__container_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    print_json(&reply->base);
    return 0;
}

static int inspect_pod(struct cli *cli, const char *id, struct err *err)
{
    V1(PodSandboxStatusRequest) request = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
    request.pod_sandbox_id = (char *)id;
    request.verbose = 1;
    automessage V1(PodSandboxStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/PodSandboxStatus", &request.base,
                 &runtime__v1__pod_sandbox_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    print_json(&reply->base);
    return 0;
}

static int inspect_image(struct cli *cli, const char *name, struct err *err)
{
    V1(ImageSpec) spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    spec.image = (char *)name;
    V1(ImageStatusRequest) request = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    request.image = &spec;
    request.verbose = 1;
    automessage V1(ImageStatusResponse) *reply = NULL;
    if (cli_call(cli, "ImageService/ImageStatus", &request.base,
                 &runtime__v1__image_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    if (!reply->image)
        return err_set(err, ERR_NOT_FOUND, "no container, pod or image has the id or name '%s'",
                       name);
    print_json(&reply->base);
    return 0;
}

static int inspect(struct cli *cli, const char *word, struct err *err)
{
    autofree char *id = NULL;
    if (find_container(cli, word, &id, err) == 0)
        return inspect_container(cli, id, err);
    if (err->code != ERR_NOT_FOUND || cli->client == NULL)
        return -1;
    if (find_pod(cli, word, &id, err) == 0)
        return inspect_pod(cli, id, err);
    if (err->code != ERR_NOT_FOUND)
        return -1;
    return inspect_image(cli, word, err);
}

int cmd_inspect(struct cli *cli, int argc, char **argv)
{
    int at = flags_parse(command_find("inspect"), NULL, 0, false, argc, argv);
    if (argc - at != 1)
        return usage_error("inspect", "one id or name is needed");
    struct err err = ERR_INIT;
    return inspect(cli, argv[at], &err) < 0 ? complain(&err) : 0;
}
