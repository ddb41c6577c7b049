/* SPDX-License-Identifier: Apache-2.0 */
/* The engine after something of it died: the daemon, a monitor, a monitor that no longer answers.
 */
#include "sandbox/tests/life.h"

#include <signal.h>

#include "sandbox/container.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE_TEST(restart),
        LIFE_TEST(lost_monitor),
        LIFE_TEST(deaf_monitor),
    };

    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
