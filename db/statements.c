/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statements - prepared statements, parameters, transactions, and what sqlite's codes mean here.
 *
 * Synced transactions: with synchronous=FULL sqlite fsyncs the log at the commit. All earlier
 * commits stand before it in the same log, so one fsync makes them durable too; then the connection
 * goes back to NORMAL. Fault points: db.write before a transaction, db.commit before its end.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/fault.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "db/db_private.h"

static enum err_code code_of(int rc, int sys)
{
    if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
        return ERR_EXISTS;
    switch (rc & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return ERR_EXHAUSTED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_STATE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG || sys == EMFILE || sys == ENFILE ||
            sys == ENOMEM)
            return ERR_EXHAUSTED;
        return sys == EACCES || sys == EPERM ? ERR_DENIED : ERR_INTERNAL;
    default:
        return ERR_INTERNAL;
    }
}

int db_fail(sqlite3 *h, struct err *err, const char *what)
{
    int rc = h ? sqlite3_extended_errcode(h) : SQLITE_NOMEM;
    /* sqlite keeps the errno of a statement, but not that of a commit; ours was 0 before the call.
     */
    int sys = h && sqlite3_system_errno(h) ? sqlite3_system_errno(h) : errno;
    enum err_code code = code_of(rc, sys);
    char buf[64];

    if ((rc & 0xff) == SQLITE_IOERR && sys)
        return err_set(err, code, "database: %s: %s: %s", what, sqlite3_errstr(rc),
                       strerror_r(sys, buf, sizeof(buf)));
    return err_set(err, code, "database: %s: %s", what, h ? sqlite3_errmsg(h) : sqlite3_errstr(rc));
}

