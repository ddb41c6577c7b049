/* SPDX-License-Identifier: Apache-2.0 */
/* untar and decompress: what a layer may do, and everything it must not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/tests/tar_writer.h"
#include "imagestore/unpack/decompress.h"
#include "imagestore/unpack/untar.h"

struct target {
    char dir[64];
    int old;
    struct strbuf marks;
    struct untar_totals totals;
    struct err err;
};

static int setup(void **state)
{
    struct target *t = calloc(1, sizeof(*t));
    (void)snprintf(t->dir, sizeof(t->dir), "/tmp/unicri-untar-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    t->old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    t->marks = (struct strbuf)STRBUF_INIT;
    autofree char *root = path_join(t->dir, "root");
    autofree char *secret = path_join(t->dir, "secret");
    struct err err = ERR_INIT;
    assert_int_equal(fs_write_file(AT_FDCWD, secret, "s", 1, 0600, &err), 0);
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(chdir(root), 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct target *t = *state;
    struct err err = ERR_INIT;
    assert_int_equal(fchdir(t->old), 0);
    (void)close(t->old);
    assert_int_equal(fs_remove_tree(AT_FDCWD, t->dir, &err), 0);
    strbuf_done(&t->marks);
    free(t);
    return 0;
}

static ssize_t next(void *arg, const void **ret, struct err *err)
{
    return decompress_next(arg, ret, err);
}

/* Unpack bytes into the current directory, as the child does. */
static int unpack_bytes(struct target *t, const void *data, size_t len)
{
    char name[] = "/tmp/unicri-layer-XXXXXX";
    autofd int fd = mkostemp(name, O_CLOEXEC);
    autofd int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)unlink(name);
    t->err = ERR_INIT;
    assert_int_equal(fs_write_all(fd, data, len, &t->err), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    struct decompress *d = decompress_new(fd, 64 << 20);
    struct untar_limits limits = {.max_bytes = 16 << 20, .max_entries = 2000};
    strbuf_clear(&t->marks);
    mode_t mask = umask(0);
    int r = untar(next, d, &limits, &t->marks, &t->totals, &t->err);
    (void)umask(mask);
    decompress_free(d);
    assert_int_equal(fchdir(here), 0);
    return r;
}

static int unpack_tar(struct target *t, struct tar *tar)
{
    tar_end(tar);
    int r = unpack_bytes(t, tar->data, tar->len);
    tar_done(tar);
    return r;
}

