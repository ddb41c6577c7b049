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
void layer_stack_done(struct layer_stack *stack);
/** layer_dir_is_opaque() - an open directory of a layer. */
bool layer_dir_is_opaque(int fd);

#endif
