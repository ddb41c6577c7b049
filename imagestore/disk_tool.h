/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_tool - the programs that make filesystems, and how each wants to be told. They run shut in
 * by unicri-mkdisk; nothing from an image is among their arguments.
 */
#ifndef UNICRI_IMAGESTORE_DISK_TOOL_H
#define UNICRI_IMAGESTORE_DISK_TOOL_H

#include <sys/stat.h>

#include "imagestore/store.h"

/* One disk to be made. */
struct disk_plan {
    enum image_disk_kind kind;
    int image, source;    /* a detached mount and a directory in it; -1: an empty disk */
    struct stat root;     /* of `source` */
    uint64_t data_bytes;  /* at most so much is in it */
    uint64_t data_inodes; /* and so many files */
    uint64_t size;        /* of the whole disk; 0: data and image.disk_free_bytes */
    int output;           /* an empty file, open for reading and writing */
};

/** disk_make() - run the program. Errors: UNSUPPORTED (not installed: names the package),
 * EXHAUSTED, DEADLINE, INTERNAL with the program's last words. */
int disk_make(struct imagestore *s, const struct disk_plan *plan, deadline_t deadline,
              struct err *err) MUST_CHECK;
/** disk_kind_has_room() - is a disk of this kind written to, with room in it? */
bool disk_kind_has_room(enum image_disk_kind kind);

#endif
