/* SPDX-License-Identifier: Apache-2.0 */
/* hosts: containerd's hosts.toml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "imagestore/hosts.h"
#include "imagestore/imagestore.h"

static char *plain[] = {(char *)"plain.example:81", NULL};
static const struct imagestore_config config = {.certs_dir = (char *)"/nonexistent",
                                                .plain_http_hosts = plain};

static void parse(const char *registry, const char *text, const char *dir, struct host_list *l)
{
    struct err err = ERR_INIT;
    if (hosts_parse(&config, registry, text, strlen(text), dir, l, &err) < 0)
        fail_msg("%s", err.msg);
}

static void test_defaults(void **state)
{
    static const char *const v[][2] = {
        {"docker.io", "https://registry-1.docker.io/v2"},
        {"quay.io", "https://quay.io/v2"},
        {"localhost:5000", "http://localhost:5000/v2"},
        {"127.0.0.1:5000", "http://127.0.0.1:5000/v2"},
        {"[::1]:5000", "http://[::1]:5000/v2"},
        {"127.0.0.1.evil.example", "https://127.0.0.1.evil.example/v2"},
        {"localhost.evil.example", "https://localhost.evil.example/v2"},
        {"plain.example:81", "http://plain.example:81/v2"},
        {"plain.example", "https://plain.example/v2"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err = ERR_INIT;
        struct host_list l = {0};
        assert_int_equal(hosts_load(&config, v[i][0], &l, &err), 0);
        assert_int_equal(l.n, 1);
        assert_string_equal(l.v[0].base, v[i][1]);
        assert_true(l.v[0].upstream);
        host_list_done(&l);
    }
}

static void test_whole_file(void **state)
{
    char dir[] = "/tmp/unicri-hosts-XXXXXX";
    struct err err = ERR_INIT;
    struct host_list l = {0};
    (void)state;
    assert_non_null(mkdtemp(dir));
    autofree char *ca = path_join(dir, "ca.pem");
    assert_int_equal(fs_write_file(AT_FDCWD, ca, "PEM", 3, 0600, &err), 0);
    parse(
        "r.example",
        "server = \"https://up.example\"\n"
        "[host.\"http://z.example:80\"]\n  capabilities = [\"pull\"]\n  skip_verify = true\n"
        "[host.\"https://a.example/some/path\"]\n  ca = [\"ca.pem\"]\n"
        "  client = [[\"c.crt\", \"/k.key\"]]\n  override_path = true\n"
        "[host.\"https://a.example/some/path\".header]\n  x-one = \"1\"\n  x-two = [\"2\", \"3\"]\n"
        "[host.\"b.example\"]\n",
        dir, &l);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.v[0].base, "http://z.example:80/v2"); /* the order of the file */
    assert_true(l.v[0].can_pull && !l.v[0].can_resolve && l.v[0].skip_verify);
    assert_string_equal(l.v[1].base, "https://a.example/some/path");
    assert_string_equal(l.v[1].ca_pem, "PEM\n");
    assert_string_equal(l.v[1].client_key, "/k.key");
    assert_int_equal(strv_len(l.v[1].headers), 3);
    assert_true(l.v[1].can_resolve && !l.v[1].upstream);
    assert_string_equal(l.v[2].base, "https://b.example/v2");
    assert_string_equal(l.v[3].base, "https://up.example/v2");
    assert_true(l.v[3].upstream);
    host_list_done(&l);
    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &err), 0);
}

static void test_refusals(void **state)
{
    static const char *const v[] = {
        "server = 1\n",
        "server = \"ftp://x/\"\n",
        "server = \"http://u:p@x\"\n",
        "server = \"http:///\"\n",
        "server = \"http://x/?q\"\n",
        "host = 3\n",
        "[host.\"http://x\"]\ncapabilities = \"pull\"\n",
        "[host.\"http://x\"]\nca = 1\n",
        "[host.\"http://x\"]\nca = \"/nonexistent/ca\"\n",
        "[host.\"http://x\".header]\n\"a:b\" = \"c\"\n",
        "[host.\"http://x\".header]\na = \"b\\r\\nc\"\n",
        "[host\n",
        "[host.\"http://x\"]\nskip_verify = \"yes\"\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err = ERR_INIT;
        struct host_list l = {0};
        if (hosts_parse(&config, "r", v[i], strlen(v[i]), "/nonexistent", &l, &err) == 0)
            fail_msg("accepted: %s", v[i]);
        assert_non_null(strstr(err.msg, "hosts.toml"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
