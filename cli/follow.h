/* SPDX-License-Identifier: Apache-2.0 */
/* follow - watching one container: its status in brief, and its log until it ends. Used by logs and
 * run. */
#ifndef UNICRI_CLI_FOLLOW_H
#define UNICRI_CLI_FOLLOW_H

#include "cli/cli.h"

#define FOLLOW_PERIOD (50 * NSEC_PER_MSEC)

struct container_brief {
    bool exited;
    int exit_code;
    char log_path[4096], reason[64], message[1024];
};
int container_status(struct cli *cli, const char *id, struct container_brief *ret,
                     struct err *err) MUST_CHECK;
/** container_follow() - print the log until the container ends or *stop is set (by a signal
 * handler; may be NULL). */
int container_follow(struct cli *cli, const char *id, uint64_t tail, bool timestamps,
                     const volatile int *stop, struct container_brief *ret,
                     struct err *err) MUST_CHECK;

#endif
