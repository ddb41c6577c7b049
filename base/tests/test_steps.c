/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/steps, base/state, base/fault and base/metrics. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "base/state.h"
#include "base/steps.h"
#include "base/tests/testing.h"

/* Every call leaves a letter: upper case up, lower case down, a digit a record. */
struct object {
    char trail[64];
    char fail_at; /* the letter that fails */
};

static int leave(struct object *o, char c, struct err *err)
{
    size_t len = strlen(o->trail);

    o->trail[len] = c;
    o->trail[len + 1] = '\0';
    return o->fail_at == c ? err_set(err, ERR_INTERNAL, "broken") : 0;
}

#define STEP_FUNCTIONS(name, up_letter, down_letter)                                               \
    static int up_##name(void *o, struct err *err)                                                 \
    {                                                                                              \
        return leave(o, up_letter, err);                                                           \
    }                                                                                              \
    static int down_##name(void *o, struct err *err)                                               \
    {                                                                                              \
        return leave(o, down_letter, err);                                                         \
    }
STEP_FUNCTIONS(a, 'A', 'a')
STEP_FUNCTIONS(b, 'B', 'b')

static int record(void *o, size_t done, struct err *err)
{
    return leave(o, (char)('0' + done), err);
}

static const struct step steps[] = {
    {"alpha", up_a, down_a},
    {"beta", up_b, down_b},
    {"nothing", NULL, NULL},
};
static const struct step_table table = {"test", steps, ARRAY_SIZE(steps), record};

static void up_and_down(void **state)
{
    struct object o = {.trail = ""};
    struct err err = ERR_INIT;
    size_t done = 0;

    (void)state;
    assert_ok(steps_up(&table, &o, &done, table.n, &err), err);
    assert_int_equal(done, 3);
    assert_string_equal(o.trail, "1A2B3");
    assert_ok(steps_down(&table, &o, &done, 1, &err), err);
    assert_int_equal(done, 1);
    assert_string_equal(o.trail, "1A2B32b1");
    assert_ok(steps_up(&table, &o, &done, 2, &err), err);
    assert_ok(steps_down(&table, &o, &done, 0, &err), err);
    assert_string_equal(o.trail, "1A2B32b12Bb1a0");
    done = 9; /* from a row of a longer table */
    assert_ok(steps_down(&table, &o, &done, 0, &err), err);
    assert_int_equal(done, 0);
    assert_int_equal(step_find(&table, "beta"), 1);
}

static void failures(void **state)
{
    struct object o = {.fail_at = 'B'};
    struct err err = ERR_INIT;
    size_t done = 0;

    (void)state;
    assert_err(steps_up(&table, &o, &done, 3, &err), err, ERR_INTERNAL, "beta: broken");
    assert_int_equal(done, 2);
    assert_string_equal(o.trail, "1A2B");
    o = (struct object){.fail_at = 'a'};
    assert_err(steps_down(&table, &o, &done, 0, &err), err, ERR_INTERNAL, "undo alpha: broken");
    assert_int_equal(done, 1);
    assert_string_equal(o.trail, "b1a");
    o = (struct object){.fail_at = '2'};
    assert_err(steps_up(&table, &o, &done, 3, &err), err, ERR_INTERNAL, "record step 2");
    assert_int_equal(done, 2);
    assert_string_equal(o.trail, "2"); /* no effect before its record */
}

#ifdef UNICRI_FAULTS
static void fault_points_of_steps(void **state)
{
    struct object o = {.trail = ""};
    struct err err = ERR_INIT;
    size_t done = 0;

    (void)state;
    fault_set("test.alpha.before=ENOSPC");
    assert_err(steps_up(&table, &o, &done, 3, &err), err, ERR_EXHAUSTED,
               "alpha: test.alpha.before");
    assert_string_equal(o.trail, "1");
    fault_set("test.beta.after=EIO");
    assert_err(steps_up(&table, &o, &done, 3, &err), err, ERR_INTERNAL, "test.beta.after");
    assert_string_equal(o.trail, "12B");
    fault_set("test.b*=EIO");
    assert_err(steps_down(&table, &o, &done, 0, &err), err, ERR_INTERNAL, "test.beta.undo");
    assert_int_equal(done, 2);
    fault_set(NULL);
}

