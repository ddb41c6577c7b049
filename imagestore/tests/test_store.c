/* SPDX-License-Identifier: Apache-2.0 */
/* store: root filesystems, files straight from layers, holds, removal, recovery. */
#include "imagestore/tests/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mount.h>

#include "base/fault.h"
#include "base/thread.h"

#define ENTRY(...) (&(struct tar_entry){__VA_ARGS__})

static struct image *must_pull(struct fixture *f, const char *name)
{
    struct err err;
    struct image *image = pull(f, name, &err);
    if (!image)
        fail_msg("%s", err.msg);
    return image;
}

/* Three layers that use everything overlayfs merges by. */
static struct image *make_merged(struct fixture *f)
{
    struct tar t = {0};
    struct layer_info l[3];
    tar_add(&t,
            ENTRY(.name = "tmp/", .type = '5', .mode = 01777, .uid = 3, .gid = 4, .mtime = 777));
    tar_add(&t, ENTRY(.name = "dir/a", .type = '0', .data = "a0", .len = 2));
    tar_add(&t, ENTRY(.name = "dir/b", .type = '0', .data = "b0", .len = 2));
    tar_add(&t, ENTRY(.name = "opq/old", .type = '0', .data = "old", .len = 3));
    tar_add(&t, ENTRY(.name = "gone", .type = '0', .data = "g", .len = 1));
    tar_add(&t, ENTRY(.name = "swap/in", .type = '0', .data = "in", .len = 2));
    tar_add(&t, ENTRY(.name = "usr/lib/lib.so", .type = '0', .data = "lib", .len = 3));
    tar_add(&t, ENTRY(.name = "lib", .type = '2', .link = "usr/lib"));
    tar_add(&t, ENTRY(.name = "abs", .type = '2', .link = "/usr/lib/lib.so"));
    tar_add(&t, ENTRY(.name = "out", .type = '2', .link = "../../../../etc/passwd"));
    tar_add(&t, ENTRY(.name = "up", .type = '2', .link = "usr/../dir/../dir/a"));
    tar_add(&t, ENTRY(.name = "loop", .type = '2', .link = "loop2"));
    tar_add(&t, ENTRY(.name = "loop2", .type = '2', .link = "loop"));
    tar_add(&t, ENTRY(.name = "pipe", .type = '6'));
    l[0] = put_layer(f, "merged", &t);
    tar_add(&t, ENTRY(.name = "dir/.wh.b", .type = '0'));
    tar_add(&t, ENTRY(.name = "dir/c", .type = '0', .data = "c1", .len = 2));
    tar_add(&t, ENTRY(.name = "opq/.wh..wh..opq", .type = '0'));
    tar_add(&t, ENTRY(.name = "opq/new", .type = '0', .data = "new", .len = 3));
    tar_add(&t, ENTRY(.name = ".wh.gone", .type = '0'));
    tar_add(&t,
            ENTRY(.name = "tmp/made", .type = '0', .data = "m", .len = 1)); /* no entry for tmp/ */
    l[1] = put_layer(f, "merged", &t);
    tar_add(&t, ENTRY(.name = "dir/a", .type = '0', .mode = 04755, .data = "a2", .len = 2));
    tar_add(&t, ENTRY(.name = "swap", .type = '0', .data = "file", .len = 4));
    l[2] = put_layer(f, "merged", &t);
    (void)put_image(f, "merged", "latest", l, 3, "");
    return must_pull(f, image_name(f, "merged"));
}

struct expected {
    const char *path, *text; /* text NULL: must fail with code */
    enum err_code code;
};
static const struct expected files[] = {
    {"/dir/a", "a2", 0},
    {"dir/c", "c1", 0},
    {"/dir/b", NULL, ERR_NOT_FOUND},
    {"/opq/new", "new", 0},
    {"/opq/old", NULL, ERR_NOT_FOUND},
    {"/gone", NULL, ERR_NOT_FOUND},
    {"/swap", "file", 0},
    {"/swap/in", NULL, ERR_NOT_FOUND},
    {"/lib/lib.so", "lib", 0},
    {"/abs", "lib", 0},
    {"//lib/.././lib//lib.so", "lib", 0},
    {"/up", "a2", 0},
    {"/tmp/made", "m", 0},
    {"../../../../dir/a", "a2", 0}, /* ".." at the root stays there */
    {"/out", NULL, ERR_NOT_FOUND},  /* and so does a link's */
    {"/loop", NULL, ERR_INVALID},
    {"/pipe", NULL, ERR_INVALID},
    {"/dir", NULL, ERR_INVALID},
    {"/", NULL, ERR_INVALID},
    {"", NULL, ERR_INVALID},
};

