/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept - finished layers of a pull that an unreachable registry ended, for the next try. They are
 * directories without a row still ("tmp-..."), so whatever happens to the daemon, the next start
 * throws them away; a pull that takes one commits it like one that it has fetched itself.
 */
#ifndef UNICRI_IMAGESTORE_KEPT_H
#define UNICRI_IMAGESTORE_KEPT_H

#include "imagestore/layer.h"

#define KEPT_TIME (600 * NSEC_PER_SEC)

/** kept_put() - takes *result over. What would make all of them larger than one image may be, or is
 * kept already, is removed. */
void kept_put(struct imagestore *s, const char *diff_id, struct layer_result *result);
/** kept_take() - Returns: false when there is none. */
bool kept_take(struct imagestore *s, const char *diff_id, struct layer_result *ret);
/** kept_expire() - remove those that are at least so old; 0: all of them. */
void kept_expire(struct imagestore *s, nsec_t age);
/** kept_usage() - adds theirs. */
void kept_usage(const struct imagestore *s, uint64_t *bytes, uint64_t *inodes) NEEDS(s->lock);
/** kept_free() - forget them; the directories are left to the next start. */
void kept_free(struct imagestore *s);

#endif
