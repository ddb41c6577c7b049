/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients of one engine: the same request again and again, stops that meet, lives side by
 * side. */
#include "sandbox/tests/life.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/fs.h"
#include "base/metrics.h"
#include "sandbox/container.h"
#include "sandbox/exits.h"
#include "sandbox/monitor/monitor.h"

struct duplicate {
    struct fixture *f;
    const struct pod_spec *spec;
    char id[65];
    int rc;
};

static void *run_duplicate(void *arg)
{
    struct duplicate *d = arg;
    struct err err = ERR_INIT;

    d->rc = pod_run(d->f->engine, d->spec, NULL, d->id, &err);
    return NULL;
}

static void hundred_duplicates(void **state)
{
    struct fixture *f = *state;
    struct pod_spec *spec = fixture_pod(f, "many", true);
    struct duplicate d[100];
    pthread_t t[100];
    struct pod_view *pods;
    struct err err = ERR_INIT;
    char id[65];

    for (int i = 0; i < 100; i++) {
        d[i] = (struct duplicate){.f = f, .spec = spec};
        assert_int_equal(pthread_create(&t[i], NULL, run_duplicate, &d[i]), 0);
    }
    for (int i = 0; i < 100; i++)
        (void)pthread_join(t[i], NULL);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(d[i].rc, 0);
        assert_string_equal(d[i].id, d[0].id);
    }
    assert_int_equal(pod_list(f->engine, NULL, &pods), 1);
    pod_views_free(pods, 1);
    free(spec->hostname);
    spec->hostname = xstrdup("other");
    assert_err(pod_run(f->engine, spec, NULL, id, &err), err, ERR_EXISTS, "hostname");
    assert_ok(pod_stop(f->engine, d[0].id, NULL, &err), err);
    /* Not ready any more: the changed request takes its place. */
    assert_ok(pod_run(f->engine, spec, NULL, id, &err), err);
    assert_string_not_equal(id, d[0].id);
    pod_spec_free(spec);
    remove_pod(f, id);
}

struct stopper {
    struct engine *engine;
    const char *id;
    nsec_t grace;
    struct caller caller;
    int rc;
    struct err err;
};

static void *stopper_main(void *arg)
{
    struct stopper *s = arg;

    s->rc = container_stop(s->engine, s->id, s->grace, &s->caller, &s->err);
    return NULL;
}

/* A later stop with less grace shortens the wait of all; a caller that leaves does not take the
 * kill along. */
static void stops_that_meet(void **state)
{
    struct fixture *f = *state;
    struct stopper patient = {
        .engine = f->engine, .grace = 60 * NSEC_PER_SEC, .caller = {.deadline = DEADLINE_NEVER}};
    struct stopper leaves = {.engine = f->engine, .grace = NSEC_PER_SEC};
    nsec_t begin = clock_mono();
    pthread_t thread;
    struct err err = ERR_INIT;
    char pod[65], first[65], second[65];

    run_pod(f, "meet", false, pod);
    create(f, fixture_container(pod, "first", "trap '' TERM; echo up; while :; do sleep 1; done"),
           first);
    create(f, fixture_container(pod, "second", "trap '' TERM; echo up; while :; do sleep 1; done"),
           second);
    start(f, first);
    start(f, second);
    wait_log(f, "first", "up");
    wait_log(f, "second", "up");
    patient.id = first;
    leaves.id = second;
    assert_int_equal(pthread_create(&thread, NULL, stopper_main, &patient), 0);
    leaves.caller.deadline = deadline_in(200 * NSEC_PER_MSEC);
    (void)stopper_main(&leaves);
    assert_int_equal(leaves.rc, -1);
    assert_int_equal(leaves.err.code, ERR_DEADLINE);
    assert_ok(container_stop(f->engine, first, 200 * NSEC_PER_MSEC, NULL, &err), err);
    (void)pthread_join(thread, NULL);
    assert_int_equal(patient.rc, 0);
    fixture_wait(f, first, CONTAINER_EXITED, NULL);
    fixture_wait(f, second, CONTAINER_EXITED, NULL);
    assert_true(clock_mono() - begin < 40 * NSEC_PER_SEC);
    remove_pod(f, pod);
}

#define WORKERS 8
#define ROUNDS  3

/* Eight clients, each with pods of its own: one with a unikernel where there is one, and a side
 * container. */
struct worker {
    struct fixture *f;
    bool guests;
    int number, failed;
    struct err err;
};

/* An id and a state, as an element of a list. */
static struct piece *pack_id(const char *id)
{
    struct piece *piece = piece_new(ID_LEN + 1);

    memcpy(piece->bytes, id, ID_LEN);
    piece->bytes[ID_LEN] = 0xff;
    return piece;
}

static struct piece *pack_pod(const struct pod_view *view)
{
    return pack_id(view->id);
}

static struct piece *pack_container(const struct container_view *view)
{
    return pack_id(view->id);
}

/* Returns: the state in which a list shows it, -1 when it does not. Frees the list. */
static int listed_state(struct piece **pieces, size_t n, const char *id)
{
    int state = -1;

    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at + ID_LEN < pieces[i]->len; at += ID_LEN + 1)
            if (memcmp(pieces[i]->bytes + at, id, ID_LEN) == 0)
                state = pieces[i]->bytes[at + ID_LEN];
    pieces_free(pieces, n);
    return state;
}

