/* SPDX-License-Identifier: Apache-2.0 */
/*
 * userns_probe - can this node give pods a user namespace? And the parts of pod_userns.c that are
 * not about one pod.
 */
#ifndef UNICRI_SANDBOX_USERNS_PROBE_H
#define UNICRI_SANDBOX_USERNS_PROBE_H

#include "sandbox/init_client.h"

/** userns_probe() - tried, not guessed: a user namespace is made, the directory of layers and an
 * overlay are seen through it. Success is remembered, failure for a while. Errors: UNSUPPORTED
 * saying what the kernel or the filesystem lacks. Thread: any. */
int userns_probe(struct engine *engine, struct err *err) MUST_CHECK;
/** userns_write_map() - `name`: "uid_map" or "gid_map" of a holder's new namespace. */
int userns_write_map(const struct ns_holder *holder, const char *name, const struct id_map *maps,
                     size_t n, struct err *err) MUST_CHECK;
/** userns_of_maps() - a user namespace with the mapping of one mount. *ret: the caller's
 * descriptor, with which it ends. */
int userns_of_maps(struct engine *engine, const struct mount_spec *mount, int *ret,
                   struct err *err) MUST_CHECK;
/** userns_remove() - unpin; absent: success. */
int userns_remove(const char *path, struct err *err) MUST_CHECK;

#endif
