/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/json: bounds at the border, getters that explain, building from hostile strings. */
#include "base/json.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

static json_t *parse(const char *text)
{
    struct err err = ERR_INIT;
    json_t *j = json_parse(text, strlen(text), 65536, "doc", &err);

    if (!j)
        fail_msg("%s", err.msg);
    return j;
}

static void refused(void **state)
{
    static const char *const rows[][2] = {
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{} x", "end of file"},
        {"{\"a\":}", "doc: line 1, column"},
        {"", "doc"},
        {"\"text\"", "doc"},
        {"{\"a\":\"\\u0000\"}", "doc"},
        {"{\"a\":\"\xff\"}", "doc"},
        {"{\"a\":1e999}", "doc"},
        {"{\"a\":99999999999999999999}", "doc"},
    };
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        err = ERR_INIT;
        assert_null(json_parse(rows[i][0], strlen(rows[i][0]), 1000, "doc", &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.msg, rows[i][1]));
    }
    assert_null(json_parse("{}", 2, 1, "doc", &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
}

static void depth(void **state)
{
    autostrbuf b = STRBUF_INIT;
    struct err err = ERR_INIT;
    json_t *j;

    (void)state;
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        strbuf_addc(&b, '[');
    strbuf_adds(&b, "\"[[[[\\\"[[[\"");
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        strbuf_addc(&b, ']');
    j = parse(b.s);
    json_decref(j);
    strbuf_clear(&b);
    for (int i = 0; i < 50000; i++)
        strbuf_addc(&b, i % 2 ? '[' : '\n');
    assert_null(json_parse(b.s, b.len, 65536, "doc", &err));
    assert_non_null(strstr(err.msg, "doc: line 66: nested deeper than 64"));
}

static void getters(void **state)
{
    autojson *j = parse("{\"s\":\"x\",\"i\":-7,\"b\":true,\"o\":{\"k\":\"v\"},\"a\":[\"1\",\"2\"],"
                        "\"n\":null,\"bad\":[1],\"badkv\":{\"k\":1}}");
    struct err err = ERR_INIT;
    const char *s;
    int64_t i;
    bool b;
    json_t *v;
    autostrv char **list = NULL;
    struct kvs m = {0};

    (void)state;
    assert_ok(json_opt_string(j, "s", &s, &err), err);
    assert_string_equal(s, "x");
    assert_ok(json_opt_string(j, "absent", &s, &err), err);
    assert_null(s);
    assert_ok(json_opt_string(j, "n", &s, &err), err);
    assert_null(s);
    assert_err(json_opt_string(j, "i", &s, &err), err, ERR_INVALID,
               "'i': expected a string, got an integer");
    assert_ok(json_opt_int(j, "i", &i, &err), err);
    assert_int_equal(i, -7);
    assert_ok(json_opt_int(j, "absent", &i, &err), err);
    assert_int_equal(i, 0);
    assert_err(json_opt_int(j, "s", &i, &err), err, ERR_INVALID, "expected an integer");
    assert_ok(json_opt_bool(j, "b", &b, &err), err);
    assert_true(b);
    assert_err(json_opt_bool(j, "a", &b, &err), err, ERR_INVALID,
               "expected a boolean, got an array");
    assert_ok(json_opt_object(j, "o", &v, &err), err);
    assert_non_null(v);
    assert_err(json_opt_object(j, "a", &v, &err), err, ERR_INVALID, "expected an object");
    assert_err(json_opt_array(j, "o", &v, &err), err, ERR_INVALID, "expected an array");
    assert_err(json_opt_string(json_object_get(j, "a"), "x", &s, &err), err, ERR_INVALID,
               "an array");
    assert_err(json_need_string(j, "absent", &s, &err), err, ERR_INVALID, "'absent': missing");
    assert_ok(json_opt_strv(j, "a", 2, &list, &err), err);
    assert_string_equal(list[1], "2");
    assert_err(json_opt_strv(j, "a", 1, &list, &err), err, ERR_INVALID, "at most 1");
    assert_err(json_opt_strv(j, "bad", 9, &list, &err), err, ERR_INVALID, "element 0");
    assert_err(json_opt_kvs(j, "badkv", 9, &m, &err), err, ERR_INVALID, "'k'");
    assert_err(json_opt_kvs(j, "o", 0, &m, &err), err, ERR_INVALID, "at most 0");
    assert_ok(json_opt_kvs(j, "o", 1, &m, &err), err);
    assert_string_equal(kvs_get(&m, "k"), "v");
    kvs_done(&m);
}

static void building(void **state)
{
    autojson *j = json_object();
    autofree char *text = NULL;
    char *const v[] = {"a", "b\xff", NULL};
    struct kvs m = {0};

    (void)state;
    kvs_set(&m, "k\x80", "v\n");
    json_put_string(j, "s", "x");
    json_put_string(j, "none", NULL);
    json_put_string(j, "empty", "");
    json_put_strv(j, "v", v);
    json_put_strv(j, "nov", NULL);
    json_put_kvs(j, "m", &m);
    json_put_int(j, "i", INT64_MIN);
    json_put_int(j, "zero", 0);
    json_put_bool(j, "b", true);
    json_put_bool(j, "false", false);
    kvs_done(&m);
    text = json_text(j);
    assert_string_equal(text, "{\"s\":\"x\",\"v\":[\"a\",\"b?\"],\"m\":{\"k?\":\"v\\n\"},"
                              "\"i\":-9223372036854775808,\"b\":true}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(depth),
        cmocka_unit_test(getters),
        cmocka_unit_test(building),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
