/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on real ground: database, image store, CNI plugins, monitor and OCI runtime; each test
 * ends with an empty census. */
#include "sandbox/tests/life.h"

#include "base/strbuf.h"
#include "sandbox/container.h"

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

static void stop_with_grace(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], polite[65], stubborn[65];

    run_pod(f, "stop", false, pod);
    create(f,
           fixture_container(pod, "polite",
                             "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"),
           polite);
    create(f,
           fixture_container(pod, "stubborn", "trap '' TERM; echo up; while :; do sleep 0.1; done"),
           stubborn);
    start(f, polite);
    start(f, stubborn);
    wait_log(f, "polite", "up");
    wait_log(f, "stubborn", "up");
    assert_ok(container_stop(f->engine, polite, 10 * NSEC_PER_SEC, NULL, &err), err);
    fixture_wait(f, polite, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 7);
    container_view_done(&v);

    nsec_t begin = clock_mono();

    assert_ok(container_stop(f->engine, stubborn, NSEC_PER_SEC, NULL, &err), err);
    assert_true(clock_mono() - begin > 900 * NSEC_PER_MSEC &&
                clock_mono() - begin < 20 * NSEC_PER_SEC);
    fixture_wait(f, stubborn, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 137);
    container_view_done(&v);
    assert_ok(container_stop(f->engine, stubborn, 0, NULL, &err), err);
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
    assert_err(pod_run(f->engine, pod_spec, NULL, id, &err), err, ERR_INVALID, "0 mappings of uid");
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
    assert_true(clock_mono() - begin < 20 * NSEC_PER_SEC);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE_TEST(pod_with_network),
        LIFE_TEST(container_to_its_end),
        LIFE_TEST(stop_with_grace),
        LIFE_TEST(start_error),
        LIFE_TEST(refusals),
        LIFE_TEST(exec_in_container),
        LIFE_TEST(shared_pid_namespace),
        LIFE_TEST(out_of_memory),
        LIFE_TEST(unikernel),
    };

    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
