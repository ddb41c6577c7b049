/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quarantine - takes a record out of its tables and keeps it as text. It works on records of any
 * content: columns are written as SQL literals by sqlite's own quote(), so blobs and wrong types
 * survive too.
 */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "db/db_private.h"

struct kind {
    const char *name;
    const char *id;      /* the row of an id */
    const char *row;     /* the main row */
    const char *spec;    /* a second row that goes along, or NULL */
    const char *cleanup; /* statements with ?1 = rowid, run in turn, NULL at the end */
    const char *cleanup2, *remove;
};

static const struct kind kinds[] = {
    [DB_PODS] =
        {"pod", "SELECT rowid FROM pods WHERE id = ?", "SELECT * FROM pods WHERE rowid = ?",
         "SELECT * FROM pod_specs WHERE id = (SELECT id FROM pods WHERE rowid = ?)",
         "DELETE FROM pod_specs WHERE id = (SELECT id FROM pods WHERE rowid = ?)",
         "UPDATE networks SET orphan = 1 WHERE pod_id = (SELECT id FROM pods WHERE rowid = ?)",
         "DELETE FROM pods WHERE rowid = ?"},
    [DB_NETWORKS] = {"network", "SELECT rowid FROM networks WHERE pod_id = ?",
                     "SELECT * FROM networks WHERE rowid = ?", NULL, NULL, NULL,
                     "DELETE FROM networks WHERE rowid = ?"},
    [DB_CONTAINERS] =
        {"container", "SELECT rowid FROM containers WHERE id = ?",
         "SELECT * FROM containers WHERE rowid = ?",
         "SELECT * FROM container_specs WHERE id = (SELECT id FROM containers WHERE rowid = ?)",
         "DELETE FROM container_specs WHERE id = (SELECT id FROM containers WHERE rowid = ?)", NULL,
         "DELETE FROM containers WHERE rowid = ?"},
    /* Tags, digests and layers of an image stay behind; a new pull of it takes them over. */
    [DB_IMAGES] = {"image", "SELECT rowid FROM images WHERE id = ?",
                   "SELECT * FROM images WHERE rowid = ?", NULL, NULL, NULL,
                   "DELETE FROM images WHERE rowid = ?"},
    [DB_LAYERS] = {"layer", "SELECT rowid FROM layers WHERE diff_id = ?",
                   "SELECT * FROM layers WHERE rowid = ?", NULL, NULL, NULL,
                   "DELETE FROM layers WHERE rowid = ?"},
    [DB_DISKS] = {"disk", "SELECT rowid FROM image_disks WHERE name = ?",
                  "SELECT * FROM image_disks WHERE rowid = ?", NULL, NULL, NULL,
                  "DELETE FROM image_disks WHERE rowid = ?"},
};

/* Appends "column = literal" lines. */
static int describe(struct db_conn *c, const char *sql, int64_t rowid, struct strbuf *out,
                    struct err *err)
{
    sqlite3_stmt *s = db_query(c, err, sql, "i", rowid);
    int r = s ? db_next(c, s, err) : -1;

    if (r <= 0)
        return r;
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        sqlite3_value *v = sqlite3_column_value(s, i);
        sqlite3_str *text = sqlite3_str_new(c->h);
        char *literal;

        if (sqlite3_value_type(v) == SQLITE_BLOB || sqlite3_value_type(v) == SQLITE_TEXT) {
            const unsigned char *d = sqlite3_value_blob(v);
            int n = sqlite3_value_bytes(v);
            bool plain =
                sqlite3_value_type(v) == SQLITE_TEXT && str_is_utf8((const char *)d, (size_t)n);

            if (plain)
                sqlite3_str_appendf(text, "%Q", n ? (const char *)d : "");
            for (int k = 0; !plain && k < n; k++)
                sqlite3_str_appendf(text, "%s%02x", k ? "" : "x'", d[k]);
            if (!plain)
                sqlite3_str_appendall(text, n ? "'" : "x''");
        } else if (sqlite3_value_type(v) == SQLITE_NULL) {
            sqlite3_str_appendall(text, "NULL");
        } else {
            sqlite3_str_appendall(text, (const char *)sqlite3_value_text(v));
        }
        literal = sqlite3_str_finish(text);
        strbuf_addf(out, "%s = %s\n", sqlite3_column_name(s, i), literal ? literal : "?");
        sqlite3_free(literal);
    }
    (void)sqlite3_reset(s);
    return 0;
}

struct move {
    const struct kind *kind;
    const char *id; /* or NULL: the rowid is given */
    int64_t rowid;
    const char *reason;
};

static int move(struct db_conn *c, void *arg, struct err *err)
{
    struct move *m = arg;
    const char *const cleanups[] = {m->kind->cleanup, m->kind->cleanup2, m->kind->remove};
    autostrbuf record = STRBUF_INIT;

    if (m->id && db_number(c, err, &m->rowid, m->kind->id, "s", m->id))
        return -1;
    if (m->rowid == 0)
        return 0; /* absent */
    if (describe(c, m->kind->row, m->rowid, &record, err) ||
        (m->kind->spec && describe(c, m->kind->spec, m->rowid, &record, err)))
        return -1;
    if (db_run(c, err, "INSERT INTO quarantine (kind, reason, at, record) VALUES (?, ?, ?, ?)",
               "ssis", m->kind->name, m->reason, clock_wall(), record.s) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(cleanups); i++) {
        if (cleanups[i] && db_run(c, err, cleanups[i], "i", m->rowid) < 0)
            return -1;
    }
    return 0;
}

void db_quarantine_row(struct db *db, enum db_kind kind, int64_t rowid, const char *reason)
{
    struct move m = {.kind = &kinds[kind], .rowid = rowid, .reason = reason};
    struct err err = ERR_INIT;

    log_error("database: a %s record cannot be read and is put into quarantine: %s",
              kinds[kind].name, reason);
    if (db_write(db, DB_LAZY, move, &m, &err))
        log_error("database: quarantine: %s; ignoring, the record stays where it is", err.msg);
    else
        metric_add(&db_metric_quarantined, 1);
}

int db_quarantine(struct db *db, enum db_kind kind, const char *id, const char *reason,
                  struct err *err)
{
    struct move m = {.kind = &kinds[kind], .id = id, .reason = reason};

    if (db_write(db, DB_LAZY, move, &m, err))
        return -1;
    if (m.rowid)
        metric_add(&db_metric_quarantined, 1);
    return 0;
}
