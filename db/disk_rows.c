/* SPDX-License-Identifier: Apache-2.0 */
/* disk_rows - disks of images, of the facade db.h. Both writes are synced: a row says that a file
 * is complete, or goes. */
#include "db/db_private.h"

void disk_row_done(struct disk_row *row)
{
    free(row->name);
    free(row->image_id);
    free(row->kind);
    free(row->directory);
    *row = (struct disk_row){.name = NULL};
}

static int put(struct db_conn *c, void *arg, struct err *err)
{
    const struct disk_row *r = arg;

    if (r->size > INT64_MAX || r->bytes > INT64_MAX)
        return err_set(err, ERR_INVALID, "disk '%s': size out of range", r->name);
    if (db_run(c, err,
               "INSERT INTO image_disks (name, image_id, kind, directory, size, bytes)"
               " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
               " size = excluded.size, bytes = excluded.bytes",
               "ssssii", r->name, r->image_id, r->kind, r->directory, (int64_t)r->size,
               (int64_t)r->bytes) < 0)
        return -1;
    return 0;
}

int db_disk_put(struct db *db, const struct disk_row *row, struct err *err)
{
    struct disk_row r = *row;

    return db_write(db, DB_SYNCED, put, &r, err);
}

static int delete (struct db_conn *c, void *arg, struct err *err)
{
    const char *name = arg;

    return db_run(c, err, "DELETE FROM image_disks WHERE name = ?", "s", name) < 0 ? -1 : 0;
}

int db_disk_delete(struct db *db, const char *name, struct err *err)
{
    autofree char *copy = xstrdup(name);

    return db_write(db, DB_SYNCED, delete, copy, err);
}

static void read_row(struct db_column *c, void *row)
{
    struct disk_row *r = row;

    r->name = db_take_text(c);
    r->image_id = db_take_text(c);
    r->kind = db_take_text(c);
    r->directory = db_take_text(c);
    r->size = (uint64_t)db_take_int(c, 0, INT64_MAX);
    r->bytes = (uint64_t)db_take_int(c, 0, INT64_MAX);
}

static void done_row(void *row)
{
    disk_row_done(row);
}

int db_disks_load(struct db *db, struct disk_row **ret, size_t *ret_n, struct err *err)
{
    static const struct db_load how = {
        .kind = DB_DISKS,
        .sql = "SELECT rowid, name, image_id, kind, directory, size, bytes FROM image_disks"
               " ORDER BY rowid",
        .row_size = sizeof(struct disk_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, NULL, &how, ret, ret_n, err))
        return err_wrap(err, "load disks");
    return 0;
}

void disk_rows_free(struct disk_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        disk_row_done(&rows[i]);
    free(rows);
}
