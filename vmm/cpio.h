/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpio - archives in the "newc" format, as kernels take them for an initial file system: a writer
 * that streams into a descriptor, and a look at an archive that an image brought.
 *
 * Each segment (all up to and with an entry "TRAILER!!!") begins at a multiple of 4 in the file.
 * What is written is bounded; what is read is hostile.
 */
#ifndef UNICRI_VMM_CPIO_H
#define UNICRI_VMM_CPIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/mem.h"

#define CPIO_NAME_MAX 1023 /* bytes of a name, without its NUL */

struct cpio {
    int fd; /* borrowed; written at its end */
    uint64_t bytes, bytes_max;
    uint32_t entries, entries_max;
};

/** cpio_begin() - the next segment, at the end of the file behind `fd`, which is padded to a
 * multiple of 4. Bounds hold for this segment. */
int cpio_begin(struct cpio *c, int fd, uint64_t bytes_max, uint32_t entries_max,
               struct err *err) MUST_CHECK;
/** cpio_directory() - `name` without a leading slash; owner, mode and time of `st`. Errors, as of
 * all that follow: UNSUPPORTED (a bound), EXHAUSTED (the disk), INVALID (name too long). */
int cpio_directory(struct cpio *c, const char *name, const struct stat *st,
                   struct err *err) MUST_CHECK;
int cpio_symlink(struct cpio *c, const char *name, const struct stat *st, const char *target,
                 struct err *err) MUST_CHECK;
/** cpio_file() - the first st->st_size bytes behind `from`, wherever its offset is; one that has
 * become shorter is filled up with zeros. */
int cpio_file(struct cpio *c, const char *name, const struct stat *st, int from,
              struct err *err) MUST_CHECK;
/** cpio_end() - the trailer. */
int cpio_end(struct cpio *c, struct err *err) MUST_CHECK;

/**
 * cpio_scan() - walk the archive's first segment.
 * @each: called for each entry but the trailer; may be NULL.
 * @ret_trailer: where the trailer's header begins.
 * Errors: INVALID saying what is wrong (no such archive, cut short, no trailer, too many entries).
 */
int cpio_scan(int fd, uint64_t size, void (*each)(void *arg, const char *name, mode_t mode),
              void *arg, uint64_t *ret_trailer, struct err *err) MUST_CHECK;

#endif
