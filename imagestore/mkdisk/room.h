/* SPDX-License-Identifier: Apache-2.0 */
/*
 * room - where a program that makes a filesystem from hostile files is shut in: a root with
 * nothing in it but the image, the file to be written and the node's programs read-only; no
 * network, no capability but to read every file, bounded memory, time and file size.
 *
 * Part of unicri-mkdisk; the daemon knows the names and numbers only.
 */
#ifndef UNICRI_IMAGESTORE_MKDISK_ROOM_H
#define UNICRI_IMAGESTORE_MKDISK_ROOM_H

#include <stdint.h>

#include "base/err.h"

/* Descriptors that unicri-mkdisk is started with, and where the program finds what they are. */
#define MKDISK_IMAGE_FD  3 /* a mount that hangs nowhere; absent: an empty disk */
#define MKDISK_SOURCE_FD 4 /* the directory in it; absent with it */
#define MKDISK_OUTPUT_FD 5 /* a regular file, as such a mount */
#define MKDISK_SOURCE    "/in"
#define MKDISK_OUTPUT    "/out"
/* Ended with this status when it was not the program that failed. */
#define MKDISK_OWN_FAILURE 125

struct room_limits {
    uint64_t file_bytes, cpu_seconds;
};
/**
 * room_enter() - for good; the current directory is where the new root is put together, seen by
 * nobody else. Errors: naming the step; then the process must end.
 */
int room_enter(const struct room_limits *limits, struct err *err) MUST_CHECK;

#endif
