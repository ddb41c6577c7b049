/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_private - what the files of db/ share: connections, statements, transactions, the loading of
 * rows.
 *
 * One connection writes, under the lock `writer`; readers borrow one from a small pool. The file is
 * opened by sqlite alone: any other close() of it in this process would drop sqlite's locks
 * (POSIX).
 */
#ifndef UNICRI_DB_DB_PRIVATE_H
#define UNICRI_DB_DB_PRIVATE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "db/db.h"

#define DB_STATEMENTS_MAX 96 /* per connection; there are fewer statements than that */
#define DB_READERS_IDLE   4  /* connections kept; more are opened when more threads read at once */
#define DB_BUSY_MS        5000

struct db_statement {
    const char *sql; /* a string constant: its address is the key */
    sqlite3_stmt *s; /* owned */
};
struct db_conn {
    sqlite3 *h; /* owned */
    struct db_statement statements[DB_STATEMENTS_MAX];
    size_t n;
    bool full_sync;       /* what `PRAGMA synchronous` is set to */
    struct db_conn *next; /* in the pool */
};

struct db {
    char *path;
    int lock_fd; /* owned; the lock of the directory */

    struct mutex write_lock; /* held for a whole transaction */
    struct db_conn *writer;

    struct mutex pool_lock;
    struct db_conn *idle;
    size_t n_idle;
    bool checkpointing; /* a thread moves the log into the file */
    struct cond checkpointed;
};

/* metrics.c */
extern struct metric db_metric_write, db_metric_wait, db_metric_errors, db_metric_checkpoint,
    db_metric_checkpoint_errors, db_metric_log_pages, db_metric_quarantined;

extern const char *const db_migrations[]; /* [0] makes version 1 */
extern const int db_migrations_n;

/* connection.c */
struct db_conn *db_conn_open(const char *path, bool read_only, struct err *err);
void db_conn_close(struct db_conn *c);
struct db_conn *db_reader_get(struct db *db, struct err *err);
void db_reader_put(struct db *db, struct db_conn *c);

/* statements.c */
/** db_fail() - turn sqlite's last error into ours. `what` is what was tried. Returns: -1. */
int db_fail(sqlite3 *h, struct err *err, const char *what);
/** db_exec() - fixed SQL without parameters or rows. */
int db_exec(struct db_conn *c, const char *sql, struct err *err) MUST_CHECK;
/** db_query() - the prepared statement of a string constant, reset and with `args` bound by
 * `types`: s a string (NULL is ""), i an int64_t. */
sqlite3_stmt *db_query(struct db_conn *c, struct err *err, const char *sql, const char *types, ...);
/** db_run() - db_query() and run it to its end. Returns: rows changed, or -1. */
int db_run(struct db_conn *c, struct err *err, const char *sql, const char *types, ...) MUST_CHECK;
/** db_next() - Returns: 1 a row, 0 the end (the statement is reset), -1. */
int db_next(struct db_conn *c, sqlite3_stmt *s, struct err *err) MUST_CHECK;
/** db_number() - the first column of the only row, or 0 without one. */
int db_number(struct db_conn *c, struct err *err, int64_t *ret, const char *sql, const char *types,
              ...) MUST_CHECK;

enum db_sync {
    DB_LAZY,   /* survives the process */
    DB_SYNCED, /* survives the power */
};
/** db_write() - f(connection, arg) as one transaction. */
int db_write(struct db *db, enum db_sync sync,
             int (*f)(struct db_conn *c, void *arg, struct err *err), void *arg,
             struct err *err) MUST_CHECK;
/** db_change() - one statement as a transaction; with `what` a change of no row is NOT_FOUND "what
 * 'id'", where id is the first argument, which then must be a string. */
int db_change(struct db *db, const char *what, struct err *err, const char *sql, const char *types,
              ...) MUST_CHECK;

/* checkpoint.c */
void db_checkpoint_hook(struct db *db);
void db_checkpoint_wait(struct db *db);

/* migrate.c */
/** db_version_check() - the version of the schema, 0 for an empty file. Errors: UNSUPPORTED a newer
 * file, CORRUPT not ours. */
int db_version_check(struct db_conn *c, int *ret, struct err *err) MUST_CHECK;
/** db_migrate() - from that version to the newest. */
int db_migrate(struct db_conn *c, int version, struct err *err) MUST_CHECK;

/* load.c: reading a row column by column; the first bad column is remembered and the row is given
 * up. */
struct db_column {
    sqlite3_stmt *s;
    int i;
    const char *bad; /* name of the first bad column */
};
char *db_take_text(struct db_column *c); /* owned; "" when bad */
int64_t db_take_int(struct db_column *c, int64_t min, int64_t max);

struct db_load {
    enum db_kind kind;
    const char *sql; /* first column: rowid */
    size_t row_size;
    void (*read)(struct db_column *c, void *row);
    void (*done)(void *row);
};
/** db_load_rows() - all rows that can be read; the others are put into quarantine. `c` is a reader
 * within a transaction, or NULL to take one. Caller frees *ret, an array of rows. */
int db_load_rows(struct db *db, struct db_conn *c, const struct db_load *how, void *ret,
                 size_t *ret_n, struct err *err) MUST_CHECK;

/* quarantine.c */
/** db_quarantine_row() - move one record into quarantine; a failure is logged and the record stays.
 */
void db_quarantine_row(struct db *db, enum db_kind kind, int64_t rowid, const char *reason);

#endif
