/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/err, base/utf8, base/log's levels, base/id and base/redact: what becomes of text.
 */
#include <errno.h>

#include "base/id.h"
#include "base/log.h"
#include "base/redact.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "base/utf8.h"

static void set_and_wrap(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&err, ERR_STATE, "pod '%s': %d", "a\nb\x7f", 7), -1);
    assert_int_equal(err.code, ERR_STATE);
    assert_string_equal(err.msg, "pod 'a?b?': 7");
    assert_int_equal(err_wrap(&err, "stop"), -1);
    assert_string_equal(err.msg, "stop: pod 'a?b?': 7");
    assert_int_equal(err.code, ERR_STATE);
    assert_int_equal(err_set(&err, ERR_INVALID, "again: %s", err.msg),
                     -1); /* argument within err */
    assert_string_equal(err.msg, "again: stop: pod 'a?b?': 7");
    assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
}

static void from_errno(void **state)
{
    static const struct {
        int sys;
        enum err_code code;
    } rows[] = {{ENOENT, ERR_NOT_FOUND}, {EACCES, ERR_DENIED},      {EPERM, ERR_DENIED},
                {ENOSPC, ERR_EXHAUSTED}, {EMFILE, ERR_EXHAUSTED},   {ENOMEM, ERR_EXHAUSTED},
                {EEXIST, ERR_EXISTS},    {ETIMEDOUT, ERR_DEADLINE}, {EIO, ERR_INTERNAL}};
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        errno = rows[i].sys;
        assert_int_equal(err_sys(&err, "open '%s'", "x"), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(err.sys, rows[i].sys);
    }
    assert_string_equal(err.msg, "open 'x': Input/output error");
}

static void long_message_is_cut_at_a_character(void **state)
{
    struct err err = ERR_INIT;
    char text[1024];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = shift; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3); /* the euro sign */
        text[sizeof(text) - 1] = '\0';
        (void)err_set(&err, ERR_INVALID, "%s", text);
        assert_true(str_is_utf8(err.msg, strlen(err.msg)));
        assert_null(strchr(err.msg, '?'));
        assert_in_range(strlen(err.msg), ERR_MSG_MAX_BYTES - 4, ERR_MSG_MAX_BYTES - 1);
    }
}

/* Long texts are looked at by words: a bad byte at any place of one is found. */
static void utf8_any_place(void **state)
{
    static const struct {
        const char *s;
        size_t len;
        bool good;
    } parts[] = {{"\xc3\xa4", 2, true}, {"\xe2\x82\xac", 3, true}, {"\x7f", 1, true},
                 {"\x01", 1, true},     {"\0", 1, false},          {"\x80", 1, false},
                 {"\xc3", 1, false},    {"\xff", 1, false},        {"", 0, true}};

    (void)state;
    for (size_t p = 0; p < ARRAY_SIZE(parts); p++) {
        for (size_t at = 0; at <= 24; at++) {
            char text[32];

            memset(text, 'x', sizeof(text));
            memcpy(text + at, parts[p].s, parts[p].len);
            assert_int_equal(str_is_utf8(text, 24 + parts[p].len), parts[p].good);
        }
    }
}

static void utf8_sequences(void **state)
{
    static const struct {
        const char *s;
        size_t n;
    } rows[] = {{"a", 1},
                {"\xc3\xa4", 2},
                {"\xe2\x82\xac", 3},
                {"\xf0\x9f\x98\x80", 4},
                {"\x80", 0},
                {"\xc0\x80", 0},
                {"\xc3", 0},
                {"\xe0\x80\x80", 0},
                {"\xed\xa0\x80", 0},
                {"\xf0\x80\x80\x80", 0},
                {"\xf4\x90\x80\x80", 0},
                {"\xf8\x88\x80\x80", 0},
                {"\xff", 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(utf8_sequence(rows[i].s, strlen(rows[i].s)), rows[i].n);
    assert_int_equal(utf8_sequence("", 0), 0);
    assert_true(str_is_utf8("\xc3\xa4", 2));
    assert_false(str_is_utf8("a\0b", 3));
}

static void ids(void **state)
{
    char a[ID_LEN + 1], b[ID_LEN + 1];

    (void)state;
    id_new(a);
    id_new(b);
    assert_string_not_equal(a, b);
    assert_true(id_is_valid(a));
    a[10] = 'G';
    assert_false(id_is_valid(a));
    b[63] = '\0';
    assert_false(id_is_valid(b));
    assert_false(id_is_valid(""));
}

static void redaction(void **state)
{
    static const char *const rows[][2] = {
        {"https://user:pw@host/v2/?a", "https://***@host/v2/?***"},
        {"https://host/token?service=r&scope=s:x:pull&token=abc#f",
         "https://host/token?service=r&scope=s:x:pull&token=***#f"},
        {"get 'https://u@h/x': failed", "get 'https://***@h/x': failed"},
        {"http://h/p@q", "http://h/p@q"},
        {"http://a@b@h/", "http://***@h/"},
        {"Authorization: Basic dTpw\r\nHost: h", "Authorization: ***\r\nHost: h"},
        {"authorization:Bearer abc", "authorization: ***"},
        {"sent Bearer abc.def, got 401", "sent Bearer ***, got 401"},
        {"Bearer realm=\"https://h/t\"", "Bearer realm=\"https://h/t\""},
        {"plain text", "plain text"},
        {"https://h/?X-Amz-Signature=1", "https://h/?X-Amz-Signature=***"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autofree char *s = redact_url(rows[i][0]);

        assert_string_equal(s, rows[i][1]);
    }
}

static void log_lines(void **state)
{
    int saved = dup(STDERR_FILENO), fds[2];
    struct log_context former;
    char buf[2 * LOG_LINE_MAX_BYTES], text[4000];
    ssize_t n;

    (void)state;
    assert_true(saved >= 0);
    assert_int_equal(pipe(fds), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    former = log_context_set((struct log_context){.rpc = "RunPodSandbox", .pod = "p1"});
    log_info("bad '%s'", "a\nb\x1b[31m\xff");
    log_debug("not shown");
    (void)log_context_set(former);
    n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_non_null(strstr(buf, "info  bad 'a\\x0ab\\x1b[31m\\xff' rpc=RunPodSandbox pod=p1\n"));
    assert_null(strstr(buf, "not shown"));
    memset(text, '\n', sizeof(text) - 1); /* each becomes four bytes */
    text[sizeof(text) - 1] = '\0';
    log_error("%s", text);
    n = read(fds[0], buf, sizeof(buf));
    assert_in_range(n, LOG_LINE_MAX_BYTES - 8, LOG_LINE_MAX_BYTES);
    assert_int_equal(buf[n - 1], '\n');
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void log_levels(void **state)
{
    struct err err = ERR_INIT;
    enum log_level level;

    (void)state;
    assert_ok(log_level_parse("debug", &level, &err), err);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_err(log_level_parse("loud", &level, &err), err, ERR_INVALID, "'loud'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_wrap),
        cmocka_unit_test(from_errno),
        cmocka_unit_test(long_message_is_cut_at_a_character),
        cmocka_unit_test(utf8_sequences),
        cmocka_unit_test(utf8_any_place),
        cmocka_unit_test(ids),
        cmocka_unit_test(redaction),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(log_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
