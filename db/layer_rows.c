/* SPDX-License-Identifier: Apache-2.0 */
/* layer_rows - layers of the facade db.h. Both writes are synced: a row says that a directory is
 * complete, or goes. */
#include "db/db_private.h"

void layer_row_done(struct layer_row *row)
{
    free(row->diff_id);
    free(row->path);
    *row = (struct layer_row){.diff_id = NULL};
}

static int put(struct db_conn *c, void *arg, struct err *err)
{
    const struct layer_row *r = arg;

    if (r->size > INT64_MAX || r->inodes > INT64_MAX)
        return err_set(err, ERR_INVALID, "layer '%s': size out of range", r->diff_id);
    if (db_run(c, err,
               "INSERT INTO layers (diff_id, path, size, inodes) VALUES (?, ?, ?, ?)"
               " ON CONFLICT (diff_id) DO UPDATE SET path = excluded.path, size = excluded.size,"
               " inodes = excluded.inodes",
               "ssii", r->diff_id, r->path, (int64_t)r->size, (int64_t)r->inodes) < 0)
        return -1;
    return 0;
}

int db_layer_put(struct db *db, const struct layer_row *row, struct err *err)
{
    struct layer_row r = *row;

    return db_write(db, DB_SYNCED, put, &r, err);
}

static int delete (struct db_conn *c, void *arg, struct err *err)
{
    const char *diff_id = arg;
    int64_t used;

    if (db_number(c, err, &used,
                  "SELECT count(*) FROM image_layers AS l JOIN images AS i ON i.id = l.image_id"
                  " WHERE l.diff_id = ?",
                  "s", diff_id))
        return -1;
    if (used)
        return err_set(err, ERR_STATE, "delete layer '%s': an image needs it", diff_id);
    return db_run(c, err, "DELETE FROM layers WHERE diff_id = ?", "s", diff_id) < 0 ? -1 : 0;
}

int db_layer_delete(struct db *db, const char *diff_id, struct err *err)
{
    autofree char *copy = xstrdup(diff_id);

    return db_write(db, DB_SYNCED, delete, copy, err);
}

static void read_row(struct db_column *c, void *row)
{
    struct layer_row *r = row;

    r->diff_id = db_take_text(c);
    r->path = db_take_text(c);
    r->size = (uint64_t)db_take_int(c, 0, INT64_MAX);
    r->inodes = (uint64_t)db_take_int(c, 0, INT64_MAX);
}

static void done_row(void *row)
{
    layer_row_done(row);
}

int db_layers_load(struct db *db, struct layer_row **ret, size_t *ret_n, struct err *err)
{
    static const struct db_load how = {
        .kind = DB_LAYERS,
        .sql = "SELECT rowid, diff_id, path, size, inodes FROM layers ORDER BY rowid",
        .row_size = sizeof(struct layer_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, NULL, &how, ret, ret_n, err))
        return err_wrap(err, "load layers");
    return 0;
}

void layer_rows_free(struct layer_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        layer_row_done(&rows[i]);
    free(rows);
}
