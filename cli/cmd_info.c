/* SPDX-License-Identifier: Apache-2.0 */
/* unicri info, version - what the daemon says of itself. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

static int print_conditions(const V1(StatusResponse) * reply)
{
    int rc = 0;
    for (size_t i = 0; reply->status && i < reply->status->n_conditions; i++) {
        const V1(RuntimeCondition) *c = reply->status->conditions[i];
        autofree char *message = printable(c->message);
        printf("%-14s %s%s%s\n", c->type, c->status ? "yes" : "no", *message ? ": " : "", message);
        if (!c->status)
            rc = 1;
    }
    return rc;
}

static void print_handlers(const V1(StatusResponse) * reply)
{
    printf("handlers       ");
    for (size_t i = 0; i < reply->n_runtime_handlers; i++) {
        const char *name = reply->runtime_handlers[i]->name;
        printf("%s%s", i > 0 ? ", " : "", *name ? name : "(default)");
    }
    printf("\n");
}

int cmd_info(struct cli *cli, int argc, char **argv)
{
    const char *output = NULL;
    const struct flag flags[] = {
        {"output", 'o', FLAG_STRING, &output, "json", "everything, as JSON"},
    };
    int at = flags_parse(command_find("info"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at < argc)
        return usage_error("info", "unexpected '%s'", argv[at]);
    if (output && !str_eq(output, "json"))
        return usage_error("info", "--output: only 'json' is known");

    struct err err = ERR_INIT;
    V1(StatusRequest) request = RUNTIME__V1__STATUS_REQUEST__INIT;
    request.verbose = 1;
    automessage V1(StatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/Status", &request.base,
                 &runtime__v1__status_response__descriptor, 0, &reply, &err) < 0)
        return complain(&err);
    if (output) {
        print_json(&reply->base);
        return 0;
    }
    int rc = print_conditions(reply);
    print_handlers(reply);
    for (size_t i = 0; i < reply->n_info; i++)
        printf("%-14s %s\n", reply->info[i]->key, reply->info[i]->value);
    return rc;
}

int cmd_version(struct cli *cli, int argc, char **argv)
{
    int at = flags_parse(command_find("version"), NULL, 0, false, argc, argv);
    if (at < argc)
        return usage_error("version", "unexpected '%s'", argv[at]);
    printf("%-14s %s\n", "unicri", UNICRI_VERSION);
    struct err err = ERR_INIT;
    V1(VersionRequest) request = RUNTIME__V1__VERSION_REQUEST__INIT;
    automessage V1(VersionResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/Version", &request.base,
                 &runtime__v1__version_response__descriptor, 0, &reply, &err) < 0)
        return complain(&err);
    autofree char *name = printable(reply->runtime_name);
    autofree char *version = printable(reply->runtime_version);
    autofree char *api = printable(reply->runtime_api_version);
    printf("%-14s %s %s\n%-14s %s\n", "daemon", name, version, "API", api);
    return 0;
}
