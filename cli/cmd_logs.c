/* SPDX-License-Identifier: Apache-2.0 */
/* unicri logs - a container's log file, as the daemon's status names it. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/follow.h"

int container_status(struct cli *cli, const char *id, struct container_brief *ret, struct err *err)
{
    V1(ContainerStatusRequest) request = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    request.container_id = (char *)id;
    automessage V1(ContainerStatusResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ContainerStatus", &request.base,
                 &runtime__v1__container_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    const V1(ContainerStatus) *s = reply->status;
    if (!s)
        return err_set(err, ERR_INTERNAL, "the daemon gave no status of container '%s'", id);
    ret->exited = s->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
    ret->exit_code = s->exit_code;
    (void)snprintf(ret->log_path, sizeof(ret->log_path), "%s", s->log_path);
    (void)snprintf(ret->reason, sizeof(ret->reason), "%s", s->reason);
    (void)snprintf(ret->message, sizeof(ret->message), "%s", s->message);
    return 0;
}

int container_follow(struct cli *cli, const char *id, uint64_t tail, bool timestamps,
                     const volatile int *stop, struct container_brief *ret, struct err *err)
{
    int64_t offset = 0;
    for (;;) {
        /* The state first: what is in the log after the end was seen is all there is. */
        if (container_status(cli, id, ret, err) < 0)
            return -1;
        if (*ret->log_path && logs_copy(ret->log_path, &offset, tail, timestamps, err) < 0)
            return -1;
        if (ret->exited || (stop && *stop))
            return 0;
        clock_sleep_until(deadline_in(FOLLOW_PERIOD));
    }
}

int cmd_logs(struct cli *cli, int argc, char **argv)
{
    bool follow = false, timestamps = false;
    uint64_t tail = 0;
    const struct flag flags[] = {
        {"follow", 'f', FLAG_BOOL, &follow, NULL, "go on until the container ends"},
        {"tail", 'n', FLAG_BYTES, &tail, "LINES", "only the last LINES lines"},
        {"timestamps", 't', FLAG_BOOL, &timestamps, NULL, "with the time of each line"},
    };
    int at = flags_parse(command_find("logs"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (argc - at != 1)
        return usage_error("logs", "one container is needed");

    struct err err = ERR_INIT;
    autofree char *id = NULL;
    struct container_brief brief;
    if (find_container(cli, argv[at], &id, &err) < 0 || container_status(cli, id, &brief, &err) < 0)
        return complain(&err);
    if (!*brief.log_path) {
        (void)err_set(&err, ERR_STATE, "container '%s' was made without a log", argv[at]);
        return complain(&err);
    }
    int64_t offset = 0;
    int rc = follow ? container_follow(cli, id, tail, timestamps, NULL, &brief, &err)
                    : logs_copy(brief.log_path, &offset, tail, timestamps, &err);
    return rc < 0 ? complain(&err) : 0;
}
