/* SPDX-License-Identifier: Apache-2.0 */
/* reference: normal forms and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "imagestore/digest.h"
#include "imagestore/reference.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_normal_forms(void **state)
{
    static const char *const v[][2] = {
        {"busybox", "docker.io/library/busybox:latest"},
        {"busybox:1.2", "docker.io/library/busybox:1.2"},
        {"docker.io/busybox", "docker.io/library/busybox:latest"},
        {"index.docker.io/a/b", "docker.io/a/b:latest"},
        {"user/app", "docker.io/user/app:latest"},
        {"localhost/app", "localhost/app:latest"},
        {"localhost:5000/app:x", "localhost:5000/app:x"},
        {"127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"},
        {"[::1]:5000/a", "[::1]:5000/a:latest"},
        {"gcr.io/k8s/a_b/c__d/e-f.g:V1.0_x-y", "gcr.io/k8s/a_b/c__d/e-f.g:V1.0_x-y"},
        {"Host/app", "Host/app:latest"},
        {"app@" D, "docker.io/library/app@" D},
        {"r.example/app:tag@" D, "r.example/app@" D},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err = ERR_INIT;
        autoreference r = {0};
        if (reference_parse(v[i][0], &r, &err) < 0)
            fail_msg("%s", err.msg);
        autofree char *text = reference_text(&r);
        assert_string_equal(text, v[i][1]);
        autoreference again = {0};
        assert_int_equal(reference_parse(text, &again, &err), 0);
        autofree char *same = reference_text(&again);
        assert_string_equal(same, text);
    }
}

static void test_refusals(void **state)
{
    static const char *const v[] = {
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "a/B",
        "a:",
        "a:-x",
        "a:b:c",
        "a b",
        "a\nb",
        "a..b",
        "a-",
        "-a",
        "a_",
        "a___b",
        "host:/a",
        "host:0/a",
        "host:65536/a",
        "host:x/a",
        "ho_st.x/a",
        "-host.x/a",
        "host-.x/a",
        "a@",
        "a@sha256:",
        "a@md5:00",
        ("a@" D "0"),
        "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "../a",
        "a/../b",
        "a/./b",
        "http://a/b",
        "user@host/a",
        "a?b",
        "a#b",
        "a%2fb",
        "[::1/a",
        "[x]/a",
        "é",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err = ERR_INIT;
        autoreference r = {0};
        if (reference_parse(v[i], &r, &err) == 0)
            fail_msg("'%s' was accepted", v[i]);
        assert_int_equal(err.code, ERR_INVALID);
    }
    char big[600];
    struct err err = ERR_INIT;
    autoreference r = {0};
    memset(big, 'a', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(reference_parse(big, &r, &err), -1);
    big[300] = '\0';
    assert_int_equal(reference_parse(big, &r, &err), -1);
}

static void test_digest(void **state)
{
    char d[DIGEST_LEN + 1];
    (void)state;
    digest_of("abc", 3, d);
    assert_string_equal(d,
                        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(digest_is_valid(d));
    assert_false(digest_is_valid("sha256:../../x"));
    assert_false(digest_is_valid(NULL));
    d[70] = 'G';
    assert_false(digest_is_valid(d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_forms),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
