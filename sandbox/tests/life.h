/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life - the steps of a pod's life over the fixture's engine, each of which must succeed, and the
 * frame of such tests: an engine of its own before, an empty census after remove_pod().
 */
#ifndef UNICRI_SANDBOX_TESTS_LIFE_H
#define UNICRI_SANDBOX_TESTS_LIFE_H

#include "sandbox/tests/fixture.h"

#define LIFE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline int setup(void **state)
{
    struct fixture *f = fixture_new();

    fixture_open(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static inline void run_pod(struct fixture *f, const char *name, bool network, char id[65])
{
    struct pod_spec *spec = fixture_pod(f, name, network);
    struct err err = ERR_INIT;

    assert_ok(pod_run(f->engine, spec, NULL, id, &err), err);
    pod_spec_free(spec);
}

static inline void create(struct fixture *f, struct container_spec *spec, char id[65])
{
    struct err err = ERR_INIT;

    assert_ok(container_create(f->engine, spec, NULL, id, &err), err);
    container_spec_free(spec);
}

static inline void start(struct fixture *f, const char *id)
{
    struct err err = ERR_INIT;

    assert_ok(container_start(f->engine, id, NULL, &err), err);
}

/* Until a container has said that. */
static inline void wait_log(struct fixture *f, const char *name, const char *text)
{
    deadline_t deadline = deadline_in(20 * NSEC_PER_SEC);

    for (;;) {
        autofree char *log = fixture_log(f, name);

        if (strstr(log, text))
            return;
        if (deadline_passed(deadline))
            fail_msg("container %s has not said '%s' but '%s'", name, text, log);
        clock_sleep_until(deadline_in(5 * NSEC_PER_MSEC));
    }
}

static inline void remove_pod(struct fixture *f, const char *id)
{
    struct err err = ERR_INIT;

    assert_ok(pod_stop(f->engine, id, NULL, &err), err);
    assert_ok(pod_remove(f->engine, id, NULL, &err), err);
    fixture_assert_clean(f);
}

#endif