int db_exec(struct db_conn *c, const char *sql, struct err *err)
{
    errno = 0;
    if (sqlite3_exec(c->h, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(c->h, err, "execute");
    return 0;
}

static sqlite3_stmt *prepared(struct db_conn *c, const char *sql, struct err *err)
{
    struct db_statement *st;

    for (size_t i = 0; i < c->n; i++) {
        if (c->statements[i].sql == sql) {
            (void)sqlite3_reset(c->statements[i].s);
            return c->statements[i].s;
        }
    }
    if (c->n == DB_STATEMENTS_MAX)
        abort(); /* a statement that is no string constant: a bug */
    st = &c->statements[c->n];
    if (sqlite3_prepare_v3(c->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->s, NULL) != SQLITE_OK) {
        (void)db_fail(c->h, err, "prepare");
        return NULL;
    }
    st->sql = sql;
    c->n++;
    return st->s;
}

/* Strings are not copied: they live until the statement has run, and db_next() lets go of them. One
 * that is not UTF-8 (a message of a plugin) is scrubbed, since a record with it would be refused
 * when it is loaded. */
static int bind_text(sqlite3_stmt *s, int i, const char *text)
{
    autofree char *copy = NULL;

    if (!text)
        text = "";
    if (str_is_utf8(text, strlen(text)))
        return sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
    copy = xstrdup(text);
    utf8_scrub(copy);
    return sqlite3_bind_text(s, i, copy, -1, SQLITE_TRANSIENT);
}

static sqlite3_stmt *query(struct db_conn *c, struct err *err, const char *sql, const char *types,
                           va_list ap)
{
    sqlite3_stmt *s = prepared(c, sql, err);
    int rc = SQLITE_OK;

    if (!s)
        return NULL;
    for (int i = 0; types[i] && rc == SQLITE_OK; i++) {
        if (types[i] == 's')
            rc = bind_text(s, i + 1, va_arg(ap, const char *));
        else
            rc = sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
    }
    if (rc != SQLITE_OK) {
        (void)db_fail(c->h, err, "bind");
        return NULL;
    }
    return s;
}

sqlite3_stmt *db_query(struct db_conn *c, struct err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s;
    va_list ap;

    va_start(ap, types);
    s = query(c, err, sql, types, ap);
    va_end(ap);
    return s;
}

int db_next(struct db_conn *c, sqlite3_stmt *s, struct err *err)
{
    int rc, r;

    errno = 0;
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        return 1;
    r = rc == SQLITE_DONE ? 0 : db_fail(c->h, err, "run");
    (void)sqlite3_reset(s);
    (void)sqlite3_clear_bindings(s);
    return r;
}

/* To the end; rows are of no interest. Returns: rows changed, or -1. */
static int finish(struct db_conn *c, sqlite3_stmt *s, struct err *err)
{
    int r;

    if (!s)
        return -1;
    do {
        r = db_next(c, s, err);
    } while (r > 0);
    return r < 0 ? -1 : sqlite3_changes(c->h);
}

int db_run(struct db_conn *c, struct err *err, const char *sql, const char *types, ...)
{
    va_list ap;
    int r;

    va_start(ap, types);
    r = finish(c, query(c, err, sql, types, ap), err);
    va_end(ap);
    return r;
}

int db_number(struct db_conn *c, struct err *err, int64_t *ret, const char *sql, const char *types,
              ...)
{
    sqlite3_stmt *s;
    va_list ap;
    int r;

    va_start(ap, types);
    s = query(c, err, sql, types, ap);
    va_end(ap);
    r = s ? db_next(c, s, err) : -1;
    if (r < 0)
        return -1;
    *ret = r ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return 0;
}

static int set_sync(struct db_conn *c, enum db_sync sync, struct err *err)
{
    bool full = sync == DB_SYNCED;

    if (c->full_sync == full)
        return 0;
    if (db_exec(c, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err))
        return -1;
    c->full_sync = full;
    return 0;
}

static int commit(struct db_conn *c, struct err *err)
{
    FAULT_POINT("db.commit");
    return db_run(c, err, "COMMIT", "") < 0 ? -1 : 0;
}

static int transaction(struct db_conn *c, enum db_sync sync,
                       int (*f)(struct db_conn *c, void *arg, struct err *err), void *arg,
                       struct err *err)
{
    FAULT_POINT("db.write");
    if (set_sync(c, sync, err) || db_run(c, err, "BEGIN IMMEDIATE", "") < 0)
        return -1;
    if (f(c, arg, err) == 0 && commit(c, err) == 0)
        return 0;
    /* A full disk may have rolled back already. */
    if (!sqlite3_get_autocommit(c->h))
        (void)(db_run(c, NULL, "ROLLBACK", "") < 0);
    return -1;
}

int db_write(struct db *db, enum db_sync sync,
             int (*f)(struct db_conn *c, void *arg, struct err *err), void *arg, struct err *err)
{
    nsec_t asked = clock_mono(), began;
    int r;

    mutex_lock(&db->write_lock);
    began = clock_mono();
    r = transaction(db->writer, sync, f, arg, err);
    mutex_unlock(&db->write_lock);
    metric_observe(&db_metric_wait, began - asked);
    metric_observe(&db_metric_write, clock_mono() - began);
    if (r < 0)
        metric_add(&db_metric_errors, 1);
    return r;
}

struct change {
    const char *sql, *types;
    va_list ap;
    int changed;
};

static int run_change(struct db_conn *c, void *arg, struct err *err)
{
    struct change *ch = arg;

    ch->changed = finish(c, query(c, err, ch->sql, ch->types, ch->ap), err);
    return ch->changed < 0 ? -1 : 0;
}

int db_change(struct db *db, const char *what, struct err *err, const char *sql, const char *types,
              ...)
{
    struct change ch = {.sql = sql, .types = types, .changed = 0};
    const char *id = "";
    int r;

    if (what) {
        va_start(ch.ap, types);
        id = va_arg(ch.ap, const char *);
        va_end(ch.ap);
    }
    va_start(ch.ap, types);
    r = db_write(db, DB_LAZY, run_change, &ch, err);
    va_end(ch.ap);
    if (r)
        return -1;
    if (what && ch.changed == 0)
        return err_set(err, ERR_NOT_FOUND, "%s '%s': no such record", what, id);
    return 0;
}
