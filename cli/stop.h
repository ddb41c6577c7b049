/* SPDX-License-Identifier: Apache-2.0 */
/* stop - the calls that end things; used by stop, rm and run. */
#ifndef UNICRI_CLI_STOP_H
#define UNICRI_CLI_STOP_H

#include "cli/cli.h"

int stop_container(struct cli *cli, const char *id, nsec_t grace, struct err *err) MUST_CHECK;
int remove_container(struct cli *cli, const char *id, struct err *err) MUST_CHECK;
int stop_pod(struct cli *cli, const char *id, struct err *err) MUST_CHECK;
int remove_pod(struct cli *cli, const char *id, struct err *err) MUST_CHECK;
/* false also when it does not exist (any more). */
bool pod_is_ready(struct cli *cli, const char *id);
bool container_is_running(struct cli *cli, const char *id);

#endif
