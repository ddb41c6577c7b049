/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on real ground: database, image store, CNI plugins, monitor and OCI runtime; each test
 * ends with an empty census. */
#include "sandbox/tests/fixture.h"

#include <pthread.h>
#include <signal.h>

#include "base/strbuf.h"
#include "sandbox/container.h"
#include "sandbox/exits.h"

static int setup(void **state)
{
    struct fixture *f = fixture_new();

    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void run_pod(struct fixture *f, const char *name, bool network, char id[65])
{
    struct pod_spec *spec = fixture_pod(f, name, network);
    struct err err = ERR_INIT;

    assert_ok(pod_run(f->engine, spec, NULL, id, &err), err);
    pod_spec_free(spec);
}

static void create(struct fixture *f, struct container_spec *spec, char id[65])
{
    struct err err = ERR_INIT;

    assert_ok(container_create(f->engine, spec, NULL, id, &err), err);
    container_spec_free(spec);
}

static void start(struct fixture *f, const char *id)
{
    struct err err = ERR_INIT;

    assert_ok(container_start(f->engine, id, NULL, &err), err);
}

static void remove_pod(struct fixture *f, const char *id)
{
    struct err err = ERR_INIT;

    assert_ok(pod_stop(f->engine, id, NULL, &err), err);
    assert_ok(pod_remove(f->engine, id, NULL, &err), err);
    fixture_assert_clean(f);
}

static void pod_with_network(void **state)
{
    struct fixture *f = *state;
    struct pod_view *pods;
    struct pod_view v;
    struct err err = ERR_INIT;
    char id[65];

    run_pod(f, "net", true, id);
    assert_ok(pod_get(f->engine, id, &v, &err), err);
    assert_int_equal(v.state, POD_READY);
    assert_int_equal(v.n_ips, 1);
    assert_non_null(strstr(v.ips[0], "10.93.0."));
    assert_int_equal(access(v.netns, F_OK), 0);
    pod_view_done(&v);
    assert_int_equal(pod_list(f->engine, NULL, &pods), 1);
    pod_views_free(pods, 1);
    assert_ok(pod_stop(f->engine, id, NULL, &err), err);
    assert_ok(pod_get(f->engine, id, &v, &err), err);
    assert_int_equal(v.state, POD_NOTREADY);
    pod_view_done(&v);
    remove_pod(f, id);
    assert_err(pod_get(f->engine, id, &v, &err), err, ERR_NOT_FOUND, "no such sandbox");
    assert_ok(pod_remove(f->engine, id, NULL, &err), err);
}

static void container_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    char pod[65], id[65];

    run_pod(f, "end", true, pod);

    struct container_spec *spec = fixture_container(
        pod, "c", "echo out $FROM $MINE; echo err >&2; id -u; id -G; hostname; exit 3");

    spec->envs = xcalloc(1, sizeof(*spec->envs));
    spec->envs[0] = (struct env_var){xstrdup("MINE"), xstrdup("request")};
    spec->n_envs = 1;
    free(spec->run_as_username);
    spec->run_as_username = xstrdup("ann");
    create(f, spec, id);
    fixture_wait(f, id, CONTAINER_CREATED, NULL);
    start(f, id);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 3);
    assert_string_equal(v.reason, "Error");
    assert_string_equal(v.runtime, "runc");
    assert_int_equal(v.user, 1001);
    assert_int_equal(v.n_groups, 2);
    assert_true(v.finished_at >= v.started_at && v.started_at >= v.created_at);
    container_view_done(&v);

    autofree char *log = fixture_log(f, "c");

    assert_non_null(strstr(log, " stdout F out image request\n"));
    assert_non_null(strstr(log, " stderr F err\n"));
    assert_non_null(strstr(log, " stdout F 1001\n"));
    assert_non_null(strstr(log, " stdout F 1002 1003\n"));
    assert_non_null(strstr(log, " stdout F end\n"));
    remove_pod(f, pod);
}

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

