/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of db_open() on files as they are found: fresh, broken, foreign, newer, in use, on a full
 * disk. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/tests/testing.h"
#include "db/db_private.h"

static struct db *must_open(const char *dir, bool expect_rebuilt)
{
    struct err err = ERR_INIT;
    bool rebuilt = !expect_rebuilt;
    struct db *db = db_open(dir, &rebuilt, &err);

    if (!db)
        fail_msg("%s", err.msg);
    assert_int_equal(rebuilt, expect_rebuilt);
    return db;
}

static void must_fail(const char *dir, enum err_code code, const char *part)
{
    struct err err = ERR_INIT;
    bool rebuilt;

    assert_null(db_open(dir, &rebuilt, &err));
    if (err.code != code || !strstr(err.msg, part))
        fail_msg("got %s '%s'", err_code_name(err.code), err.msg);
}

/* Some hundred pages. */
static void fill(struct db *db)
{
    autofree char *big = xmalloc(5001);
    struct err err = ERR_INIT;

    memset(big, 'x', 5000);
    big[5000] = '\0';
    for (int i = 0; i < 100; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_ok(db_meta_set(db, key, big, &err), err);
    }
}

static size_t count_prefix(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(d);
    return n;
}

static void exec_sql(const char *path, const char *text)
{
    sqlite3 *h;

    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    if (sqlite3_exec(h, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(h));
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static void fresh_and_again(void **state)
{
    autofree char *dir = path_join(*state, "a/b"), *path = path_join(*state, "a/b/unicri.db");
    struct err err = ERR_INIT;
    struct stat st;
    char *v;

    struct db *db = must_open(dir, false);
    assert_ok(db_meta_set(db, "k", "v", &err), err);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    db_close(db);
    db = must_open(dir, false);
    assert_ok(db_meta_get(db, "k", &v, &err), err);
    assert_string_equal(v, "v");
    free(v);
    db_close(db);
}

static void two_daemons(void **state)
{
    struct db *db = must_open(*state, false);

    must_fail(*state, ERR_STATE, "another daemon uses this directory");
    db_close(db);
    db_close(must_open(*state, false));
}

/* What a daemon that was killed leaves: a child that has not come to its exec yet. */
static void lock_left_for_a_moment(void **state)
{
    struct db *db = must_open(*state, false);
    int status;
    pid_t child = fork();

    if (child == 0) {
        (void)usleep(300000);
        _exit(0);
    }
    assert_true(child > 0);
    db_close(db);
    db_close(must_open(*state, false));
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void garbage(void **state)
{
    autofd int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = ERR_INIT;
    char text[10000];

    memset(text, 'g', sizeof(text));
    assert_ok(fs_write_file(dir, "unicri.db", text, sizeof(text), 0600, &err), err);
    db_close(must_open(*state, true));
    assert_int_equal(count_prefix(*state, "unicri.db.corrupt-"), 1);
    db_close(must_open(*state, false));
}

static void truncated(void **state)
{
    autofree char *path = path_join(*state, "unicri.db");
    struct db *db = must_open(*state, false);

    fill(db);
    db_close(db);
    assert_int_equal(truncate(path, 100000), 0);
    db = must_open(*state, true);
    fill(db);
    db_close(db);
    assert_int_equal(count_prefix(*state, "unicri.db.corrupt-"), 1);
}

static void overwritten_pages(void **state)
{
    autofree char *path = path_join(*state, "unicri.db");
    struct db *db = must_open(*state, false);
    char noise[4096];
    int fd;

    fill(db);
    db_close(db);
    memset(noise, 0x5a, sizeof(noise));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, noise, sizeof(noise), 4096), sizeof(noise));
    (void)close(fd);
    db_close(must_open(*state, true));
}

static void empty_file(void **state)
{
    autofree char *path = path_join(*state, "unicri.db");
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, "", 0, 0600, &err), err);
    db_close(must_open(*state, false));
}

