/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection - sqlite handles: how each is set up, and the pool of readers.
 *
 * WAL: readers see the last commit while one writes. synchronous=NORMAL: a commit is in the
 * kernel's hands, so it survives kill -9, and the file cannot break in a power cut, which only
 * takes the latest commits. The shared index (-shm) is mapped memory; sqlite writes each of its
 * pages when it grows it, so a full disk is an error there and no SIGBUS.
 */
#include "db/db_private.h"

#define SETUP                                                                                      \
    "PRAGMA foreign_keys = OFF;"                                                                   \
    "PRAGMA cache_size = -1024;"                                                                   \
    "PRAGMA trusted_schema = OFF;"                                                                 \
    "PRAGMA cell_size_check = ON;"
#define SETUP_WRITER                                                                               \
    "PRAGMA journal_mode = WAL;"                                                                   \
    "PRAGMA synchronous = NORMAL;"                                                                 \
    "PRAGMA journal_size_limit = 8388608;"                                                         \
    "PRAGMA wal_autocheckpoint = 0;" /* see checkpoint.c */
#define SETUP_READER "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;"

struct db_conn *db_conn_open(const char *path, bool read_only, struct err *err)
{
    struct db_conn *c = XNEW(struct db_conn);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    if (sqlite3_open_v2(path, &c->h, flags, NULL) != SQLITE_OK) {
        (void)db_fail(c->h, err, "open");
        db_conn_close(c);
        return NULL;
    }
    (void)sqlite3_busy_timeout(c->h, DB_BUSY_MS);
    /* A hostile file must not make sqlite run what stands in its schema. */
    (void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (db_exec(c, SETUP, err) || db_exec(c, read_only ? SETUP_READER : SETUP_WRITER, err)) {
        db_conn_close(c);
        return NULL;
    }
    return c;
}

void db_conn_close(struct db_conn *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        (void)sqlite3_finalize(c->statements[i].s);
    (void)sqlite3_close(c->h);
    free(c);
}

struct db_conn *db_reader_get(struct db *db, struct err *err)
{
    struct db_conn *c;

    mutex_lock(&db->pool_lock);
    c = db->idle;
    if (c) {
        db->idle = c->next;
        db->n_idle--;
    }
    mutex_unlock(&db->pool_lock);
    return c ? c : db_conn_open(db->path, true, err);
}

void db_reader_put(struct db *db, struct db_conn *c)
{
    /* A statement that is still on a row would hold its snapshot, and with it the log. */
    for (size_t i = 0; i < c->n; i++)
        (void)sqlite3_reset(c->statements[i].s);
    mutex_lock(&db->pool_lock);
    if (db->n_idle < DB_READERS_IDLE) {
        c->next = db->idle;
        db->idle = c;
        db->n_idle++;
        c = NULL;
    }
    mutex_unlock(&db->pool_lock);
    db_conn_close(c);
}