static void test_open_file(void **state)
{
    struct fixture *f = *state;
    autoimage *image = make_merged(f);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct err err = ERR_INIT;
        autofree char *text = read_image_file(f, image, files[i].path, &err);
        if (files[i].text) {
            if (!text)
                fail_msg("'%s': %s", files[i].path, err.msg);
            assert_string_equal(text, files[i].text);
        } else {
            if (text)
                fail_msg("'%s' was opened: %s", files[i].path, text);
            if (err.code != files[i].code)
                fail_msg("'%s': %s: %s", files[i].path, err_code_name(err.code), err.msg);
        }
    }
}

/* What overlayfs shows must be what image_open_file() says. */
static void test_overlay_agrees(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = make_merged(f);
    autofree char *dir = path_join(f->dir, "c1");
    autofree char *root = path_join(dir, "rootfs");
    for (int again = 0; again < 2; again++)
        if (rootfs_mount(f->store, image, dir, -1, &err) < 0)
            fail_msg("%s", err.msg);
    autofd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct err why = ERR_INIT;
        if (!files[i].path[0])
            continue;
        autofree char *text = NULL;
        autofd int file = fs_open_in_root(fd, files[i].path, O_RDONLY | O_NONBLOCK, 0, &why);
        bool ok = file >= 0 && fs_read_fd(file, 4096, &text, NULL, &why) == 0 && text[0];
        if (ok != (files[i].text != NULL) || (ok && !str_eq(text, files[i].text)))
            fail_msg("'%s' differs in the mount: %s", files[i].path, ok ? text : why.msg);
    }
    autofree char *tmp = path_join(root, "tmp"), *su = path_join(root, "dir/a");
    struct stat st;
    assert_int_equal(stat(tmp, &st), 0);
    assert_int_equal(st.st_mode,
                     S_IFDIR | 01777); /* a layer that only implies it does not change it */
    assert_int_equal(st.st_uid, 3);
    assert_int_equal(st.st_mtime, 777);
    assert_int_equal(stat(su, &st), 0);
    assert_int_equal(st.st_mode & 07777, 04755);
    autofree char *written = path_join(root, "dir/w");
    assert_int_equal(fs_write_file(AT_FDCWD, written, "w", 1, 0600, &err), 0);
    /* another image may not be put over it */
    struct layer_info l = put_file_layer(f, "second", "x", "x", 1);
    (void)put_image(f, "second", "latest", &l, 1, "");
    autoimage *second = must_pull(f, image_name(f, "second"));
    assert_int_equal(rootfs_mount(f->store, second, dir, -1, &err), -1);
    assert_int_equal(err.code, ERR_EXISTS);
    (void)close_fd(fd);
    fd = -1;
    assert_int_equal(rootfs_unmount(f->store, dir, &err), 0);
    assert_int_equal(rootfs_unmount(f->store, dir, &err), 0);
    assert_int_not_equal(access(root, F_OK), 0);
}

