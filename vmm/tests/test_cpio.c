/* SPDX-License-Identifier: Apache-2.0 */
/* Initrds with volumes in them, read by the real cpio; trees and archives that mean harm. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/cpio.h"
#include "vmm/vmm.h"

static struct err err;
static char linux_name[] = "linux", unikraft[] = "unikraft", none[] = "";
static struct guest linux_guest = {.family = linux_name, .binary = none};
static struct guest unikraft_guest = {.family = unikraft, .binary = none};

/* Runs a shell line in the test's directory. Owned: what it printed. */
static char *shell(const char *dir, const char *line)
{
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char *)(uintptr_t)line, NULL};
    struct child_spec spec = {.path = "/bin/sh", .argv = argv, .cwd = dir};
    struct child_status status;
    autochild_output out = {0};

    assert_ok(child_run(&spec, NULL, 0, 65536, deadline_in(30 * NSEC_PER_SEC), &out, &status, &err),
              err);
    if (!status.exited || status.code != 0)
        fail_msg("%s: %s", line, out.errout);
    return TAKE_PTR(out.out);
}

static void expect(const char *dir, const char *line, const char *expected)
{
    autofree char *out = shell(dir, line);

    assert_string_equal(out, expected);
}

static void run(const char *dir, const char *line)
{
    free(shell(dir, line));
}

