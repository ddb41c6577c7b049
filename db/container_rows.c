/* SPDX-License-Identifier: Apache-2.0 */
/* container_rows - containers of the facade db.h. */
#include <limits.h>

#include "db/db_private.h"

void container_row_done(struct container_row *row)
{
    free(row->id);
    free(row->pod_id);
    free(row->name);
    free(row->image_id);
    free(row->spec);
    free(row->spec_hash);
    free(row->reason);
    free(row->message);
    free(row->runtime);
    *row = (struct container_row){.id = NULL};
}

static int insert(struct db_conn *c, void *arg, struct err *err)
{
    const struct container_row *r = arg;

    if (db_run(
            c, err,
            "INSERT INTO containers (id, pod_id, name, attempt, image_id, spec_hash, state, step,"
            " created_at, started_at, finished_at, exit_code, reason, message, runtime)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "sssissiiiiiisss", r->id, r->pod_id, r->name, (int64_t)r->attempt, r->image_id,
            r->spec_hash, (int64_t)r->state, (int64_t)r->step, (int64_t)r->created_at,
            (int64_t)r->started_at, (int64_t)r->finished_at, (int64_t)r->exit_code, r->reason,
            r->message, r->runtime) < 0)
        return -1;
    if (db_run(c, err, "INSERT INTO container_specs (id, spec) VALUES (?, ?)", "ss", r->id,
               r->spec) < 0)
        return -1;
    return 0;
}

int db_container_insert(struct db *db, const struct container_row *row, struct err *err)
{
    struct container_row r = *row;

    if (db_write(db, DB_LAZY, insert, &r, err))
        return err_wrap(err, "insert container '%s'", row->id);
    return 0;
}

int db_container_set_step(struct db *db, const char *id, size_t step, struct err *err)
{
    return db_change(db, "container", err, "UPDATE containers SET step = ?2 WHERE id = ?1", "si",
                     id, (int64_t)step);
}

int db_container_set_runtime(struct db *db, const char *id, const char *runtime, struct err *err)
{
    return db_change(db, "container", err, "UPDATE containers SET runtime = ?2 WHERE id = ?1", "ss",
                     id, runtime);
}

int db_container_set_state(struct db *db, const char *id, int state, struct err *err)
{
    return db_change(db, "container", err, "UPDATE containers SET state = ?2 WHERE id = ?1", "si",
                     id, (int64_t)state);
}

int db_container_change_state(struct db *db, const char *id, int from, int to, struct err *err)
{
    return db_change(db, NULL, err, "UPDATE containers SET state = ?3 WHERE id = ?1 AND state = ?2",
                     "sii", id, (int64_t)from, (int64_t)to);
}

int db_container_started(struct db *db, const char *id, int state, nsec_t started_at,
                         struct err *err)
{
    return db_change(db, "container", err,
                     "UPDATE containers SET state = ?2, started_at = ?3 WHERE id = ?1", "sii", id,
                     (int64_t)state, (int64_t)started_at);
}

int db_container_exited(struct db *db, const char *id, int state, nsec_t finished_at, int exit_code,
                        const char *reason, const char *message, struct err *err)
{
    return db_change(
        db, "container", err,
        "UPDATE containers SET state = ?2, finished_at = ?3, exit_code = ?4, reason = ?5,"
        " message = ?6 WHERE id = ?1",
        "siiiss", id, (int64_t)state, (int64_t)finished_at, (int64_t)exit_code, reason, message);
}

static int delete (struct db_conn *c, void *arg, struct err *err)
{
    const char *id = arg;

    if (db_run(c, err, "DELETE FROM container_specs WHERE id = ?", "s", id) < 0)
        return -1;
    return db_run(c, err, "DELETE FROM containers WHERE id = ?", "s", id) < 0 ? -1 : 0;
}

int db_container_delete(struct db *db, const char *id, struct err *err)
{
    autofree char *copy = xstrdup(id);

    return db_write(db, DB_LAZY, delete, copy, err);
}

static void read_row(struct db_column *c, void *row)
{
    struct container_row *r = row;

    r->id = db_take_text(c);
    r->pod_id = db_take_text(c);
    r->name = db_take_text(c);
    r->attempt = (uint32_t)db_take_int(c, 0, UINT32_MAX);
    r->image_id = db_take_text(c);
    r->spec = db_take_text(c);
    r->spec_hash = db_take_text(c);
    r->state = (int)db_take_int(c, 0, INT_MAX);
    r->step = (size_t)db_take_int(c, 0, INT_MAX);
    r->created_at = db_take_int(c, INT64_MIN, INT64_MAX);
    r->started_at = db_take_int(c, INT64_MIN, INT64_MAX);
    r->finished_at = db_take_int(c, INT64_MIN, INT64_MAX);
    r->exit_code = (int)db_take_int(c, INT_MIN, INT_MAX);
    r->reason = db_take_text(c);
    r->message = db_take_text(c);
    r->runtime = db_take_text(c);
}

static void done_row(void *row)
{
    container_row_done(row);
}

int db_containers_load(struct db *db, struct container_row **ret, size_t *ret_n, struct err *err)
{
    static const struct db_load how = {
        .kind = DB_CONTAINERS,
        .sql =
            "SELECT c.rowid, c.id, pod_id, name, attempt, image_id, spec, spec_hash, state, step,"
            " created_at, started_at, finished_at, exit_code, reason, message, runtime"
            " FROM containers AS c LEFT JOIN container_specs AS s ON s.id = c.id ORDER BY c.rowid",
        .row_size = sizeof(struct container_row),
        .read = read_row,
        .done = done_row,
    };

    if (db_load_rows(db, NULL, &how, ret, ret_n, err))
        return err_wrap(err, "load containers");
    return 0;
}

void container_rows_free(struct container_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        container_row_done(&rows[i]);
    free(rows);
}
