/* SPDX-License-Identifier: Apache-2.0 */
/* network_rows - what is asked of CNI and owed to it, of the facade db.h. */
#include "db/db_private.h"

#define COLUMNS "rowid, pod_id, netns, conflist, args, result, dels, error, orphan"

void network_row_done(struct network_row *row)
{
    free(row->pod_id);
    free(row->netns);
    free(row->conflist);
    free(row->args);
    free(row->result);
    free(row->error);
    *row = (struct network_row){.pod_id = NULL};
}

int db_network_insert(struct db *db, const struct network_row *r, struct err *err)
{
    if (db_change(
            db, NULL, err,
            "INSERT INTO networks (pod_id, netns, conflist, args, result, dels, error, orphan)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            "sssssisi", r->pod_id, r->netns, r->conflist, r->args, r->result, r->dels, r->error,
            (int64_t)r->orphan))
        return err_wrap(err, "insert network of pod '%s'", r->pod_id);
    return 0;
}

int db_network_set_result(struct db *db, const char *pod_id, const char *result, struct err *err)
{
    return db_change(db, "network of pod", err, "UPDATE networks SET result = ?2 WHERE pod_id = ?1",
                     "ss", pod_id, result);
}

int db_network_failed(struct db *db, const char *pod_id, const char *error, bool orphan,
                      struct err *err)
{
    return db_change(db, "network of pod", err,
                     "UPDATE networks SET dels = dels + 1, error = ?2, orphan = max(orphan, ?3)"
                     " WHERE pod_id = ?1",
                     "ssi", pod_id, error, (int64_t)orphan);
}

int db_network_delete(struct db *db, const char *pod_id, struct err *err)
{
    return db_change(db, NULL, err, "DELETE FROM networks WHERE pod_id = ?", "s", pod_id);
}

static void read_row(struct db_column *c, void *row)
{
    struct network_row *r = row;

    r->pod_id = db_take_text(c);
    r->netns = db_take_text(c);
    r->conflist = db_take_text(c);
    r->args = db_take_text(c);
    r->result = db_take_text(c);
    r->dels = db_take_int(c, 0, INT64_MAX);
    r->error = db_take_text(c);
    r->orphan = db_take_int(c, 0, 1) != 0;
}

static void done_row(void *row)
{
    network_row_done(row);
}

int db_network_get(struct db *db, const char *pod_id, struct network_row *ret, struct err *err)
{
    struct db_conn *c = db_reader_get(db, err);
    struct db_column col = {.i = 1};
    struct network_row row;
    int r = -1;

    if (!c)
        return -1;
    col.s = db_query(c, err, "SELECT " COLUMNS " FROM networks WHERE pod_id = ?", "s", pod_id);
    if (col.s)
        r = db_next(c, col.s, err);
    if (r > 0)
        read_row(&col, &row);
    db_reader_put(db, c);
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(err, ERR_NOT_FOUND, "network of pod '%s': no such record", pod_id);
    if (col.bad) {
        network_row_done(&row);
        return err_set(err, ERR_CORRUPT, "network of pod '%s': a column cannot be read", pod_id);
    }
    *ret = row;
    return 0;
}

int db_networks_load(struct db *db, struct network_row **ret, size_t *ret_n, struct err *err)
{
    static const struct db_load how = {
        .kind = DB_NETWORKS,
        .sql = "SELECT " COLUMNS " FROM networks ORDER BY rowid",
        .row_size = sizeof(struct network_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, NULL, &how, ret, ret_n, err))
        return err_wrap(err, "load networks");
    return 0;
}

void network_rows_free(struct network_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        network_row_done(&rows[i]);
    free(rows);
}