static int open_at(const char *dir, const char *name, int flags)
{
    autofree char *path = path_join(dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* "out" from "initrd" (NULL: none) and one volume. */
static int write_one(const struct guest *guest, const char *dir, const char *initrd,
                     const char *path, const char *source)
{
    autofd int in = initrd ? open_at(dir, initrd, O_RDONLY) : -1;
    autofd int out = open_at(dir, "out", O_RDWR | O_CREAT | O_TRUNC);
    autofd int fd = open_at(dir, source, O_PATH);
    struct vmm_tree tree = {path, fd};

    return vmm_initrd_write(guest, in, &tree, 1, out, &err);
}

static void config_map(void **state)
{
    const char *dir = *state;

    /* As a kubelet lays it out. */
    run(dir, "mkdir -p v/..2026_1 && echo blue > v/..2026_1/colour && ln -s ..2026_1 v/..data && "
             "ln -s ..data/colour v/colour && chmod 640 v/..2026_1/colour && chmod 1777 v && "
             "printf 12345 > v/..2026_1/five");
    assert_ok(write_one(&linux_guest, dir, NULL, "/etc//app/config/", "v"), err);
    expect(dir, "cpio -t --quiet < out | LC_ALL=C sort",
           "etc\netc/app\netc/app/config\netc/app/config/..2026_1\netc/app/config/..2026_1/colour\n"
           "etc/app/config/..2026_1/five\netc/app/config/..data\netc/app/config/colour\n");
    run(dir, "mkdir x && cd x && cpio -i --quiet < ../out");
    expect(dir,
           "cat x/etc/app/config/colour x/etc/app/config/..2026_1/five; "
           "stat -c %a x/etc/app/config x/etc/app/config/..2026_1/colour x/etc/app; "
           "readlink x/etc/app/config/..data",
           "blue\n123451777\n640\n755\n..2026_1\n");
    expect(dir, "stat -c %Y v/..2026_1/colour > a; cpio -itv --quiet < out | grep -c '^-rw-r-----'",
           "1\n");
}

static void file_volume_and_many(void **state)
{
    const char *dir = *state;

    run(dir, "mkdir d && echo f > d/f && echo token > secret");
    autofd int out = open_at(dir, "out", O_RDWR | O_CREAT);
    autofd int a = open_at(dir, "d", O_PATH), b = open_at(dir, "secret", O_PATH);
    struct vmm_tree trees[] = {{"/tmp/d", a}, {"/tmp/token", b}, {"/top", b}};

    assert_ok(vmm_initrd_write(&linux_guest, -1, trees, ARRAY_SIZE(trees), out, &err), err);
    expect(dir, "cpio -t --quiet < out", "tmp\ntmp/d\ntmp/d/f\ntmp/token\ntop\n");
    run(dir, "mkdir x && cd x && cpio -i --quiet < ../out");
    expect(dir, "stat -c %a x/tmp; cat x/top", "1777\ntoken\n");
}

/* Linux: one segment behind the other, whatever the first is. */
static void behind_an_initrd(void **state)
{
    const char *dir = *state;

    run(dir, "mkdir -p i/bin i/etc && chmod 700 i/etc && echo init > i/init && ln -s bin i/sbin && "
             "(cd i && find . | cpio -o -H newc --quiet) > initrd && gzip -k initrd && "
             "mkdir v && echo 1 > v/one");
    assert_ok(write_one(&linux_guest, dir, "initrd", "/etc/v", "v"), err);
    expect(dir,
           "cmp -n $(stat -c %s initrd) initrd out && echo same; "
           "tail -c +$(($(stat -c %s initrd) + 1)) out | cpio -t --quiet",
           "same\netc/v\netc/v/one\n"); /* the image's own /etc keeps its mode */
    assert_ok(write_one(&linux_guest, dir, "initrd", "/sbin/v", "v"), err);
    expect(dir, "tail -c +$(($(stat -c %s initrd) + 1)) out | cpio -t --quiet",
           "sbin/v\nsbin/v/one\n"); /* and a link is not replaced by a directory */
    assert_ok(write_one(&linux_guest, dir, "initrd.gz", "/etc/v", "v"), err);
    expect(dir,
           "s=$(stat -c %s initrd.gz); cmp -n $s initrd.gz out && s=$(((s + 3) / 4 * 4)); "
           "tail -c +$((s + 1)) out | cpio -t --quiet",
           "etc\netc/v\netc/v/one\n");
}

/* Unikraft: before the trailer, and nothing else of the image's is lost. */
static void spliced(void **state)
{
    const char *dir = *state;

    run(dir, "mkdir -p i/etc && echo hello > i/hello && "
             "(cd i && find . | cpio -o -H newc --quiet) > initrd && gzip -k initrd && "
             "mkdir v && echo 1 > v/one");
    assert_ok(write_one(&unikraft_guest, dir, "initrd", "/data/v", "v"), err);
    expect(dir, "cpio -t --quiet < out | LC_ALL=C sort",
           ".\ndata\ndata/v\ndata/v/one\netc\nhello\n");
    expect(dir,
           "grep -ac 'TRAILER!!!' out; mkdir x && cd x && cpio -i --quiet < ../out && "
           "cat hello data/v/one",
           "1\nhello\n1\n");
    assert_err(write_one(&unikraft_guest, dir, "initrd.gz", "/v", "v"), err, ERR_UNSUPPORTED,
               "no header of an uncompressed cpio archive");
    run(dir, "head -c 120 initrd > cut");
    assert_err(write_one(&unikraft_guest, dir, "cut", "/v", "v"), err, ERR_UNSUPPORTED,
               "without a trailer");
}

static void links_lead_nowhere(void **state)
{
    const char *dir = *state;

    run(dir, "mkdir v out.d && echo secret > out.d/s && ln -s ../out.d v/dir && "
             "ln -s /etc/shadow v/shadow && ln -s ../out.d/s v/file && ln -s loop v/loop");
    assert_ok(write_one(&linux_guest, dir, NULL, "/v", "v"), err);
    expect(dir, "cpio -itv --quiet < out | grep -c '^l'; grep -ac secret out || true", "4\n0\n");
}

static void hostile_trees(void **state)
{
    const char *dir = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    autofd int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    run(dir, "mkdir fifo sock dev huge deep long 'many' && mkfifo fifo/p && mknod dev/z c 1 5 && "
             "truncate -s 1T huge/f && mkdir -p deep/$(yes d | head -100 | paste -sd/) && "
             "d=long; n=$(head -c 250 /dev/zero | tr '\\0' n); "
             "for i in 1 2 3 4; do d=$d/$n; mkdir $d; done; echo x > $d/f");
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock/s", dir);
    assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "fifo"), err, ERR_UNSUPPORTED,
               "volume '/v': 'v/p' is a socket, a pipe or a device");
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "fifo/p"), err, ERR_UNSUPPORTED,
               "neither a directory nor a file");
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "sock"), err, ERR_UNSUPPORTED, "'v/s'");
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "dev"), err, ERR_UNSUPPORTED, "'v/z'");
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "huge"), err, ERR_UNSUPPORTED,
               "more than 67108864 bytes or 65536 files");
    assert_err(write_one(&linux_guest, dir, NULL, "/v", "deep"), err, ERR_UNSUPPORTED, "deep");
    assert_err(write_one(&linux_guest, dir, NULL, "/volume/somewhere/else", "long"), err,
               ERR_INVALID, "a name of more than 1023 bytes");
    expect(dir, "stat -c %s out | awk '{print ($1 < 70000000)}'", "1\n");
}