static void fault_actions(void **state)
{
    nsec_t start;
    pid_t pid;
    int status;

    (void)state;
    assert_int_equal(fault_hit("x"), 0);
    fault_set("a.b=ENOSPC@2,c.*=EIO,d=delay:60");
    assert_int_equal(fault_hit("a.b"), 0);
    assert_int_equal(fault_hit("a.b"), ENOSPC);
    assert_int_equal(fault_hit("a.b"), 0);
    assert_int_equal(fault_hit("a.bc"), 0);
    assert_int_equal(fault_hit("c.anything"), EIO);
    start = clock_mono();
    assert_int_equal(fault_hit("d"), 0);
    assert_true(clock_mono() - start >= 60 * NSEC_PER_MSEC);
    pid = fork();
    if (pid == 0) {
        fault_set("x=kill@2");
        if (fault_hit("x") == 0)
            (void)fault_hit("x");
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fault_set(NULL);
    assert_int_equal(fault_hit("c.anything"), 0);
}

static void bad_fault_list_aborts(void **state)
{
    static const char *const bad[] = {"x", "x=ENOSUCH", "x=kill@0", "x=delay:z"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            (void)close(STDERR_FILENO);
            fault_set(bad[i]);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}
#endif

enum { NEW, READY, GONE };
static const struct state_row rows[] = {
    [NEW] = {"NEW", STATE_BIT(READY) | STATE_BIT(GONE)},
    [READY] = {"READY", STATE_BIT(GONE)},
    [GONE] = {"GONE", 0},
};
static const struct state_table states = {"thing", rows, ARRAY_SIZE(rows)};

static void state_moves(void **state)
{
    int s = NEW, status;
    pid_t pid;

    (void)state;
    state_move(&states, &s, READY, "x");
    assert_int_equal(s, READY);
    assert_true(state_may(&states, READY, GONE));
    assert_false(state_may(&states, READY, NEW));
    assert_false(state_may(&states, READY, 7));
    assert_string_equal(state_name(&states, GONE), "GONE");
    assert_string_equal(state_name(&states, -1), "?");
    assert_int_equal(state_find(&states, "READY"), READY);
    assert_int_equal(state_find(&states, "x"), -1);
    pid = fork();
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        state_move(&states, &s, NEW, "x");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static struct metric m_a = {
    .name = "x_total", .help = "Help", .label = "k=\"a\"", .type = METRIC_COUNTER};
static struct metric m_b = {
    .name = "x_total", .help = "Help", .label = "k=\"b\"", .type = METRIC_COUNTER};
static struct metric m_g = {.name = "g", .help = "Gauge", .type = METRIC_GAUGE};
static struct metric m_rare = {.name = "rare_seconds",
                               .help = "Rare",
                               .label = "k=\"a\"",
                               .type = METRIC_HISTOGRAM,
                               .when_seen = true};
static struct metric m_h = {.name = "h_seconds", .help = "Hist", .type = METRIC_HISTOGRAM};

static void metrics_text(void **state)
{
    struct metric *const list[] = {&m_a, &m_b, &m_g, &m_rare, &m_h, NULL};
    autostrbuf out = STRBUF_INIT;

    (void)state;
    metric_add(&m_a, 2);
    metric_set(&m_g, -5);
    metric_observe(&m_h, NSEC_PER_MSEC);
    metric_observe(&m_h, 3 * NSEC_PER_MSEC);
    metric_observe(&m_h, 100 * NSEC_PER_SEC);
    metrics_print(list, &out);
    assert_true(str_has_prefix(
        out.s,
        "# HELP x_total Help\n# TYPE x_total counter\nx_total{k=\"a\"} 2\nx_total{k=\"b\"} 0\n"
        "# HELP g Gauge\n# TYPE g gauge\ng -5\n"
        "# HELP h_seconds Hist\n# TYPE h_seconds histogram\n"
        "h_seconds_bucket{le=\"0.001\"} 1\nh_seconds_bucket{le=\"0.002\"} 1\n"
        "h_seconds_bucket{le=\"0.004\"} 2\n"));
    assert_non_null(strstr(out.s,
                           "h_seconds_bucket{le=\"8.192\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n"
                           "h_seconds_sum 100.004000000\nh_seconds_count 3\n"));
    assert_null(strstr(out.s, "rare"));
    metric_observe(&m_rare, NSEC_PER_MSEC);
    metrics_print(list, &out);
    assert_non_null(
        strstr(out.s, "# TYPE rare_seconds histogram\nrare_seconds_bucket{k=\"a\",le="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_and_down),           cmocka_unit_test(failures),
#ifdef UNICRI_FAULTS
        cmocka_unit_test(fault_points_of_steps), cmocka_unit_test(fault_actions),
        cmocka_unit_test(bad_fault_list_aborts),
#endif
        cmocka_unit_test(state_moves),           cmocka_unit_test(metrics_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
