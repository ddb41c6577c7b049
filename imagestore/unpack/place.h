/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place - names of tar entries and the places they stand for beneath the root of a layer.
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_PLACE_H
#define UNICRI_IMAGESTORE_UNPACK_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/strbuf.h"

struct place {
    int root;              /* descriptor of the layer's root */
    char parent[PATH_MAX]; /* the directory we stand in; valid when standing */
    bool standing;
    struct strbuf *marks; /* records for the daemon */
    size_t n_marks;
    uint64_t implied; /* directories made on the way */
};

/**
 * place_clean() - "./a//b/" -> "a/b"; "" is the root.
 * @link: a hard link's target, which may start with a slash.
 * Errors: INVALID (absolute, "..", too long, too deep, empty).
 */
int place_clean(const char *name, bool link, char ret[PATH_MAX], struct err *err) MUST_CHECK;
/** place_enter() - stand in the parent directory of a clean name, making what is missing. *ret_leaf
 * points into `path`. */
int place_enter(struct place *p, const char *path, const char **ret_leaf,
                struct err *err) MUST_CHECK;
/** place_clear() - make way for a new entry at `leaf`. *ret_kept: a directory is there and stays
 * (only when `dir`). */
int place_clear(struct place *p, const char *path, const char *leaf, bool dir, bool *ret_kept,
                struct err *err) MUST_CHECK;
/** place_open_dir() - a directory beneath the root by its clean name. Returns: fd or -1 with errno.
 */
int place_open_dir(const struct place *p, const char *path, int flags);
/** place_mark() - a record for the daemon: 'O' or 'I'. Errors: EXHAUSTED. */
int place_mark(struct place *p, char kind, const char *path, struct err *err) MUST_CHECK;
bool is_whiteout(const struct stat *st);

#endif
