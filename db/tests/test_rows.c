/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of db's rows: what goes in comes out, keys are kept, debts are not forgotten, bad records
 * cost themselves. */
#include <sqlite3.h>

#include "base/fault.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "base/thread.h"
#include "db/db.h"

/* Strings of rows are owned; these borrow constants and are never done. */
#define S(text) ((char *)(uintptr_t)(text))

static struct db *open_db(void **state)
{
    struct err err = ERR_INIT;
    bool rebuilt = true;
    struct db *db = db_open(*state, &rebuilt, &err);

    if (!db)
        fail_msg("%s", err.msg);
    assert_false(rebuilt);
    return db;
}

static struct pod_row pod(const char *id, const char *name, uint32_t attempt)
{
    return (struct pod_row){
        .id = S(id),
        .namespace_ = S("default"),
        .name = S(name),
        .uid = S("u"),
        .attempt = attempt,
        .handler = S(""),
        .spec = S("{\"a\":\"\xc3\xa4\"}"),
        .spec_hash = S("h"),
        .state = 1,
        .step = 0,
        .created_at = 123456789012345,
        .runtime = S("{}"),
    };
}

static struct container_row container(const char *id, const char *pod_id, const char *name)
{
    return (struct container_row){
        .id = S(id),
        .pod_id = S(pod_id),
        .name = S(name),
        .attempt = UINT32_MAX,
        .image_id = S("sha256:i"),
        .spec = S("{}"),
        .spec_hash = S("h"),
        .state = 0,
        .created_at = 1,
        .reason = S(""),
        .message = S(""),
        .runtime = S("{}"),
    };
}

static struct network_row network(const char *pod_id)
{
    return (struct network_row){
        .pod_id = S(pod_id),
        .netns = S("/run/netns/x"),
        .conflist = S("{}"),
        .args = S("{}"),
        .result = S(""),
        .error = S(""),
    };
}

static void meta(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    char *v = S("x");

    assert_ok(db_meta_get(db, "boot", &v, &err), err);
    assert_null(v);
    assert_ok(db_meta_set(db, "boot", "1", &err), err);
    assert_ok(db_meta_set(db, "boot", "2", &err), err);
    assert_ok(db_meta_get(db, "boot", &v, &err), err);
    assert_string_equal(v, "2");
    free(v);
    db_close(db);
}

static void pods(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    struct pod_row a = pod("a", "web", 0), b = pod("b", "web", 1), same_key = pod("c", "web", 0),
                   *rows;
    size_t n;

    assert_ok(db_pod_insert(db, &a, &err), err);
    assert_ok(db_pod_insert(db, &b, &err), err);
    assert_err(db_pod_insert(db, &a, &err), err, ERR_EXISTS, "pod 'a'");
    assert_err(db_pod_insert(db, &same_key, &err), err, ERR_EXISTS, "pod 'c'");
    assert_ok(db_pod_set_step(db, "a", 4, &err), err);
    assert_ok(db_pod_set_state(db, "a", 2, &err), err);
    assert_ok(db_pod_set_runtime(db, "a", "{\"x\":1}", &err), err);
    assert_err(db_pod_set_step(db, "z", 4, &err), err, ERR_NOT_FOUND, "pod 'z'");
    db_close(db);
    db = open_db(state);
    assert_ok(db_pods_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 2);
    assert_string_equal(rows[0].id, "a");
    assert_string_equal(rows[0].namespace_, "default");
    assert_string_equal(rows[0].spec, "{\"a\":\"\xc3\xa4\"}");
    assert_string_equal(rows[0].runtime, "{\"x\":1}");
    assert_int_equal(rows[0].step, 4);
    assert_int_equal(rows[0].state, 2);
    assert_int_equal(rows[0].created_at, 123456789012345);
    assert_int_equal(rows[1].attempt, 1);
    pod_rows_free(rows, n);
    assert_ok(db_pod_delete(db, "a", &err), err);
    assert_ok(db_pod_delete(db, "a", &err), err);
    assert_ok(db_pod_insert(db, &same_key, &err), err); /* the key is free again */
    db_close(db);
}

