/* SPDX-License-Identifier: Apache-2.0 */
/* event_rows - events of the facade db.h. Triggers of migration 0003 write them. */
#include <limits.h>

#include "db/db_private.h"

void event_row_done(struct event_row *row)
{
    free(row->id);
    free(row->pod_id);
    free(row->namespace_);
    free(row->name);
    free(row->uid);
    *row = (struct event_row){.id = NULL};
}

void event_rows_free(struct event_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        event_row_done(&rows[i]);
    free(rows);
}

static void read_row(struct db_column *c, struct event_row *r)
{
    r->seq = db_take_int(c, 0, INT64_MAX);
    r->at = db_take_int(c, INT64_MIN, INT64_MAX);
    r->kind = (int)db_take_int(c, 0, 3);
    r->id = db_take_text(c);
    r->pod_id = db_take_text(c);
    r->namespace_ = db_take_text(c);
    r->name = db_take_text(c);
    r->uid = db_take_text(c);
    r->attempt = (uint32_t)db_take_int(c, 0, UINT32_MAX);
}

static int read_after(struct db_conn *c, int64_t after, size_t max, struct event_row *rows,
                      size_t *n, struct err *err)
{
    sqlite3_stmt *s = db_query(c, err,
                               "SELECT seq, at, kind, id, pod_id, namespace, name, uid, attempt"
                               " FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                               "ii", after, (int64_t)max);
    int r;

    if (!s)
        return -1;
    while ((r = db_next(c, s, err)) > 0) {
        struct db_column column = {.s = s};

        if (*n < max)
            read_row(&column, &rows[(*n)++]);
    }
    return r;
}

int db_events_after(struct db *db, int64_t after, size_t max, struct event_row **ret, size_t *ret_n,
                    struct err *err)
{
    struct db_conn *c = db_reader_get(db, err);
    struct event_row *rows;
    size_t n = 0;
    int r;

    if (!c)
        return -1;
    rows = xcalloc(max + 1, sizeof(*rows));
    r = read_after(c, after, max, rows, &n, err);
    db_reader_put(db, c);
    if (r < 0) {
        event_rows_free(rows, n);
        return err_wrap(err, "read events");
    }
    *ret = rows;
    *ret_n = n;
    return 0;
}

int db_events_range(struct db *db, nsec_t since, int64_t *ret_oldest, int64_t *ret_before,
                    int64_t *ret_newest, struct err *err)
{
    struct db_conn *c = db_reader_get(db, err);
    int r;

    if (!c)
        return -1;
    r = db_number(c, err, ret_newest, "SELECT max(seq) FROM events", "");
    if (r == 0)
        r = db_number(c, err, ret_oldest, "SELECT min(seq) FROM events", "");
    if (r == 0)
        r = db_number(c, err, ret_before, "SELECT max(seq) FROM events WHERE at < ?", "i",
                      (int64_t)since);
    db_reader_put(db, c);
    return r < 0 ? err_wrap(err, "look at the events") : 0;
}
