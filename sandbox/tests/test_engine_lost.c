/* SPDX-License-Identifier: Apache-2.0 */
/* The engine after something of it died: the daemon, a monitor, a monitor that no longer answers.
 */
#include "sandbox/tests/life.h"

#include <pthread.h>
#include <signal.h>

#include "base/fault.h"
#include "base/metrics.h"
#include "sandbox/container.h"
#include "sandbox/exits.h"
#include "sandbox/monitor_client.h"

static struct process monitor_of(struct fixture *f, const char *id)
{
    mutex_lock(&f->engine->lock);

    struct process monitor =
        ((struct container *)idmap_get(&f->engine->containers_by_id, id))->monitor;

    mutex_unlock(&f->engine->lock);
    return monitor;
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
    monitor = monitor_of(f, id);

    nsec_t begin = clock_mono();

    assert_int_equal(kill(monitor.pid, SIGKILL), 0);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_true(clock_mono() - begin < 8 * NSEC_PER_SEC); /* the tick alone would take longer */
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
    monitor = monitor_of(f, id);
    assert_int_equal(kill(monitor.pid, SIGSTOP), 0);

    nsec_t begin = clock_mono();

    assert_ok(container_stop(f->engine, id, 100 * NSEC_PER_MSEC, NULL, &err), err);
    assert_true(clock_mono() - begin < 9 * NSEC_PER_SEC); /* before it is told Unkillable */
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 137);
    assert_string_equal(v.reason, "Unknown");
    assert_non_null(strstr(v.message, "exit status is lost"));
    container_view_done(&v);
    assert_false(process_alive(&monitor));
    remove_pod(f, pod);
}

static void *reconcile_main(void *arg)
{
    struct fixture *f = arg;

    exits_reconcile(f->engine);
    return NULL;
}

static int64_t lost_counted(void)
{
    for (struct metric *const *m = sandbox_metrics; *m; m++)
        if (str_eq((*m)->name, "unicri_lost_monitors_total"))
            return (*m)->value;
    return -1;
}

/* The end of a monitor's process, the tick and a stop may all find the same loss. */
static void lost_once(void **state)
{
    struct fixture *f = *state;
    int64_t before = lost_counted();
    pthread_t threads[8];
    struct container_view v;
    char pod[65], id[65];

    run_pod(f, "once", false, pod);
    create(f, fixture_container(pod, "c", "while :; do sleep 1; done"), id);
    start(f, id);

    struct process monitor = monitor_of(f, id);

    assert_int_equal(kill(monitor.pid, SIGKILL), 0);
    while (process_alive(&monitor) && !monitor_ended(&monitor))
        clock_sleep_until(deadline_in(NSEC_PER_MSEC));
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reconcile_main, f), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        (void)pthread_join(threads[i], NULL);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 137);
    container_view_done(&v);
    fixture_close(f); /* whatever is under way has ended then */
    assert_int_equal(lost_counted(), before + 1);
    fixture_open(f);
    remove_pod(f, pod);
}

#ifdef UNICRI_FAULTS
/* It ends by itself while a stop has been begun and not yet recorded: its row keeps its end. */
static void end_meets_stop(void **state)
{
    struct fixture *f = *state;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], id[65];

    run_pod(f, "meets", false, pod);
    create(f, fixture_container(pod, "c", "sleep 0.3; exit 7"), id);
    start(f, id);
    fault_set("container.stopping=delay:2000");
    assert_ok(container_stop(f->engine, id, 20 * NSEC_PER_SEC, NULL, &err), err);
    fault_set(NULL);
    fixture_close(f);
    fixture_open(f);
    fixture_wait(f, id, CONTAINER_EXITED, &v);
    assert_int_equal(v.exit_code, 7);
    container_view_done(&v);
    remove_pod(f, pod);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE_TEST(restart),        LIFE_TEST(lost_monitor),
        LIFE_TEST(deaf_monitor),   LIFE_TEST(lost_once),
#ifdef UNICRI_FAULTS
        LIFE_TEST(end_meets_stop),
#endif
    };

    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
