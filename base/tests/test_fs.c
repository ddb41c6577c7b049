/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/fs and the walks over trees, hostile ones included. Root is needed for the mounts.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

static int open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static size_t count_entries(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n - 2;
}

static void read_and_write(void **state)
{
    autofd int dir = open_dir(*state);
    autofree char *text = NULL;
    struct err err = ERR_INIT;
    char big[10000];
    size_t len;

    memset(big, 'x', sizeof(big));
    assert_ok(fs_write_file(dir, "f", big, sizeof(big), 0600, &err), err);
    assert_ok(fs_read_file(dir, "f", sizeof(big), &text, &len, &err), err);
    assert_int_equal(len, sizeof(big));
    assert_int_equal(text[len], 0);
    text = (free(text), NULL);
    assert_err(fs_read_file(dir, "f", sizeof(big) - 1, &text, NULL, &err), err, ERR_EXHAUSTED,
               "'f'");
    assert_null(text);
    assert_err(fs_read_file(dir, "g", 1, &text, NULL, &err), err, ERR_NOT_FOUND, "open 'g'");
    assert_ok(fs_read_file(AT_FDCWD, "/proc/self/stat", 4096, &text, &len, &err), err);
    assert_true(len > 10);
}

static void replace(void **state)
{
    autofree char *path = path_join(*state, "sub/f");
    autofree char *sub = path_join(*state, "sub");
    autofree char *text = NULL;
    struct err err = ERR_INIT;
    struct stat st;

    assert_err(fs_replace_file(AT_FDCWD, path, "a", 1, 0644, true, &err), err, ERR_NOT_FOUND,
               "sub/f");
    assert_ok(fs_mkdirs(sub, 0755, &err), err);
    assert_ok(fs_replace_file(AT_FDCWD, path, "old", 3, 0644, true, &err), err);
    assert_ok(fs_replace_file(AT_FDCWD, path, "newer", 5, 0666, false, &err), err);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
#ifdef UNICRI_FAULTS
    fault_set("fs.write=ENOSPC");
    assert_err(fs_replace_file(AT_FDCWD, path, "x", 1, 0644, true, &err), err, ERR_EXHAUSTED,
               "fs.write");
    fault_set("fs.rename=EIO");
    assert_err(fs_replace_file(AT_FDCWD, path, "x", 1, 0644, true, &err), err, ERR_INTERNAL,
               "fs.rename");
    fault_set(NULL);
#endif
    assert_int_equal(count_entries(sub), 1); /* no temporary is left */
    assert_ok(fs_read_file(AT_FDCWD, path, 10, &text, NULL, &err), err);
    assert_string_equal(text, "newer");
}

static void directories(void **state)
{
    autofd int dir = open_dir(*state), shm = open_dir("/dev/shm");
    autofree char *deep = path_join(*state, "a//b/c/");
    struct err err = ERR_INIT;

    assert_ok(fs_mkdirs(deep, 0700, &err), err);
    assert_ok(fs_mkdirs(deep, 0700, &err), err);
    assert_ok(fs_mkdir(dir, "a", 0700, &err), err);
    assert_ok(fs_write_file(dir, "f", "", 0, 0600, &err), err);
    assert_err(fs_mkdir(dir, "f", 0700, &err), err, ERR_EXISTS, "'f'");
    assert_ok(fs_remove(dir, "f", &err), err);
    assert_ok(fs_remove(dir, "f", &err), err);
    assert_int_equal(fs_remove(dir, "a", &err), -1); /* not empty */
    assert_ok(fs_remove(dir, "a/b/c", &err), err);
    assert_ok(fs_sync_dir(dir, "a", &err), err);
    assert_ok(fs_sync_tree(shm, &err), err); /* not the disk of all who build at the moment */
}