static bool has_mark(const struct target *t, const char *record)
{
    for (size_t at = 0; at < t->marks.len; at += strlen(t->marks.s + at) + 1)
        if (str_eq(t->marks.s + at, record))
            return true;
    return false;
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        fail_msg("'%s': %s", path, strerror(errno));
    return st;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

#define ENTRY(...) (&(struct tar_entry){__VA_ARGS__})

static void must_unpack(struct target *t, struct tar *tar)
{
    if (unpack_tar(t, tar) < 0)
        fail_msg("%s", t->err.msg);
}

/* ------------------------------------------------------------------ good */

static void test_metadata(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    tar_add(&tar, ENTRY(.name = "./", .type = '5', .mode = 0711));
    tar_add(&tar,
            ENTRY(.name = "bin/", .type = '5', .mode = 01777, .uid = 5, .gid = 6, .mtime = 1000));
    tar_add(&tar, ENTRY(.name = "bin/su", .type = '0', .mode = 04755, .uid = 7, .gid = 8,
                        .mtime = 2000, .data = "x", .len = 1));
    tar_add(&tar, ENTRY(.name = "bin/hard", .type = '1', .link = "bin/su"));
    tar_add(&tar, ENTRY(.name = "bin/abs", .type = '1', .link = "/bin/su"));
    tar_add(&tar, ENTRY(.name = "bin/soft", .type = '2', .link = "/anywhere/../else", .uid = 9));
    tar_add(&tar, ENTRY(.name = "bin/pipe", .type = '6'));
    tar_add(&tar, ENTRY(.name = "bin/null", .type = '3'));
    tar_add(&tar, ENTRY(.name = "far", .type = '0', .uid = 4294967294, .gid = 4294967294));
    tar_pax(&tar, "SCHILY.xattr.user.a", "v\0w", 3);
    tar_add(&tar, ENTRY(.name = "x", .type = '0'));
    tar_pax(&tar, "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
    tar_add(&tar, ENTRY(.name = "y", .type = '5'));
    tar_pax(&tar, "SCHILY.xattr.user.overlay.redirect", "/..", 3);
    tar_add(&tar, ENTRY(.name = "z", .type = '5'));
    must_unpack(t, &tar);
    assert_int_equal(stat_of(".").st_mode, S_IFDIR | 0711);
    struct stat st = stat_of("bin/su");
    assert_int_equal(st.st_mode, S_IFREG | 04755);
    assert_int_equal(st.st_uid, 7);
    assert_int_equal(st.st_gid, 8);
    assert_int_equal(st.st_mtime, 2000);
    assert_int_equal(st.st_nlink, 3);
    assert_int_equal(stat_of("bin").st_mtime, 1000);
    assert_int_equal(stat_of("bin").st_mode, S_IFDIR | 01777);
    assert_int_equal(stat_of("bin/soft").st_uid, 9);
    assert_true(S_ISFIFO(stat_of("bin/pipe").st_mode));
    assert_false(exists("bin/null"));
    assert_int_equal(t->totals.skipped, 1);
    assert_int_equal(stat_of("far").st_uid, 4294967294);
    char v[8];
    assert_int_equal(lgetxattr("x", "user.a", v, sizeof(v)), 3);
    assert_int_equal(llistxattr("y", NULL, 0), 0);
    assert_int_equal(llistxattr("z", NULL, 0), 0);
    assert_int_equal(t->marks.len, 0);
}

static void test_whiteouts(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    tar_add(&tar, ENTRY(.name = "d/", .type = '5'));
    tar_add(&tar, ENTRY(.name = "d/.wh.gone", .type = '0'));
    tar_add(&tar, ENTRY(.name = "d/.wh..wh..opq", .type = '0'));
    tar_add(&tar, ENTRY(.name = "new", .type = '0'));
    tar_add(&tar, ENTRY(.name = ".wh.new", .type = '0')); /* hides only what is below */
    tar_add(&tar, ENTRY(.name = ".wh.again", .type = '0'));
    tar_add(&tar, ENTRY(.name = "again/", .type = '5')); /* a new directory in an old one's place */
    tar_add(&tar, ENTRY(.name = ".wh.imp", .type = '0'));
    tar_add(&tar, ENTRY(.name = "imp/f", .type = '0'));
    tar_add(&tar, ENTRY(.name = "e/f", .type = '0'));
    tar_add(&tar, ENTRY(.name = ".wh..wh.plnk", .type = '5'));
    tar_add(&tar, ENTRY(.name = ".wh..wh.plnk/77", .type = '0'));
    must_unpack(t, &tar);
    struct stat st = stat_of("d/gone");
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
    assert_true(S_ISREG(stat_of("new").st_mode));
    assert_true(has_mark(t, "Od") && has_mark(t, "Oagain") && has_mark(t, "Oimp"));
    assert_true(has_mark(t, "Ie") && has_mark(t, "I"));
    assert_false(exists("d/.wh.gone"));
    assert_false(exists(".wh..wh.plnk"));
}

/* A last file without its padding and without the end of the archive: some builders write that. */
static void test_unpadded_end(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    tar_add(&tar, ENTRY(.name = "f", .type = '0', .data = "0123456789", .len = 10));
    assert_int_equal(unpack_bytes(t, tar.data, 512 + 10), 0);
    assert_int_equal(stat_of("f").st_size, 10);
    tar_done(&tar);
}

static void test_replacement(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    tar_add(&tar, ENTRY(.name = "a/b/c/d", .type = '0'));
    tar_add(&tar, ENTRY(.name = "a/b/e", .type = '0'));
    tar_add(&tar, ENTRY(.name = "a", .type = '2', .link = "..")); /* a directory becomes a link */
    tar_add(&tar, ENTRY(.name = "f", .type = '0', .data = "long", .len = 4));
    tar_add(&tar, ENTRY(.name = "f/", .type = '5'));
    tar_add(&tar, ENTRY(.name = "f/g", .type = '0'));
    tar_add(&tar, ENTRY(.name = "r", .type = '2', .link = "f")); /* a link that stays inside */
    tar_add(&tar, ENTRY(.name = "r/h", .type = '0'));
    must_unpack(t, &tar);
    assert_true(S_ISLNK(stat_of("a").st_mode));
    assert_true(exists("f/g") && exists("f/h"));
}

/* ------------------------------------------------------------------- bad */

struct attack {
    struct tar_entry e[3];
    const char *why;
};

static const char long_name[] = "n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n/n";

static const struct attack attacks[] = {
    {{{.name = "/etc/passwd", .type = '0'}}, "absolute"},
    {{{.name = "../x", .type = '0'}}, "'..'"},
    {{{.name = "a/../../x", .type = '0'}}, "'..'"},
    {{{.name = "/..", .type = '5'}}, "'..'"},
    {{{.name = "l", .type = '2', .link = "/"}, {.name = "l/etc/x", .type = '0'}},
     "out of the layer"},
    {{{.name = "l", .type = '2', .link = ".."}, {.name = "l/secret", .type = '0'}},
     "out of the layer"},
    {{{.name = "l", .type = '2', .link = "../root"}, {.name = "l/x", .type = '0'}},
     "out of the layer"},
    {{{.name = "l", .type = '2', .link = "l"}, {.name = "l/x", .type = '0'}}, "out of the layer"},
    {{{.name = "l", .type = '2', .link = "nowhere"}, {.name = "l/x", .type = '0'}},
     "out of the layer"},
    {{{.name = "h", .type = '1', .link = "../secret"}}, "'..'"},
    {{{.name = "h", .type = '1', .link = "/etc/shadow"}}, "not in the layer"},
    {{{.name = "h", .type = '1', .link = "later"}, {.name = "later", .type = '0'}},
     "not in the layer"},
    {{{.name = "d", .type = '5'}, {.name = "h", .type = '1', .link = "d"}}, "not a file"},
    {{{.name = "l", .type = '2', .link = ".."}, {.name = "h", .type = '1', .link = "l/secret"}},
     "not in the layer"},
    {{{.name = "f", .type = '0'}, {.name = "f/x", .type = '0'}}, "not a directory"},
    {{{.name = ".wh.", .type = '0'}}, "names nothing"},
    {{{.name = ".wh..", .type = '0'}}, "names nothing"},
    {{{.name = ".wh...", .type = '0'}}, "names nothing"},
    {{{.name = ".wh..wh..opq", .type = '5'}}, "directory"},
    {{{.name = ".wh.x/etc", .type = '0'}}, "whiteout"},
    {{{.name = "l", .type = '2', .link = ".."}, {.name = "l/.wh.secret", .type = '0'}},
     "out of the layer"},
    {{{.name = "u", .type = '0', .uid = 4294967295}}, "out of range"},
    {{{.name = "u", .type = '0', .uid = UINT64_C(1) << 50}}, "out of range"},
    {{{.name = "u", .type = '0', .gid = UINT64_MAX}}, "out of range"},
    {{{.name = "big", .type = '0', .claimed = UINT64_C(1) << 40}}, "too large"},
    {{{.name = "s", .type = '2', .link = ""}}, "empty"},
};

static void test_attacks(void **state)
{
    struct target *t = *state;
    for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
        const struct attack *a = &attacks[i];
        autofree char *dir = xasprintf("case%zu", i);
        autofd int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct tar tar = {0};
        for (size_t j = 0; j < ARRAY_SIZE(a->e) && a->e[j].name; j++)
            tar_add(&tar, &a->e[j]);
        assert_int_equal(mkdir(dir, 0755), 0);
        assert_int_equal(chdir(dir), 0);
        int r = unpack_tar(t, &tar);
        assert_int_equal(fchdir(here), 0);
        if (r == 0)
            fail_msg("case %zu ('%s') was unpacked", i, a->e[0].name);
        if (!strstr(t->err.msg, a->why))
            fail_msg("case %zu: '%s' does not say '%s'", i, t->err.msg, a->why);
    }
    struct stat st = stat_of("../secret");
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_size, 1);
    assert_false(exists("../etc") || exists("../x"));
}

