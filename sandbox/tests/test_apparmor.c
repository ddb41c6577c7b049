/* SPDX-License-Identifier: Apache-2.0 */
/* AppArmor on hosts made of a directory and a parser that is a script: which profile a container
 * gets, when the default one is loaded, and what is refused. */
#include "base/tests/testing.h"
#include "sandbox/apparmor.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"

struct lab {
    char *dir, *profiles, *parser, *seen;
    struct apparmor_host host;
    struct container_spec *spec;
};

static void put(const char *path, const char *text, mode_t mode)
{
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), mode, &err), err);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    struct lab *l = XNEW(struct lab);
    char dir[] = "/tmp/unicri-apparmor-test.XXXXXX";
    autofree char *script = NULL;

    assert_non_null(mkdtemp(dir));
    l->dir = xstrdup(dir);
    l->profiles = path_join(dir, "profiles");
    l->parser = path_join(dir, "parser");
    l->seen = path_join(dir, "seen");
    /* As the kernel does: what was loaded is in the list. The real parser reads it where it is. */
    script = xasprintf("#!/bin/sh\n[ \"$1\" = -Kr ] || exit 9\ncat > %s\n"
                       "[ ! -x /usr/sbin/apparmor_parser ] || "
                       "/usr/sbin/apparmor_parser -Q -K %s || exit 8\n"
                       "echo 'unicri-default (enforce)' >> %s\n",
                       l->seen, l->seen, l->profiles);
    put(l->parser, script, 0755);
    put(l->profiles, "mine (enforce)\n/usr/bin/man (complain)\n", 0644);
    l->host = (struct apparmor_host){.dir = l->dir, .parser = l->parser};
    l->spec = container_spec_new();
    l->spec->apparmor.set = true;
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;
    struct err err = ERR_INIT;

    assert_ok(fs_remove_tree(AT_FDCWD, l->dir, &err), err);
    container_spec_free(l->spec);
    free(l->dir);
    free(l->profiles);
    free(l->parser);
    free(l->seen);
    free(l);
    return 0;
}

static void gives(struct lab *l, const char *want)
{
    autofree char *got = NULL;
    struct err err = ERR_INIT;

    assert_ok(apparmor_profile(&l->host, l->spec, &got, &err), err);
    assert_string_equal(got, want);
}

static void refuses(struct lab *l, enum err_code code, const char *part)
{
    autofree char *got = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(apparmor_profile(&l->host, l->spec, &got, &err), -1);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, part))
        fail_msg("%s", err.msg);
}

static void named(struct lab *l, const char *ref)
{
    l->spec->apparmor.type = PROFILE_LOCALHOST;
    free(l->spec->apparmor.localhost_ref);
    l->spec->apparmor.localhost_ref = xstrdup(ref);
}

static void default_is_loaded_once(void **state)
{
    struct lab *l = *state;
    autofree char *text = NULL;
    struct err err = ERR_INIT;

    l->spec->apparmor.type = PROFILE_RUNTIME_DEFAULT;
    gives(l, APPARMOR_DEFAULT);
    assert_ok(fs_read_file(AT_FDCWD, l->seen, 65536, &text, NULL, &err), err);
    assert_true(str_has_prefix(text, "profile " APPARMOR_DEFAULT " "));
    assert_non_null(strstr(text, "deny mount,\n"));
    assert_int_equal(unlink(l->seen), 0);
    gives(l, APPARMOR_DEFAULT);
    assert_int_equal(access(l->seen, F_OK), -1); /* not again */
    put(l->profiles, "mine (enforce)\n", 0644);  /* somebody unloads it */
    gives(l, APPARMOR_DEFAULT);
    assert_int_equal(access(l->seen, F_OK), 0);
}

static void default_that_does_not_load(void **state)
{
    struct lab *l = *state;

    l->spec->apparmor.type = PROFILE_RUNTIME_DEFAULT;
    put(l->parser, "#!/bin/sh\necho 'syntax error in line 3' >&2\nexit 1\n", 0755);
    refuses(l, ERR_UNAVAILABLE, "syntax error in line 3");
    assert_int_equal(unlink(l->parser), 0); /* no parser: as a host without */
    gives(l, "");
    put(l->profiles, "unicri-default (enforce)\n", 0644); /* but the administrator loaded it */
    gives(l, APPARMOR_DEFAULT);
}

static void by_name(void **state)
{
    struct lab *l = *state;

    named(l, "localhost/mine");
    gives(l, "mine");
    named(l, "/usr/bin/man");
    gives(l, "/usr/bin/man");
    named(l, "min");
    refuses(l, ERR_NOT_FOUND, "'min' is not loaded");
    named(l, "mine (enforce)");
    refuses(l, ERR_INVALID, "not a name");
    named(l, "localhost/");
    refuses(l, ERR_INVALID, "not a name");
    assert_int_equal(unlink(l->profiles), 0);
    named(l, "mine");
    refuses(l, ERR_NOT_FOUND, "loaded AppArmor profiles");
}

static void nothing_asked(void **state)
{
    struct lab *l = *state;

    l->spec->apparmor.type = PROFILE_UNCONFINED;
    gives(l, "unconfined");
    named(l, "mine");
    l->spec->privileged = true;
    gives(l, "");
    l->spec->privileged = false;
    l->spec->apparmor.set = false;
    gives(l, "");
}

static void host_without(void **state)
{
    struct lab *l = *state;

    l->host.dir = "/nonexistent/apparmor";
    l->spec->apparmor.type = PROFILE_RUNTIME_DEFAULT;
    gives(l, "");
    l->spec->apparmor.type = PROFILE_UNCONFINED;
    gives(l, "");
    named(l, "mine");
    refuses(l, ERR_UNSUPPORTED, "this node has no AppArmor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(default_is_loaded_once), T(default_that_does_not_load), T(by_name), T(nothing_asked),
        T(host_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
