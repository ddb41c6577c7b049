/* SPDX-License-Identifier: Apache-2.0 */
/* unicri exec - a command in a container, without a terminal: its output is collected and printed
 * at its end. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

int cmd_exec(struct cli *cli, int argc, char **argv)
{
    nsec_t timeout = 0;
    const struct flag flags[] = {
        {"kill-after", 0, FLAG_SECONDS, &timeout, "SECONDS",
         "kill the command when it takes longer"},
    };
    int at = flags_parse(command_find("exec"), flags, ARRAY_SIZE(flags), true, argc, argv);
    if (argc - at < 2)
        return usage_error("exec", "a container and a command are needed");

    struct err err = ERR_INIT;
    autofree char *id = NULL;
    if (find_container(cli, argv[at], &id, &err) < 0)
        return complain(&err);
    V1(ExecSyncRequest) request = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
    request.container_id = id;
    request.cmd = argv + at + 1;
    request.n_cmd = (size_t)(argc - at - 1);
    request.timeout = (timeout + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
    automessage V1(ExecSyncResponse) *reply = NULL;
    nsec_t wait = timeout ? timeout + cli->timeout : 0;
    if (cli_call(cli, "RuntimeService/ExecSync", &request.base,
                 &runtime__v1__exec_sync_response__descriptor, wait, &reply, &err) < 0)
        return complain(&err);
    (void)fwrite(reply->stdout.data, 1, reply->stdout.len, stdout);
    (void)fwrite(reply->stderr.data, 1, reply->stderr.len, stderr);
    return reply->exit_code;
}
