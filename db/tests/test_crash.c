/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of what kill -9 leaves: a process writes rows, says so on a pipe after each call returned,
 * and is killed at some moment. Each row that was announced must be there, and the file must be
 * sound.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/tests/testing.h"
#include "db/db.h"

#define ROUNDS  8
#define S(text) ((char *)(uintptr_t)(text))

static int insert(struct db *db, int i, struct err *err)
{
    char id[16];
    struct pod_row p = {.id = id,
                        .namespace_ = S("n"),
                        .name = id,
                        .uid = S(""),
                        .handler = S(""),
                        .spec = S("{}"),
                        .spec_hash = S(""),
                        .runtime = S("")};
    struct layer_row l = {.diff_id = id, .path = id};

    (void)snprintf(id, sizeof(id), "%d", i);
    if (i % 10 == 9)
        return db_layer_put(db, &l, err);
    return db_pod_insert(db, &p, err) || db_pod_set_step(db, id, 7, err) ? -1 : 0;
}

/* Never returns. */
static void writer(const char *dir, int fd)
{
    struct err err = ERR_INIT;
    bool rebuilt;
    struct db *db = db_open(dir, &rebuilt, &err);

    if (!db || rebuilt)
        _exit(1);
    for (int i = 0;; i++) {
        if (insert(db, i, &err) || write(fd, &i, sizeof(i)) != (ssize_t)sizeof(i))
            _exit(2);
    }
}

static bool has_pod(const struct pod_row *rows, size_t n, int i)
{
    char id[16];

    (void)snprintf(id, sizeof(id), "%d", i);
    for (size_t k = 0; k < n; k++) {
        if (strcmp(rows[k].id, id) == 0)
            return rows[k].step == 7;
    }
    return false;
}

static void check(const char *dir, int last)
{
    struct err err = ERR_INIT;
    bool rebuilt;
    struct db *db = db_open(dir, &rebuilt, &err);
    struct pod_row *rows;
    struct layer_row *layers;
    size_t n, n_layers;

    if (!db)
        fail_msg("%s", err.msg);
    assert_false(rebuilt);
    assert_ok(db_pods_load(db, &rows, &n, &err), err);
    assert_ok(db_layers_load(db, &layers, &n_layers, &err), err);
    for (int i = 0; i <= last; i++) {
        if (i % 10 != 9)
            assert_true(has_pod(rows, n, i));
    }
    assert_in_range(n_layers, (last + 1) / 10, (last + 2) / 10);
    pod_rows_free(rows, n);
    layer_rows_free(layers, n_layers);
    db_close(db);
}

static void announced_rows_survive(void **state)
{
    for (int round = 1; round <= ROUNDS; round++) {
        autofree char *dir = xasprintf("%s/%d", (char *)*state, round);
        int fds[2], status, i, last = -1;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0)
            writer(dir, fds[1]);
        (void)close(fds[1]);
        while (last < 7 * round) {
            assert_int_equal(read(fds[0], &i, sizeof(i)), sizeof(i));
            last = i;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(fds[0], &i, sizeof(i)) == (ssize_t)sizeof(i))
            last = i; /* announced before the blow */
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        check(dir, last);
    }
}

#ifdef UNICRI_FAULTS
/* Killed within a transaction, before its commit: nothing of it is there, all before it is. */
static void killed_before_commit(void **state)
{
    for (int n = 1; n <= 6; n++) {
        autofree char *dir = xasprintf("%s/%d", (char *)*state, n);
        int fds[2], status, i, last = -1;
        char list[40];
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            (void)snprintf(list, sizeof(list), "db.commit=kill@%d", n);
            fault_set(list);
            writer(dir, fds[1]);
        }
        (void)close(fds[1]);
        while (read(fds[0], &i, sizeof(i)) == (ssize_t)sizeof(i))
            last = i;
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(last, (n - 1) / 2 - 1); /* two commits a pod */
        check(dir, last);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(announced_rows_survive),
#ifdef UNICRI_FAULTS
        in_dir(killed_before_commit),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