/* What has been answered before is in every list that is asked for after. */
static int check_lists(struct worker *w, const char *pod, int pod_wanted, const char *id,
                       int wanted)
{
    const struct list_filter of_pod = {.state = -1, .pod_id = pod}, wrong = {.state = 3};
    struct engine *engine = w->f->engine;
    struct piece **pieces;
    size_t n = pod_list_packed(engine, NULL, pack_pod, &pieces);
    int pod_state = listed_state(pieces, n, pod), all, some;

    n = container_list_packed(engine, NULL, pack_container, &pieces);
    all = listed_state(pieces, n, id);
    n = container_list_packed(engine, &of_pod, pack_container, &pieces);
    some = listed_state(pieces, n, id);
    n = container_list_packed(engine, &wrong, pack_container, &pieces);
    if (pod_state != pod_wanted || all != wanted || some != wanted ||
        listed_state(pieces, n, id) != -1)
        return err_set(&w->err, ERR_INTERNAL, "listed as %d, %d, %d instead of %d, %d, %d",
                       pod_state, all, some, pod_wanted, wanted, wanted);
    return 0;
}

static int one_life(struct worker *w, int round)
{
    struct engine *engine = w->f->engine;
    autofree char *name = xasprintf("par-%d-%d", w->number, round);
    struct pod_spec *spec = fixture_pod(w->f, name, true);
    struct container_spec *c;
    struct container_view *list;
    char pod[65], id[65], side[65];
    size_t n;
    int rc = pod_run(engine, spec, NULL, pod, &w->err);

    pod_spec_free(spec);
    if (rc < 0)
        return -1;
    bool loops = !(w->guests && w->number % 2);
    c = fixture_container(pod, name, loops ? "while :; do sleep 1; done" : NULL);
    if (!c->command) {
        free(c->image);
        c->image = xstrdup("localhost/unikernel-hello");
    }
    rc = container_create(engine, c, NULL, id, &w->err);
    container_spec_free(c);
    c = fixture_container(pod, "side", "exit 0");
    if (rc == 0)
        rc = container_create(engine, c, NULL, side, &w->err);
    container_spec_free(c);
    if (rc < 0 || check_lists(w, pod, 0, id, 0) < 0 ||
        container_start(engine, id, NULL, &w->err) < 0 ||
        (loops && check_lists(w, pod, 0, id, 1) < 0) ||
        container_start(engine, side, NULL, &w->err) < 0)
        return -1;
    n = container_list(engine, NULL, &list);
    container_views_free(list, n);
    if (container_stop(engine, id, 0, NULL, &w->err) < 0 || check_lists(w, pod, 0, id, 2) < 0 ||
        pod_stop(engine, pod, NULL, &w->err) < 0 || check_lists(w, pod, 1, id, 2) < 0 ||
        pod_remove(engine, pod, NULL, &w->err) < 0)
        return -1;
    return check_lists(w, pod, -1, id, -1);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < ROUNDS && !w->failed; i++)
        w->failed = one_life(w, i) < 0;
    return NULL;
}

static void in_parallel(void **state)
{
    struct worker w[WORKERS];
    pthread_t t[WORKERS];
    struct image *image =
        imagestore_find(((struct fixture *)*state)->images, "localhost/unikernel-hello", NULL);

    for (int i = 0; i < WORKERS; i++) {
        w[i] = (struct worker){.f = *state, .number = i, .guests = image != NULL};
        assert_int_equal(pthread_create(&t[i], NULL, worker_main, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        (void)pthread_join(t[i], NULL);
    if (image)
        image_unref(image);
    for (int i = 0; i < WORKERS; i++)
        if (w[i].failed)
            fail_msg("worker %d: %s", i, w[i].err.msg);
    fixture_assert_clean(*state);
}

#define FIRSTS 300

/* Samples of the histogram of first bytes. */
static uint64_t firsts_counted(void)
{
    uint64_t n = 0;

    for (struct metric *const *m = sandbox_metrics; *m; m++)
        for (int i = 0; (*m)->label && strstr((*m)->label, "first-byte") && i <= METRIC_BUCKETS;
             i++)
            n += (*m)->buckets[i];
    return n;
}

static void *scan_main(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 100; i++)
        exits_scan(f->engine);
    return NULL;
}

/* A file that is created and closed is two events, and a scan may see it too: each counts once. */
static void first_bytes_count_once(void **state)
{
    struct fixture *f = *state;
    uint64_t before = firsts_counted();
    deadline_t deadline = deadline_in(20 * NSEC_PER_SEC);
    pthread_t scanner;
    struct err err = ERR_INIT;

    assert_int_equal(pthread_create(&scanner, NULL, scan_main, f), 0);
    for (int i = 0; i < FIRSTS; i++) {
        autofree char *name = xasprintf("%s/%064x" MONITOR_FIRST_SUFFIX, f->engine->exits_dir, i);
        autofd int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_ok(fs_write_all(fd, "1000000\n", 8, &err), err);
    }
    (void)pthread_join(scanner, NULL);
    while (firsts_counted() < before + FIRSTS && !deadline_passed(deadline))
        clock_sleep_until(deadline_in(20 * NSEC_PER_MSEC));
    fixture_close(f); /* whatever is under way has ended then */
    assert_int_equal(firsts_counted(), before + FIRSTS);
    fixture_open(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE_TEST(hundred_duplicates),
        LIFE_TEST(stops_that_meet),
        LIFE_TEST(in_parallel),
        LIFE_TEST(first_bytes_count_once),
    };

    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
