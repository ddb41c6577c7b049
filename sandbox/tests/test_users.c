/* SPDX-License-Identifier: Apache-2.0 */
/* Users of hostile images. */
#include "sandbox/users.h"

#include <sys/stat.h>

#include "base/tests/testing.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# ann:x:9:9::/:\n"
                             "ann:x:1001:1002::/home/ann:/bin/sh\n"
                             "short:x:5\n"
                             "over:x:4294967295:1::/:\n"
                             "hex:x:0x0:0::/:\n"
                             "minus:x:-1:0::/:\n"
                             "1000:x:77:78::/:\n"
                             ":x:50:50::/:\n";
static const char group[] =
    "root:x:0:\nann:x:1002:\nmore:x:1003:bob,ann\nbad:x:99999999999:ann\ntail:x:1004:ann";

static int resolve(struct container_spec *spec, const char *image_user, struct user *ret,
                   struct err *err)
{
    return user_resolve_text(passwd, group, spec, image_user, ret, err);
}

static void good(void **state)
{
    static const struct {
        const char *image_user;
        uint32_t uid, gid;
        size_t groups;
    } cases[] = {
        {"", 0, 0, 1},
        {"root", 0, 0, 1},
        {"ann", 1001, 1002, 3},
        {"1001", 1001, 1002, 3},
        {"ann:root", 1001, 0, 3},
        {"7:8", 7, 8, 1},
        {"4294967294", UINT32_MAX - 1, 0, 1},
        {"1000", 77, 78, 1},
        {":more", 0, 1003, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct container_spec *spec = container_spec_new();
        struct user user = {0};
        struct err err = ERR_INIT;

        if (resolve(spec, cases[i].image_user, &user, &err) < 0)
            fail_msg("'%s': %s", cases[i].image_user, err.msg);
        assert_int_equal(user.uid, cases[i].uid);
        assert_int_equal(user.gid, cases[i].gid);
        assert_int_equal(user.n_groups, cases[i].groups);
        assert_int_equal(user.groups[0], user.gid);
        user_done(&user);
        container_spec_free(spec);
    }
}

static void bad(void **state)
{
    static const char *const cases[] = {"nobody", "4294967295", "4294967296",
                                        "-1",     "0x0",        " 1000",
                                        "over",   "hex",        "minus",
                                        "short",  "ann:none",   "1000:99999999999",
                                        "a\nb",   "root:x:0",   "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct container_spec *spec = container_spec_new();
        struct user user = {0};
        struct err err = ERR_INIT;

        if (resolve(spec, cases[i], &user, &err) == 0)
            fail_msg("'%s' was taken as %u:%u", cases[i], user.uid, user.gid);
        assert_int_equal(err.code, ERR_INVALID);
        container_spec_free(spec);
    }
}

static void request_rules(void **state)
{
    struct container_spec *spec = container_spec_new();
    struct user user = {0};
    struct err err = ERR_INIT;

    (void)state;
    spec->run_as_group = (struct optional_int){true, 9};
    assert_err(resolve(spec, "ann", &user, &err), err, ERR_INVALID, "run_as_group");
    spec->run_as_user = (struct optional_int){true, 1001};
    spec->supplemental_groups = xcalloc(2, sizeof(int64_t));
    spec->supplemental_groups[0] = 44;
    spec->supplemental_groups[1] = 9;
    spec->n_supplemental_groups = 2;
    assert_ok(resolve(spec, "root", &user, &err), err);
    assert_int_equal(user.uid, 1001);
    assert_int_equal(user.gid, 9);
    assert_int_equal(user.n_groups, 4); /* 9, 44, and Merge: 1003, 1004 */
    user_done(&user);
    spec->supplemental_groups_policy = 1;
    assert_ok(resolve(spec, "root", &user, &err), err);
    assert_int_equal(user.n_groups, 2);
    user_done(&user);
    spec->run_as_user.value = UINT32_MAX;
    assert_err(resolve(spec, "", &user, &err), err, ERR_INVALID, "out of range");
    spec->run_as_user.value = 1;
    spec->supplemental_groups[0] = -1;
    assert_err(resolve(spec, "", &user, &err), err, ERR_INVALID, "supplemental");
    container_spec_free(spec);
}

/* Files that are no files, links that lead out, and nothing at all. */
static void hostile_files(void **state)
{
    autofree char *etc = path_join(*state, "etc"), *path = path_join(etc, "passwd");
    struct container_spec *spec = container_spec_new();
    struct user user = {0};
    struct err err = ERR_INIT;
    autofd int root = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_ok(user_resolve(root, spec, "", &user, &err), err);
    user_done(&user);
    assert_int_equal(mkdir(etc, 0755), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_err(user_resolve(root, spec, "", &user, &err), err, ERR_INVALID, "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/shadow-of-the-host/../../../../etc/passwd", path), 0);
    /* Inside the root that is itself. */
    assert_int_equal(user_resolve(root, spec, "root", &user, &err), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/proc/self/root/etc/passwd", path), 0);
    assert_int_equal(user_resolve(root, spec, "daemon", &user, &err), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_err(user_resolve(root, spec, "", &user, &err), err, ERR_INVALID, "not a regular file");
    assert_int_equal(rmdir(path), 0);

    autofd int big = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    assert_int_equal(ftruncate(big, (off_t)10 << 30), 0);
    assert_err(user_resolve(root, spec, "", &user, &err), err, ERR_EXHAUSTED, "/etc/passwd");
    container_spec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(request_rules),
        in_dir(hostile_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
