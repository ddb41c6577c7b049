/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint - moves committed pages from the log into the file, on a thread of its own.
 *
 * sqlite would do it within the commit that makes the log long, and then a pod start waits for the
 * fsyncs of it. So autocheckpoint is off, and a commit that finds the log long starts a thread (one
 * at a time) that does a passive checkpoint, which holds up neither readers nor the writer.
 */
#include "base/log.h"
#include "db/db_private.h"

#define LOG_PAGES_MAX 1000 /* of 4 KiB */

static void *checkpoint(void *arg)
{
    struct db *db = arg;
    struct err err = ERR_INIT;
    nsec_t began = clock_mono();
    struct db_conn *c = db_reader_get(db, &err);

    if (c) {
        int rc = sqlite3_wal_checkpoint_v2(c->h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

        if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) /* busy: the next commit tries again */
            (void)db_fail(c->h, &err, "checkpoint");
        db_reader_put(db, c);
    }
    metric_observe(&db_metric_checkpoint, clock_mono() - began);
    if (err.code != ERR_NONE)
        metric_add(&db_metric_checkpoint_errors, 1);
    if (err.code != ERR_NONE)
        log_warn("%s; ignoring, the next commit tries again", err.msg);
    mutex_lock(&db->pool_lock);
    db->checkpointing = false;
    cond_broadcast(&db->checkpointed);
    mutex_unlock(&db->pool_lock);
    return NULL;
}

/* Called by sqlite at the end of a commit, with the write lock held. */
static int on_commit(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct db *db = arg;
    bool start;

    (void)h, (void)name;
    metric_set(&db_metric_log_pages, pages);
    if (pages < LOG_PAGES_MAX)
        return SQLITE_OK;
    mutex_lock(&db->pool_lock);
    start = !db->checkpointing;
    db->checkpointing = true;
    mutex_unlock(&db->pool_lock);
    if (start && thread_start("db-checkpoint", checkpoint, db, NULL, NULL)) {
        mutex_lock(&db->pool_lock);
        db->checkpointing = false; /* no thread to be had: the next commit tries again */
        mutex_unlock(&db->pool_lock);
    }
    return SQLITE_OK;
}

void db_checkpoint_hook(struct db *db)
{
    (void)sqlite3_wal_hook(db->writer->h, on_commit, db);
}

void db_checkpoint_wait(struct db *db)
{
    mutex_lock(&db->pool_lock);
    while (db->checkpointing)
        (void)cond_wait(&db->checkpointed, &db->pool_lock, DEADLINE_NEVER);
    mutex_unlock(&db->pool_lock);
}
