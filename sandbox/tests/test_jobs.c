/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: a hundred callers at once, other requests behind, waiters that leave. */
#include "sandbox/jobs.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/tests/testing.h"

static struct jobs *jobs;
static _Atomic int ran;

struct call {
    const char *key, *what;
    struct caller caller;
    bool has_caller, gated;
    int work_ms;
    int rc;
    char id[ID_LEN + 1];
    struct err err;
};

/* What works with `gated` goes on until the test has seen what it waits for. */
static atomic_bool gate;
static atomic_int entering;

static void *work(void *arg)
{
    struct call *c = arg;
    struct job *job;

    entering++;
    c->rc =
        jobs_enter(jobs, c->key, c->what, c->has_caller ? &c->caller : NULL, &job, c->id, &c->err);
    if (c->rc <= 0)
        return NULL;
    ran++;
    while (c->gated && !gate)
        clock_sleep_until(deadline_in(NSEC_PER_MSEC));
    clock_sleep_until(deadline_in(c->work_ms * NSEC_PER_MSEC));
    if (strcmp(c->what, "fails") == 0)
        (void)err_set(&c->err, ERR_UNAVAILABLE, "no luck");
    c->rc = jobs_leave(job, c->err.code ? -1 : 0, c->what, &c->err);
    return NULL;
}

static void run_all(struct call *calls, size_t n)
{
    pthread_t *t = xcalloc(n, sizeof(*t));

    gate = false;
    entering = 0;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&t[i], NULL, work, &calls[i]), 0);
    while (entering < (int)n)
        clock_sleep_until(deadline_in(NSEC_PER_MSEC));
    gate = true;
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(t[i], NULL);
    free(t);
    assert_int_equal(jobs_running(jobs), 0);
}

static void a_hundred_at_once(void **state)
{
    struct call calls[100];
    int got_id = 0;

    (void)state;
    for (size_t i = 0; i < 100; i++)
        calls[i] = (struct call){.key = "pod/a", .what = "same", .gated = true, .work_ms = 300};
    ran = 0;
    run_all(calls, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(calls[i].rc, 0);
        got_id += strcmp(calls[i].id, "same") == 0;
    }
    assert_int_equal(ran, 1);
    assert_int_equal(got_id, 99); /* all but the one that ran */
}

static void failure_is_shared(void **state)
{
    struct call calls[10];

    (void)state;
    for (size_t i = 0; i < 10; i++)
        calls[i] = (struct call){.key = "k", .what = "fails", .gated = true, .work_ms = 200};
    ran = 0;
    run_all(calls, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(calls[i].rc, -1);
        assert_int_equal(calls[i].err.code, ERR_UNAVAILABLE);
        assert_string_equal(calls[i].err.msg, "no luck");
    }
    assert_int_equal(ran, 1);
}

static void others_take_turns(void **state)
{
    struct call calls[] = {
        {.key = "k", .what = "stop", .work_ms = 50},
        {.key = "k", .what = "remove", .work_ms = 50},
        {.key = "other", .what = "stop", .work_ms = 50},
    };
    nsec_t begin = clock_mono();

    (void)state;
    ran = 0;
    run_all(calls, 3);
    assert_int_equal(ran, 3);
    assert_true(clock_mono() - begin >= 100 * NSEC_PER_MSEC);
}

static bool gone(void *arg)
{
    (void)arg;
    return true;
}

/* Waiters that leave do not disturb the work, and the key is free afterwards. */
static void waiters_leave(void **state)
{
    struct call calls[] = {
        {.key = "k", .what = "w", .gated = true},
        {.key = "k",
         .what = "w",
         .has_caller = true,
         .caller = {.deadline = DEADLINE_NEVER, .cancelled = gone}},
        {.key = "k", .what = "w", .has_caller = true},
    };
    pthread_t first;

    (void)state;
    ran = 0;
    gate = false;
    assert_int_equal(pthread_create(&first, NULL, work, &calls[0]), 0);
    while (jobs_running(jobs) == 0)
        clock_sleep_until(deadline_in(NSEC_PER_MSEC));
    calls[2].caller.deadline = deadline_in(50 * NSEC_PER_MSEC);

    work(&calls[1]);
    work(&calls[2]);
    assert_int_equal(jobs_running(jobs), 1); /* they have not waited for its end */
    gate = true;
    assert_int_equal(calls[1].err.code, ERR_CANCELLED);
    assert_int_equal(calls[2].err.code, ERR_DEADLINE);
    (void)pthread_join(first, NULL);
    assert_int_equal(calls[0].rc, 0);
    assert_int_equal(ran, 1);
    calls[0].work_ms = 0;
    work(&calls[0]);
    assert_int_equal(ran, 2);
}

static int setup(void **state)
{
    (void)state;
    jobs = jobs_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    jobs_free(jobs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_at_once),
        cmocka_unit_test(failure_is_shared),
        cmocka_unit_test(others_take_turns),
        cmocka_unit_test(waiters_leave),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
