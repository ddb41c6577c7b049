/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_walk - for what has to see each file of a tree (fs_tree.c, fs_usage.c, a guest's volumes):
 * going down into and up out of directories that hostile programs made and may be changing now.
 *
 * One descriptor is open at a time: the way up is "..", and where it leads is compared with what
 * was there on the way down. So neither depth nor width costs descriptors or stack; links are never
 * followed and mounts never entered.
 */
#ifndef UNICRI_BASE_FS_WALK_H
#define UNICRI_BASE_FS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct fs_place {
    uint64_t dev;
    uint64_t ino;
    uint64_t mount; /* mount id; on kernels before 5.8 the device again */
};

struct fs_frame {
    struct fs_place place;
    char *name;     /* owned; in the parent; NULL for the top */
    char **subdirs; /* owned; directories found here, n of them, not yet visited from `next` on */
    size_t n, cap, next;
    int tries;   /* for the user */
    bool scan;   /* for the user: to be read (again) */
    bool failed; /* for the user */
};

struct fs_walk {
    int fd; /* owned; the directory of the last frame */
    struct fs_frame *frames;
    size_t depth, cap;
};

enum fs_down { FS_DOWN_ERROR = -1, FS_DOWN_OK, FS_DOWN_GONE, FS_DOWN_MOUNT };

int fs_place_of(int fd, struct fs_place *ret, struct err *err) MUST_CHECK;
/** fs_walk_init() - start at an open directory, whose descriptor is taken over. */
int fs_walk_init(struct fs_walk *w, int fd, struct err *err) MUST_CHECK;
void fs_walk_done(struct fs_walk *w);
static inline struct fs_frame *fs_walk_top(struct fs_walk *w)
{
    return &w->frames[w->depth - 1];
}
/** fs_walk_subdir() - remember a directory of the current one. */
void fs_walk_subdir(struct fs_walk *w, const char *name);
/** fs_walk_down() - enter `name` (taken over). GONE: no directory any more; MOUNT: a mount, not
 * entered. */
enum fs_down fs_walk_down(struct fs_walk *w, char *name, struct err *err) MUST_CHECK;
/** fs_walk_up() - back to the parent; the name of the left directory goes to *ret_name (owned). */
int fs_walk_up(struct fs_walk *w, char **ret_name, struct err *err) MUST_CHECK;

#endif
