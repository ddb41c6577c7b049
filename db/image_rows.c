/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_rows - images of the facade db.h, with their tags, digests and layers. Writes are synced. A
 * load is one read transaction, so that an image and its names are of one moment; names whose image
 * is gone or in quarantine are passed over.
 */
#include <string.h>

#include "db/db_private.h"

void image_row_done(struct image_row *row)
{
    free(row->id);
    free(row->config);
    free(row->manifest);
    strv_free(row->tags);
    strv_free(row->digests);
    strv_free(row->layers);
    *row = (struct image_row){.id = NULL};
}

static int put_layers(struct db_conn *c, const struct image_row *r, struct err *err)
{
    if (db_run(c, err, "DELETE FROM image_layers WHERE image_id = ?", "s", r->id) < 0)
        return -1;
    for (size_t i = 0; r->layers && r->layers[i]; i++) {
        int64_t there;

        if (db_number(c, err, &there, "SELECT count(*) FROM layers WHERE diff_id = ?", "s",
                      r->layers[i]))
            return -1;
        if (!there)
            return err_set(err, ERR_STATE, "its layer '%s' is not recorded", r->layers[i]);
        if (db_run(c, err,
                   "INSERT INTO image_layers (image_id, position, diff_id) VALUES (?, ?, ?)", "sis",
                   r->id, (int64_t)i, r->layers[i]) < 0)
            return -1;
    }
    return 0;
}

static int put_names(struct db_conn *c, const struct image_row *r, struct err *err)
{
    for (size_t i = 0; r->tags && r->tags[i]; i++) {
        if (db_run(c, err,
                   "INSERT INTO image_tags (name, image_id) VALUES (?, ?)"
                   " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
                   "ss", r->tags[i], r->id) < 0)
            return -1;
    }
    for (size_t i = 0; r->digests && r->digests[i]; i++) {
        if (db_run(c, err,
                   "INSERT INTO image_digests (name, image_id) VALUES (?, ?)"
                   " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id",
                   "ss", r->digests[i], r->id) < 0)
            return -1;
    }
    return 0;
}

static int put(struct db_conn *c, void *arg, struct err *err)
{
    const struct image_row *r = arg;

    if (r->size > INT64_MAX)
        return err_set(err, ERR_INVALID, "size out of range");
    if (db_run(c, err,
               "INSERT INTO images (id, config, manifest, size, pinned, pulled_at) VALUES (?, ?, "
               "?, ?, ?, ?)"
               " ON CONFLICT (id) DO UPDATE SET config = excluded.config, manifest = "
               "excluded.manifest,"
               " size = excluded.size, pinned = excluded.pinned, pulled_at = excluded.pulled_at",
               "sssiii", r->id, r->config, r->manifest, (int64_t)r->size, (int64_t)r->pinned,
               (int64_t)r->pulled_at) < 0)
        return -1;
    return put_layers(c, r, err) || put_names(c, r, err) ? -1 : 0;
}

int db_image_put(struct db *db, const struct image_row *row, struct err *err)
{
    struct image_row r = *row;

    if (db_write(db, DB_SYNCED, put, &r, err))
        return err_wrap(err, "record image '%s'", row->id);
    return 0;
}

static int delete (struct db_conn *c, void *arg, struct err *err)
{
    const char *id = arg;

    if (db_run(c, err, "DELETE FROM image_tags WHERE image_id = ?", "s", id) < 0 ||
        db_run(c, err, "DELETE FROM image_digests WHERE image_id = ?", "s", id) < 0 ||
        db_run(c, err, "DELETE FROM image_layers WHERE image_id = ?", "s", id) < 0 ||
        db_run(c, err, "DELETE FROM images WHERE id = ?", "s", id) < 0)
        return -1;
    return 0;
}

int db_image_delete(struct db *db, const char *id, struct err *err)
{
    autofree char *copy = xstrdup(id);

    return db_write(db, DB_SYNCED, delete, copy, err);
}

static void read_row(struct db_column *c, void *row)
{
    struct image_row *r = row;

    r->id = db_take_text(c);
    r->config = db_take_text(c);
    r->manifest = db_take_text(c);
    r->size = (uint64_t)db_take_int(c, 0, INT64_MAX);
    r->pinned = db_take_int(c, 0, 1) != 0;
    r->pulled_at = db_take_int(c, INT64_MIN, INT64_MAX);
}

static void done_row(void *row)
{
    image_row_done(row);
}

/* Both lists are ordered by image id, so one pass puts each name to its image. `field`: offset of a
 * strv. */
static int load_names(struct db_conn *c, const char *sql, size_t field, struct image_row *rows,
                      size_t n, struct err *err)
{
    sqlite3_stmt *s = db_query(c, err, sql, "");
    size_t i = 0;
    int r = -1;

    while (s && (r = db_next(c, s, err)) > 0) {
        const char *id = (const char *)sqlite3_column_text(s, 0);
        const char *name = (const char *)sqlite3_column_text(s, 1);

        if (!id || !name)
            continue;
        while (i < n && strcmp(rows[i].id, id) < 0)
            i++;
        if (i < n && strcmp(rows[i].id, id) == 0)
            strv_push((char ***)(void *)((char *)&rows[i] + field), name);
    }
    return r;
}

static int load(struct db *db, struct db_conn *c, struct image_row **rows, size_t *n,
                struct err *err)
{
    static const struct db_load how = {
        .kind = DB_IMAGES,
        .sql =
            "SELECT rowid, id, config, manifest, size, pinned, pulled_at FROM images ORDER BY id",
        .row_size = sizeof(struct image_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, c, &how, rows, n, err))
        return -1;
    if (load_names(c, "SELECT image_id, name FROM image_tags ORDER BY image_id, name",
                   offsetof(struct image_row, tags), *rows, *n, err) ||
        load_names(c, "SELECT image_id, name FROM image_digests ORDER BY image_id, name",
                   offsetof(struct image_row, digests), *rows, *n, err) ||
        load_names(c, "SELECT image_id, diff_id FROM image_layers ORDER BY image_id, position",
                   offsetof(struct image_row, layers), *rows, *n, err)) {
        image_rows_free(*rows, *n);
        return -1;
    }
    return 0;
}

int db_images_load(struct db *db, struct image_row **ret, size_t *ret_n, struct err *err)
{
    struct db_conn *c = db_reader_get(db, err);
    struct image_row *rows;
    size_t n;
    int r = -1;

    if (!c)
        return -1;
    if (db_run(c, err, "BEGIN", "") >= 0) {
        r = load(db, c, &rows, &n, err);
        (void)(db_run(c, NULL, "COMMIT", "") < 0); /* of a reader: nothing to lose */
    }
    db_reader_put(db, c);
    if (r)
        return err_wrap(err, "load images");
    *ret = rows;
    *ret_n = n;
    return 0;
}

void image_rows_free(struct image_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        image_row_done(&rows[i]);
    free(rows);
}
