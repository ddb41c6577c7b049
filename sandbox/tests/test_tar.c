/* SPDX-License-Identifier: Apache-2.0 */
/* tar_out: what it writes, tar unpacks again; bounds of room, depth and time. */
#include "sandbox/tar_out.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "base/child.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

#define LONG                                                                                       \
    "a-name-that-is-longer-than-the-hundred-bytes-which-the-header-of-an-archive-has-for-it-"      \
    "so-that-it-goes-in-front"

static void put(const char *dir, const char *name, const char *text)
{
    autofree char *path = path_join(dir, name);
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0640, &err), err);
}

/* "tar ARGS" in a directory must succeed. */
static void run_tar(const char *dir, const char *how, const char *archive)
{
    char *argv[] = {(char[]){"tar"},
                    (char *)(uintptr_t)how,
                    (char *)(uintptr_t)archive,
                    (char[]){"--xattrs"},
                    (char[]){"--xattrs-include=user.*"},
                    NULL};
    struct child_spec spec = {.argv = argv, .cwd = dir};
    autochild_output output = {0};
    struct child_status status;
    struct err err = ERR_INIT;

    assert_ok(
        child_run(&spec, NULL, 0, 65536, deadline_in(30 * NSEC_PER_SEC), &output, &status, &err),
        err);
    if (!status.exited || status.code)
        fail_msg("%s", output.errout);
}

static int archive(const char *dir, const char *tree, bool layer, uint64_t room,
                   deadline_t deadline, struct err *err)
{
    autofree char *path = path_join(dir, "out.tar");
    autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    autofd int from = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct tar_out t = {.fd = fd, .room = room, .deadline = deadline};

    assert_true(fd >= 0 && from >= 0);
    *err = ERR_INIT;
    return tar_out_tree(&t, "", from, layer, err) < 0 ? -1 : tar_out_end(&t, err);
}

/* A tree below STATE/in, and the path of an empty STATE/out. */
static char *make_tree(const char *dir, char **ret_out)
{
    char *in = path_join(dir, "in");
    autofree char *sub = path_join(in, "sub"), *deep = path_join(sub, LONG);

    *ret_out = path_join(dir, "out");
    assert_int_equal(mkdir(in, 0755) | mkdir(*ret_out, 0755) | mkdir(sub, 0700) | mkdir(deep, 0711),
                     0);
    return in;
}

static struct stat stat_in(const char *dir, const char *name)
{
    autofree char *path = path_join(dir, name);
    struct stat st = {0};

    if (lstat(path, &st) < 0)
        fail_msg("'%s': %s", path, strerror(errno));
    return st;
}

