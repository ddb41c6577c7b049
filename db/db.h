/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db - the truth of the node, in one sqlite file. Facade of the folder; SQL lives in db/ only.
 *
 * Every function is one transaction and leaves nothing open. Writers take turns on one connection;
 * readers have connections of their own (WAL), so a reader never waits for a writer. Pod, container
 * and network rows survive kill -9 without an fsync; image and layer rows are synced before the
 * call returns, because what they name is expensive to get again. Strings in rows handed out are
 * owned by the row: X_row_done() frees them. The JSON in `spec`, `result` and so on is opaque here.
 *
 * Errors: EXHAUSTED (disk full), CORRUPT, STATE (busy beyond the deadline), NOT_FOUND, EXISTS.
 * Thread: any. The lock inside is the last in the lock order.
 */
#ifndef UNICRI_DB_DB_H
#define UNICRI_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/metrics.h"

struct db;

/* For the metrics page: NULL terminated. */
extern struct metric *const db_metrics[];

/**
 * db_open() - open or create DIR/unicri.db, migrate it, take the directory's lock (held until
 * db_close()). A corrupt file is moved aside (unicri.db.corrupt-TIME) and an empty one made;
 * *ret_rebuilt tells. Errors: STATE another daemon holds the directory; UNSUPPORTED the file is of
 * a newer version.
 */
struct db *db_open(const char *dir, bool *ret_rebuilt, struct err *err);
void db_close(struct db *db);

enum db_kind { DB_PODS, DB_NETWORKS, DB_CONTAINERS, DB_IMAGES, DB_LAYERS, DB_DISKS };
/**
 * db_quarantine() - take a record out of the way that its owner cannot make sense of (bad JSON in
 * it): it moves whole into the table `quarantine` with the reason. The network row of such a pod
 * becomes an orphan. Absent: success.
 */
int db_quarantine(struct db *db, enum db_kind kind, const char *id, const char *reason,
                  struct err *err) MUST_CHECK;

/* A small key-value store: boot id of the last start and the like. Absent: *ret = NULL. Caller
 * frees. */
int db_meta_get(struct db *db, const char *key, char **ret, struct err *err) MUST_CHECK;
int db_meta_set(struct db *db, const char *key, const char *value, struct err *err) MUST_CHECK;

/* ------------------------------------------------------------------ pods */

struct pod_row {
    char *id;
    char *namespace_, *name, *uid; /* with attempt the key of a sandbox; unique among all rows */
    uint32_t attempt;
    char *handler;
    char *spec;      /* JSON of the whole request (sandbox/spec) */
    char *spec_hash; /* tells a retry from a changed request */
    int state;       /* enum pod_state */
    size_t step;     /* how many steps may have happened */
    nsec_t created_at;
    char *runtime; /* JSON: cgroup path, netns path, pids with start time and boot id: what the
                      steps made */
};
void pod_row_done(struct pod_row *row);

int db_pod_insert(struct db *db, const struct pod_row *row,
                  struct err *err) MUST_CHECK; /* EXISTS: id or key */
int db_pod_set_step(struct db *db, const char *id, size_t step, struct err *err) MUST_CHECK;
int db_pod_set_state(struct db *db, const char *id, int state, struct err *err) MUST_CHECK;
int db_pod_set_runtime(struct db *db, const char *id, const char *runtime,
                       struct err *err) MUST_CHECK;
/** db_pod_delete() - with its network row, which must be clean or absent: else STATE. Absent pod:
 * success. */
int db_pod_delete(struct db *db, const char *id, struct err *err) MUST_CHECK;
/** db_pods_load() - all rows; one that cannot be read is put into quarantine and skipped. Caller:
 * pod_rows_free(). */