/* A torn log: the frames up to the tear count, and the daemon starts. */
static void torn_log(void **state)
{
    autofree char *log = path_join(*state, "unicri.db-wal");
    pid_t pid = fork();
    struct err err = ERR_INIT;
    struct stat st;
    char *v;

    if (pid == 0) { /* leaves a log behind */
        bool rebuilt;
        struct db *db = db_open(*state, &rebuilt, &err);

        if (!db || db_meta_set(db, "first", "1", &err) || db_meta_set(db, "last", "2", &err))
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(truncate(log, st.st_size - 100), 0);
    struct db *db = must_open(*state, false);
    assert_ok(db_meta_get(db, "first", &v, &err), err);
    assert_string_equal(v, "1");
    free(v);
    assert_ok(db_meta_get(db, "last", &v, &err), err);
    assert_null(v);
    db_close(db);
}

static void newer_version(void **state)
{
    autofree char *path = path_join(*state, "unicri.db"), *before = NULL, *after = NULL;
    autofree char *newest = xasprintf("PRAGMA user_version = %d", db_migrations_n);
    struct db *db = must_open(*state, false);
    struct err err = ERR_INIT;
    size_t len_before, len_after;

    db_close(db);
    exec_sql(path, "CREATE TABLE future (x); PRAGMA user_version = 99");
    assert_ok(fs_read_file(AT_FDCWD, path, 1 << 20, &before, &len_before, &err), err);
    must_fail(*state, ERR_UNSUPPORTED, "version 99, made by a newer unicri");
    assert_ok(fs_read_file(AT_FDCWD, path, 1 << 20, &after, &len_after, &err), err);
    assert_int_equal(len_before, len_after);
    assert_memory_equal(before, after, len_before); /* untouched */
    assert_int_equal(count_prefix(*state, "unicri.db.corrupt-"), 0);
    exec_sql(path, newest);
    db_close(must_open(*state, false)); /* and the lock was given back */
}

static void foreign_file(void **state)
{
    autofree char *path = path_join(*state, "unicri.db");

    exec_sql(path, "CREATE TABLE pods (x)");
    db_close(must_open(*state, true));
}

static void unusable_directory(void **state)
{
    autofree char *file = path_join(*state, "f"), *below = path_join(*state, "f/d");
    autofree char *dir = path_join(*state, "d"), *inside = path_join(*state, "d/unicri.db");
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, file, "", 0, 0600, &err), err);
    must_fail(below, ERR_EXISTS, "/f'");
    assert_ok(fs_mkdirs(inside, 0700, &err), err);
    must_fail(dir, ERR_INTERNAL, "unicri.db");
    assert_int_equal(count_prefix(dir, "unicri.db.corrupt-"), 0);
}

/* Writes until there is no room. Returns: 0 when it is told as that and all rows before are there
 * and, with room again, writing goes on. */
static int write_until_full(const char *dir, void (*make_room)(void))
{
    struct err err = ERR_INIT;
    char value[20001], key[16], *v = NULL;
    bool rebuilt;
    struct db *db = db_open(dir, &rebuilt, &err);
    int n = 0;

    if (!db || rebuilt)
        return 2;
    memset(value, 'x', 20000);
    value[20000] = '\0';
    for (; n < 1000; n++) {
        (void)snprintf(key, sizeof(key), "k%d", n);
        if (db_meta_set(db, key, value, &err))
            break;
    }
    if (n < 3 || err.code != ERR_EXHAUSTED) {
        print_error("after %d rows: %s '%s'\n", n, err_code_name(err.code), err.msg);
        return 3;
    }
    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        if (db_meta_get(db, key, &v, &err) || !v || strcmp(v, value) != 0)
            return 4;
        free(v);
    }
    make_room();
    if (db_meta_set(db, "more", value, &err))
        return 5;
    db_close(db);
    db = db_open(dir, &rebuilt, &err);
    if (!db || rebuilt || db_meta_get(db, "more", &v, &err) || !v)
        return 6;
    free(v);
    db_close(db);
    return 0;
}

static void lift_limit(void)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    (void)setrlimit(RLIMIT_FSIZE, &none);
}

static void file_size_limit(void **state)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        const struct rlimit small = {300000, RLIM_INFINITY};

        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &small);
        _exit(write_until_full(*state, lift_limit));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const char *small_disk;

static void enlarge_disk(void)
{
    (void)mount(NULL, small_disk, NULL, MS_REMOUNT, "size=8m");
}

/* A tmpfs of one megabyte, in a mount namespace that ends with the process. */
static void full_disk(void **state)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        small_disk = *state;
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount("tmpfs", small_disk, "tmpfs", 0, "size=1m"))
            _exit(9);
        _exit(write_until_full(small_disk, enlarge_disk));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(fresh_and_again), in_dir(two_daemons),        in_dir(lock_left_for_a_moment),
        in_dir(garbage),         in_dir(truncated),          in_dir(overwritten_pages),
        in_dir(empty_file),      in_dir(torn_log),           in_dir(newer_version),
        in_dir(foreign_file),    in_dir(unusable_directory), in_dir(file_size_limit),
        in_dir(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