static void test_budgets(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    char name[600];
    for (int i = 0; i < 2001; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        tar_add(&tar, ENTRY(.name = name, .type = '0'));
    }
    assert_int_equal(unpack_tar(t, &tar), -1);
    assert_int_equal(t->err.code, ERR_EXHAUSTED);
    char *deep = xcalloc(1, 3000);
    for (int i = 0; i < 300; i++)
        memcpy(deep + 2 * i, "n/", 2);
    tar_pax(&tar, "path", deep, 600);
    tar_add(&tar, ENTRY(.name = long_name, .type = '0'));
    assert_int_equal(unpack_tar(t, &tar), -1);
    assert_non_null(strstr(t->err.msg, "deeper"));
    memset(deep, 'n', 2999);
    tar_pax(&tar, "path", deep, 2999);
    tar_add(&tar, ENTRY(.name = long_name, .type = '0'));
    assert_int_equal(unpack_tar(t, &tar), -1);
    assert_non_null(strstr(t->err.msg, "component"));
    free(deep);
    for (int i = 0; i < 70; i++) {
        (void)snprintf(name, sizeof(name), "SCHILY.xattr.user.k%d", i);
        tar_pax(&tar, name, "v", 1);
    }
    struct tar many = {0}; /* all records in one header */
    autostrbuf records = STRBUF_INIT;
    for (int i = 100; i < 200; i++)
        strbuf_addf(&records, "30 SCHILY.xattr.user.k%d=val\n", i);
    tar_done(&tar);
    tar_add(&many, ENTRY(.name = "p", .type = 'x', .data = records.s, .len = records.len));
    tar_add(&many, ENTRY(.name = "f", .type = '0'));
    assert_int_equal(unpack_tar(t, &many), -1);
    assert_non_null(strstr(t->err.msg, "attributes"));
}

