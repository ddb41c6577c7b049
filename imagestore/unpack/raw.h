/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw - a blob that is no archive: one file of an artifact, below the current directory, by the
 * policy of names that place.h has for tar entries.
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_RAW_H
#define UNICRI_IMAGESTORE_UNPACK_RAW_H

#include "imagestore/unpack/untar.h"

/**
 * raw() - read the source to its end into the file `name`, of mode 0644 and root's, so that nothing
 * of it can be executed. Errors: INVALID (the name), EXHAUSTED (a limit, the disk).
 */
int raw(untar_source source, void *arg, const char *name, const struct untar_limits *limits,
        struct untar_totals *ret, struct err *err) MUST_CHECK;

#endif
