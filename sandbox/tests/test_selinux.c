/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, and files that get them. The attribute is there without SELinux too. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/security.h"

static void labels(void **state)
{
    char none[] = "", level[] = "s0:c1,c2", type[] = "spc_t";
    const struct selinux_option nothing = {none, none, none, none};
    const struct selinux_option some = {none, none, none, level};
    const struct selinux_option other = {none, none, type, none};
    autofree char *a = selinux_label(&nothing), *b = selinux_file_label(&nothing);
    autofree char *c = selinux_label(&some), *d = selinux_file_label(&some);
    autofree char *e = selinux_label(&other), *f = selinux_file_label(&other);

    (void)state;
    assert_string_equal(a, "");
    assert_string_equal(b, "");
    assert_string_equal(c, "system_u:system_r:container_t:s0:c1,c2");
    assert_string_equal(d, "system_u:object_r:container_file_t:s0:c1,c2");
    assert_string_equal(e, "system_u:system_r:spc_t:s0");
    assert_string_equal(f, "system_u:object_r:container_file_t:s0");
}

static void assert_label(const char *dir, const char *name, const char *label)
{
    autofree char *path = path_join(dir, name);
    char got[64] = "";

    if (lgetxattr(path, "security.selinux", got, sizeof(got) - 1) < 0)
        got[0] = '\0';
    if (!str_eq(got, label))
        fail_msg("'%s' has label '%s', not '%s'", path, got, label);
}

static void relabel(void **state)
{
    static const char label[] = "system_u:object_r:container_file_t:s0";
    char dir[] = "/tmp/unicri-selinux-XXXXXX";
    struct err err = ERR_INIT;

    (void)state;
    assert_non_null(mkdtemp(dir));
    autofree char *in = path_join(dir, "volume"), *deep = path_join(in, "deep/er");
    autofree char *file = path_join(deep, "file"), *link = path_join(deep, "link");
    autofree char *outside = path_join(dir, "outside");

    assert_ok(fs_mkdirs(deep, 0755, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, file, "x", 1, 0000, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, outside, "x", 1, 0644, &err), err);
    assert_int_equal(symlink("../../../outside", link), 0);
    if (lsetxattr(outside, "security.selinux", "before", sizeof("before"), 0) < 0) {
        assert_ok(fs_remove_tree(AT_FDCWD, dir, &err), err);
        print_message("skipped: /tmp has no security attributes: %m\n");
        skip();
    }
    assert_ok(selinux_relabel(in, label, &err), err);
    assert_label(dir, "volume", label);
    assert_label(dir, "volume/deep/er", label);
    assert_label(dir, "volume/deep/er/file", label);
    assert_label(dir, "outside", "before");
    assert_ok(selinux_relabel(file, label, &err), err);
    assert_err(selinux_relabel("/etc", label, &err), err, ERR_INVALID, "belongs to the node");
    assert_ok(fs_remove_tree(AT_FDCWD, dir, &err), err);
    assert_ok(selinux_relabel(in, label, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(labels), cmocka_unit_test(relabel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
