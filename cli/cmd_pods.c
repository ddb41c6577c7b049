/* SPDX-License-Identifier: Apache-2.0 */
/* unicri pods - pod sandboxes. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

/* The pod's first address, by a status call of its own: lists do not carry it. Caller frees. */
static char *pod_ip(struct cli *cli, const char *id)
{
    struct err err = ERR_INIT;
    V1(PodSandboxStatusRequest) request = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
    request.pod_sandbox_id = (char *)id;
    automessage V1(PodSandboxStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/PodSandboxStatus", &request.base,
                 &runtime__v1__pod_sandbox_status_response__descriptor, 0, &reply, &err) < 0)
        return xstrdup("-"); /* removed meanwhile */
    const V1(PodSandboxNetworkStatus) *net = reply->status ? reply->status->network : NULL;
    return xstrdup(net && net->ip && *net->ip ? net->ip : "-");
}

static void print_table(struct cli *cli, const V1(ListPodSandboxResponse) * reply, bool quiet,
                        bool full)
{
    static const char *const titles[] = {"POD", "NAME", "NAMESPACE", "STATE",
                                         "AGE", "IP",   "HANDLER",   NULL};
    struct table *t = quiet ? NULL : table_new(titles);
    for (size_t i = 0; i < reply->n_items; i++) {
        const V1(PodSandbox) *p = reply->items[i];
        char id[80];
        (void)snprintf(id, sizeof(id), full ? "%s" : "%.12s", p->id);
        if (quiet) {
            printf("%s\n", id);
            continue;
        }
        autofree char *ip = pod_ip(cli, p->id);
        bool ready = p->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
        table_row(t, id, p->metadata ? p->metadata->name : "-",
                  p->metadata ? p->metadata->namespace_ : "-", ready ? "ready" : "not ready",
                  age(p->created_at), ip,
                  p->runtime_handler && *p->runtime_handler ? p->runtime_handler : "(default)",
                  NULL);
    }
    if (t)
        table_print_free(t);
}

int cmd_pods(struct cli *cli, int argc, char **argv)
{
    bool quiet = false, full = false;
    const char *output = NULL;
    const struct flag flags[] = {
        {"quiet", 'q', FLAG_BOOL, &quiet, NULL, "only the ids"},
        {"no-trunc", 0, FLAG_BOOL, &full, NULL, "whole ids"},
        {"output", 'o', FLAG_STRING, &output, "json", "the daemon's answer as JSON"},
    };
    int at = flags_parse(command_find("pods"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at < argc)
        return usage_error("pods", "unexpected '%s'", argv[at]);
    if (output && !str_eq(output, "json"))
        return usage_error("pods", "--output: only 'json' is known");

    struct err err = ERR_INIT;
    V1(ListPodSandboxRequest) request = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
    automessage V1(ListPodSandboxResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ListPodSandbox", &request.base,
                 &runtime__v1__list_pod_sandbox_response__descriptor, 0, &reply, &err) < 0)
        return complain(&err);
    if (output)
        print_json(&reply->base);
    else
        print_table(cli, reply, quiet, full);
    return 0;
}
