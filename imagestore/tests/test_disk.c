/* SPDX-License-Identifier: Apache-2.0 */
/* disk: images as disks of every kind, shared, collected, recovered; private copies; the room that
 * the programs are shut in. */
#include "imagestore/tests/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/child.h"
#include "base/fault.h"
#include "imagestore/mkdisk/room.h"

#define ENTRY(...) (&(struct tar_entry){__VA_ARGS__})
#define SOON       deadline_in(300 * NSEC_PER_SEC)

static struct image *must_pull(struct fixture *f, const char *name)
{
    struct err err;
    struct image *image = pull(f, name, &err);
    if (!image)
        fail_msg("%s", err.msg);
    return image;
}

/* Two layers with all that a disk must keep, and a root with a mode of its own. */
static struct image *make_image(struct fixture *f)
{
    struct tar t = {0};
    struct layer_info l[2];
    tar_add(&t, ENTRY(.name = "./", .type = '5', .mode = 0751, .uid = 7, .gid = 8));
    tar_add(&t, ENTRY(.name = "dir/a", .type = '0', .data = "a0", .len = 2));
    tar_add(&t, ENTRY(.name = "dir/b", .type = '0', .data = "b0", .len = 2));
    tar_add(&t, ENTRY(.name = "opq/old", .type = '0', .data = "old", .len = 3));
    tar_add(&t, ENTRY(.name = "gone", .type = '0', .data = "g", .len = 1));
    tar_add(&t, ENTRY(.name = "su", .type = '0', .mode = 04711, .uid = 3, .gid = 4, .mtime = 99));
    tar_add(&t, ENTRY(.name = "hard", .type = '1', .link = "su"));
    tar_add(&t, ENTRY(.name = "link", .type = '2', .link = "dir"));
    tar_add(&t, ENTRY(.name = "out", .type = '2', .link = "../../../etc"));
    tar_add(&t, ENTRY(.name = "secret", .type = '0', .mode = 01, .data = "s", .len = 1));
    tar_pax(&t, "SCHILY.xattr.user.note", "kept", 4);
    tar_add(&t, ENTRY(.name = "noted", .type = '0', .data = "n", .len = 1));
    l[0] = put_layer(f, "disk", &t);
    tar_add(&t, ENTRY(.name = "dir/.wh.b", .type = '0'));
    tar_add(&t, ENTRY(.name = ".wh.gone", .type = '0'));
    tar_add(&t, ENTRY(.name = "opq/.wh..wh..opq", .type = '0'));
    tar_add(&t, ENTRY(.name = "opq/new", .type = '0', .data = "new", .len = 3));
    l[1] = put_layer(f, "disk", &t);
    (void)put_image(f, "disk", "latest", l, 2, "");
    return must_pull(f, image_name(f, "disk"));
}