/* The daemon runs with umask 077; what a container's user must read says so. */
static void modes_are_exact(void **state)
{
    autofd int dir = open_dir(*state);
    struct err err = ERR_INIT;
    struct stat st;
    mode_t old = umask(077);

    assert_ok(fs_mkdir(dir, "d", 0755, &err), err);
    assert_ok(fs_write_file(dir, "f", "x", 1, 0644, &err), err);
    assert_ok(fs_replace_file(dir, "r", "x", 1, 0644, false, &err), err);
    (void)umask(old);
    assert_int_equal(fstatat(dir, "d", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(fstatat(dir, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(fstatat(dir, "r", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_ok(fs_mkdir(dir, "d", 0700, &err), err); /* what exists keeps its mode */
    assert_int_equal(fstatat(dir, "d", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

static void remove_tree_leaves_link_targets(void **state)
{
    autofd int dir = open_dir(*state);
    struct err err = ERR_INIT;

    assert_ok(fs_mkdir(dir, "keep", 0700, &err), err);
    assert_ok(fs_write_file(dir, "keep/f", "x", 1, 0600, &err), err);
    assert_ok(fs_mkdir(dir, "t", 0700, &err), err);
    assert_ok(fs_mkdir(dir, "t/s", 0, &err), err);
    assert_int_equal(symlinkat("../keep", dir, "t/link"), 0);
    assert_int_equal(symlinkat("keep", dir, "toplink"), 0);
    assert_int_equal(mkfifoat(dir, "t/fifo", 0600), 0);
    assert_ok(fs_remove_tree(dir, "t", &err), err);
    assert_ok(fs_remove_tree(dir, "t", &err), err); /* absent is fine */
    assert_ok(fs_remove_tree(dir, "toplink", &err), err);
    assert_int_equal(faccessat(dir, "keep/f", F_OK, 0), 0);
    assert_int_equal(faccessat(dir, "t", F_OK, 0), -1);
    assert_int_equal(faccessat(dir, "toplink", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

/* 5,000 levels: deeper than descriptors, PATH_MAX and the batch of the walk. */
static void deep_tree(void **state)
{
    const int levels = 5000;
    autofd int dir = open_dir(*state);
    int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    struct err err = ERR_INIT;
    uint64_t bytes, inodes;

    for (int i = 0; i < levels; i++) {
        int next;

        assert_int_equal(mkdirat(at, "d", 0700), 0);
        next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
        if (i % 1000 == 0)
            assert_ok(fs_write_file(at, "f", "x", 1, 0600, &err), err);
    }
    (void)close(at);
    assert_ok(fs_disk_usage(dir, "d", deadline_in(60 * NSEC_PER_SEC), &bytes, &inodes, &err), err);
    assert_int_equal(inodes, levels + levels / 1000);
    assert_ok(fs_remove_tree(dir, "d", &err), err);
    assert_int_equal(count_entries(*state), 0);
}

static void wide_tree(void **state)
{
    autofd int dir = open_dir(*state);
    struct err err = ERR_INIT;

    assert_ok(fs_mkdir(dir, "w", 0700, &err), err);
    for (int i = 0; i < 2500; i++) { /* more than two batches */
        char name[32];

        (void)snprintf(name, sizeof(name), "w/d%d", i);
        assert_int_equal(mkdirat(dir, name, 0700), 0);
    }
    assert_ok(fs_remove_tree(dir, "w", &err), err);
    assert_int_equal(count_entries(*state), 0);
}

/* In a mount namespace of its own, so that nothing can be left mounted. Returns: exit status of the
 * child. */
static int mounted_part(const char *dir)
{
    autofree char *inner = path_join(dir, "t/m"), *file = path_join(dir, "t/m/volume");
    autofree char *top = path_join(dir, "t");
    struct err err = ERR_INIT;

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        fs_mkdirs(inner, 0700, &err) || mount("tmpfs", inner, "tmpfs", 0, NULL) ||
        fs_write_file(AT_FDCWD, file, "x", 1, 0600, &err))
        return 2;
    if (fs_remove_tree(AT_FDCWD, top, &err) == 0 || !strstr(err.msg, "mounted"))
        return 3; /* below the path */
    if (fs_remove_tree(AT_FDCWD, inner, &err) == 0 || !strstr(err.msg, "mounted"))
        return 4; /* at the path */
    return access(file, F_OK) ? 5 : 0;
}

static void mounts_are_not_entered(void **state)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(mounted_part(*state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void in_root(void **state)
{
    autofd int dir = open_dir(*state);
    struct err err = ERR_INIT;
    int fd;

    assert_ok(fs_write_file(dir, "passwd", "ours", 4, 0600, &err), err);
    assert_int_equal(symlinkat("/passwd", dir, "absolute"), 0);
    assert_int_equal(symlinkat("../../../../../passwd", dir, "up"), 0);
    assert_int_equal(symlinkat("/proc/self/root/etc", dir, "magic"), 0);
    fd = fs_open_in_root(dir, "absolute", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    (void)close(fd);
    fd = fs_open_in_root(dir, "up", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_err(fs_open_in_root(dir, "magic", O_RDONLY, 0, &err), err, ERR_NOT_FOUND, "'magic'");
    assert_err(fs_open_in_root(dir, "../../etc/passwd", O_RDONLY, 0, &err), err, ERR_NOT_FOUND,
               "etc");
}

static void usage(void **state)
{
    autofd int dir = open_dir(*state);
    struct err err = ERR_INIT;
    char data[8192] = "x";
    uint64_t bytes, inodes;

    assert_ok(fs_write_file(dir, "f", data, sizeof(data), 0600, &err), err);
    assert_int_equal(linkat(dir, "f", dir, "g", 0), 0);
    assert_int_equal(symlinkat("f", dir, "l"), 0);
    assert_ok(fs_disk_usage(dir, ".", DEADLINE_NEVER, &bytes, &inodes, &err), err);
    assert_int_equal(inodes, 3); /* the directory, f once, the link */
    assert_in_range(bytes, sizeof(data), 6 * sizeof(data));
    assert_err(fs_disk_usage(dir, ".", 1, &bytes, &inodes, &err), err, ERR_DEADLINE, "disk usage");
    assert_ok(fs_free_bytes(*state, &bytes, &err), err);
    assert_true(bytes > 0);
}

static void locks(void **state)
{
    autofree char *path = path_join(*state, "lock");
    struct err err = ERR_INIT;
    int fd = fs_lock_dir(*state, &err);

    assert_true(fd >= 0);
    assert_err(fs_lock_dir(*state, &err), err, ERR_STATE, "held by another");
    (void)close(fd);
    assert_err(fs_lock_dir(path, &err), err, ERR_NOT_FOUND, "No such file");
    fd = fs_lock(path, &err);
    assert_true(fd >= 0);
    assert_err(fs_lock(path, &err), err, ERR_STATE, "held by another");
    (void)close(fd);
    fd = fs_lock(path, &err);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void paths(void **state)
{
    static const char *const rows[][3] = {{"/a", "b", "/a/b"},
                                          {"/a/", "/b", "/a/b"},
                                          {"/", "b", "/b"},
                                          {"", "b", "b"},
                                          {"a", "", "a/"}};
    char long_name[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autofree char *s = path_join(rows[i][0], rows[i][1]);

        assert_string_equal(s, rows[i][2]);
    }
    memset(long_name, 'a', sizeof(long_name));
    long_name[256] = '\0';
    assert_false(name_is_safe(long_name));
    long_name[255] = '\0';
    assert_true(name_is_safe(long_name));
    assert_true(name_is_safe("..."));
    assert_false(name_is_safe(""));
    assert_false(name_is_safe("."));
    assert_false(name_is_safe(".."));
    assert_false(name_is_safe("a/b"));
    assert_false(name_is_safe("a\nb"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(read_and_write),
        in_dir(replace),
        in_dir(directories),
        in_dir(modes_are_exact),
        in_dir(remove_tree_leaves_link_targets),
        in_dir(deep_tree),
        in_dir(wide_tree),
        in_dir(mounts_are_not_entered),
        in_dir(in_root),
        in_dir(usage),
        in_dir(locks),
        cmocka_unit_test(paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