static void stop_with_grace(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], polite[65], stubborn[65];

    run_pod(f, "stop", false, pod);
    create(f, fixture_container(pod, "polite", "trap 'exit 7' TERM; while :; do sleep 0.01; done"),
           polite);
    create(f, fixture_container(pod, "stubborn", "trap '' TERM; while :; do sleep 0.1; done"),
           stubborn);
    start(f, polite);
    start(f, stubborn);
    clock_sleep_until(deadline_in(300 * NSEC_PER_MSEC));
    assert_ok(container_stop(f->engine, polite, 10 * NSEC_PER_SEC, NULL, &err), err);
    fixture_wait(f, polite, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 7);
    container_view_done(&v);

    nsec_t begin = clock_mono();

    assert_ok(container_stop(f->engine, stubborn, NSEC_PER_SEC, NULL, &err), err);
    assert_true(clock_mono() - begin > 900 * NSEC_PER_MSEC &&
                clock_mono() - begin < 5 * NSEC_PER_SEC);
    fixture_wait(f, stubborn, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 137);
    container_view_done(&v);
    assert_ok(container_stop(f->engine, stubborn, 0, NULL, &err), err);
    remove_pod(f, pod);
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
    create(f, fixture_container(pod, "first", "trap '' TERM; while :; do sleep 1; done"), first);
    create(f, fixture_container(pod, "second", "trap '' TERM; while :; do sleep 1; done"), second);
    start(f, first);
    start(f, second);
    clock_sleep_until(deadline_in(300 * NSEC_PER_MSEC));
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
    assert_true(clock_mono() - begin < 20 * NSEC_PER_SEC);
    remove_pod(f, pod);
}

static void start_error(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], id[65];

    run_pod(f, "bad", false, pod);

    struct container_spec *spec = fixture_container(pod, "c", NULL);

    strv_push(&spec->command, "/no/such/program");
    create(f, spec, id);
    assert_err(container_start(f->engine, id, NULL, &err), err, ERR_INTERNAL, "no such file");
    assert_ok(container_get(f->engine, id, &v, &err), err);
    assert_int_equal(v.state, CONTAINER_EXITED);
    assert_int_equal(v.exit_code, 128);
    assert_string_equal(v.reason, "StartError");
    container_view_done(&v);
    assert_err(container_start(f->engine, id, NULL, &err), err, ERR_STATE, "EXITED");
    remove_pod(f, pod);
}

static void refusals(void **state)
{
    struct fixture *f = *state;
    struct container_spec *spec;
    struct pod_spec *pod_spec = fixture_pod(f, "refuse", false);
    struct err err = ERR_INIT;
    char pod[65], id[65];

    free(pod_spec->handler);
    pod_spec->handler = xstrdup("no-such-handler");
    assert_err(pod_run(f->engine, pod_spec, NULL, id, &err), err, ERR_INVALID, "no-such-handler");
    pod_spec->handler[0] = '\0';
    pod_spec->ns.userns = true;
    assert_err(pod_run(f->engine, pod_spec, NULL, id, &err), err, ERR_UNSUPPORTED,
               "user namespaces");
    pod_spec->ns.userns = false;
    kvs_set(&pod_spec->sysctls, "kernel.core_pattern", "|/bin/sh");
    assert_err(pod_run(f->engine, pod_spec, NULL, id, &err), err, ERR_INVALID,
               "kernel.core_pattern");
    pod_spec_free(pod_spec);
    run_pod(f, "refuse", false, pod);
    spec = fixture_container(pod, "c", "true");
    free(spec->image);
    spec->image = xstrdup("localhost/none");
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_NOT_FOUND, "none");
    free(spec->image);
    spec->image = xstrdup("localhost/busybox");
    spec->log_path[0] = '/';
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_INVALID, "log path");
    free(spec->log_path);
    spec->log_path = xstrdup("../../etc/x");
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_INVALID, "..");
    free(spec->log_path);
    spec->log_path = xstrdup("link/c.log");

    autofree char *link = path_join(f->dir, "logs/link"), *out = path_join(f->dir, "run/c.log");

    assert_int_equal(symlink("../run", link), 0);
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_INVALID, "'link'");
    assert_int_equal(access(out, F_OK), -1);
    free(spec->log_path);
    spec->log_path = xstrdup("c.log");
    spec->run_as_group = (struct optional_int){true, 5};
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_INVALID, "run_as_group");
    spec->run_as_group.set = false;
    free(spec->run_as_username);
    spec->run_as_username = xstrdup("nobody-there");
    assert_err(container_create(f->engine, spec, NULL, id, &err), err, ERR_INVALID, "nobody-there");
    container_spec_free(spec);
    remove_pod(f, pod);
}

