/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer - one layer: from the registry through a confined unpack child into a fresh directory. The
 * daemon passes the bytes on and counts them; the child computes both digests, which are compared
 * here.
 */
#ifndef UNICRI_IMAGESTORE_LAYER_H
#define UNICRI_IMAGESTORE_LAYER_H

#include "imagestore/manifest.h"
#include "imagestore/registry.h"
#include "imagestore/store.h"

struct layer_result {
    char *tmp;      /* owned: the directory's name in layers/; NULL until done */
    char **implied; /* owned: directories without an entry of their own, "" for the root */
    uint64_t size, inodes;
};
void layer_result_done(struct layer_result *r);

/**
 * layer_fetch() - on success *ret names a directory of ours; on failure nothing is left.
 * Errors: those of registry_blob(); CORRUPT (digests), INVALID (a forbidden entry), EXHAUSTED
 * (limits, disk). Thread: one of thread_start()'s (SIGPIPE blocked).
 */
int layer_fetch(struct imagestore *s, struct registry *registry, struct http *http,
                const struct descriptor *blob, const char *diff_id, const atomic_bool *stop,
                struct layer_result *ret, struct err *err) MUST_CHECK;

/** layer_adopt_dirs() - give implied directories the owner, mode and time that the layers below
 * have for them.
 * @below: descriptors of the lower layers, lowest first. */
void layer_adopt_dirs(int layer, char *const *implied, const int *below, size_t n_below);

#endif