static void networks(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    struct pod_row p = pod("a", "web", 0);
    struct network_row w = network("a"), got, *rows;
    size_t n;

    assert_ok(db_pod_insert(db, &p, &err), err);
    assert_err(db_network_get(db, "a", &got, &err), err, ERR_NOT_FOUND, "'a'");
    assert_ok(db_network_insert(db, &w, &err), err);
    assert_err(db_network_insert(db, &w, &err), err, ERR_EXISTS, "'a'");
    assert_ok(db_network_set_result(db, "a", "{\"ips\":[]}", &err), err);
    assert_err(db_pod_delete(db, "a", &err), err, ERR_STATE, "a CNI DEL is owed");
    assert_ok(db_network_failed(db, "a", "plugin said \xff no", false, &err), err);
    assert_err(db_pod_delete(db, "a", &err), err, ERR_STATE, "owed");
    assert_ok(db_network_failed(db, "a", "again", true, &err), err);
    assert_ok(db_network_failed(db, "a", "plugin said \xff no", false, &err), err);
    assert_ok(db_pod_delete(db, "a", &err), err); /* the debt outlives it */
    assert_ok(db_network_get(db, "a", &got, &err), err);
    assert_int_equal(got.dels, 3);
    assert_true(got.orphan);
    assert_string_equal(got.error, "plugin said ? no");
    assert_string_equal(got.result, "{\"ips\":[]}");
    network_row_done(&got);
    assert_ok(db_networks_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 1);
    network_rows_free(rows, n);
    assert_ok(db_network_delete(db, "a", &err), err);
    assert_ok(db_network_delete(db, "a", &err), err);
    assert_err(db_network_set_result(db, "a", "", &err), err, ERR_NOT_FOUND, "'a'");
    db_close(db);
}

static void containers(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    struct container_row c = container("c1", "a", "main"), same = container("c2", "a", "main"),
                         *rows;
    size_t n;

    assert_ok(db_container_insert(db, &c, &err), err);
    assert_err(db_container_insert(db, &same, &err), err, ERR_EXISTS, "container 'c2'");
    assert_ok(db_container_set_step(db, "c1", 3, &err), err);
    assert_ok(db_container_set_runtime(db, "c1", "{\"pid\":7}", &err), err);
    assert_ok(db_container_set_state(db, "c1", 1, &err), err);
    assert_ok(db_container_started(db, "c1", 2, 1000, &err), err);
    assert_ok(db_container_change_state(db, "c1", 2, 4, &err), err);
    assert_ok(db_container_exited(db, "c1", 3, 2000, 137, "OOMKilled", "too much", &err), err);
    assert_ok(db_container_change_state(db, "c1", 4, 5, &err), err); /* not in 4 any more */
    assert_ok(db_container_change_state(db, "c9", 4, 5, &err), err);
    assert_err(db_container_exited(db, "c9", 3, 2000, 137, "", "", &err), err, ERR_NOT_FOUND,
               "'c9'");
    assert_ok(db_containers_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].attempt, UINT32_MAX);
    assert_int_equal(rows[0].state, 3);
    assert_int_equal(rows[0].step, 3);
    assert_int_equal(rows[0].started_at, 1000);
    assert_int_equal(rows[0].finished_at, 2000);
    assert_int_equal(rows[0].exit_code, 137);
    assert_string_equal(rows[0].reason, "OOMKilled");
    assert_string_equal(rows[0].message, "too much");
    assert_string_equal(rows[0].runtime, "{\"pid\":7}");
    container_rows_free(rows, n);
    assert_ok(db_container_delete(db, "c1", &err), err);
    assert_ok(db_container_delete(db, "c1", &err), err);
    assert_ok(db_container_insert(db, &same, &err), err);
    db_close(db);
}

static struct image_row image(const char *id, char **tags, char **digests, char **layers)
{
    return (struct image_row){
        .id = S(id),
        .config = S("{}"),
        .manifest = S("{}"),
        .size = 5,
        .pinned = true,
        .pulled_at = 7,
        .tags = tags,
        .digests = digests,
        .layers = layers,
    };
}

