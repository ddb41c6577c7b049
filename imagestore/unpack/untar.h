/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untar - the entries of a layer's tar into the current directory, with OCI whiteouts turned into
 * overlayfs's. The policy for every name, link and number that an image can choose lives here and
 * in place.c.
 *
 * Names: absolute ones and ".." are refused; parents are opened beneath the root only, through
 * relative links that stay inside but never through absolute or escaping ones. Devices are passed
 * over. Of extended attributes security.capability and user.* (not user.overlay.*) are kept. Spec:
 * OCI image-spec 1.1, "Image Layer Filesystem Changeset".
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_UNTAR_H
#define UNICRI_IMAGESTORE_UNPACK_UNTAR_H

#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

#define UNTAR_DEPTH_MAX  256 /* components of a name */
#define UNTAR_XATTRS_MAX 64  /* of one entry */
#define UNTAR_XATTR_MAX  (64 * 1024)
#define UNTAR_NAMES_MAX  (UINT64_C(128) << 20) /* bytes of directory names kept for their times */

#define UNTAR_FREE_STEP   (UINT64_C(1) << 20) /* written between two looks at the free space */
#define UNTAR_FREE_INODES 256                 /* stay free where min_free is set */

struct untar_limits {
    uint64_t max_bytes, max_entries;
    uint64_t min_free; /* bytes that stay free on the filesystem; 0: it may be filled */
};
struct untar_totals {
    uint64_t entries, bytes, inodes, skipped; /* bytes: on disk, in whole blocks */
};
/* Where the plain bytes come from: as decompress_next(). */
typedef ssize_t (*untar_source)(void *arg, const void **ret, struct err *err);

/**
 * untar() - read the source to its end.
 * @marks: gets 'O' and 'I' records (report.h).
 * Errors: INVALID (a forbidden name, link or number), CORRUPT (no tar, cut off), EXHAUSTED (a
 * limit, the disk: min_free may be missed by UNTAR_FREE_STEP).
 */
int untar(untar_source source, void *arg, const struct untar_limits *limits, struct strbuf *marks,
          struct untar_totals *ret, struct err *err) MUST_CHECK;
/** untar_check_free() - is min_free still free? In the current directory. Errors: EXHAUSTED. */
int untar_check_free(const struct untar_limits *limits, struct err *err) MUST_CHECK;

#endif