int db_pods_load(struct db *db, struct pod_row **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void pod_rows_free(struct pod_row *rows, size_t n);

/* -------------------------------------------------------------- networks */

/* What was asked of CNI for a pod. The row is written before ADD; while it exists a DEL is owed. */
struct network_row {
    char *pod_id;
    char *netns;    /* path given to the plugins */
    char *conflist; /* JSON text as it was at ADD */
    char *args;     /* JSON: CNI_ARGS, capability arguments, interface name */
    char *result;   /* JSON of the last plugin; "" until ADD succeeded */
    int64_t dels;   /* how many DELs have failed */
    char *error;    /* the last failure, or "" */
    bool orphan;    /* the pod is gone; only the debt is left */
};
void network_row_done(struct network_row *row);

int db_network_insert(struct db *db, const struct network_row *row, struct err *err) MUST_CHECK;
int db_network_set_result(struct db *db, const char *pod_id, const char *result,
                          struct err *err) MUST_CHECK;
/** db_network_failed() - count a failed DEL; with `orphan` the row outlives the pod's row. */
int db_network_failed(struct db *db, const char *pod_id, const char *error, bool orphan,
                      struct err *err) MUST_CHECK;
int db_network_delete(struct db *db, const char *pod_id,
                      struct err *err) MUST_CHECK; /* absent: success */
int db_network_get(struct db *db, const char *pod_id, struct network_row *ret,
                   struct err *err) MUST_CHECK; /* NOT_FOUND */
int db_networks_load(struct db *db, struct network_row **ret, size_t *ret_n,
                     struct err *err) MUST_CHECK;
void network_rows_free(struct network_row *rows, size_t n);

/* ------------------------------------------------------------ containers */

struct container_row {
    char *id;
    char *pod_id;
    char *name;
    uint32_t attempt; /* (pod_id, name, attempt) is unique */
    char *image_id;
    char *spec; /* JSON of the whole request */
    char *spec_hash;
    int state; /* enum container_state */
    size_t step;
    nsec_t created_at, started_at, finished_at; /* 0: not yet */
    int exit_code;
    char *reason, *message; /* "" when there is nothing to say */
    char *runtime; /* JSON: bundle, cgroup, monitor pid and start time, boot id, driver: what the
                      steps made */
};
void container_row_done(struct container_row *row);

int db_container_insert(struct db *db, const struct container_row *row, struct err *err) MUST_CHECK;
int db_container_set_step(struct db *db, const char *id, size_t step, struct err *err) MUST_CHECK;
int db_container_set_runtime(struct db *db, const char *id, const char *runtime,
                             struct err *err) MUST_CHECK;
int db_container_set_state(struct db *db, const char *id, int state, struct err *err) MUST_CHECK;
/** db_container_change_state() - for a move that memory has made already: a row which meanwhile has
 * gone on, or away, stays as it is. */
int db_container_change_state(struct db *db, const char *id, int from, int to,
                              struct err *err) MUST_CHECK;
int db_container_started(struct db *db, const char *id, int state, nsec_t started_at,
                         struct err *err) MUST_CHECK;
int db_container_exited(struct db *db, const char *id, int state, nsec_t finished_at, int exit_code,
                        const char *reason, const char *message, struct err *err) MUST_CHECK;
int db_container_delete(struct db *db, const char *id,
                        struct err *err) MUST_CHECK; /* absent: success */
int db_containers_load(struct db *db, struct container_row **ret, size_t *ret_n,
                       struct err *err) MUST_CHECK;
void container_rows_free(struct container_row *rows, size_t n);

/* ---------------------------------------------------------------- events */

/* What happened to a pod or a container. They are written with the change that they tell of, and
 * only the newest 4096 are kept. */
struct event_row {
    int64_t seq; /* ascending, never the same again; without gaps */
    nsec_t at;   /* wall clock, to the millisecond */
    int kind;    /* 0 created, 1 started, 2 stopped, 3 deleted */
    char *id;    /* of the container, or of the pod for its own events */
    char *pod_id, *namespace_, *name, *uid;
    uint32_t attempt;
};
void event_row_done(struct event_row *row);
void event_rows_free(struct event_row *rows, size_t n);
/** db_events_after() - the oldest `max` of those after `after`, in order. Caller:
 * event_rows_free(). */
int db_events_after(struct db *db, int64_t after, size_t max, struct event_row **ret, size_t *ret_n,
                    struct err *err) MUST_CHECK;
/** db_events_range() - *ret_oldest, *ret_newest: the first and the last that are there;
 * *ret_before: the last that is older than `since`. 0: none. */
int db_events_range(struct db *db, nsec_t since, int64_t *ret_oldest, int64_t *ret_before,
                    int64_t *ret_newest, struct err *err) MUST_CHECK;

/* ---------------------------------------------------------------- images */

struct image_row {
    char *id;       /* "sha256:..." of the config blob */
    char *config;   /* the config blob, verbatim JSON */
    char *manifest; /* JSON: what pull kept of index and manifest: annotations, media types,
                       platform */
    uint64_t size;  /* compressed size of all blobs, as other runtimes report it */
    bool pinned;
    nsec_t pulled_at;
    char **tags;    /* strv "host/repo:tag" */
    char **digests; /* strv "host/repo@sha256:..." */
    char **layers;  /* strv of diff_ids, lowest first */
};
void image_row_done(struct image_row *row);

/**
 * db_image_put() - record a pulled image: insert it or refresh what is there, add its tags and
 * digests (a tag that named another image moves here). All its layers must be recorded: else STATE.
 * Synced.
 */
int db_image_put(struct db *db, const struct image_row *row, struct err *err) MUST_CHECK;
/** db_image_delete() - image, tags, digests; layer rows stay until db_layer_delete(). Absent:
 * success. Synced. */
int db_image_delete(struct db *db, const char *id, struct err *err) MUST_CHECK;
int db_images_load(struct db *db, struct image_row **ret, size_t *ret_n,
                   struct err *err) MUST_CHECK;
void image_rows_free(struct image_row *rows, size_t n);

struct layer_row {
    char *diff_id; /* key: "sha256:..." of the uncompressed tar */
    char *path;    /* relative to the store's root */
    uint64_t size; /* bytes on disk */
    uint64_t inodes;
};
void layer_row_done(struct layer_row *row);
/** db_layer_put() - what is on disk is complete and synced. Synced itself. */
int db_layer_put(struct db *db, const struct layer_row *row, struct err *err) MUST_CHECK;
int db_layer_delete(struct db *db, const char *diff_id,
                    struct err *err) MUST_CHECK; /* STATE while an image names it */
int db_layers_load(struct db *db, struct layer_row **ret, size_t *ret_n,
                   struct err *err) MUST_CHECK;
void layer_rows_free(struct layer_row *rows, size_t n);

/* An image's root filesystem as a disk. */
struct disk_row {
    char *name;     /* key: the file's name in the store */
    char *image_id; /* not bound to an image's row: a disk in use may outlive it */
    char *kind;     /* "erofs", "ext4", ... */
    char *directory;
    uint64_t size;  /* of the file */
    uint64_t bytes; /* on disk */
};
void disk_row_done(struct disk_row *row);
/** db_disk_put() - the file is complete and synced. Synced itself. */
int db_disk_put(struct db *db, const struct disk_row *row, struct err *err) MUST_CHECK;
int db_disk_delete(struct db *db, const char *name,
                   struct err *err) MUST_CHECK; /* absent: success */
int db_disks_load(struct db *db, struct disk_row **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void disk_rows_free(struct disk_row *rows, size_t n);

#endif
