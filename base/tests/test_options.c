/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/toml and base/options: one configuration through defaults, documents and
 * print-config. */
#include "base/options.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

struct a_config {
    char *socket;
    char *root;
    char **mirrors;
    bool debug;
    int64_t workers;
    nsec_t timeout;
    uint64_t limit;
    json_t *handlers;
};
struct b_config {
    int64_t port;
};

static const struct option a_options[] = {
    {"server.socket", OPTION_STRING, offsetof(struct a_config, socket), "unix:///run/x.sock", 0, 0,
     "Where\nto listen"},
    {"root", OPTION_PATH, offsetof(struct a_config, root), "/var/lib/x", 0, 0, "Root"},
    {"mirrors", OPTION_STRV, offsetof(struct a_config, mirrors), "a, b", 0, 0, "Mirrors"},
    {"debug", OPTION_BOOL, offsetof(struct a_config, debug), "false", 0, 0, "Debug"},
    {"workers", OPTION_INT, offsetof(struct a_config, workers), "8", 1, 64, "Workers"},
    {"server.timeout", OPTION_SECONDS, offsetof(struct a_config, timeout), "1.5", 0, 100,
     "Timeout"},
    {"limit", OPTION_BYTES, offsetof(struct a_config, limit), "64MiB", 1024, 1 << 30, "Limit"},
    {"handlers", OPTION_TABLES, offsetof(struct a_config, handlers), NULL, 0, 0, "Handlers"},
};
static const struct option b_options[] = {
    {"server.port", OPTION_INT, offsetof(struct b_config, port), "80", 0, 0, NULL},
};

static struct a_config a;
static struct b_config b;
static const struct option_table tables[] = {
    {a_options, ARRAY_SIZE(a_options), &a},
    {b_options, ARRAY_SIZE(b_options), &b},
};
#define N_TABLES ARRAY_SIZE(tables)

static int load(const char *text, struct err *err)
{
    struct toml_doc *doc = toml_parse(text, strlen(text), "c.toml", err);
    int r = doc ? options_load(tables, N_TABLES, doc, err) : -1;

    toml_free(doc);
    return r;
}

static void defaults_and_load(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(options_defaults(tables, N_TABLES, &err), err);
    assert_string_equal(a.socket, "unix:///run/x.sock");
    assert_int_equal(strv_len(a.mirrors), 2);
    assert_string_equal(a.mirrors[1], "b");
    assert_int_equal(a.timeout, 1500 * NSEC_PER_MSEC);
    assert_int_equal(a.limit, 64 << 20);
    assert_int_equal(b.port, 80);
    assert_ok(load("root = '/r'\nmirrors = ['x']\ndebug = true\nworkers = 64\nlimit = '1 KiB'\n"
                   "[server]\nport = 1\ntimeout = 2\n[handlers.runc]\npath = '/bin/runc'\n",
                   &err),
              err);
    assert_string_equal(a.root, "/r");
    assert_int_equal(strv_len(a.mirrors), 1);
    assert_true(a.debug);
    assert_int_equal(a.workers, 64);
    assert_int_equal(a.limit, 1024);
    assert_int_equal(a.timeout, 2 * NSEC_PER_SEC);
    assert_int_equal(b.port, 1);
    assert_ok(load("[handlers.kvm]\nx = 1\n", &err), err);
    assert_int_equal(json_object_size(a.handlers), 2);
    options_done(tables, N_TABLES);
    assert_null(a.socket);
}