static void test_many_layers(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    enum { N = 100 };
    struct layer_info l[N];
    for (size_t i = 0; i < N; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "f%zu",
                       i % 90); /* the last ten are layers seen before */
        l[i] = i < 90 ? put_file_layer(f, "deep", name, name, strlen(name)) : l[i - 90];
    }
    (void)put_image(f, "deep", "latest", l, N, "");
    autoimage *image = must_pull(f, image_name(f, "deep"));
    assert_int_equal(count_layers(f), 90);
    autofree char *dir = path_join(f->dir, "c2");
    autofree char *file = path_join(dir, "rootfs/f89");
    if (rootfs_mount(f->store, image, dir, -1, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(rootfs_unmount(f->store, dir, &err), 0);
}

#ifdef UNICRI_FAULTS
/* Mounted, mounted again, looked at, unmounted: every layer shows, the uppermost wins. */
static void check_mount(struct fixture *f, const struct image *image, size_t n, bool old)
{
    struct err err = ERR_INIT;
    autofree char *dir = path_join(f->dir, "old");
    autofree char *root = path_join(dir, "rootfs");
    for (int again = 0; again < 2; again++)
        if (rootfs_mount(f->store, image, dir, -1, &err) < 0)
            fail_msg("%zu layers: %s", n, err.msg);
    autofree char *mounts = NULL, *long_name = xasprintf("upperdir=%s/upper", dir);
    assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &mounts, NULL, &err),
                     0);
    assert_int_equal(strstr(mounts, long_name) == NULL, old); /* it went the way it should */
    for (size_t i = 0; i < n; i++) {
        autofree char *own = xasprintf("%s/f%zu", root, i);
        if (access(own, F_OK) < 0)
            fail_msg("%zu layers: %s: %s", n, own, strerror(errno));
    }
    autofree char *top = path_join(root, "top"), *expected = xasprintf("%zu", n - 1), *text = NULL;
    assert_int_equal(fs_read_file(AT_FDCWD, top, 100, &text, NULL, &err), 0);
    assert_string_equal(text, expected);
    autofree char *written = path_join(root, "w"), *upper = path_join(dir, "upper/w");
    assert_int_equal(fs_write_file(AT_FDCWD, written, "w", 1, 0600, &err), 0);
    assert_int_equal(access(upper, F_OK), 0);
    for (int i = 0; i < 2; i++)
        if (rootfs_unmount(f->store, dir, &err) < 0)
            fail_msg("%zu layers: %s", n, err.msg);
    assert_int_not_equal(access(root, F_OK), 0);
}

/* A kernel without lowerdir+; 400 is the most that image.max_layers allows. */
static void test_old_kernel(void **state)
{
    struct fixture *f = *state;
    enum { N = 400 };
    static const size_t counts[] = {1, 2, 30, 100, 127, N};
    struct layer_info *l = keep(f, calloc(N, sizeof(*l)));
    char before[4096], after[4096];
    f->config.max_layers = N;
    assert_non_null(getcwd(before, sizeof(before)));
    for (size_t i = 0; i < N; i++) {
        struct tar t = {0};
        char own[32], number[32];
        (void)snprintf(own, sizeof(own), "f%zu", i);
        (void)snprintf(number, sizeof(number), "%zu", i);
        tar_add(&t, ENTRY(.name = own, .type = '0'));
        tar_add(&t, ENTRY(.name = "top", .type = '0', .data = number, .len = strlen(number)));
        l[i] = put_layer(f, "old", &t);
    }
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        autofree char *tag = xasprintf("n%zu", counts[i]);
        (void)put_image(f, "old", tag, l, counts[i], "");
        autofree char *name = xasprintf("%s:%s", image_name(f, "old"), tag);
        autoimage *image = must_pull(f, name);
        fault_set("rootfs.old_kernel=ENOSYS");
        check_mount(f, image, counts[i], true);
        fault_set(NULL);
        check_mount(f, image, counts[i], false); /* and the new way shows the same */
    }
    assert_non_null(getcwd(after, sizeof(after)));
    assert_string_equal(before, after);
}
#endif

