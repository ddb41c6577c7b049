/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db - opening and closing of the facade db.h, and the key-value store.
 *
 * The lock is on a file of its own: the database is never opened by anything but sqlite. A file
 * that sqlite finds broken is moved aside with its log, never deleted; one that could not be read
 * for another reason (disk, permissions) stays where it is and the error goes to the caller.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "db/db_private.h"

#define DB_NAME   "unicri.db"
#define LOCK_NAME "unicri.lock"

static const char *const companions[] = {"", "-wal", "-shm"};

/* sqlite gives its log the mode of the file, which holds environment variables of pods: root's
 * only. */
static int create(const char *path, struct err *err)
{
    autofd int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno != EEXIST)
        return err_sys(err, "create '%s'", path);
    return 0;
}

/*
 * Is the file sound? Complaints about single values ("NULL value in pods.name") are let pass: such
 * a record goes into quarantine when it is loaded. Those about pages come under a headline with
 * "***".
 */
static int check(struct db_conn *c, struct err *err)
{
    sqlite3_stmt *s = db_query(c, err, "PRAGMA quick_check", "");
    int r = -1;

    while (s && (r = db_next(c, s, err)) > 0) {
        const char *text = (const char *)sqlite3_column_text(s, 0);

        if (text && !strstr(text, "***"))
            continue;
        (void)err_set(err, ERR_CORRUPT, "%.200s", text ? text : "no answer");
        (void)sqlite3_reset(s);
        return -1;
    }
    return r;
}

static struct db_conn *open_checked(const char *path, struct err *err)
{
    struct db_conn *c;
    int version;

    if (create(path, err))
        return NULL;
    c = db_conn_open(path, false, err);
    if (!c)
        return NULL;
    if (db_version_check(c, &version, err) || check(c, err) || db_migrate(c, version, err)) {
        /* A file that is refused is left as it is: without the log moved into it. */
        (void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        db_conn_close(c);
        return NULL;
    }
    return c;
}

static int move_aside(const char *path, struct err *err)
{
    int64_t now = clock_wall() / NSEC_PER_SEC;

    for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
        autofree char *from = xasprintf("%s%s", path, companions[i]);
        autofree char *to = xasprintf("%s.corrupt-%lld%s", path, (long long)now, companions[i]);

        if (rename(from, to) && errno != ENOENT)
            return err_sys(err, "move '%s' aside", from);
    }
    return 0;
}

static struct db_conn *open_or_rebuild(const char *path, bool *ret_rebuilt, struct err *err)
{
    struct err e = ERR_INIT;
    struct db_conn *c = open_checked(path, &e);

    *ret_rebuilt = false;
    if (!c && e.code == ERR_CORRUPT) {
        log_error("database '%s' is broken and moved aside, starting with an empty one: %s", path,
                  e.msg);
        if (move_aside(path, err))
            return NULL;
        *ret_rebuilt = true;
        e = ERR_INIT;
        c = open_checked(path, &e);
    }
    if (!c)
        (void)err_set(err, e.code, "open database '%s': %s", path, e.msg);
    return c;
}

static int take_lock(const char *dir, struct err *err)
{
    autofree char *path = path_join(dir, LOCK_NAME);
    struct err e = ERR_INIT;
    int fd = fs_lock(path, &e);

    if (fd < 0 && e.code == ERR_STATE)
        return err_set(err, ERR_STATE, "'%s': another daemon uses this directory", dir);
    if (fd < 0)
        return err_set(err, e.code, "%s", e.msg);
    return fd;
}

struct db *db_open(const char *dir, bool *ret_rebuilt, struct err *err)
{
    struct db *db;
    int lock_fd;

    if (fs_mkdirs(dir, 0700, err))
        return NULL;
    lock_fd = take_lock(dir, err);
    if (lock_fd < 0)
        return NULL;
    db = XNEW(struct db);
    db->lock_fd = lock_fd;
    db->path = path_join(dir, DB_NAME);
    mutex_init(&db->write_lock);
    mutex_init(&db->pool_lock);
    cond_init(&db->checkpointed);
    db->writer = open_or_rebuild(db->path, ret_rebuilt, err);
    /* The names of a new file and its log: the rows that are synced later stand in them. */
    if (!db->writer || fs_sync_dir(AT_FDCWD, dir, err)) {
        db_close(db);
        return NULL;
    }
    db_checkpoint_hook(db);
    return db;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    db_checkpoint_wait(db);
    while (db->idle) {
        struct db_conn *c = db->idle;

        db->idle = c->next;
        db_conn_close(c);
    }
    db_conn_close(db->writer);
    cond_done(&db->checkpointed);
    mutex_done(&db->pool_lock);
    mutex_done(&db->write_lock);
    (void)close_fd(db->lock_fd);
    free(db->path);
    free(db);
}

int db_meta_get(struct db *db, const char *key, char **ret, struct err *err)
{
    struct db_conn *c = db_reader_get(db, err);
    sqlite3_stmt *s;
    int r = -1;

    if (!c)
        return -1;
    s = db_query(c, err, "SELECT value FROM meta WHERE key = ?", "s", key);
    if (s)
        r = db_next(c, s, err);
    if (r >= 0)
        *ret = r ? xstrdup((const char *)sqlite3_column_text(s, 0)) : NULL;
    db_reader_put(db, c);
    return r < 0 ? -1 : 0;
}

int db_meta_set(struct db *db, const char *key, const char *value, struct err *err)
{
    return db_change(db, NULL, err,
                     "INSERT INTO meta (key, value) VALUES (?, ?)"
                     " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                     "ss", key, value);
}
