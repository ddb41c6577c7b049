/* SPDX-License-Identifier: Apache-2.0 */
/* pod_rows - pods of the facade db.h. */
#include <limits.h>

#include "db/db_private.h"

void pod_row_done(struct pod_row *row)
{
    free(row->id);
    free(row->namespace_);
    free(row->name);
    free(row->uid);
    free(row->handler);
    free(row->spec);
    free(row->spec_hash);
    free(row->runtime);
    *row = (struct pod_row){.id = NULL};
}

static int insert(struct db_conn *c, void *arg, struct err *err)
{
    const struct pod_row *r = arg;

    if (db_run(
            c, err,
            "INSERT INTO pods (id, namespace, name, uid, attempt, handler, spec_hash, state, step,"
            " created_at, runtime) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "ssssissiiis", r->id, r->namespace_, r->name, r->uid, (int64_t)r->attempt, r->handler,
            r->spec_hash, (int64_t)r->state, (int64_t)r->step, (int64_t)r->created_at,
            r->runtime) < 0)
        return -1;
    return db_run(c, err, "INSERT INTO pod_specs (id, spec) VALUES (?, ?)", "ss", r->id, r->spec) <
                   0
               ? -1
               : 0;
}

int db_pod_insert(struct db *db, const struct pod_row *row, struct err *err)
{
    struct pod_row r = *row;

    if (db_write(db, DB_LAZY, insert, &r, err))
        return err_wrap(err, "insert pod '%s'", row->id);
    return 0;
}

int db_pod_set_step(struct db *db, const char *id, size_t step, struct err *err)
{
    return db_change(db, "pod", err, "UPDATE pods SET step = ?2 WHERE id = ?1", "si", id,
                     (int64_t)step);
}

int db_pod_set_state(struct db *db, const char *id, int state, struct err *err)
{
    return db_change(db, "pod", err, "UPDATE pods SET state = ?2 WHERE id = ?1", "si", id,
                     (int64_t)state);
}

int db_pod_set_runtime(struct db *db, const char *id, const char *runtime, struct err *err)
{
    return db_change(db, "pod", err, "UPDATE pods SET runtime = ?2 WHERE id = ?1", "ss", id,
                     runtime);
}

static int delete (struct db_conn *c, void *arg, struct err *err)
{
    const char *id = arg;
    int64_t owed;

    if (db_number(c, err, &owed, "SELECT count(*) FROM networks WHERE pod_id = ? AND orphan = 0",
                  "s", id))
        return -1;
    if (owed)
        return err_set(err, ERR_STATE, "delete pod '%s': a CNI DEL is owed", id);
    if (db_run(c, err, "DELETE FROM pod_specs WHERE id = ?", "s", id) < 0)
        return -1;
    return db_run(c, err, "DELETE FROM pods WHERE id = ?", "s", id) < 0 ? -1 : 0;
}

int db_pod_delete(struct db *db, const char *id, struct err *err)
{
    autofree char *copy = xstrdup(id);

    return db_write(db, DB_LAZY, delete, copy, err);
}

static void read_row(struct db_column *c, void *row)
{
    struct pod_row *r = row;

    r->id = db_take_text(c);
    r->namespace_ = db_take_text(c);
    r->name = db_take_text(c);
    r->uid = db_take_text(c);
    r->attempt = (uint32_t)db_take_int(c, 0, UINT32_MAX);
    r->handler = db_take_text(c);
    r->spec = db_take_text(c);
    r->spec_hash = db_take_text(c);
    r->state = (int)db_take_int(c, 0, INT_MAX);
    r->step = (size_t)db_take_int(c, 0, INT_MAX);
    r->created_at = db_take_int(c, INT64_MIN, INT64_MAX);
    r->runtime = db_take_text(c);
}

static void done_row(void *row)
{
    pod_row_done(row);
}

int db_pods_load(struct db *db, struct pod_row **ret, size_t *ret_n, struct err *err)
{
    static const struct db_load how = {
        .kind = DB_PODS,
        .sql = "SELECT p.rowid, p.id, namespace, name, uid, attempt, handler, spec, spec_hash, "
               "state, step,"
               " created_at, runtime FROM pods AS p LEFT JOIN pod_specs AS s ON s.id = p.id ORDER "
               "BY p.rowid",
        .row_size = sizeof(struct pod_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, NULL, &how, ret, ret_n, err))
        return err_wrap(err, "load pods");
    return 0;
}

void pod_rows_free(struct pod_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pod_row_done(&rows[i]);
    free(rows);
}
