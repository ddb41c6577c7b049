/* SPDX-License-Identifier: Apache-2.0 */
/* Small parts: state tables, the verdict of recovery, signals, capabilities, the id table,
 * arguments. */
#include <signal.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/container.h"
#include "sandbox/recover.h"
#include "sandbox/runtime.h"
#include "sandbox/security.h"

/* Every state can end, nothing leaves REMOVING, EXITED only to REMOVING. */
static void states(void **state)
{
    (void)state;
    for (int from = 0; from < (int)container_states.n; from++) {
        bool ends = from == CONTAINER_REMOVING;

        for (int hop = 0; hop < (int)container_states.n; hop++)
            ends = ends || (state_may(&container_states, from, hop) &&
                            (hop == CONTAINER_REMOVING ||
                             state_may(&container_states, hop, CONTAINER_REMOVING) ||
                             state_may(&container_states, hop, CONTAINER_EXITED)));
        if (!ends)
            fail_msg("container state %s has no way to its end",
                     state_name(&container_states, from));
        assert_false(state_may(&container_states, CONTAINER_REMOVING, from));
        assert_int_equal(state_may(&container_states, CONTAINER_EXITED, from),
                         from == CONTAINER_REMOVING);
    }
    for (int from = 0; from < (int)pod_states.n; from++) {
        assert_int_equal(state_may(&pod_states, from, POD_REMOVING), from != POD_REMOVING);
        assert_false(state_may(&pod_states, POD_REMOVING, from));
    }
    assert_false(state_may(&pod_states, POD_NOTREADY, POD_READY));
    assert_false(state_may(&container_states, CONTAINER_CREATED, CONTAINER_RUNNING));
}

/* All 2^5 combinations: a verdict each, and the rules that matter. */
static void verdicts(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 32; bits++) {
        struct container_facts f = {.exit_file = bits & 1,
                                    .monitor = bits & 2,
                                    .answers = bits & 4,
                                    .populated = bits & 8,
                                    .same_boot = bits & 16};
        enum verdict v = recover_verdict(&f);

        assert_in_range(v, VERDICT_RUNNING, VERDICT_REBOOTED);
        assert_int_equal(v == VERDICT_REBOOTED, !f.same_boot);
        if (f.same_boot && f.exit_file)
            assert_int_equal(v, VERDICT_EXITED);
        if (v == VERDICT_RUNNING)
            assert_true(f.monitor && (f.answers || f.populated) && !f.exit_file);
        if (f.same_boot && !f.monitor && !f.exit_file)
            assert_int_equal(v, VERDICT_LOST);
    }
}

static void signals(void **state)
{
    static const struct {
        int cri;
        const char *image;
        int number;
    } cases[] = {
        {0, "", SIGTERM},      {23, "SIGINT", SIGTERM},
        {13, "", SIGKILL},     {8, "", SIGHUP},
        {35, "", 34},          {36, "", 35},
        {50, "", 49},          {51, "", 50},
        {65, "", 64},          {0, "SIGQUIT", SIGQUIT},
        {0, "quit", SIGQUIT},  {0, "15", 15},
        {0, "SIGRTMIN+3", 37}, {0, "RTMAX-1", 63},
        {0, "64", 64},
    };
    static const char *const bad[] = {"SIGKILL9", "0",       "65", "RTMIN+99",
                                      "SIG",      "RTMIN-1", "1x", "SIGRTMIN+"};
    struct err err = ERR_INIT;
    int n;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_ok(container_signal_number(cases[i].cri, cases[i].image, &n, &err), err);
        if (n) { /* aliases have the first name of their number */
            int again = 0;

            assert_ok(container_signal_number(container_signal_to_cri(n), "", &again, &err), err);
            assert_int_equal(again, n);
        }
        assert_int_equal(n, cases[i].number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (container_signal_number(0, bad[i], &n, &err) == 0)
            fail_msg("'%s' was taken as %d", bad[i], n);
    assert_int_equal(container_signal_number(66, "", &n, &err), -1);
}

static void capabilities(void **state)
{
    struct container_spec *spec = container_spec_new();
    struct err err = ERR_INIT;
    char **caps;

    (void)state;
    assert_ok(capability_names(spec, &caps, &err), err);
    assert_true(strv_contains(caps, "CAP_NET_RAW"));
    assert_false(strv_contains(caps, "CAP_SYS_ADMIN"));
    strv_free(caps);
    strv_push(&spec->drop_caps, "ALL");
    assert_ok(capability_names(spec, &caps, &err), err);
    assert_int_equal(strv_len(caps), 0);
    strv_free(caps);
    strv_push(&spec->add_caps, "NET_ADMIN");
    strv_push(&spec->add_caps, "CAP_CHOWN");
    assert_ok(capability_names(spec, &caps, &err), err);
    assert_int_equal(strv_len(caps), 2);
    strv_free(caps);
    strv_push(&spec->add_caps, "ALL");
    strv_free(spec->drop_caps);
    spec->drop_caps = NULL;
    strv_push(&spec->drop_caps, "NET_RAW");
    assert_ok(capability_names(spec, &caps, &err), err);
    assert_true(strv_contains(caps, "CAP_SYS_ADMIN"));
    assert_false(strv_contains(caps, "CAP_NET_RAW"));
    strv_free(caps);
    strv_push(&spec->add_caps, "NO_SUCH");
    assert_err(capability_names(spec, &caps, &err), err, ERR_INVALID, "NO_SUCH");
    container_spec_free(spec);
}

static void id_table(void **state)
{
    struct idmap m = {0};
    char keys[5000][8];

    (void)state;
    assert_null(idmap_get(&m, "a"));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
            idmap_put(&m, keys[i], keys[i]);
        }
        for (int i = 0; i < 5000; i += 2)
            idmap_remove(&m, keys[i]);
        for (int i = 0; i < 5000; i++)
            assert_ptr_equal(idmap_get(&m, keys[i]), i % 2 ? keys[i] : NULL);
        for (int i = 1; i < 5000; i += 2)
            idmap_remove(&m, keys[i]);
        assert_int_equal(m.live, 0);
    }
    idmap_done(&m);
}

