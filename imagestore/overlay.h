/* SPDX-License-Identifier: Apache-2.0 */
/* overlay - mounts of overlayfs; for rootfs.c, which knows where and of what. */
#ifndef UNICRI_IMAGESTORE_OVERLAY_H
#define UNICRI_IMAGESTORE_OVERLAY_H

#include "imagestore/layers.h"

struct overlay {
    const struct layer_stack *stack; /* without a writable layer: two directories at least */
    const char *target;
    const char *upper, *work; /* NULL: read-only and nodev */
    int upper_fd, work_fd;
};
/** overlay_mount() - at o->target. Errors: EXHAUSTED (too many layers for this kernel), INTERNAL
 * with the kernel's own words. */
int overlay_mount(const struct overlay *o, struct err *err) MUST_CHECK;
/** overlay_detached() - read-only and nodev, a mount that hangs nowhere: it goes with its
 * descriptor. Returns: fd or -1, errors as overlay_mount(). */
int overlay_detached(const struct layer_stack *stack, struct err *err);
/** mount_restrict() - make an open mount read-only and nodev. */
int mount_restrict(int mnt, struct err *err) MUST_CHECK;

#endif