static int must_open(struct fixture *f, const struct image *image, enum image_disk_kind kind,
                     const char *directory)
{
    struct err err = ERR_INIT;
    int fd = image_disk_open(f->store, image, kind, directory, SOON, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    return fd;
}

static size_t count_disks(struct fixture *f)
{
    autofree char *path = path_join(f->root, "disks");
    autodir DIR *d = opendir(path);
    const struct dirent *e;
    size_t n = 0;
    assert_non_null(d);
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    return n;
}

/* ------------------------------------------------------------ what is in it */

/* Mounts the file behind fd by a loop device. Returns: false when this host cannot. */
static bool mount_disk(struct fixture *f, int fd, const char *type, const char *options,
                       const char **why)
{
    autofree char *dir = path_join(f->dir, "mnt"),
                  *file = xasprintf("/proc/%d/fd/%d", getpid(), fd);
    autofree char *known = NULL, *line = xasprintf("\t%s\n", type);
    char *argv[] = {(char[]){"mount"},
                    (char[]){"-t"},
                    (char *)(uintptr_t)type,
                    (char[]){"-o"},
                    (char *)(uintptr_t)options,
                    file,
                    dir,
                    NULL};
    struct child_spec spec = {.argv = argv};
    autochild_output out = {0};
    struct child_status status;
    struct err err = ERR_INIT;
    if (fs_read_file(AT_FDCWD, "/proc/filesystems", 65536, &known, NULL, &err) < 0 ||
        fs_mkdirs(dir, 0755, &err) < 0)
        fail_msg("%s", err.msg);
    *why = "this kernel does not know the filesystem";
    if (!strstr(known, line))
        return false;
    *why = "no loop devices";
    if (access("/dev/loop-control", R_OK | W_OK) < 0)
        return false;
    if (child_run(&spec, NULL, 0, 4096, SOON, &out, &status, &err) < 0)
        fail_msg("%s", err.msg);
    if (!status.exited || status.code)
        fail_msg("mount: %s", out.errout);
    return true;
}

static void unmount_disk(struct fixture *f)
{
    autofree char *dir = path_join(f->dir, "mnt");
    if (umount2(dir, 0) < 0)
        fail_msg("umount: %s", strerror(errno));
}

static struct stat stat_of(struct fixture *f, const char *name)
{
    autofree char *path = xasprintf("%s/mnt/%s", f->dir, name);
    struct stat st;
    if (lstat(path, &st) < 0)
        fail_msg("'%s': %s", name, strerror(errno));
    return st;
}

static bool is_there(struct fixture *f, const char *name)
{
    autofree char *path = xasprintf("%s/mnt/%s", f->dir, name);
    return access(path, F_OK) == 0;
}

static void assert_text(struct fixture *f, const char *name, const char *text)
{
    autofree char *path = xasprintf("%s/mnt/%s", f->dir, name), *got = NULL;
    struct err err = ERR_INIT;
    if (fs_read_file(AT_FDCWD, path, 1024, &got, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(got, text);
}

static void check_content(struct fixture *f)
{
    char note[16] = "";
    autofree char *noted = xasprintf("%s/mnt/noted", f->dir);
    struct stat su = stat_of(f, "su"), hard = stat_of(f, "hard"), root = stat_of(f, ".");
    assert_text(f, "dir/a", "a0");
    assert_text(f, "link/a", "a0");
    assert_text(f, "opq/new", "new");
    assert_text(f, "secret", "s");
    assert_false(is_there(f, "dir/b") || is_there(f, "gone") || is_there(f, "opq/old"));
    assert_false(is_there(f, ".wh.gone") || is_there(f, "opq/.wh..wh..opq"));
    assert_int_equal(su.st_mode, S_IFREG | 04711);
    assert_int_equal(su.st_uid, 3);
    assert_int_equal(su.st_gid, 4);
    assert_int_equal(su.st_mtime, 99);
    assert_int_equal(su.st_ino, hard.st_ino);
    assert_int_equal(su.st_nlink, 2);
    assert_int_equal(root.st_mode, S_IFDIR | 0751);
    assert_int_equal(root.st_uid, 7);
    assert_int_equal(root.st_gid, 8);
    assert_int_equal(getxattr(noted, "user.note", note, sizeof(note)), 4);
    assert_string_equal(note, "kept");
}

static void check_kind(struct fixture *f, enum image_disk_kind kind)
{
    autoimage *image = make_image(f);
    const char *name = image_disk_kind_name(kind), *why = NULL;
    autofd int fd = must_open(f, image, kind, "");
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    if (!mount_disk(f, fd, name, "loop,ro", &why)) {
        print_message("what is in an %s disk: skipped: %s\n", name, why);
        skip();
    }
    check_content(f);
    unmount_disk(f);
}

static void test_erofs(void **state)
{
    check_kind(*state, IMAGE_DISK_EROFS);
}

static void test_squashfs(void **state)
{
    check_kind(*state, IMAGE_DISK_SQUASHFS);
}

static void test_ext4(void **state)
{
    check_kind(*state, IMAGE_DISK_EXT4);
}

static void test_ext2(void **state)
{
    check_kind(*state, IMAGE_DISK_EXT2);
}

#ifdef UNICRI_FAULTS
/* The mount of kernels before 6.8, and an image of one layer, whose whiteouts count too. */
static void test_old_kernel(void **state)
{
    struct fixture *f = *state;
    const char *why = NULL;
    autoimage *image = make_image(f);
    fault_set("rootfs.old_kernel=ENOSYS");
    autofd int fd = must_open(f, image, IMAGE_DISK_SQUASHFS, "");
    fault_set(NULL);
    if (!mount_disk(f, fd, "squashfs", "loop,ro", &why)) {
        print_message("what is in the disk: skipped: %s\n", why);
        skip();
    }
    check_content(f);
    unmount_disk(f);
}
#endif

/* --------------------------------------------------------------- directories */

static void test_directory(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    const char *why = NULL;
    autoimage *image = make_image(f);
    autofd int fd = must_open(f, image, IMAGE_DISK_SQUASHFS, "/link");
    static const char *const missing[] = {"none", "dir/b", "dir/a", "out", "../../etc", "dir/a/b"};
    for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
        err = ERR_INIT;
        assert_int_equal(
            image_disk_open(f->store, image, IMAGE_DISK_SQUASHFS, missing[i], SOON, &err), -1);
        if (err.code != ERR_NOT_FOUND && err.sys != ENOTDIR)
            fail_msg("'%s': %s", missing[i], err.msg);
    }
    assert_int_equal(count_disks(f), 1);
    if (!mount_disk(f, fd, "squashfs", "loop,ro", &why)) {
        print_message("what is in the disk: skipped: %s\n", why);
        skip();
    }
    assert_text(f, "a", "a0");
    assert_false(is_there(f, "su"));
    unmount_disk(f);
}

static void test_no_layers(void **state)
{
    struct fixture *f = *state;
    (void)put_image(f, "none", "latest", NULL, 0, "");
    autoimage *image = must_pull(f, image_name(f, "none"));
    autofd int fd = must_open(f, image, IMAGE_DISK_EROFS, "/");
    assert_true(fd >= 0);
}

/* ------------------------------------------------------------------- sharing */

struct opener {
    struct fixture *f;
    const struct image *image;
    ino_t inode;
    struct err err;
};

static void *open_one(void *arg)
{
    struct opener *o = arg;
    autofd int fd = image_disk_open(o->f->store, o->image, IMAGE_DISK_SQUASHFS, "", SOON, &o->err);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0)
        o->inode = st.st_ino;
    return NULL;
}

static void test_shared(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = make_image(f);
    struct image_fs_info before, after;
    struct opener o[4];
    pthread_t t[ARRAY_SIZE(o)];
    assert_int_equal(imagestore_fs_info(f->store, &before, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        o[i] = (struct opener){.f = f, .image = image, .err = ERR_INIT};
        assert_int_equal(pthread_create(&t[i], NULL, open_one, &o[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        (void)pthread_join(t[i], NULL);
        if (!o[i].inode)
            fail_msg("%s", o[i].err.msg);
        assert_int_equal(o[i].inode, o[0].inode);
    }
    assert_int_equal(count_disks(f), 1);
    assert_int_equal(imagestore_fs_info(f->store, &after, &err), 0);
    assert_true(after.used_bytes > before.used_bytes);
    assert_int_equal(after.used_inodes, before.used_inodes + 1);
    image_fs_info_done(&before);
    image_fs_info_done(&after);
}

static void test_collected(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = make_image(f);
    autofree char *dir = path_join(f->dir, "c1");

    close(must_open(f, image, IMAGE_DISK_EROFS, ""));
    close(must_open(f, image, IMAGE_DISK_EXT4, ""));
    assert_int_equal(count_disks(f), 2);
    if (rootfs_hold(f->store, image, dir, &err) < 0 ||
        imagestore_remove(f->store, image->id, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(count_disks(f), 2);
    fixture_close(f); /* a new daemon knows the hold too */
    fixture_open(f);
    assert_int_equal(count_disks(f), 2);
    close(must_open(f, image, IMAGE_DISK_EXT4, ""));
    if (rootfs_unmount(f->store, dir, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(count_disks(f), 0);
    assert_int_equal(count_layers(f), 0);
}

/* ------------------------------------------------------------------ recovery */

static char *only_disk(struct fixture *f)
{
    autofree char *path = path_join(f->root, "disks");
    autodir DIR *d = opendir(path);
    const struct dirent *e;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            return path_join(path, e->d_name);
    fail_msg("no disk");
    return NULL;
}

static void test_recovery(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = make_image(f);
    autofree char *tmp = path_join(f->root, "disks/tmp-0123456789abcdef");
    autofree char *strange = path_join(f->root, "disks/strange.erofs");
    (void)close_fd(must_open(f, image, IMAGE_DISK_EROFS, ""));
    autofree char *disk = only_disk(f);
    fixture_close(f);
    if (fs_write_file(AT_FDCWD, tmp, "x", 1, 0600, &err) < 0 ||
        fs_write_file(AT_FDCWD, strange, "x", 1, 0600, &err) < 0)
        fail_msg("%s", err.msg);
    fixture_open(f);
    assert_int_equal(count_disks(f), 1);
    assert_int_equal(access(disk, F_OK), 0);
    fixture_close(f); /* cut off: not what the row says */
    if (truncate(disk, 100) < 0)
        fail_msg("%s", strerror(errno));
    fixture_open(f);
    assert_int_equal(count_disks(f), 0);
    (void)close_fd(must_open(f, image, IMAGE_DISK_EROFS, ""));
    (void)unlink(disk); /* gone under a running daemon */
    (void)close_fd(must_open(f, image, IMAGE_DISK_EROFS, ""));
    assert_int_equal(count_disks(f), 1);
}

#ifdef UNICRI_FAULTS
static void test_every_fault(void **state)
{
    static const char *const faults[] = {"image.disk=EIO", "image.disk_rename=EIO",
                                         "image.disk_row=EIO"};
    struct fixture *f = *state;
    autoimage *image = make_image(f);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct err err = ERR_INIT;
        fault_set(faults[i]);
        int fd = image_disk_open(f->store, image, IMAGE_DISK_EROFS, "", SOON, &err);
        fault_set(NULL);
        assert_int_equal(fd, -1);
        fixture_close(f);
        fixture_open(f);
        assert_int_equal(count_disks(f), 0);
    }
    (void)close_fd(must_open(f, image, IMAGE_DISK_EROFS, ""));
}
#endif

static void test_failures(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = make_image(f);
    assert_int_equal(image_disk_open(f->store, image, IMAGE_DISK_EROFS, "", deadline_in(0), &err),
                     -1);
    assert_int_equal(err.code, ERR_DEADLINE);
    f->config.min_free_bytes = UINT64_MAX / 2; /* an eighth of the disk, then */
    f->config.max_image_bytes = 1000;          /* any disk is larger */
    err = ERR_INIT;
    int fd = image_disk_open(f->store, image, IMAGE_DISK_SQUASHFS, "", SOON, &err);
    f->config.min_free_bytes = 0;
    if (fd < 0 && err.code != ERR_EXHAUSTED)
        fail_msg("%s", err.msg);
    (void)close_fd(fd);
    err = ERR_INIT;
    fd = image_disk_open(f->store, image, IMAGE_DISK_EROFS, "", SOON, &err);
    assert_int_equal(fd, -1);
    assert_int_equal(err.code, ERR_EXHAUSTED);
}

/* ------------------------------------------------------------- private disks */

static void test_copy(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    const char *why = NULL;
    autoimage *image = make_image(f);
    autofree char *path = path_join(f->dir, "private"), *made = path_join(f->dir, "mnt/made");
    autofd int fd = must_open(f, image, IMAGE_DISK_EXT4, "");
    autofd int copy = image_disk_copy(f->store, fd, path, &err);
    struct stat a, b;
    if (copy < 0 || fstat(fd, &a) < 0 || fstat(copy, &b) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(a.st_size, b.st_size);
    assert_true(a.st_size >= 16 << 20);
    assert_true(b.st_blocks * 512 < b.st_size / 2); /* holes stay holes */
    assert_int_equal(b.st_mode & 07777, 0600);
    if (!mount_disk(f, copy, "ext4", "loop,rw", &why)) {
        print_message("writing to a copy: skipped: %s\n", why);
        skip();
    }
    check_content(f);
    char *data = calloc(1, 8 << 20); /* of the 16 MiB that were asked for */
    if (fs_write_file(AT_FDCWD, made, data, 8 << 20, 0600, &err) < 0)
        fail_msg("%s", err.msg);
    free(data);
    unmount_disk(f);
    if (!mount_disk(f, fd, "ext4", "loop,ro", &why))
        fail_msg("%s", why);
    assert_false(is_there(f, "made"));
    unmount_disk(f);
}

static void test_copy_refuses(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autofree char *path = path_join(f->dir, "private");
    autofd int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(image_disk_copy(f->store, dir, path, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_scratch(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    const char *why = NULL;
    autofree char *path = path_join(f->dir, "scratch"), *made = path_join(f->dir, "mnt/made");
    assert_int_equal(image_disk_scratch(f->store, path, 1000, SOON, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    for (int i = 0; i < 2; i++) { /* an older one is replaced */
        autofd int fd = image_disk_scratch(f->store, path, 64 << 20, SOON, &err);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(st.st_size, 64 << 20);
        if (!mount_disk(f, fd, "ext4", "loop,rw", &why)) {
            print_message("writing to a scratch disk: skipped: %s\n", why);
            skip();
        }
        assert_false(is_there(f, "made"));
        if (fs_write_file(AT_FDCWD, made, "x", 1, 0600, &err) < 0)
            fail_msg("%s", err.msg);
        unmount_disk(f);
    }
}

/* ------------------------------------------------------------------ the room */

/* What a program in the room can do: a shell tries. */
static void test_room(void **state)
{
    static const char script[] =
        "test -e /etc/passwd && echo BAD passwd; test -e /proc/self && echo BAD proc;"
        "test -e /dev && echo BAD dev; test -e /image/secret && echo BAD image;"
        "echo x >/usr/x && echo BAD usr; echo x >/in/x && echo BAD in;"
        "mount -t tmpfs x /tmp && echo BAD mount; mknod /tmp/n c 1 3 && echo BAD mknod;"
        "chown 5 /out && echo BAD chown; unshare -m true && echo BAD unshare;"
        "dd if=/usr/bin/true of=/out bs=1 count=4097;"
        "test $(stat -c %s /out) -le 4096 || echo BAD size; cat /in/secret";
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autofree char *secret = path_join(f->dir, "src/secret"), *src = path_join(f->dir, "src");
    autofree char *out = path_join(f->dir, "out");
    char *argv[] = {(char[]){"unicri-mkdisk"},
                    (char[]){"4096"},
                    (char[]){"10"},
                    (char[]){"/bin/sh"},
                    (char[]){"-c"},
                    (char *)(uintptr_t)script,
                    NULL};
    if (fs_mkdirs(src, 0700, &err) < 0 || fs_write_file(AT_FDCWD, secret, "s", 1, 0, &err) < 0)
        fail_msg("%s", err.msg);
    autofd int file = open(out, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    autofd int fd = open_tree(file, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    autofd int image = open_tree(AT_FDCWD, src, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    autofd int dir = openat(image, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    struct child_spec spec = {
        .path = f->config.mkdisk_program,
        .argv = argv,
        .cwd = f->dir,
        .fds = {{image, MKDISK_IMAGE_FD}, {dir, MKDISK_SOURCE_FD}, {fd, MKDISK_OUTPUT_FD}},
        .n_fds = 3};
    autochild_output output = {0};
    struct child_status status;
    assert_int_equal(mount_setattr(image, "", AT_EMPTY_PATH, &attr, sizeof(attr)), 0);
    if (child_run(&spec, NULL, 0, 65536, SOON, &output, &status, &err) < 0)
        fail_msg("%s", err.msg);
    if (status.code == MKDISK_OWN_FAILURE)
        fail_msg("%s", output.errout);
    assert_string_equal(output.out, "s"); /* mode 0000, but to be copied */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_erofs),      TEST(test_squashfs),    TEST(test_ext4),   TEST(test_ext2),
        TEST(test_directory),  TEST(test_no_layers),   TEST(test_shared), TEST(test_collected),
        TEST(test_recovery),   TEST(test_failures),    TEST(test_copy),   TEST(test_copy_refuses),
        TEST(test_scratch),    TEST(test_room),
#ifdef UNICRI_FAULTS
        TEST(test_old_kernel), TEST(test_every_fault),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
