/* SPDX-License-Identifier: Apache-2.0 */
/* pull - one pull from name to committed image. Its jobs, and who waits for them: pull_job.c. */
#ifndef UNICRI_IMAGESTORE_PULL_H
#define UNICRI_IMAGESTORE_PULL_H

#include "imagestore/reference.h"
#include "imagestore/registry.h"
#include "imagestore/store.h"

/**
 * pull_run() - make the image present. Blocks for as long as it takes.
 * @stop: set by the caller to give up, and by the pull itself to stop its threads when one fails.
 * Thread: one of thread_start()'s.
 */
struct image *pull_run(struct imagestore *s, struct registry *registry, const struct reference *ref,
                       atomic_bool *stop, struct err *err);

#endif
