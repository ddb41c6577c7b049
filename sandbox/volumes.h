/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volumes - image volumes: mounts of a request whose source is an image (CRI Mount.image,
 * image_sub_path). Volume i of a container is mounted read-only at ROOTFS_DIR/volumes/I/rootfs, in
 * the step "rootfs" and undone with it.
 */
#ifndef UNICRI_SANDBOX_VOLUMES_H
#define UNICRI_SANDBOX_VOLUMES_H

#include "sandbox/container.h"

/* What the message of a failure begins with: a kubelet looks for it. */
#define VOLUME_FAILED "ImageVolumeMountFailed"

/** volumes_check() - before anything is made. Errors: INVALID, NOT_FOUND (no such image). */
int volumes_check(struct container *c, struct err *err) MUST_CHECK;
/** volumes_mount() - all of the request; sets c->volume_failed. Idempotent. Errors: besides those
 * of rootfs_mount_readonly() NOT_FOUND and INVALID (sub path). */
int volumes_mount(struct container *c, struct err *err) MUST_CHECK;
/** volumes_unmount() - those below `rootfs_dir`; none or half made: success. */
int volumes_unmount(struct engine *engine, const char *rootfs_dir, struct err *err) MUST_CHECK;
/** volume_source() - the directory of mounted volume i on the node, sub path resolved beneath the
 * image's root. Owned. */
char *volume_source(const struct container *c, size_t i, struct err *err);
/** volume_sources() - one for each mount of the request, "" for those that are no volume. *ret is
 * owned by the caller. */
int volume_sources(const struct container *c, char ***ret, struct err *err) MUST_CHECK;

#endif
