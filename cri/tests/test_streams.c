/* SPDX-License-Identifier: Apache-2.0 */
/* What Exec, Attach and PortForward refuse before there is any stream, and the URL they give. */
#include "base/tests/testing.h"

#include "base/loop.h"
#include "base/strbuf.h"
#include "cri/handlers.h"
#include "cri/tests/fake.h"

static const struct method any_method;

struct answer {
    struct err err;
    char url[256];
};

static enum err_code exec(struct daemon *daemon, Runtime__V1__ExecRequest *q, struct answer *a)
{
    struct arena arena;
    struct call call = {
        .daemon = daemon, .method = &any_method, .arena = &arena, .request = &q->base};

    *a = (struct answer){.err = ERR_INIT};
    arena_init(&arena, 0);
    if (on_exec(&call, &a->err) == 0) {
        const Runtime__V1__ExecResponse *r = (const void *)call.reply;

        (void)snprintf(a->url, sizeof(a->url), "%s", r->url);
    }
    arena_done(&arena);
    return a->err.code;
}

static void test_exec(void **state)
{
    struct stream_config config = {.address = (char *)"127.0.0.1",
                                   .idle_timeout = NSEC_PER_SEC,
                                   .creation_timeout = NSEC_PER_SEC,
                                   .max_connections = 4};
    struct daemon daemon = {.loop = loop_new(NULL)};
    Runtime__V1__ExecRequest q = RUNTIME__V1__EXEC_REQUEST__INIT;
    char *argv[] = {(char *)"true"};
    struct answer a;

    (void)state;
    q.cmd = argv;
    q.n_cmd = 1;
    q.stdout = true;
    assert_int_equal(exec(&daemon, &q, &a), ERR_INVALID); /* no id */
    q.container_id = (char *)"c";
    assert_int_equal(exec(&daemon, &q, &a), ERR_UNAVAILABLE); /* no server */
    daemon.stream = stream_open(&config, NULL, daemon.loop, &a.err);
    assert_non_null(daemon.stream);
    assert_int_equal(exec(&daemon, &q, &a), ERR_NONE);
    assert_true(str_has_prefix(a.url, "http://127.0.0.1:"));
    assert_non_null(strstr(a.url, "/exec/"));
    assert_int_equal(strlen(strrchr(a.url, '/') + 1), 64);
    q.n_cmd = 0;
    assert_int_equal(exec(&daemon, &q, &a), ERR_INVALID);
    q.n_cmd = 1;
    q.tty = q.stderr = true;
    assert_int_equal(exec(&daemon, &q, &a), ERR_INVALID);
    q.tty = q.stderr = q.stdout = false;
    assert_int_equal(exec(&daemon, &q, &a), ERR_INVALID);
    q.stdin = true;
    q.container_id = (char *)"e";
    assert_int_equal(exec(&daemon, &q, &a), ERR_UNSUPPORTED);
    q.container_id = (char *)"d";
    assert_int_equal(exec(&daemon, &q, &a), ERR_NOT_FOUND);
    q.container_id = (char *)"c";
    for (int i = 1; i < TOKENS_MAX; i++) /* one was taken above */
        assert_int_equal(exec(&daemon, &q, &a), ERR_NONE);
    assert_int_equal(exec(&daemon, &q, &a), ERR_EXHAUSTED);
    stream_close(daemon.stream);
    loop_free(daemon.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exec)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
