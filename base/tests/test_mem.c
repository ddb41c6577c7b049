/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/mem, base/strbuf and base64. */
#include "base/strbuf.h"
#include "base/tests/testing.h"

static void strings(void **state)
{
    autostrv char **v = NULL, **w = NULL;
    char *const fixed[] = {"x", "y", NULL};

    (void)state;
    assert_int_equal(strv_len(v), 0);
    for (int i = 0; i < 20; i++) {
        char s[8];

        (void)snprintf(s, sizeof(s), "%d", i);
        strv_push(&v, s);
    }
    assert_int_equal(strv_len(v), 20);
    assert_true(strv_contains(v, "19"));
    assert_false(strv_contains(v, "20"));
    w = strv_dup(fixed);
    strv_push(&w, "z"); /* a vector without room to spare */
    assert_string_equal(w[2], "z");
    assert_null(w[3]);
    assert_null(strv_dup(NULL));
}

static void maps(void **state)
{
    struct kvs m = {0}, copy;

    (void)state;
    kvs_set(&m, "a", "1");
    kvs_set(&m, "b", "2");
    kvs_set(&m, "a", kvs_get(&m, "a")); /* its own value */
    kvs_set(&m, "b", "3");
    assert_int_equal(m.n, 2);
    kvs_dup(&copy, &m);
    kvs_done(&m);
    assert_string_equal(kvs_get(&copy, "a"), "1");
    assert_string_equal(kvs_get(&copy, "b"), "3");
    assert_null(kvs_get(&copy, "c"));
    kvs_done(&copy);
}

static void buffers(void **state)
{
    autostrbuf b = STRBUF_INIT;
    autofree char *s = NULL;

    (void)state;
    assert_string_equal(b.s, "");
    strbuf_clear(&b);
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&b, "%03d", i);
    assert_int_equal(b.len, 3000);
    assert_memory_equal(b.s + 2997, "999", 4);
    strbuf_add(&b, "\0x", 2);
    assert_int_equal(b.len, 3002);
    s = strbuf_detach(&b);
    assert_string_equal(b.s, "");
    assert_true(str_has_prefix(s, "000001"));
    assert_true(str_has_suffix("a.toml", ".toml"));
    assert_false(str_has_suffix("l", ".toml"));
}

static void numbers(void **state)
{
    struct err err = ERR_INIT;
    unsigned long long n = 0;

    (void)state;
    assert_ok(parse_u64("18446744073709551615", UINT64_MAX, "n", &n, &err), err);
    assert_true(n == UINT64_MAX);
    assert_err(parse_u64("18446744073709551616", UINT64_MAX, "port", &n, &err), err, ERR_INVALID,
               "port");
    assert_err(parse_u64("65536", 65535, "port", &n, &err), err, ERR_INVALID, "larger than 65535");
    assert_err(parse_u64("", 9, "port", &n, &err), err, ERR_INVALID, "nothing");
    assert_err(parse_u64("-1", 9, "port", &n, &err), err, ERR_INVALID, "'-1'");
    assert_err(parse_u64("1 ", 9, "port", &n, &err), err, ERR_INVALID, "'1 '");
}

static void scanning(void **state)
{
    const char *text = "pid 12 18446744073709551615!", *p = text;
    unsigned long long n = 0;
    int i = 0;

    (void)state;
    assert_false(scan_text(&p, "pod"));
    assert_false(scan_int(&p, &i));
    assert_ptr_equal(p, text);
    assert_true(scan_text(&p, "pid ") && scan_int(&p, &i) && scan_text(&p, " "));
    assert_int_equal(i, 12);
    assert_false(scan_int(&p, &i)); /* larger than INT_MAX: not stepped over */
    assert_false(scan_u64(&p, UINT64_MAX - 1, &n));
    assert_true(scan_u64(&p, UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_string_equal(p, "!");
    p = "18446744073709551616";
    assert_false(scan_u64(&p, UINT64_MAX, &n));
    p = "-1";
    assert_false(scan_u64(&p, UINT64_MAX, &n));
    p = "";
    assert_false(scan_u64(&p, UINT64_MAX, &n));
    assert_true(scan_text(&p, ""));
}

static void base64(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};
    static const char *const bad[] = {
        "A", "Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zg==Zg=="};
    struct err err = ERR_INIT;
    char out[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        size_t len = strlen(pairs[i][0]);
        autofree char *s = base64_encode(pairs[i][0], len);

        assert_string_equal(s, pairs[i][1]);
        assert_int_equal(base64_decode(s, strlen(s), out, sizeof(out), &err), len);
        assert_memory_equal(out, pairs[i][0], len);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_err(base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &err), err, ERR_INVALID,
                   "base64");
    assert_err(base64_decode("Zm9v", 4, out, 2, &err), err, ERR_EXHAUSTED, "do not fit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings), cmocka_unit_test(maps),     cmocka_unit_test(buffers),
        cmocka_unit_test(numbers), cmocka_unit_test(scanning), cmocka_unit_test(base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