static void there_and_back(void **state)
{
    const char *dir = *state;
    autofree char *out = NULL, *in = make_tree(dir, &out), *text = NULL;
    autofree char *tar = path_join(dir, "out.tar"), *file = path_join(in, "sub/" LONG "/" LONG);
    autofree char *link = path_join(in, "link"), *fifo = path_join(in, "fifo"),
                  *unix_socket = path_join(in, "sock"),
                  *back = path_join(out, "sub/" LONG "/" LONG);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct err err = ERR_INIT;
    char value[8] = "";
    struct stat st;

    put(in, "sub/" LONG "/" LONG, "content");
    put(in, "empty", "");
    assert_int_equal(lchown(file, 3000000, 5), 0); /* more than an octal field holds */
    assert_int_equal(chmod(file, 04751), 0);
    bool xattrs = setxattr(file, "user.key", "v\0w", 3, 0) == 0;
    assert_int_equal(symlink("../" LONG "/" LONG, link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", unix_socket);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_ok(archive(dir, in, false, 1 << 20, DEADLINE_NEVER, &err), err);
    run_tar(out, "-xpf", tar);
    assert_ok(fs_read_file(AT_FDCWD, back, 100, &text, NULL, &err), err);
    assert_string_equal(text, "content");
    st = stat_in(out, "sub/" LONG "/" LONG);
    assert_int_equal(st.st_uid, 3000000);
    assert_int_equal(st.st_mode & 07777, 04751);
    if (xattrs) {
        assert_int_equal(getxattr(back, "user.key", value, sizeof(value)), 3);
        assert_memory_equal(value, "v\0w", 3);
    }
    assert_int_equal(stat_in(out, "sub").st_mode & 07777, 0700);
    assert_true(S_ISFIFO(stat_in(out, "fifo").st_mode));
    assert_int_equal(stat_in(out, "link").st_size, strlen("../" LONG "/" LONG));
    assert_int_equal(stat_in(out, "empty").st_size, 0);
    autofree char *gone = path_join(out, "sock");
    assert_int_equal(access(gone, F_OK), -1);
}

static void whiteouts(void **state)
{
    const char *dir = *state;
    autofree char *out = NULL, *in = make_tree(dir, &out), *sub = path_join(in, "sub");
    autofree char *white = path_join(in, "gone"), *tar = path_join(dir, "out.tar");
    struct err err = ERR_INIT;

    assert_int_equal(mknod(white, S_IFCHR, makedev(0, 0)), 0);
    if (setxattr(sub, "trusted.overlay.opaque", "y", 1, 0) < 0)
        skip(); /* a filesystem without trusted.* */
    assert_ok(archive(dir, in, true, 1 << 20, DEADLINE_NEVER, &err), err);
    run_tar(out, "-xpf", tar);
    assert_int_equal(stat_in(out, ".wh.gone").st_size, 0);
    assert_int_equal(stat_in(out, "sub/.wh..wh..opq").st_size, 0);
    assert_int_equal(setxattr(sub, "trusted.overlay.redirect", "/other", 6, 0), 0);
    assert_err(archive(dir, in, true, 1 << 20, DEADLINE_NEVER, &err), err, ERR_UNSUPPORTED,
               "renamed directory");
}

static void bounds(void **state)
{
    const char *dir = *state;
    autofree char *out = NULL, *in = make_tree(dir, &out), *sparse = path_join(in, "sparse");
    autofd int fd = open(sparse, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct err err = ERR_INIT;

    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    assert_err(archive(dir, in, false, 1 << 20, DEADLINE_NEVER, &err), err, ERR_EXHAUSTED, "room");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_err(archive(dir, in, false, 700, DEADLINE_NEVER, &err), err, ERR_EXHAUSTED, "room");
    assert_err(archive(dir, in, false, 1 << 20, clock_mono(), &err), err, ERR_DEADLINE, "in time");

    autofd int at = open(in, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; i <= TAR_DEPTH_MAX; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)close_fd(at);
        at = next;
    }
    assert_err(archive(dir, in, false, 1 << 30, DEADLINE_NEVER, &err), err, ERR_EXHAUSTED,
               "directories deep");
}

/* What a container put where a file is expected is not opened. */
static void only_files(void **state)
{
    const char *dir = *state;
    autofree char *link = path_join(dir, "link"), *fifo = path_join(dir, "fifo"),
                  *path = path_join(dir, "out.tar");
    autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct tar_out t = {.fd = fd, .room = 1 << 20, .deadline = DEADLINE_NEVER};
    struct err err = ERR_INIT;

    assert_int_equal(symlink("/etc/shadow", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(tar_out_file(&t, "x", AT_FDCWD, link, &err), -1);
    assert_err(tar_out_file(&t, "x", AT_FDCWD, fifo, &err), err, ERR_INVALID, "regular file");
}

/* The length of a record counts its own digits. */
static void pax_lengths(void **state)
{
    (void)state;
    for (size_t len = 0; len < 1200; len++) {
        autofree char *value = xcalloc(1, len + 1);
        autostrbuf b = STRBUF_INIT;

        memset(value, 'v', len);
        tar_pax_add(&b, "k", value, len);
        assert_int_equal(strtoul(b.s, NULL, 10), b.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {in_dir(there_and_back), in_dir(whiteouts), in_dir(bounds),
                                       in_dir(only_files), cmocka_unit_test(pax_lengths)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