static void arguments(void **state)
{
    struct container_spec *spec = container_spec_new();
    char *entry[] = {(char[]){"e"}, NULL}, *cmd[] = {(char[]){"c"}, NULL},
         *env[] = {(char[]){"A=1"}, (char[]){"B=2"}, NULL};
    struct image_config config = {.entrypoint = entry, .cmd = cmd, .env = env};
    struct err err = ERR_INIT;
    char **v;

    (void)state;
    v = container_args(spec, &config);
    assert_int_equal(strv_len(v), 2);
    strv_free(v);
    strv_push(&spec->args, "x");
    v = container_args(spec, &config);
    assert_string_equal(v[1], "x");
    strv_free(v);
    strv_push(&spec->command, "k");
    v = container_args(spec, &config);
    assert_string_equal(v[0], "k");
    assert_int_equal(strv_len(v), 2);
    strv_free(v);
    strv_free(spec->args);
    spec->args = NULL;
    v = container_args(spec, &config);
    assert_int_equal(strv_len(v), 1); /* command drops the image's cmd */
    strv_free(v);
    spec->envs = xcalloc(1, sizeof(*spec->envs));
    spec->envs[0] = (struct env_var){xstrdup("A"), xstrdup("3")};
    spec->n_envs = 1;
    assert_ok(container_env(spec, &config, &v, &err), err);
    assert_string_equal(v[0], "A=3");
    assert_string_equal(v[1], "B=2");
    strv_free(v);
    spec->envs[0].key[0] = '\0';
    assert_err(container_env(spec, &config, &v, &err), err, ERR_INVALID, "not a name");
    container_spec_free(spec);
}

/* Output of an exec that does not fit into one message. */
static void exec_output(void **state)
{
    static const struct {
        size_t out, errout, want_out, want_errout;
    } rows[] = {
        {0, 0, 0, 0},      {50, 50, 50, 50},  {100, 0, 100, 0},   {0, 100, 0, 100},
        {200, 0, 100, 0},  {0, 200, 0, 100},  {200, 200, 75, 25}, {200, 10, 90, 10},
        {60, 200, 60, 40}, {90, 200, 75, 25}, {75, 25, 75, 25},   {76, 25, 75, 25},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct exec_result r = {.out_len = rows[i].out, .errout_len = rows[i].errout};

        exec_result_fit(&r, 100);
        assert_int_equal(r.out_len, rows[i].want_out);
        assert_int_equal(r.errout_len, rows[i].want_errout);
    }
}

static void exit_files(void **state)
{
    struct exit_status s;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(
        exit_status_parse("code 3\nsignal 0\nfinished 17\noom 0\nmessage hello there\n", &s, &err),
        err);
    assert_true(s.exited && s.code == 3 && s.finished_at == 17 && !s.oom);
    assert_string_equal(s.message, "hello there");
    assert_string_equal(s.console, "");
    assert_ok(exit_status_parse("code 3\nsignal 0\nfinished 17\noom 0\nmessage hello\n"
                                "console one\x1ftwo \x1f three\x1f \x1f\n",
                                &s, &err),
              err);
    assert_string_equal(s.message, "hello");
    assert_string_equal(s.console, "one\ntwo \n three");
    assert_ok(exit_status_parse("code 3\nsignal 0\nfinished 17\noom 0\nmessage \n"
                                "console 1\x1f"
                                "2\x1f"
                                "3\x1f"
                                "4\x1f"
                                "5\x1f"
                                "6\x1f"
                                "7\x1f"
                                "8\x1f"
                                "9\x1f"
                                "10\x1f"
                                "11\n",
                                &s, &err),
              err);
    assert_string_equal(s.console, "2\n3\n4\n5\n6\n7\n8\n9\n10\n11");
    assert_ok(exit_status_parse("code 137\nsignal 9\nfinished 17\noom 1\nmessage \n", &s, &err),
              err);
    assert_true(!s.exited && s.code == 9 && s.oom);
    assert_err(exit_status_parse("", &s, &err), err, ERR_CORRUPT, "exit file");
    assert_err(exit_status_parse("code 3\n", &s, &err), err, ERR_CORRUPT, "exit file");
    assert_err(exit_status_parse("code 256\nsignal 0\nfinished 17\noom 0\n", &s, &err), err,
               ERR_CORRUPT, "256");
    assert_err(exit_status_parse("code 1\nsignal 99\nfinished 17\noom 0\n", &s, &err), err,
               ERR_CORRUPT, "99");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states),       cmocka_unit_test(verdicts),    cmocka_unit_test(signals),
        cmocka_unit_test(capabilities), cmocka_unit_test(id_table),    cmocka_unit_test(arguments),
        cmocka_unit_test(exit_files),   cmocka_unit_test(exec_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
