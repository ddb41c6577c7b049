/* SPDX-License-Identifier: Apache-2.0 */
/* layers - the layer directories of one image, opened, as a stack: uppermost first. */
#ifndef UNICRI_IMAGESTORE_LAYERS_H
#define UNICRI_IMAGESTORE_LAYERS_H

#include "imagestore/store.h"

struct layer_stack {
    int *fds;     /* owned */
    char **paths; /* owned strv */
    size_t n;     /* at least 1: an image without layers has one empty one */
};
/** layer_stack_open() - equal layers once; nothing below a layer whose root is opaque. Errors:
 * NOT_FOUND, EXHAUSTED. */
int layer_stack_open(struct imagestore *s, const struct image *image, struct layer_stack *ret,
                     struct err *err) MUST_CHECK;
/** layer_stack_add() - one more directory below the others; the path is taken over. */
int layer_stack_add(struct layer_stack *stack, char *path, struct err *err) MUST_CHECK;
void layer_stack_done(struct layer_stack *stack);
/** layer_dir_is_opaque() - an open directory of a layer. */
bool layer_dir_is_opaque(int fd);

/** rootfs_detached() - the image's merged root filesystem, read-only and nodev, as a mount that
 * hangs nowhere: it goes with its descriptor. The caller holds the image. Returns: fd or -1. */
int rootfs_detached(struct imagestore *s, const struct image *image, struct err *err);

#endif
