/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/loop, base/thread and base/clock. A guard timer ends a loop that hangs. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/tests/testing.h"
#include "base/thread.h"

#define GUARD (20 * NSEC_PER_SEC)

static void hang(void *arg)
{
    (void)arg;
    fail_msg("the loop was not stopped");
}

struct fixture {
    struct loop *loop;
    _Atomic int n;
    pthread_t loop_thread;
    _Atomic bool elsewhere;
    char *dir;
    char names[256];
    int lost;
};

static struct fixture fixture_new(void)
{
    struct err err = ERR_INIT;
    struct fixture f = {.loop = loop_new(&err)};

    assert_non_null(f.loop);
    f.loop_thread = pthread_self();
    loop_every(f.loop, GUARD, 0, hang, NULL);
    return f;
}

static void count_post(void *arg)
{
    struct fixture *f = arg;

    assert_true(pthread_equal(pthread_self(), f->loop_thread));
    if (++f->n == 1000)
        loop_stop(f->loop);
}

static void *poster(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 500; i++)
        loop_post(f->loop, count_post, f);
    return NULL;
}

static void posts_from_threads(void **state)
{
    struct fixture f = fixture_new();
    struct err err = ERR_INIT;
    pthread_t t[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_ok(thread_start("poster", poster, &f, &t[i], &err), err);
    loop_run(f.loop);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    loop_post(f.loop, count_post, &f); /* too late: dropped, not lost as memory */
    loop_free(f.loop);
    assert_int_equal(f.n, 1000);
}

static void blocking_work(void *arg)
{
    struct fixture *f = arg;

    f->elsewhere = !pthread_equal(pthread_self(), f->loop_thread);
    for (int i = 0; i < 4000 && f->n < 3; i++)
        clock_sleep_until(deadline_in(5 * NSEC_PER_MSEC));
    loop_stop(f->loop);
}

static void tick(void *arg)
{
    struct fixture *f = arg;

    f->n++;
}

static void work_does_not_block_the_loop(void **state)
{
    struct fixture f = fixture_new();

    (void)state;
    loop_work(f.loop, blocking_work, &f);
    loop_every(f.loop, 0, 5 * NSEC_PER_MSEC, tick, &f);
    loop_run(f.loop);
    loop_free(f.loop);
    assert_true(f.elsewhere);
    assert_true(f.n >= 3);
}

static void stop_now(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static void slow_work(void *arg)
{
    struct fixture *f = arg;

    loop_stop(f->loop);
    clock_sleep_until(deadline_in(100 * NSEC_PER_MSEC));
    f->n = 7;
}

/* What the caller frees after loop_run() is not used any more. */
static void work_ends_before_the_loop(void **state)
{
    struct fixture f = fixture_new();

    (void)state;
    loop_work(f.loop, slow_work, &f);
    loop_run(f.loop);
    assert_int_equal(f.n, 7);
    loop_free(f.loop);
}

static void late_work(void *arg)
{
    struct fixture *f = arg;

    clock_sleep_until(deadline_in(100 * NSEC_PER_MSEC));
    f->n = 8;
}

/* Who closes a part of its own runs the loop once more, and that may begin work. */
static void work_that_begins_late_ends_too(void **state)
{
    struct fixture f = fixture_new();

    (void)state;
    loop_stop(f.loop);
    loop_run(f.loop);
    loop_work(f.loop, late_work, &f);
    (void)uv_run(loop_uv(f.loop), UV_RUN_ONCE);
    loop_settle(f.loop);
    assert_int_equal(f.n, 8);
    loop_free(f.loop);
}

static void timers(void **state)
{
    struct fixture f = fixture_new();
    nsec_t start = clock_mono();

    (void)state;
    loop_every(f.loop, 0, 0, tick, &f); /* once */
    loop_every(f.loop, 60 * NSEC_PER_MSEC, 0, stop_now, &f);
    loop_run(f.loop);
    loop_free(f.loop);
    assert_int_equal(f.n, 1);
    assert_true(clock_mono() - start >= 59 * NSEC_PER_MSEC);
}

static void on_signal(void *arg, int signo)
{
    struct fixture *f = arg;

    f->n = signo;
    loop_stop(f->loop);
}

static void signals(void **state)
{
    struct fixture f = fixture_new();
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(loop_signal(f.loop, SIGHUP, on_signal, &f, &err), err);
    assert_int_equal(kill(getpid(), SIGHUP), 0); /* before the loop runs: kept */
    loop_run(f.loop);
    loop_free(f.loop);
    assert_int_equal(f.n, SIGHUP);
}

static void on_dir(void *arg, const char *name)
{
    struct fixture *f = arg;
    size_t len = strlen(f->names);

    if (!name) {
        f->lost++;
        return;
    }
    (void)snprintf(f->names + len, sizeof(f->names) - len, "%s ", name);
    if (strcmp(name, "end") == 0)
        loop_stop(f->loop);
}

static void change_dir(void *arg)
{
    struct fixture *f = arg;
    autofree char *a = path_join(f->dir, "a"), *end = path_join(f->dir, "end");
    struct err err = ERR_INIT;

    assert_ok(fs_replace_file(AT_FDCWD, a, "x", 1, 0600, false, &err), err);
    assert_ok(fs_remove(AT_FDCWD, a, &err), err);
    assert_ok(fs_mkdirs(end, 0700, &err), err);
}

static void watches(void **state)
{
    struct fixture f = fixture_new();
    struct err err = ERR_INIT;

    f.dir = *state;
    assert_ok(loop_watch_dir(f.loop, f.dir, on_dir, &f, &err), err);
    loop_post(f.loop, change_dir, &f);
    loop_run(f.loop);
    loop_free(f.loop);
    assert_int_equal(f.lost, 1); /* the beginning */
    assert_non_null(strstr(f.names, "a a end "));
    assert_err(loop_watch_dir(NULL, "/etc/passwd", on_dir, &f, &err), err, ERR_INTERNAL,
               "/etc/passwd");
}

static void make_again(void *arg)
{
    struct fixture *f = arg;
    autofree char *end = path_join(f->dir, "end");
    struct err err = ERR_INIT;

    if (f->n++ == 0) {
        assert_ok(fs_mkdirs(f->dir, 0700, &err), err);
    } else if (f->lost >= 2) { /* found */
        assert_ok(fs_mkdirs(end, 0700, &err), err);
    }
}

/* A directory that is not there at first is found, and then watched. */
static void watch_of_a_missing_directory(void **state)
{
    struct fixture f = fixture_new();
    autofree char *dir = path_join(*state, "later");
    struct err err = ERR_INIT;

    f.dir = dir;
    assert_ok(loop_watch_dir(f.loop, dir, on_dir, &f, &err), err);
    loop_every(f.loop, 10 * NSEC_PER_MSEC, 100 * NSEC_PER_MSEC, make_again, &f);
    loop_run(f.loop);
    loop_free(f.loop);
    assert_string_equal(f.names, "end ");
}

struct meeting {
    struct mutex m;
    struct cond c;
    bool arrived;
};

static void *arrive(void *arg)
{
    struct meeting *m = arg;
    sigset_t set;
    char name[16];

    assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    assert_string_equal(name, "a-name-that-is-");
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    assert_true(sigismember(&set, SIGTERM));
    mutex_lock(&m->m);
    m->arrived = true;
    cond_broadcast(&m->c);
    mutex_unlock(&m->m);
    return NULL;
}

static void conditions(void **state)
{
    struct meeting m = {.arrived = false};
    struct err err = ERR_INIT;
    pthread_t t;
    nsec_t start = clock_mono();

    (void)state;
    mutex_init(&m.m);
    cond_init(&m.c);
    mutex_lock(&m.m);
    while (cond_wait(&m.c, &m.m, start + 30 * NSEC_PER_MSEC))
        ;
    assert_true(clock_mono() - start >= 30 * NSEC_PER_MSEC);
    assert_ok(thread_start("a-name-that-is-too-long", arrive, &m, &t, &err), err);
    while (!m.arrived)
        assert_true(cond_wait(&m.c, &m.m, deadline_in(GUARD)));
    mutex_unlock(&m.m);
    assert_int_equal(pthread_join(t, NULL), 0);
    cond_done(&m.c);
    mutex_done(&m.m);
}

static void deadlines(void **state)
{
    (void)state;
    assert_true(deadline_in(INT64_MAX) == DEADLINE_NEVER);
    assert_int_equal(deadline_poll_ms(DEADLINE_NEVER), -1);
    assert_false(deadline_passed(DEADLINE_NEVER));
    assert_true(deadline_passed(clock_mono()));
    assert_int_equal(deadline_left(0), 0);
    assert_int_equal(deadline_poll_ms(0), 0);
    assert_in_range(deadline_poll_ms(deadline_in(NSEC_PER_USEC * 500)), 0, 1);
    assert_in_range(deadline_poll_ms(deadline_in(1000 * NSEC_PER_SEC)), 900000, 1000000);
    assert_int_equal(deadline_poll_ms(DEADLINE_NEVER - 1), INT32_MAX);
    assert_int_equal(deadline_min(3, 2), 2);
    assert_int_equal(strlen(boot_id()), 36);
    clock_sleep_until(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_from_threads),
        cmocka_unit_test(work_does_not_block_the_loop),
        cmocka_unit_test(work_ends_before_the_loop),
        cmocka_unit_test(work_that_begins_late_ends_too),
        cmocka_unit_test(timers),
        cmocka_unit_test(signals),
        in_dir(watches),
        in_dir(watch_of_a_missing_directory),
        cmocka_unit_test(conditions),
        cmocka_unit_test(deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