static void exec_in_container(void **state)
{
    struct fixture *f = *state;
    struct exec_result r = {0};
    struct err err = ERR_INIT;
    char pod[65], id[65];
    char *fine[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"echo a; echo b >&2; exit 5"}, NULL};
    char *behind[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"sleep 30 & echo here"}, NULL};
    char *none[] = {(char[]){"/no/such/program"}, NULL};
    nsec_t begin;
    char *tree[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"setsid sleep 4711 & sleep 4711"},
                    NULL};
    char *look[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"ps | grep -c '[s]leep 4711'"}, NULL};

    run_pod(f, "exec", false, pod);
    create(f, fixture_container(pod, "c", "while :; do sleep 1; done"), id);
    assert_err(container_exec_sync(f->engine, id, fine, 0, NULL, &r, &err), err, ERR_STATE,
               "CREATED");
    start(f, id);
    assert_ok(container_exec_sync(f->engine, id, fine, 10 * NSEC_PER_SEC, NULL, &r, &err), err);
    assert_int_equal(r.exit_code, 5);
    assert_string_equal(r.out, "a\n");
    assert_string_equal(r.errout, "b\n");
    exec_result_done(&r);
    begin = clock_mono();
    assert_ok(container_exec_sync(f->engine, id, behind, 0, NULL, &r, &err), err);
    assert_string_equal(r.out, "here\n");
    assert_true(clock_mono() - begin < 5 * NSEC_PER_SEC);
    exec_result_done(&r);
    assert_err(container_exec_sync(f->engine, id, none, 0, NULL, &r, &err), err, ERR_INTERNAL,
               "no such file");
    assert_err(container_exec_sync(f->engine, id, tree, NSEC_PER_SEC, NULL, &r, &err), err,
               ERR_DEADLINE, "killed");
    assert_ok(container_exec_sync(f->engine, id, look, 10 * NSEC_PER_SEC, NULL, &r, &err), err);
    assert_string_equal(r.out, "0\n");
    exec_result_done(&r);
    assert_ok(container_reopen_log(f->engine, id, &err), err);
    remove_pod(f, pod);
}

static void shared_pid_namespace(void **state)
{
    struct fixture *f = *state;
    struct pod_spec *spec = fixture_pod(f, "pid", false);
    struct container_spec *c;
    struct pod_view v;
    struct err err = ERR_INIT;
    char pod[65], id[65];

    spec->ns.pid = NS_POD;
    assert_ok(pod_run(f->engine, spec, NULL, pod, &err), err);
    pod_spec_free(spec);
    c = fixture_container(pod, "c", "test $$ != 1 && ps | grep -v ps | head -3");
    c->ns.pid = NS_POD;
    create(f, c, id);
    start(f, id);
    fixture_wait(f, id, CONTAINER_EXITED, NULL);

    autofree char *log = fixture_log(f, "c");

    assert_ok(pod_get(f->engine, pod, &v, &err), err);
    assert_true(v.init_pid > 1);
    pod_view_done(&v);
    if (!strstr(log, " 1 "))
        fail_msg("%s", log);
    remove_pod(f, pod);
}

static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    struct container_spec *spec;
    struct container_view v;
    char pod[65], id[65];

    run_pod(f, "oom", false, pod);
    spec = fixture_container(pod, "c", "dd if=/dev/zero of=/dev/null bs=200M count=5");
    spec->resources.memory_limit = 32 << 20;
    spec->resources.memory_swap_limit = 32 << 20;
    create(f, spec, id);
    start(f, id);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_string_equal(v.reason, "OOMKilled");
    assert_int_equal(v.exit_code, 137);
    container_view_done(&v);
    remove_pod(f, pod);
}

/* Workloads live on while no daemon is there; what ended meanwhile is found. */
static void restart(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], lives[65], ends[65], waits[65];

    run_pod(f, "restart", true, pod);
    create(f, fixture_container(pod, "lives", "while :; do sleep 1; done"), lives);
    create(f, fixture_container(pod, "ends", "sleep 0.5; echo done; exit 9"), ends);
    create(f, fixture_container(pod, "waits", "exit 0"), waits);
    start(f, lives);
    start(f, ends);
    fixture_close(f);
    clock_sleep_until(deadline_in(1500 * NSEC_PER_MSEC));
    fixture_open(f);
    fixture_wait(f, ends, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 9);
    container_view_done(&v);
    fixture_wait(f, lives, CONTAINER_RUNNING, &v);
    assert_true(v.pid > 0);
    container_view_done(&v);
    start(f, waits);
    fixture_wait(f, waits, CONTAINER_EXITED, &v);
    assert_string_equal(v.reason, "Completed");
    container_view_done(&v);
    assert_ok(container_remove(f->engine, lives, NULL, &err), err);
    assert_ok(container_stop(f->engine, lives, 0, NULL, &err), err);
    remove_pod(f, pod);
}