static void images(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    char *tags[] = {S("h/r:1"), S("h/r:2"), NULL}, *digests[] = {S("h/r@sha256:d"), NULL};
    char *layers[] = {S("sha256:l2"), S("sha256:l1"), S("sha256:l2"), NULL},
         *tag2[] = {S("h/r:2"), NULL};
    struct image_row a = image("sha256:a", tags, digests, layers),
                     b = image("sha256:b", tag2, NULL, NULL), *rows;
    struct layer_row l1 = {S("sha256:l1"), S("layers/l1"), 10, 2},
                     l2 = {S("sha256:l2"), S("layers/l2"), 20, 3}, *ls;
    size_t n;

    assert_ok(db_layer_put(db, &l1, &err), err);
    assert_err(db_image_put(db, &a, &err), err, ERR_STATE, "'sha256:l2' is not recorded");
    assert_ok(db_images_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 0); /* all or nothing */
    image_rows_free(rows, n);
    assert_ok(db_layer_put(db, &l2, &err), err);
    assert_ok(db_layer_put(db, &l2, &err), err);
    assert_ok(db_image_put(db, &a, &err), err);
    assert_ok(db_image_put(db, &b, &err), err); /* the tag moves */
    assert_ok(db_image_put(db, &b, &err), err);
    assert_ok(db_images_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 2);
    assert_string_equal(rows[0].id, "sha256:a");
    assert_int_equal(strv_len(rows[0].tags), 1);
    assert_string_equal(rows[0].tags[0], "h/r:1");
    assert_string_equal(rows[0].digests[0], "h/r@sha256:d");
    assert_int_equal(strv_len(rows[0].layers), 3); /* the order, and one twice */
    assert_string_equal(rows[0].layers[0], "sha256:l2");
    assert_string_equal(rows[0].layers[1], "sha256:l1");
    assert_string_equal(rows[0].layers[2], "sha256:l2");
    assert_true(rows[0].pinned);
    assert_string_equal(rows[1].tags[0], "h/r:2");
    assert_null(rows[1].layers);
    image_rows_free(rows, n);
    assert_err(db_layer_delete(db, "sha256:l1", &err), err, ERR_STATE, "an image needs it");
    assert_ok(db_image_delete(db, "sha256:a", &err), err);
    assert_ok(db_image_delete(db, "sha256:a", &err), err);
    assert_ok(db_layer_delete(db, "sha256:l1", &err), err);
    assert_ok(db_layers_load(db, &ls, &n, &err), err);
    assert_int_equal(n, 1);
    assert_string_equal(ls[0].path, "layers/l2");
    assert_int_equal(ls[0].size, 20);
    layer_rows_free(ls, n);
    db_close(db);
}

/* Behind db's back, while it is closed. Returns: the first column of the last row, or NULL. Caller
 * frees. */
static char *sql(void **state, const char *text)
{
    autofree char *path = path_join(*state, "unicri.db");
    sqlite3 *h;
    sqlite3_stmt *s;
    char *r = NULL;

    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    for (const char *p = text; *p;) {
        const char *rest;

        if (sqlite3_prepare_v2(h, p, -1, &s, &rest) != SQLITE_OK)
            fail_msg("%s", sqlite3_errmsg(h));
        while (s && sqlite3_step(s) == SQLITE_ROW) {
            free(r);
            r = xstrdup((const char *)sqlite3_column_text(s, 0));
        }
        if (sqlite3_finalize(s) != SQLITE_OK)
            fail_msg("%s", sqlite3_errmsg(h));
        p = rest;
    }
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
    return r;
}