static void complaints(void **state)
{
    static const char *const rows[][2] = {
        {"root = '/r'\nrot = 1\n", "c.toml:2: unknown key 'rot'"},
        {"[server]\nport = 1\nx = 1\n", "c.toml:3: unknown key 'server.x'"},
        {"[nothere]\nx = 1\n", "c.toml:1: unknown key 'nothere'"},
        {"server = 1\n", "c.toml:1: 'server': expected a table"},
        {"root = 'r'\n", "expected an absolute path, got 'r'"},
        {"root = 1\n", "expected a string"},
        {"[root]\nx=1\n", "expected a string"},
        {"debug = 'yes'\n", "expected true or false"},
        {"workers = 0\n", "0 is not within 1 to 64"},
        {"workers = 1.5\n", "expected an integer"},
        {"mirrors = [1]\n", "element 0"},
        {"limit = '64MB'\n", "expected a number of bytes"},
        {"limit = -1\n", "expected a number of bytes"},
        {"limit = '99999999999TiB'\n", "expected a number of bytes"},
        {"limit = '2GiB'\n", "not within"},
        {"server.timeout = 101\n", "not within"},
        {"server.timeout = nan\n", "expected a number of seconds"},
        {"handlers.x = 1\n", "'handlers': 'x': expected a table"},
        {"root = \n", "c.toml:1:"},
        {"a = 1\na = 2\n", "c.toml:2:"},
        {"root = '\xff'\n", "c.toml:1:"},
    };
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(options_defaults(tables, N_TABLES, &err), err);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_err(load(rows[i][0], &err), err, ERR_INVALID, rows[i][1]);
    options_done(tables, N_TABLES);
}

static char *print(void)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    options_print(tables, N_TABLES, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void print_reads_back(void **state)
{
    autofree char *first = NULL, *second = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(options_defaults(tables, N_TABLES, &err), err);
    assert_ok(
        load("server.socket = \"a\\\"b\\\\c\\u0001\"\nserver.timeout = 0.000000001\nlimit = 1025\n"
             "mirrors = []\n[handlers.\"odd name\"]\nreal = 1.0\nlist = [1, true, 'x']\n"
             "sub = { y = 1979-05-27 }\n[handlers.b]\n",
             &err),
        err);
    first = print();
    options_done(tables, N_TABLES);
    assert_ok(options_defaults(tables, N_TABLES, &err), err);
    assert_ok(load(first, &err), err);
    second = print();
    assert_string_equal(first, second);
    assert_string_equal(a.socket, "a\"b\\c\x01");
    assert_int_equal(a.timeout, 1);
    assert_int_equal(a.limit, 1025);
    assert_non_null(strstr(first, "# 1 to 64\nworkers = 8\n"));
    assert_non_null(strstr(first, "# Where\n# to listen\n"));
    options_done(tables, N_TABLES);
}

static void toml_nesting(void **state)
{
    autostrbuf t = STRBUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    for (int i = 0; i < 100000; i++)
        strbuf_adds(&t, "a.");
    strbuf_adds(&t, "a = 1\n");
    assert_null(toml_parse(t.s, t.len, "t", &err));
    assert_non_null(strstr(err.msg, "t:1: nested deeper"));
    strbuf_clear(&t);
    strbuf_adds(&t, "s = \"\"\"\n[[[[ \\\"\"\" {\n\"\"\"\nv = ");
    for (int i = 0; i < 100000; i++)
        strbuf_addc(&t, '[');
    assert_null(toml_parse(t.s, t.len, "t", &err));
    assert_non_null(strstr(err.msg, "t:4: nested deeper"));
    strbuf_clear(&t);
    for (int i = 0; i < 50000; i++)
        strbuf_adds(&t, "\"=\".'\\'.");
    strbuf_adds(&t, "a = 1\n");
    assert_null(toml_parse(t.s, t.len, "t", &err));
    assert_non_null(strstr(err.msg, "nested deeper"));
}

static void toml_values(void **state)
{
    const char *text = "ip = '10.0.0.1.2.3'\nf = [1.0, 2.0]\nd = 1979-05-27T07:32:00Z\n\n[[t]]\nx "
                       "= 1\n[[t]]\nx = inf\n";
    struct err err = ERR_INIT;
    struct toml_doc *doc = toml_parse(text, strlen(text), "t", &err);
    autofree char *json = NULL;

    (void)state;
    assert_non_null(doc);
    json = json_text(toml_root(doc));
    assert_non_null(strstr(json, "\"d\":\"1979-05-27T07:32:00Z\""));
    assert_non_null(strstr(json, "\"t\":[{\"x\":1},{\"x\":\"inf\"}]"));
    assert_int_equal(toml_line(doc, "d"), 3);
    assert_int_equal(toml_line(doc, "t.1.x"), 8);
    assert_int_equal(toml_line(doc, "absent"), 0);
    assert_string_equal(toml_name(doc), "t");
    toml_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_load), cmocka_unit_test(complaints),
        cmocka_unit_test(print_reads_back),  cmocka_unit_test(toml_nesting),
        cmocka_unit_test(toml_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