/* A monitor that is killed leaves no exit file: facts tell. */
static void lost_monitor(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct process monitor;
    char pod[65], id[65];

    run_pod(f, "lost", false, pod);
    create(f, fixture_container(pod, "c", "while :; do sleep 1; done"), id);
    start(f, id);
    mutex_lock(&f->engine->lock);
    monitor = ((struct container *)idmap_get(&f->engine->containers_by_id, id))->monitor;
    mutex_unlock(&f->engine->lock);

    nsec_t begin = clock_mono();

    assert_int_equal(kill(monitor.pid, SIGKILL), 0);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_true(clock_mono() - begin < 3 * NSEC_PER_SEC); /* the tick alone would take longer */
    assert_string_equal(v.reason, "Unknown");
    assert_int_equal(v.exit_code, 137);
    container_view_done(&v);
    remove_pod(f, pod);
}

/* A monitor that is stopped cannot tell that its workload was killed. */
static void deaf_monitor(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct process monitor;
    struct err err = ERR_INIT;
    char pod[65], id[65];

    run_pod(f, "deaf", false, pod);
    create(f, fixture_container(pod, "c", "while :; do sleep 1; done"), id);
    start(f, id);
    mutex_lock(&f->engine->lock);
    monitor = ((struct container *)idmap_get(&f->engine->containers_by_id, id))->monitor;
    mutex_unlock(&f->engine->lock);
    assert_int_equal(kill(monitor.pid, SIGSTOP), 0);

    nsec_t begin = clock_mono();

    assert_ok(container_stop(f->engine, id, 100 * NSEC_PER_MSEC, NULL, &err), err);
    assert_true(clock_mono() - begin < 7 * NSEC_PER_SEC);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 137);
    assert_string_equal(v.reason, "Unknown");
    assert_non_null(strstr(v.message, "exit status is lost"));
    container_view_done(&v);
    assert_false(process_alive(&monitor));
    remove_pod(f, pod);
}

static void unikernel(void **state)
{
    struct fixture *f = *state;
    struct container_spec *spec;
    struct container_view v;
    char pod[65], id[65], second[65];
    struct image *image = imagestore_find(f->images, "localhost/unikernel-hello", NULL);
    struct exec_result r = {0};
    struct err err = ERR_INIT;
    char *argv[] = {(char[]){"ls"}, NULL};

    if (!image)
        skip();
    image_unref(image);
    run_pod(f, "guest", true, pod);
    spec = fixture_container(pod, "guest", NULL);
    free(spec->image);
    spec->image = xstrdup("localhost/unikernel-hello");
    create(f, spec, id);
    assert_err(container_exec_sync(f->engine, id, argv, 0, NULL, &r, &err), err, ERR_UNSUPPORTED,
               "unikernel");
    start(f, id);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_string_equal(v.runtime, "tender-spt");
    assert_int_equal(v.exit_code, 0);
    assert_string_equal(v.reason, "Completed");
    container_view_done(&v);

    autofree char *log = fixture_log(f, "guest");

    assert_non_null(strstr(log, " stdout "));
    create(f, fixture_container(pod, "side", "echo beside"), second);
    start(f, second);
    fixture_wait(f, second, CONTAINER_EXITED, NULL);
    remove_pod(f, pod);
}

/* Eight clients, each with pods of its own: one with a unikernel where there is one, and a side
 * container. */
struct worker {
    struct fixture *f;
    bool guests;
    int number, failed;
    struct err err;
};

#define WORKERS 8
#define ROUNDS  3

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
    c = fixture_container(pod, name,
                          w->guests && w->number % 2 ? NULL : "while :; do sleep 1; done");
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
    if (rc < 0 || container_start(engine, id, NULL, &w->err) < 0 ||
        container_start(engine, side, NULL, &w->err) < 0)
        return -1;
    n = container_list(engine, NULL, &list);
    container_views_free(list, n);
    if (container_stop(engine, id, 0, NULL, &w->err) < 0 ||
        pod_stop(engine, pod, NULL, &w->err) < 0)
        return -1;
    return pod_remove(engine, pod, NULL, &w->err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(pod_with_network),
        T(container_to_its_end),
        T(hundred_duplicates),
        T(stop_with_grace),
        T(stops_that_meet),
        T(start_error),
        T(refusals),
        T(exec_in_container),
        T(shared_pid_namespace),
        T(out_of_memory),
        T(restart),
        T(lost_monitor),
        T(deaf_monitor),
        T(unikernel),
        T(in_parallel),
    };

    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