static void test_holds(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = put_file_layer(f, "held", "f", "x", 1);
    struct image_info info = put_image(f, "held", "latest", &l, 1, "");
    autoimage *image = must_pull(f, image_name(f, "held"));
    autofree char *a = path_join(f->dir, "hold-a"), *b = path_join(f->dir, "hold-b");
    assert_int_equal(rootfs_mount(f->store, image, a, -1, &err), 0);
    assert_int_equal(rootfs_hold(f->store, image, b, &err), 0);
    assert_int_equal(imagestore_remove(f->store, info.id, &err), 0);
    assert_null(imagestore_find(f->store, info.id, &err));
    assert_int_equal(count_layers(f), 1);
    autofree char *half = path_join(f->root, "images/holds/.tmp-0123");
    fixture_close(f); /* a new daemon knows the holds, and throws away a half written one */
    assert_int_equal(fs_write_file(AT_FDCWD, half, "{", 1, 0600, &err), 0);
    fixture_open(f);
    assert_int_not_equal(access(half, F_OK), 0);
    assert_int_equal(count_layers(f), 1);
    assert_int_equal(rootfs_unmount(f->store, a, &err), 0);
    assert_int_equal(count_layers(f), 1);
    assert_int_equal(fs_remove_tree(AT_FDCWD, b, &err), 0); /* the hold goes with its directory */
    assert_int_equal(rootfs_unmount(f->store, a, &err), 0);
    assert_int_equal(count_layers(f), 0);
    assert_int_equal(rootfs_mount(f->store, image, a, -1, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    struct image_fs_info info2;
    assert_int_equal(imagestore_fs_info(f->store, &info2, &err), 0);
    assert_int_equal(info2.used_bytes, 0);
    assert_string_equal(info2.mountpoint, f->root);
    image_fs_info_done(&info2);
}

static void *call_remove(void *arg)
{
    struct fixture *f = arg;
    struct err err = ERR_INIT;
    const char *name = f->keep[0];
    return imagestore_remove(f->store, name, &err) == 0 ? NULL : arg;
}

static void test_concurrent_remove(void **state)
{
    struct fixture *f = *state;
    char *name = image_name(f, "rm"); /* keep[0] */
    struct layer_info l[2] = {put_file_layer(f, "rm", "f", "x", 1),
                              put_file_layer(f, "rm", "g", "y", 1)};
    (void)put_image(f, "rm", "latest", l, 2, "");
    (void)put_image(f, "stay", "latest", NULL, 0, "\"Cmd\":[\"x\"]");
    for (int round = 0; round < 5; round++) {
        autoimage *image = must_pull(f, name);
        pthread_t t[5];
        assert_non_null(image);
        for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
            struct err err = ERR_INIT;
            if (thread_start("remover", call_remove, f, &t[i], &err) < 0)
                fail_msg("%s", err.msg);
        }
        for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
            void *ret = f;
            (void)pthread_join(t[i], &ret);
            assert_null(ret);
        }
        assert_int_equal(count_layers(f), 0);
    }
}

static void test_shared_layers_stay(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info base = put_file_layer(f, "s1", "base", "b", 1);
    struct layer_info l1[2] = {base, put_file_layer(f, "s1", "one", "1", 1)};
    (void)put_image(f, "s1", "latest", l1, 2, "");
    autoimage *one = must_pull(f, image_name(f, "s1"));
    struct layer_info l2[2] = {put_file_layer(f, "s2", "base", "b", 1),
                               put_file_layer(f, "s2", "two", "2", 1)};
    (void)put_image(f, "s2", "latest", l2, 2, "");
    autoimage *two = must_pull(f, image_name(f, "s2"));
    assert_int_equal(l2[0].blob.route->hits, 0); /* there already */
    assert_int_equal(count_layers(f), 3);
    assert_int_equal(imagestore_remove(f->store, one->id, &err), 0);
    assert_int_equal(count_layers(f), 2);
    autofree char *text = read_image_file(f, two, "/base", &err);
    assert_string_equal(text, "b");
}

/* A layer that vanished: the image is dropped at start, and a pull heals. */
static void test_heals(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = put_file_layer(f, "heal", "f", "x", 1);
    struct image_info info = put_image(f, "heal", "latest", &l, 1, "");
    const char *name = image_name(f, "heal");
    image_unref(must_pull(f, name));
    autofree char *layer = xasprintf("%s/layers/%s", f->root, digest_hex(l.diff_id));
    autofree char *junk = xasprintf("%s/layers/tmp-0123/x", f->root);
    autofree char *stray = xasprintf("%s/layers/%064d", f->root, 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, layer, &err), 0);
    image_unref(must_pull(f, name)); /* without a restart */
    assert_int_equal(access(layer, F_OK), 0);
    fixture_close(f);
    assert_int_equal(fs_remove_tree(AT_FDCWD, layer, &err), 0);
    assert_int_equal(fs_mkdirs(junk, 0700, &err), 0);
    assert_int_equal(fs_mkdirs(stray, 0700, &err), 0);
    fixture_open(f);
    assert_int_equal(count_layers(f), 0);
    assert_null(imagestore_find(f->store, info.id, &err));
    autoimage *image = must_pull(f, name);
    autofree char *text = read_image_file(f, image, "/f", &err);
    assert_string_equal(text, "x");
}

