/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client against answers good, hostile, late and cut. */
#include "base/tests/testing.h"

#include <sys/socket.h>

#include "base/strbuf.h"
#include "vmm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define EVENT    "{\"event\": \"RESUME\", \"timestamp\": {}}\r\n"
#define RETURN   "{\"return\": {}}\r\n"

/* What the other end says at once; then it hangs up, or does not. */
static int run(const char *answers, size_t len, bool hang_up, bool may_end, nsec_t patience,
               struct err *err)
{
    int ends[2], rc;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(send(ends[1], answers, len, 0), (ssize_t)len);
    if (hang_up)
        assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    rc = qmp_run(ends[0], "cont", may_end, deadline_in(patience), err);
    close(ends[0]);
    close(ends[1]);
    return rc;
}

static void answers(void **state)
{
    static const struct {
        const char *text;
        bool may_end;
        int rc;
        enum err_code code;
        const char *words;
    } cases[] = {
        {GREETING RETURN RETURN, false, 0, 0, ""},
        {GREETING RETURN EVENT RETURN, false, 0, 0, ""},
        {GREETING RETURN EVENT, true, 0, 0, ""},
        {GREETING RETURN EVENT, false, -1, ERR_UNAVAILABLE, "hung up"},
        {"", true, -1, ERR_UNAVAILABLE, "hung up"},
        {GREETING, true, -1, ERR_UNAVAILABLE, "hung up"},
        {"{\"QMP", false, -1, ERR_UNAVAILABLE, "hung up"},
        {"hello\n", false, -1, ERR_CORRUPT, "not a JSON object"},
        {"[]\n", false, -1, ERR_CORRUPT, "not a JSON object"},
        {"{}\n", false, -1, ERR_CORRUPT, "neither an answer nor an event"},
        {"{\"error\": 5}\n", false, -1, ERR_CORRUPT, "neither"},
        {RETURN, false, -1, ERR_CORRUPT, "nobody waits for"},
        {GREETING RETURN "{\"error\": {\"desc\": \"no\\nway\"}}\n", false, -1, ERR_UNAVAILABLE,
         "QEMU says: no way"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = ERR_INIT;

        print_message("%zu\n", i);
        assert_int_equal(run(cases[i].text, strlen(cases[i].text), true, cases[i].may_end,
                             10 * NSEC_PER_SEC, &err),
                         cases[i].rc);
        if (cases[i].rc == 0)
            continue;
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].words));
    }
}

/* What an answer says; a descriptor arrives at the other end. */
static void asks(void **state)
{
    static const char said[] = GREETING RETURN EVENT
        "{\"return\": \"Disabled\\r\\n\"}\n{\"return\": {\"status\": \"paused\"}}\n"
        "{\"return\": {\"status\": 5}}\n{\"return\": []}\n{\"return\": null}\n";
    static const char *const words[] = {"Disabled  ", "paused", "", "", ""};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char heard[1024];
    struct iovec data = {.iov_base = heard, .iov_len = sizeof(heard)};
    struct msghdr m = {.msg_iov = &data,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct err err = ERR_INIT;
    int ends[2], got = -1;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(send(ends[1], said, strlen(said), 0), (ssize_t)strlen(said));

    struct qmp *q = qmp_open(ends[0], deadline_in(10 * NSEC_PER_SEC), &err);

    assert_non_null(q);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        struct qmp_message answer;

        assert_int_equal(qmp_ask(q, "getfd", "{\"fdname\":\"x\"}", i ? -1 : ends[0], &answer, &err),
                         0);
        assert_string_equal(answer.words, words[i]);
    }
    qmp_close(q);
    assert_true(recvmsg(ends[1], &m, MSG_CMSG_CLOEXEC) > 0); /* up to the descriptor */
    if (!CMSG_FIRSTHDR(&m)) {
        m.msg_controllen = sizeof(control);
        assert_true(recvmsg(ends[1], &m, MSG_CMSG_CLOEXEC) > 0);
    }
    assert_non_null(CMSG_FIRSTHDR(&m));
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
    assert_true(got >= 0);
    close(got);
    close(ends[0]);
    close(ends[1]);
}

static void silence(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(run(GREETING, strlen(GREETING), false, false, NSEC_PER_SEC / 20, &err), -1);
    assert_int_equal(err.code, ERR_DEADLINE);
}

static void floods(void **state)
{
    autostrbuf text = STRBUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    strbuf_adds(&text, GREETING);
    for (int i = 0; i < QMP_EVENTS_MAX; i++)
        strbuf_adds(&text, EVENT);
    assert_int_equal(run(text.s, text.len, true, false, 10 * NSEC_PER_SEC, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    err = (struct err)ERR_INIT;
    text.len = 0;
    for (int i = 0; i < QMP_LINE_MAX_BYTES + 1; i++)
        strbuf_addc(&text, 'x');
    assert_int_equal(run(text.s, text.len, true, false, 10 * NSEC_PER_SEC, &err), -1);
    assert_non_null(strstr(err.msg, "longer than"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(asks),
        cmocka_unit_test(silence),
        cmocka_unit_test(floods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
