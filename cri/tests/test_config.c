/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: files, config.d, --set, one over the other; mistakes are told with file and line.
 */
#include "base/tests/testing.h"

#include "cri/config.h"

static char *write_file(const char *dir, const char *name, const char *text)
{
    struct err err;
    char *path = path_join(dir, name);

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0600, &err), err);
    return path;
}

static int load(const char *file, char *const *sets, struct err *err)
{
    struct config *config = config_load(file, sets, err);

    config_free(config);
    return config ? 0 : -1;
}

static void test_layers(void **state)
{
    autofree char *file = write_file(
        *state, "c.toml", "[server]\nsocket = \"/a\"\nlog_level = \"warn\"\nmax_workers = 8\n");
    autofree char *dir = path_join(*state, "config.d");
    char *sets[] = {(char *)"server.max_workers=16", (char *)"server.run_dir=/run/\"q\"", NULL};
    struct err err;

    assert_ok(fs_mkdir(AT_FDCWD, dir, 0700, &err), err);
    autofree char *one = write_file(dir, "10-x.toml", "server.socket = \"/b\"\n");
    autofree char *two = write_file(dir, "20-x.toml", "server.socket = \"/c\"\n");
    autofree char *other = write_file(dir, "30-x.txt", "not toml at all");
    assert_true(one && two && other);
    CLEANUP(config_free_cleanup) struct config *config = config_load(file, sets, &err);
    if (!config)
        fail_msg("%s", err.msg);
    assert_string_equal(config->server.socket, "/c");
    assert_string_equal(config->server.log_level, "warn");
    assert_int_equal(config->server.max_workers, 16);
    assert_string_equal(config->server.run_dir, "/run/\"q\"");
    assert_string_equal(config->server.root_dir, "/var/lib/unicri");
    assert_string_equal(config->sandbox.run_dir, "/run/\"q\"");
}

static void test_mistakes(void **state)
{
    struct err err;
    autofree char *unknown =
        write_file(*state, "unknown.toml", "[server]\nsocket = \"/a\"\nsockett = \"/b\"\n");
    autofree char *type = write_file(*state, "type.toml", "\n\n[server]\nmax_workers = \"many\"\n");
    autofree char *bound = write_file(*state, "bound.toml", "[server]\nmax_workers = 1\n");
    autofree char *relative = write_file(*state, "relative.toml", "[server]\nsocket = \"run/x\"\n");
    autofree char *syntax = write_file(*state, "syntax.toml", "[server]\nsocket = \n");
    autofree char *level = write_file(*state, "level.toml", "[server]\nlog_level = \"loud\"\n");
    autofree char *missing = path_join(*state, "missing.toml");
    char *bad_set[] = {(char *)"server.nope=1", NULL},
         *no_value[] = {(char *)"server.socket", NULL};

    assert_err(load(unknown, NULL, &err), err, ERR_INVALID, "unknown.toml:3");
    assert_err(load(type, NULL, &err), err, ERR_INVALID, "type.toml:4");
    assert_err(load(bound, NULL, &err), err, ERR_INVALID, "bound.toml:2");
    assert_err(load(relative, NULL, &err), err, ERR_INVALID, "relative.toml:2");
    assert_err(load(syntax, NULL, &err), err, ERR_INVALID, "syntax.toml:2");
    assert_err(load(level, NULL, &err), err, ERR_INVALID, "log_level");
    assert_err(load(missing, NULL, &err), err, ERR_NOT_FOUND, "missing.toml");
    assert_err(load(NULL, bad_set, &err), err, ERR_INVALID, "server.nope");
    assert_err(load(NULL, no_value, &err), err, ERR_INVALID, "KEY=VALUE");
}

/* What is printed can be read back and means the same. */
static void test_print_reads_back(void **state)
{
    char *sets[] = {(char *)"server.socket=/x y", (char *)"server.stop_patience=1.5", NULL};
    struct err err;
    char *first = NULL, *second = NULL;
    size_t len;

    CLEANUP(config_free_cleanup) struct config *config = config_load(NULL, sets, &err);
    assert_non_null(config);
    FILE *out = open_memstream(&first, &len);
    config_print(config, out);
    (void)fclose(out);
    autofree char *file = write_file(*state, "printed.toml", first);
    CLEANUP(config_free_cleanup) struct config *again = config_load(file, NULL, &err);
    if (!again)
        fail_msg("%s", err.msg);
    out = open_memstream(&second, &len);
    config_print(again, out);
    (void)fclose(out);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "/x y"));
    free(first);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {in_dir(test_layers), in_dir(test_mistakes),
                                       in_dir(test_print_reads_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
