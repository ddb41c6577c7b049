/* SPDX-License-Identifier: Apache-2.0 */
/* unicri ps - containers. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

static const char *state_text(V1(ContainerState) state)
{
    switch (state) {
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED:
        return "created";
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING:
        return "running";
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED:
        return "exited";
    default:
        return "unknown";
    }
}

static const char *image_text(const V1(Container) * c)
{
    if (c->image && c->image->user_specified_image && *c->image->user_specified_image)
        return c->image->user_specified_image;
    return c->image && c->image->image ? c->image->image : "-";
}

static void print_table(const V1(ListContainersResponse) * reply, bool all, bool quiet, bool full)
{
    static const char *const titles[] = {"CONTAINER", "NAME", "STATE", "AGE", "POD", "IMAGE", NULL};
    struct table *t = quiet ? NULL : table_new(titles);
    for (size_t i = 0; i < reply->n_containers; i++) {
        const V1(Container) *c = reply->containers[i];
        if (!all && c->state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
            continue;
        char id[80], pod[80], image[96];
        (void)snprintf(id, sizeof(id), full ? "%s" : "%.12s", c->id);
        (void)snprintf(pod, sizeof(pod), full ? "%s" : "%.12s", c->pod_sandbox_id);
        (void)snprintf(image, sizeof(image), full ? "%s" : "%.60s", image_text(c));
        if (quiet)
            printf("%s\n", id);
        else
            table_row(t, id, c->metadata ? c->metadata->name : "-", state_text(c->state),
                      age(c->created_at), pod, image, NULL);
    }
    if (t)
        table_print_free(t);
}

int cmd_ps(struct cli *cli, int argc, char **argv)
{
    bool all = false, quiet = false, full = false;
    const char *pod = NULL, *output = NULL;
    const struct flag flags[] = {
        {"all", 'a', FLAG_BOOL, &all, NULL, "not only running ones"},
        {"pod", 'p', FLAG_STRING, &pod, "POD", "only those of one pod"},
        {"quiet", 'q', FLAG_BOOL, &quiet, NULL, "only the ids"},
        {"no-trunc", 0, FLAG_BOOL, &full, NULL, "whole ids and names"},
        {"output", 'o', FLAG_STRING, &output, "json", "the daemon's answer as JSON"},
    };
    int at = flags_parse(command_find("ps"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at < argc)
        return usage_error("ps", "unexpected '%s'", argv[at]);
    if (output && !str_eq(output, "json"))
        return usage_error("ps", "--output: only 'json' is known");

    struct err err = ERR_INIT;
    autofree char *pod_id = NULL;
    if (pod && find_pod(cli, pod, &pod_id, &err) < 0)
        return complain(&err);
    V1(ContainerFilter) filter = RUNTIME__V1__CONTAINER_FILTER__INIT;
    V1(ListContainersRequest) request = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
    if (pod_id) {
        filter.pod_sandbox_id = pod_id;
        request.filter = &filter;
    }
    automessage V1(ListContainersResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ListContainers", &request.base,
                 &runtime__v1__list_containers_response__descriptor, 0, &reply, &err) < 0)
        return complain(&err);
    if (output)
        print_json(&reply->base);
    else
        print_table(reply, all || pod, quiet, full);
    return 0;
}