static void test_bytes_budget(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    size_t n = 6 << 20;
    char *data = xcalloc(1, n);
    for (int i = 0; i < 3; i++)
        tar_add(&tar, ENTRY(.name = i == 0   ? "a"
                                    : i == 1 ? "b"
                                             : "c",
                            .type = '0', .data = data, .len = n));
    free(data);
    assert_int_equal(unpack_tar(t, &tar), -1);
    assert_int_equal(t->err.code, ERR_EXHAUSTED);
}

static void test_no_tar(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    assert_int_equal(unpack_bytes(t, "<html>hello, this is no archive</html>", 38), -1);
    assert_int_equal(t->err.code, ERR_CORRUPT);
    char data[2000] = "data";
    tar_add(&tar, ENTRY(.name = "f", .type = '0', .data = data, .len = sizeof(data)));
    assert_int_equal(unpack_bytes(t, tar.data, 515), -1); /* cut off in the data */
    assert_int_equal(t->err.code, ERR_CORRUPT);
    tar.data[10] ^= 1; /* checksum */
    tar_end(&tar);
    assert_int_equal(unpack_bytes(t, tar.data, tar.len), -1);
    assert_int_equal(t->err.code, ERR_CORRUPT);
    tar_done(&tar);
    tar_add(&tar, ENTRY(.name = "p", .type = 'x', .data = "99999 path=x\n", .len = 13));
    tar_add(&tar, ENTRY(.name = "f", .type = '0'));
    (void)unpack_tar(
        t, &tar); /* a record that lies about its length: refused or passed over, never believed */
    assert_int_equal(unpack_bytes(t, "", 0), 0);
}

