/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - all rows of a table as an array of structs. A record that cannot be read costs itself and
 * nothing else: it is remembered while the table is read and put into quarantine when that is done.
 */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "db/db_private.h"

static void mark_bad(struct db_column *c)
{
    if (!c->bad)
        c->bad = sqlite3_column_name(c->s, c->i);
}

char *db_take_text(struct db_column *c)
{
    const char *s = NULL;
    size_t len = 0;

    if (sqlite3_column_type(c->s, c->i) == SQLITE_TEXT) {
        s = (const char *)sqlite3_column_text(c->s, c->i);
        len = (size_t)sqlite3_column_bytes(c->s, c->i);
    }
    if (!s || !str_is_utf8(s, len)) { /* NULs are refused too */
        mark_bad(c);
        s = "";
        len = 0;
    }
    c->i++;
    return xstrndup(s, len);
}

int64_t db_take_int(struct db_column *c, int64_t min, int64_t max)
{
    int64_t v = sqlite3_column_int64(c->s, c->i);

    if (sqlite3_column_type(c->s, c->i) != SQLITE_INTEGER || v < min || v > max) {
        mark_bad(c);
        v = min > 0 ? min : 0;
    }
    c->i++;
    return v;
}

struct bad_row {
    int64_t rowid;
    char *reason; /* owned */
};
struct bad_rows {
    struct bad_row *v; /* owned */
    size_t n;
};

static void add_bad(struct bad_rows *b, int64_t rowid, const char *column)
{
    b->v = xrealloc_array(b->v, b->n + 1, sizeof(*b->v));
    b->v[b->n++] = (struct bad_row){rowid, xasprintf("column '%s' is not what it must be", column)};
}

static int read_rows(struct db_conn *c, const struct db_load *how, char **rows, size_t *n,
                     struct bad_rows *bad, struct err *err)
{
    sqlite3_stmt *s = db_query(c, err, how->sql, "");
    size_t cap = 0;
    int r;

    if (!s)
        return -1;
    while ((r = db_next(c, s, err)) > 0) {
        struct db_column col = {.s = s, .i = 1};
        char *row;

        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            *rows = xrealloc_array(*rows, cap, how->row_size);
        }
        row = *rows + *n * how->row_size;
        memset(row, 0, how->row_size);
        how->read(&col, row);
        if (col.bad) {
            add_bad(bad, sqlite3_column_int64(s, 0), col.bad);
            how->done(row);
        } else {
            (*n)++;
        }
    }
    return r;
}

int db_load_rows(struct db *db, struct db_conn *c, const struct db_load *how, void *ret,
                 size_t *ret_n, struct err *err)
{
    struct db_conn *own = c ? NULL : db_reader_get(db, err);
    struct bad_rows bad = {NULL, 0};
    char *rows = NULL;
    size_t n = 0;
    int r = -1;

    if (c || own)
        r = read_rows(c ? c : own, how, &rows, &n, &bad, err);
    if (own)
        db_reader_put(db, own);
    for (size_t i = 0; i < bad.n; i++) {
        db_quarantine_row(db, how->kind, bad.v[i].rowid, bad.v[i].reason);
        free(bad.v[i].reason);
    }
    free(bad.v);
    if (r) {
        for (size_t i = 0; i < n; i++)
            how->done(rows + i * how->row_size);
        free(rows);
        return -1;
    }
    *(void **)ret = rows;
    *ret_n = n;
    return 0;
}
