/* SPDX-License-Identifier: Apache-2.0 */
/* Followers of events over the real rows: what a change makes, those that are too slow for the
 * ring, and where the next one goes on. The engine is no more than its database. */
#include "sandbox/engine.h"

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/pod.h"

#define RING   4096           /* of migration 0003 */
#define ROUNDS (RING / 3 + 1) /* of make_events(): 4098 */
#define S(t)   ((char *)(uintptr_t)(t))

static struct engine engine;

static void open_engine(void **state)
{
    struct err err = ERR_INIT;
    bool rebuilt;
    struct db *db = db_open(*state, &rebuilt, &err);

    if (!db)
        fail_msg("%s", err.msg);
    engine = (struct engine){.db = db};
    mutex_init(&engine.lock);
    cond_init(&engine.changed);
}

static void add_pod(void)
{
    const struct pod_row row = {.id = S("p"),
                                .namespace_ = S("ns"),
                                .name = S("name"),
                                .uid = S("u"),
                                .attempt = 7,
                                .handler = S(""),
                                .spec = S("{}"),
                                .spec_hash = S("h"),
                                .state = POD_CREATING,
                                .runtime = S("{}")};
    struct err err = ERR_INIT;

    assert_ok(db_pod_insert(engine.db, &row, &err), err);
}

static void set(enum pod_state to)
{
    struct err err = ERR_INIT;

    assert_ok(db_pod_set_state(engine.db, "p", to, &err), err);
}

/* Three each: a pod that comes and goes. So every third number is of the same kind. */
static void make_events(size_t rounds)
{
    for (size_t i = 0; i < rounds; i++) {
        set(POD_READY);
        set(POD_NOTREADY);
    }
}

static struct follower *follow(void)
{
    struct err err = ERR_INIT;
    struct follower *f = follower_open(&engine, &err);

    if (!f)
        fail_msg("%s", err.msg);
    return f;
}

/* Returns: the number of the event. */
static int64_t next(struct follower *f, enum event_kind kind)
{
    const struct caller caller = {.deadline = deadline_in(20 * NSEC_PER_SEC)};
    struct event event;
    struct err err = ERR_INIT;

    assert_ok(follower_next(f, &caller, &event, &err), err);
    assert_int_equal(event.kind, kind);
    assert_string_equal(event.pod_id, "p");
    assert_string_equal(event.namespace_, "ns");
    assert_string_equal(event.name, "name");
    assert_string_equal(event.uid, "u");
    assert_int_equal(event.attempt, 7);
    follower_done(f, &event);
    return event.seq;
}

static void assert_lost(struct follower *f, const char *words)
{
    const struct caller caller = {.deadline = deadline_in(20 * NSEC_PER_SEC)};
    struct event event;
    struct err err;

    assert_err(follower_next(f, &caller, &event, &err), err, ERR_EXHAUSTED, words);
    if (!strstr(err.msg, "list pods and containers anew"))
        fail_msg("%s", err.msg);
}

static void assert_quiet(struct follower *f)
{
    const struct caller caller = {.deadline = deadline_in(10 * NSEC_PER_MSEC)};
    struct event event;
    struct err err;

    assert_err(follower_next(f, &caller, &event, &err), err, ERR_DEADLINE, "deadline");
}

static void in_order(void **state)
{
    open_engine(state);

    struct follower *f = follow();

    add_pod();
    assert_quiet(f);
    set(POD_READY);
    set(POD_READY); /* no change, no event */
    assert_int_equal(next(f, EVENT_CREATED), 1);
    assert_int_equal(next(f, EVENT_STARTED), 2);
    set(POD_STOPPING);
    assert_quiet(f);
    set(POD_NOTREADY);
    assert_int_equal(next(f, EVENT_STOPPED), 3);

    struct err err = ERR_INIT;

    assert_ok(db_pod_delete(engine.db, "p", &err), err);
    assert_int_equal(next(f, EVENT_DELETED), 4);
    assert_quiet(f);
    follower_close(f);
    db_close(engine.db);
}

/* It stands still while more comes than the ring holds. */
static void too_slow(void **state)
{
    open_engine(state);
    add_pod();

    struct follower *f = follow();

    make_events(1);
    assert_int_equal(next(f, EVENT_CREATED), 1); /* and two that it has in hand */
    make_events(ROUNDS + 20);
    assert_int_equal(next(f, EVENT_STARTED), 2);
    assert_int_equal(next(f, EVENT_STOPPED), 3);
    assert_lost(f, "events: 62 are lost");
    follower_close(f);

    /* Who follows again gets all that is left, and is not told once more. */
    f = follow();
    for (int64_t seq = 66; seq < 66 + RING; seq++)
        assert_int_equal(next(f, (enum event_kind)((seq - 1) % 3)), seq);
    assert_quiet(f);
    follower_close(f);
    db_close(engine.db);
}

/* Nothing had ever happened when it began. */
static void too_slow_from_the_first(void **state)
{
    open_engine(state);
    add_pod();

    struct follower *f = follow();

    make_events(ROUNDS + 1);
    assert_lost(f, "events: 5 are lost");
    follower_close(f);
    db_close(engine.db);
}

/* A node that nobody has followed so far has lost nothing for anyone. */
static void late(void **state)
{
    open_engine(state);
    add_pod();
    make_events(ROUNDS + 100);

    struct follower *f = follow();
    struct follower *second = follow();

    assert_int_equal(next(f, EVENT_STOPPED), 303);
    assert_quiet(second); /* begins with what comes next */
    set(POD_READY);
    (void)next(second, EVENT_CREATED);
    follower_close(second);
    follower_close(f);

    /* While nobody follows, what was delivered to anyone is where the next goes on. */
    f = follow();
    (void)next(f, EVENT_STARTED);
    assert_quiet(f);
    follower_close(f);
    make_events(ROUNDS + 1);
    f = follow();
    assert_lost(f, "are lost");
    follower_close(f);
    f = follow();
    (void)next(f, EVENT_STOPPED);
    follower_close(f);
    db_close(engine.db);
}

static void so_many(void **state)
{
    struct follower *all[EVENT_FOLLOWERS_MAX];
    struct err err;

    open_engine(state);
    for (size_t i = 0; i < EVENT_FOLLOWERS_MAX; i++)
        all[i] = follow();
    err = ERR_INIT;
    assert_null(follower_open(&engine, &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
    follower_close(all[0]);
    all[0] = follow();
    for (size_t i = 0; i < EVENT_FOLLOWERS_MAX; i++)
        follower_close(all[i]);
    db_close(engine.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(in_order), in_dir(too_slow), in_dir(too_slow_from_the_first),
        in_dir(late),     in_dir(so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
