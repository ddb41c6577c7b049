/* SPDX-License-Identifier: Apache-2.0 */
/* pull - what `unicri pull` and `unicri run` share. */
#ifndef UNICRI_CLI_PULL_H
#define UNICRI_CLI_PULL_H

#include "cli/cli.h"

/** image_pull() - with a line of progress on a terminal. `credentials` is "user:password" or NULL.
 * Caller frees *ret_id. */
int image_pull(struct cli *cli, const char *image, const char *credentials, char **ret_id,
               struct err *err) MUST_CHECK;
/** image_have() - is it here already? */
int image_have(struct cli *cli, const char *image, bool *ret, struct err *err) MUST_CHECK;

#endif
