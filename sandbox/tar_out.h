/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_out - a tar archive (POSIX.1-2001, pax where ustar is too small) onto a descriptor, from
 * files that a container may have made: nothing is opened but regular files and directories, links
 * are never followed, and the bytes written, the depth and the time have bounds.
 */
#ifndef UNICRI_SANDBOX_TAR_OUT_H
#define UNICRI_SANDBOX_TAR_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"

#define TAR_DEPTH_MAX     1024
#define TAR_XATTR_MAX     (64 * 1024)
#define TAR_XATTRS_MAX    64
#define TAR_PAX_MAX_BYTES (1024 * 1024)

struct tar_out {
    int fd;              /* borrowed */
    uint64_t room;       /* bytes that may still be written; EXHAUSTED beyond */
    deadline_t deadline; /* DEADLINE beyond */
};

/** tar_out_bytes() - a regular file of mode 0600 and root's. */
int tar_out_bytes(struct tar_out *t, const char *name, const void *data, size_t len,
                  struct err *err) MUST_CHECK;
/** tar_out_file() - the regular file `path` below dirfd as `name`, also 0600: as many bytes as it
 * has now. Errors: INVALID (no regular file), besides those of opening it. */
int tar_out_file(struct tar_out *t, const char *name, int dirfd, const char *path,
                 struct err *err) MUST_CHECK;
/**
 * tar_out_tree() - all below a directory, with owners, modes and extended attributes.
 * @prefix: of the names, "" or "dir/"; the directory itself is in it when it is not "".
 * @layer: it is the upper directory of an overlay: what is deleted there is written as whiteouts of
 * the OCI image-spec.
 */
int tar_out_tree(struct tar_out *t, const char *prefix, int dirfd, bool layer,
                 struct err *err) MUST_CHECK;
/** tar_out_end() - the two empty blocks. */
int tar_out_end(struct tar_out *t, struct err *err) MUST_CHECK;

/* tar_out.c, for tar_tree.c. */
struct tar_entry {
    const char *name, *link; /* link: NULL none */
    char type;               /* of ustar: '0' file, '2' link, '3' '4' devices, '5' dir, '6' fifo */
    struct stat st;
    const void *pax; /* more records, of pax_len bytes */
    size_t pax_len;
};
int tar_out_head(struct tar_out *t, const struct tar_entry *e, struct err *err) MUST_CHECK;
/** tar_pax_add() - one record. */
void tar_pax_add(struct strbuf *b, const char *key, const void *value, size_t len);
/** tar_out_content() - `size` bytes of a file, zeros where it has become shorter; padded. */
int tar_out_content(struct tar_out *t, int fd, uint64_t size, struct err *err) MUST_CHECK;

#endif
