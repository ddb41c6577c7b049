/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what the modules of this folder share: the tables of images, layers, holds and running
 * pulls.
 *
 * Two locks. `commit` serialises what changes rows and layer directories (the last step of a pull,
 * removal, collection); `lock` guards the tables and is held for moments only. Order: commit < lock
 * < db. Rows and directories are the truth, the tables mirror them: a layer row exists    => its
 * directory is complete and synced an image row exists   => all its layer rows exist Directories
 * without a row and names that begin with "tmp-" are rubbish, thrown away at start.
 */
#ifndef UNICRI_IMAGESTORE_STORE_H
#define UNICRI_IMAGESTORE_STORE_H

#include <stdatomic.h>

#include "base/thread.h"
#include "db/db.h"
#include "imagestore/imagestore.h"

#define STORE_TMP_PREFIX "tmp-"

struct store_layer {
    char *diff_id; /* owned */
    uint64_t size, inodes;
    unsigned pins; /* running pulls that count on it */
};

/* A root filesystem (or a kernel in use) that needs its layers; mirrors a file in images/holds. */
struct store_hold {
    char *dir;      /* owned; the hold ends when it is gone */
    char *image_id; /* owned; "" in holds of an older version */
    char **layers;  /* owned */
};

struct pull_job;
struct kept_layer;
struct store_disk;

struct imagestore {
    const struct imagestore_config *config;
    struct db *db;
    char *root, *layers_dir, *holds_dir, *disks_dir; /* owned */
    char *unpack_program, *mkdisk_program;           /* owned */
    char **pinned; /* owned: names in normal form and ids; never changes */
    struct mutex commit;
    struct mutex lock;
    struct cond changed; /* a pull or the making of a disk ended */
    struct image **images GUARDED;
    size_t n_images GUARDED;
    struct store_layer *layers GUARDED;
    size_t n_layers GUARDED;
    struct store_hold *holds GUARDED;
    size_t n_holds GUARDED;
    struct store_disk *disks GUARDED;
    size_t n_disks GUARDED;
    struct kept_layer *kept GUARDED; /* list */
    struct pull_job *jobs GUARDED;   /* list */
    unsigned running GUARDED;        /* threads of pulls */
    bool closing GUARDED;
};

/* store.c; with the lock held: */
struct image *store_image_by_id(struct imagestore *s, const char *id) NEEDS(s->lock);
struct store_layer *store_layer_find(struct imagestore *s, const char *diff_id) NEEDS(s->lock);
void store_put_layer(struct imagestore *s, const char *diff_id, uint64_t size, uint64_t inodes)
    NEEDS(s->lock);
void store_forget_layer(struct imagestore *s, const char *diff_id) NEEDS(s->lock);
void store_forget_image(struct imagestore *s, const char *id) NEEDS(s->lock);
/** store_put_image() - takes the image over, replacing the one of that id; its tags leave all
 * others. */
void store_put_image(struct imagestore *s, struct image *image) NEEDS(s->lock);

/** store_layer_path() - absolute; owned by the caller. */
char *store_layer_path(const struct imagestore *s, const char *diff_id);
/** store_min_free() - bytes that pulls leave free: image.min_free_bytes, an eighth of a disk at
 * most. */
uint64_t store_min_free(const struct imagestore *s);
/** store_pin() - keep a layer that is there. Returns: false when it is not (or its directory has
 * gone: then its row goes). */
bool store_pin(struct imagestore *s, const char *diff_id);
void store_unpin(struct imagestore *s, const char *diff_id);

/* commit.c */
/** store_commit() - the last step of a pull. `tmp[i]` is the unpacked directory (a name in layers/)
 * of layers[i], or NULL for one that is there already. All tmp directories are synced here,
 * renamed, recorded; then the image's row. On failure the tmp directories are left to the caller.
 * Takes `image` over in any case. Returns: the image with all its tags. */
struct image *store_commit(struct imagestore *s, struct image *image,
                           const struct store_layer *layers, char *const *tmp, size_t n,
                           struct err *err);

/** store_remove_dir() - a whole directory; a failure is logged, the next start tries again. */
void store_remove_dir(const char *path);
/** store_collect() - remove layers that no image, pull or hold needs. Failures are logged; the next
 * start tries again. */
void store_collect(struct imagestore *s);

/* image.c */
/* What makes an image says whether it is pinned: by the store's list, not by the row. */
struct image *image_from_row(const struct imagestore *s, const struct image_row *row,
                             struct err *err);
int image_put_row(struct imagestore *s, const struct image *image, struct err *err) MUST_CHECK;
/** image_merged() - a new image: `fresh` with the tags and digests of `old` (may be NULL) besides
 * its own. */
struct image *image_merged(const struct imagestore *s, const struct image *fresh,
                           const struct image *old);
struct image *image_without_tags(const struct imagestore *s, const struct image *image,
                                 char *const *tags);

/** image_build() - from its parts, without tags and digests. Takes over config_json, diff_ids and
 * the content of config. @artifact_type: "" of a container image. */
struct image *image_build(const char *id, const char *artifact_type, char *config_json,
                          struct image_config *config, char **diff_ids, uint64_t size,
                          const struct kvs *annotations);

/* hold.c */
int holds_load(struct imagestore *s, struct err *err) MUST_CHECK;
int hold_take(struct imagestore *s, const struct image *image, const char *dir,
              struct err *err) MUST_CHECK;
int hold_drop(struct imagestore *s, const char *dir, struct err *err) MUST_CHECK;
/** hold_matches() - does the directory hold exactly this image's layers? */
bool hold_matches(struct imagestore *s, const char *dir, const struct image *image);
/** holds_expire() - drop the holds whose directory has gone. */
void holds_expire(struct imagestore *s);

/* pull_job.c */
void pulls_stop(struct imagestore *s); /* and wait for them */

extern struct metric image_pulls_metric, image_pull_errors_metric, image_pull_joined_metric,
    image_pull_seconds_metric, image_bytes_metric, image_disk_seconds_metric, image_layers_metric,
    image_resumed_metric;

#endif