static void bad_records_go_to_quarantine(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    struct network_row w = network("bad1"), got;
    struct container_row c = container("c1", "good", "x"), *cs;
    struct pod_row *rows;
    autofree char *count = NULL, *record = NULL;
    size_t n;

    for (int i = 0; i < 4; i++) {
        char name[8];
        struct pod_row p;

        (void)snprintf(name, sizeof(name), i ? "bad%d" : "good", i);
        p = pod(name, name, 0);
        assert_ok(db_pod_insert(db, &p, &err), err);
    }
    assert_ok(db_network_insert(db, &w, &err), err);
    assert_ok(db_container_insert(db, &c, &err), err);
    db_close(db);
    free(sql(state,
             "UPDATE pods SET name = CAST(x'61ff62' AS TEXT) WHERE id = 'bad1';"
             "UPDATE pods SET step = -1 WHERE id = 'bad2'; DELETE FROM pod_specs WHERE id = 'bad3';"
             "UPDATE containers SET exit_code = 99999999999 WHERE id = 'c1'"));
    db = open_db(state);
    assert_ok(db_pods_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].id, "good");
    pod_rows_free(rows, n);
    assert_ok(db_containers_load(db, &cs, &n, &err), err);
    assert_int_equal(n, 0);
    container_rows_free(cs, n);
    assert_ok(db_network_get(db, "bad1", &got, &err), err);
    assert_true(got.orphan); /* its DEL is still owed */
    network_row_done(&got);
    assert_ok(db_quarantine(db, DB_PODS, "good", "spec: bad JSON", &err), err);
    assert_ok(db_quarantine(db, DB_PODS, "absent", "x", &err), err);
    db_close(db);
    count = sql(state, "SELECT count(*) FROM quarantine");
    assert_string_equal(count, "5");
    record = sql(state, "SELECT record FROM quarantine WHERE record LIKE '%bad1%'");
    assert_non_null(strstr(record, "name = x'61ff62'\n"));
    assert_non_null(strstr(record, "spec = '{\"a\":\"\xc3\xa4\"}'\n"));
}

#ifdef UNICRI_FAULTS
static void faults(void **state)
{
    struct db *db = open_db(state);
    struct err err = ERR_INIT;
    struct pod_row p = pod("a", "web", 0), *rows;
    size_t n;

    fault_set("db.commit=EIO");
    assert_err(db_pod_insert(db, &p, &err), err, ERR_INTERNAL, "db.commit");
    fault_set("db.write=ENOSPC");
    assert_err(db_pod_insert(db, &p, &err), err, ERR_EXHAUSTED, "db.write");
    fault_set(NULL);
    assert_ok(db_pods_load(db, &rows, &n, &err), err);
    assert_int_equal(n, 0);
    pod_rows_free(rows, n);
    assert_ok(db_pod_insert(db, &p, &err), err);
    db_close(db);
}
#endif

#define THREADS       4
#define PODS_A_THREAD 50

static struct db *shared;

static void *write_and_read(void *arg)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < PODS_A_THREAD; i++) {
        char id[32];
        struct pod_row p, *rows;
        size_t n;

        (void)snprintf(id, sizeof(id), "%c%d", *(char *)arg, i);
        p = pod(id, id, 0);
        assert_ok(db_pod_insert(shared, &p, &err), err);
        assert_ok(db_pod_set_step(shared, id, 3, &err), err);
        assert_ok(db_pods_load(shared, &rows, &n, &err), err);
        assert_true(n > (size_t)i);
        pod_rows_free(rows, n);
    }
    return NULL;
}

static void threads(void **state)
{
    static char names[] = "abcd";
    struct err err = ERR_INIT;
    pthread_t t[THREADS];
    struct pod_row *rows;
    size_t n;

    shared = open_db(state);
    for (int i = 0; i < THREADS; i++)
        assert_ok(thread_start("writer", write_and_read, &names[i], &t[i], &err), err);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_ok(db_pods_load(shared, &rows, &n, &err), err);
    assert_int_equal(n, THREADS * PODS_A_THREAD);
    pod_rows_free(rows, n);
    db_close(shared);
}

/* The log is moved into the file on the side and does not grow for ever. */
static void checkpoints(void **state)
{
    struct db *db = open_db(state);
    autofree char *log = path_join(*state, "unicri.db-wal"), *big = xmalloc(100001);
    struct err err = ERR_INIT;
    struct stat st;

    memset(big, 'x', 100000);
    big[100000] = '\0';
    for (int i = 0; i < 400; i++) { /* 40 MB */
        assert_ok(db_meta_set(db, "big", big, &err), err);
        if (i % 20 == 0)
            clock_sleep_until(deadline_in(5 * NSEC_PER_MSEC));
    }
    assert_int_equal(stat(log, &st), 0);
    assert_in_range(st.st_size, 1, 20 << 20);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(meta),       in_dir(pods),        in_dir(networks),
        in_dir(containers), in_dir(images),      in_dir(bad_records_go_to_quarantine),
#ifdef UNICRI_FAULTS
        in_dir(faults),
#endif
        in_dir(threads),    in_dir(checkpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