#ifdef UNICRI_FAULTS
static void test_faults_leave_nothing(void **state)
{
    static const char *const points[] = {"image.layer=EIO", "image.rename=ENOSPC",
                                         "image.layer_row=ENOSPC", "image.row=EIO"};
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = put_file_layer(f, "fault", "f", "x", 1);
    (void)put_image(f, "fault", "latest", &l, 1, "");
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        fault_set(points[i]);
        assert_null(pull(f, image_name(f, "fault"), &err));
        fault_set(NULL);
        fixture_close(f);
        fixture_open(f);
        if (count_layers(f) != 0)
            fail_msg("%s leaves a layer", points[i]);
    }
    fault_set("rootfs.mount=EIO");
    autoimage *image = must_pull(f, image_name(f, "fault"));
    autofree char *dir = path_join(f->dir, "cf");
    assert_int_equal(rootfs_mount(f->store, image, dir, -1, &err), -1);
    fault_set(NULL);
    assert_int_equal(rootfs_mount(f->store, image, dir, -1, &err), 0);
    assert_int_equal(rootfs_unmount(f->store, dir, &err), 0);
}
#endif

static void test_find(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    (void)put_image(f, "find", "v1", NULL, 0, "\"Cmd\":[\"x\"]");
    autofree char *name = xasprintf("%s:v1", image_name(f, "find"));
    autoimage *image = must_pull(f, name);
    static const char *const absent[] = {
        "",
        "find",
        "127.0.0.1/find",
        "sha256:",
        "abc",
        "../x",
        "sha256:0000000000000000000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        assert_null(imagestore_find(f->store, absent[i], &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        assert_int_equal(imagestore_remove(f->store, absent[i], &err), 0);
    }
    autofree char *prefix = xstrndup(image->id, 7 + 4);
    autoimage *found = imagestore_find(f->store, prefix, &err);
    assert_non_null(found);
}

static void test_pinned(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = put_file_layer(f, "pin", "f", "1", 1),
                      l2 = put_file_layer(f, "pin", "f", "2", 1);
    struct image_info info = put_image(f, "pin", "latest", &l, 1, "");
    struct image_info free_one = put_image(f, "free", "latest", NULL, 0, "\"Cmd\":[\"x\"]");
    char *by_name[] = {"busybox", image_name(f, "pin"), NULL}; /* without its tag */
    char *by_id[] = {info.id, NULL}, *bad[] = {"NOT a name", NULL};
    image_unref(must_pull(f, image_name(f, "pin")));
    image_unref(must_pull(f, image_name(f, "free")));
    for (int i = 0; i < 2; i++) { /* an image that was pulled before the option was set */
        fixture_close(f);
        f->config.pinned = i ? by_id : by_name;
        fixture_open(f);
        autoimage *image = imagestore_find(f->store, info.id, &err);
        assert_true(image->pinned);
        assert_int_equal(imagestore_remove(f->store, info.id, &err), -1);
        assert_int_equal(err.code, ERR_DENIED);
        assert_contains(err.msg, "image.pinned");
        assert_contains(err.msg, info.id);
    }
    assert_int_equal(imagestore_remove(f->store, free_one.id, &err), 0);
    assert_int_equal(count_layers(f), 1);
    /* pulled while it is set; when the tag moves on, the pin does too */
    fixture_close(f);
    f->config.pinned = by_name;
    fixture_open(f);
    struct image_info next = put_image(f, "pin", "latest", &l2, 1, "");
    autoimage *moved = must_pull(f, image_name(f, "pin"));
    assert_string_equal(moved->id, next.id);
    assert_true(moved->pinned);
    assert_int_equal(imagestore_remove(f->store, info.id, &err), 0);
    assert_int_equal(imagestore_remove(f->store, next.id, &err), -1);
    fixture_close(f);
    f->config.pinned = bad;
    bool rebuilt = false;
    f->db = db_open(f->root, &rebuilt, &err);
    assert_null(imagestore_open(&f->config, f->root, f->db, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_contains(err.msg, "image.pinned");
    db_close(f->db);
    f->config.pinned = NULL; /* no longer pinned */
    fixture_open(f);
    assert_int_equal(imagestore_remove(f->store, next.id, &err), 0);
    assert_int_equal(count_layers(f), 0);
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_open_file),
        CASE(test_overlay_agrees),
        CASE(test_many_layers),
        CASE(test_holds),
        CASE(test_concurrent_remove),
        CASE(test_shared_layers_stay),
        CASE(test_heals),
#ifdef UNICRI_FAULTS
        CASE(test_old_kernel),
        CASE(test_faults_leave_nothing),
#endif
        CASE(test_find),
        CASE(test_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