static void a_mount_inside(void **state)
{
    const char *dir = *state;
    autofree char *at = path_join(dir, "v/m");

    run(dir, "mkdir -p v/m");
    if (mount("none", at, "tmpfs", 0, "size=4k") < 0)
        skip(); /* needs CAP_SYS_ADMIN */
    int rc = write_one(&linux_guest, dir, NULL, "/v", "v");

    assert_int_equal(umount2(at, 0), 0);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.msg, "something is mounted at 'm'"));
}

static void bad_paths(void **state)
{
    const char *dir = *state;

    run(dir, "mkdir v");
    assert_err(write_one(&linux_guest, dir, NULL, "/a/../../v", "v"), err, ERR_INVALID, "'..'");
    assert_err(write_one(&linux_guest, dir, NULL, "v", "v"), err, ERR_INVALID, "absolute");
    assert_err(write_one(&linux_guest, dir, NULL, "//", "v"), err, ERR_UNSUPPORTED, "root");
}

static void bounds(void **state)
{
    const char *dir = *state;
    struct stat st = {.st_mode = S_IFDIR | 0755};
    struct cpio c;

    autofd int out = open_at(dir, "out", O_RDWR | O_CREAT);
    assert_ok(cpio_begin(&c, out, 1000, 2, &err), err);
    assert_ok(cpio_directory(&c, "a", &st, &err), err);
    assert_ok(cpio_directory(&c, "b", &st, &err), err);
    assert_err(cpio_directory(&c, "c", &st, &err), err, ERR_UNSUPPORTED, "2 files");
    assert_ok(cpio_end(&c, &err), err);
    assert_ok(cpio_begin(&c, out, 200, 9, &err), err);
    st.st_mode = S_IFREG | 0644;
    st.st_size = 100;
    assert_err(cpio_file(&c, "f", &st, out, &err), err, ERR_UNSUPPORTED, "200 bytes");
    st.st_size = 20; /* longer than what there is: filled up */
    autofd int empty = open_at(dir, "empty", O_RDWR | O_CREAT);
    assert_ok(cpio_file(&c, "f", &st, empty, &err), err);
    assert_ok(cpio_end(&c, &err), err);
    expect(dir, "cpio -t --quiet < out", "a\nb\n");
}

static void scans(void **state)
{
    const char *dir = *state;
    uint64_t trailer = 0;

    run(dir, "mkdir i && echo a > i/a && (cd i && find . | cpio -o -H newc --quiet) > newc && "
             "(cd i && find . | cpio -o -H crc --quiet) > crc && "
             "(cd i && find . | cpio -o -H odc --quiet) > odc && : > none");
    for (const char *const *name = (const char *const[]){"newc", "crc", NULL}; *name; name++) {
        autofd int fd = open_at(dir, *name, O_RDONLY);

        assert_ok(cpio_scan(fd, 512, NULL, NULL, &trailer, &err), err);
        assert_int_equal(trailer, 112 + 116);
        assert_err(cpio_scan(fd, 230, NULL, NULL, &trailer, &err), err, ERR_INVALID, "trailer");
    }
    autofd int odc = open_at(dir, "odc", O_RDONLY), empty = open_at(dir, "none", O_RDONLY);
    assert_err(cpio_scan(odc, 512, NULL, NULL, &trailer, &err), err, ERR_INVALID, "newc");
    assert_err(cpio_scan(empty, 0, NULL, NULL, &trailer, &err), err, ERR_INVALID, "byte 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(config_map),
        in_dir(file_volume_and_many),
        in_dir(behind_an_initrd),
        in_dir(spliced),
        in_dir(links_lead_nowhere),
        in_dir(hostile_trees),
        in_dir(a_mount_inside),
        in_dir(bad_paths),
        in_dir(bounds),
        in_dir(scans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