/* ----------------------------------------------------------- compression */

static void test_gzip(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    char data[100000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * i >> 7);
    tar_add(&tar, ENTRY(.name = "f", .type = '0', .data = data, .len = sizeof(data)));
    tar_end(&tar);
    size_t na = 0, nb = 0;
    autofree void *a = tar_gzip(tar.data, 4096, &na);
    autofree void *b = tar_gzip(tar.data + 4096, tar.len - 4096, &nb);
    struct tar both = {0};
    tar_raw(&both, a, na);
    tar_raw(&both, b, nb);
    assert_int_equal(unpack_bytes(t, both.data, both.len), 0);
    assert_int_equal(stat_of("f").st_size, sizeof(data));
    assert_int_equal(unpack_bytes(t, both.data, both.len - 3), -1); /* cut in the trailer */
    assert_int_equal(t->err.code, ERR_CORRUPT);
    assert_int_equal(unpack_bytes(t, both.data, na + nb / 2), -1);
    tar_raw(&both, "\0\0\0\0", 4);
    assert_int_equal(unpack_bytes(t, both.data, both.len), 0); /* padding */
    tar_raw(&both, "garbage", 7);
    assert_int_equal(unpack_bytes(t, both.data, both.len), -1);
    assert_non_null(strstr(t->err.msg, "garbage"));
    both.data[na / 2] ^= 0x40;
    assert_int_equal(unpack_bytes(t, both.data, both.len), -1);
    tar_done(&both);
    tar_done(&tar);
}

static void test_zstd(void **state)
{
    struct target *t = *state;
    struct tar tar = {0};
    tar_add(&tar, ENTRY(.name = "f", .type = '0', .data = "hello", .len = 5));
    tar_end(&tar);
    size_t cap = ZSTD_compressBound(tar.len);
    autofree char *z = xmalloc(cap);
    size_t n = ZSTD_compress(z, cap, tar.data, tar.len, 3);
    assert_int_equal(unpack_bytes(t, z, n), 0);
    assert_int_equal(stat_of("f").st_size, 5);
    assert_int_equal(unpack_bytes(t, z, n - 4), -1);
    assert_int_equal(t->err.code, ERR_CORRUPT);
    /* a window of 2 GiB */
    static const unsigned char huge[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0, 0};
    assert_int_equal(unpack_bytes(t, huge, sizeof(huge)), -1);
    assert_int_equal(unpack_bytes(t,
                                  "\xfd"
                                  "7zXZ\0....",
                                  10),
                     -1);
    assert_non_null(strstr(t->err.msg, "xz"));
    assert_int_equal(unpack_bytes(t, "BZh9......", 10), -1);
    assert_non_null(strstr(t->err.msg, "bzip2"));
    tar_done(&tar);
}

static void test_bomb(void **state)
{
    struct target *t = *state;
    size_t n = 80 << 20, len = 0;
    char *zeros = calloc(1, n);
    autofree void *z = tar_gzip(zeros, n, &len); /* end of archive, then zeros without end */
    free(zeros);
    assert_true(len < 200000);
    assert_int_equal(unpack_bytes(t, z, len), -1);
    assert_int_equal(t->err.code, ERR_EXHAUSTED);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_metadata), CASE(test_whiteouts), CASE(test_replacement),  CASE(test_unpadded_end),
        CASE(test_attacks),  CASE(test_budgets),   CASE(test_bytes_budget), CASE(test_no_tar),
        CASE(test_gzip),     CASE(test_zstd),      CASE(test_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
