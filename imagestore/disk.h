/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk - the table of disks and their files ROOT/disks/SHA256.KIND, one for an image, a kind and a
 * directory of the image. A row says that a file is complete and synced; a file without a row is
 * rubbish. A disk goes when neither an image's row nor a hold names its image any more.
 */
#ifndef UNICRI_IMAGESTORE_DISK_H
#define UNICRI_IMAGESTORE_DISK_H

#include "imagestore/store.h"

struct store_disk {
    char *name;     /* owned; the file's */
    char *image_id; /* owned */
    uint64_t bytes; /* on disk; 0 while it is built */
    bool building;
};

/** disks_load() - at start, after images and holds: throws away files without rows, rows without
 * files and what nothing needs. */
int disks_load(struct imagestore *s, struct err *err) MUST_CHECK;
/** disks_collect() - remove those that nothing needs; with `spare` those of images without a hold
 * too. Failures are logged. Takes the `commit` lock. */
void disks_collect(struct imagestore *s, bool spare);
/** disks_usage() - adds theirs. */
void disks_usage(const struct imagestore *s, uint64_t *bytes, uint64_t *inodes) NEEDS(s->lock);
void disks_free(struct imagestore *s);

#endif
