/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs_idmap - layers as a user namespace sees them; for rootfs.c. */
#ifndef UNICRI_IMAGESTORE_ROOTFS_IDMAP_H
#define UNICRI_IMAGESTORE_ROOTFS_IDMAP_H

#include "imagestore/layers.h"

/** mount_copy() - of the mount that the directory `path` is on, from there on and hanging nowhere;
 * with the ids of a user namespace, unless that is -1. Returns: fd or -1. Errors: UNSUPPORTED (the
 * filesystem has no such mounts). */
int mount_copy(const char *path, int userns_fd, struct err *err);
/** layer_stack_idmap() - the stack's layers again, with mapped ids. *ret_copy: the mount they are
 * on, the caller's descriptor. Errors: UNSUPPORTED (the filesystem has no such mounts). */
int layer_stack_idmap(struct imagestore *s, int userns_fd, struct layer_stack *stack, int *ret_copy,
                      struct err *err) MUST_CHECK;
/** layer_copy_attach() - put that mount at DIR/layers, for kernels that want it somewhere. */
int layer_copy_attach(int copy, const char *dir, struct err *err) MUST_CHECK;
/** layer_copy_detach() - take it away again; absent: success. */
int layer_copy_detach(const char *dir, struct err *err) MUST_CHECK;

#endif
