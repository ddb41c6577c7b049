/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor with a VMM and its helper, a file server, both played by jail-probe: neither outlives
 * the other, how the helper ended is told, what its user namespace gives it and what not; and
 * volumes in the tree of another entry.
 */
#include <sys/stat.h>

#include "rig.h"

#define UID        "1999999003"
#define UID_NUMBER 1999999003

static void add_probe(struct rig *rig, const char *name, const char *what, const char *more)
{
    autofree char *program = path_join(rig_bin(), "jail-probe");
    char number[16];

    (void)snprintf(number, sizeof(number), "%d",
                   rig_add_fd(rig, open(program, O_PATH | O_CLOEXEC)));
    rig_field(rig, "program_fd", number);
    rig_field(rig, "arg", name);
    rig_field(rig, "arg", what);
    if (more)
        rig_field(rig, "arg", more);
    rig_field(rig, "uid", UID);
    rig_field(rig, "gid", UID);
    rig_field(rig, "new_pid_ns", "1");
}

static void open_pair(struct rig *rig, void **state, const char *vmm, const char *what,
                      const char *more)
{
    rig_open(rig, state, "v", "vmm");
    add_probe(rig, "probe", vmm, NULL);
    rig_field(rig, "helper", "1");
    rig_field(rig, "id", "v");
    rig_field(rig, "mode", "vmm");
    add_probe(rig, "server", what, more);
    rig_field(rig, "file_server", "1");
    rig_field(rig, "root_file", "/x");
    rig_field(rig, "nofile", "100000");
}

/* The other child of the monitor. */
static pid_t helper_of(const struct rig *rig)
{
    char path[96], text[128] = "", *save = NULL;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", rig->monitor, rig->monitor);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    for (char *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
        if (strtol(s, NULL, 10) != rig->workload)
            return (pid_t)strtol(s, NULL, 10);
    return 0;
}

static void ends_with_the_workload(void **state)
{
    struct rig rig;
    pid_t helper;

    open_pair(&rig, state, "wait", "wait", NULL);
    rig_start_ok(&rig);
    helper = helper_of(&rig);
    assert_true(helper > 1 && process_lives(helper));
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
    assert_false(process_lives(helper));
    autofree char *text = rig_read(&rig, "exits/v");
    assert_null(strstr(text, "helper"));
}

static void takes_the_workload_along(void **state)
{
    struct rig rig;

    open_pair(&rig, state, "wait", "wait", NULL);
    rig_start_ok(&rig);
    assert_int_equal(kill(helper_of(&rig), SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
    assert_in_file(&rig, "exits/v", "\noom 0\nhelper 1\nmessage its file server ended by signal 9");
}

static void last_words(void **state)
{
    struct rig rig;

    open_pair(&rig, state, "wait", "complain", NULL);
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
    assert_in_file(&rig, "exits/v",
                   "\nhelper 1\nmessage its file server ended with status 125: probe: this went "
                   "wrong\n");
}

static void program_that_is_none(void **state)
{
    struct rig rig;
    char number[16];

    rig_open(&rig, state, "v", "vmm");
    add_probe(&rig, "probe", "wait", NULL);
    rig_field(&rig, "helper", "1");
    rig_field(&rig, "id", "v");
    rig_field(&rig, "mode", "vmm");
    (void)snprintf(number, sizeof(number), "%d",
                   rig_add_fd(&rig, open("/etc/hostname", O_PATH | O_CLOEXEC)));
    rig_field(&rig, "program_fd", number);
    rig_field(&rig, "arg", "server");
    rig_field(&rig, "uid", UID);
    rig_field(&rig, "gid", UID);
    rig_field(&rig, "file_server", "1");
    rig_start_fails(&rig, "v", "server: execute the VMM's program: ");
}

/* What it is told by its exit status: 0 it worked, 10 EPERM, 11 another error. */
static void server_tries(void **state)
{
    static const struct {
        const char *what, *end;
    } cases[] = {
        {"chroot", "with status 0"},
        {"setgroups", "with status 0"}, /* seems to, and does not */
        {"open", "with status 0"},
        {"create", "with status 1"},
        {"mkdir", "with status 1"},
        {"socket", "with status 10"},
        {"packet", "with status 10"},
        {"udp", "with status 10"},
        {"kill", "with status 10"},
        {"fork", "with status 10"},
        {"nice", "with status 10"},

        {"io_uring", "with status 10"},
        {"keyctl", "with status 10"},
        {"mount", "by signal 31"},
        {"ptrace", "by signal 31"},
        {"bpf", "by signal 31"},
        {"unshare", "by signal 31"},
        {"setns", "by signal 31"},
        {"execve", "by signal 31"},
        {"execveat", "by signal 31"},
        {"handle", "by signal 31"},
        {"perf", "by signal 31"},
        {"module", "by signal 31"},
        {"dup-program", "with status 0"},
    };
    struct rig rig;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *words = xasprintf("its file server ended %s", cases[i].end);

        open_pair(&rig, state, "wait", "try", cases[i].what);
        rig_start_ok(&rig);
        print_message("%s\n", cases[i].what);
        rig_end(&rig, "v", "code 137\nsignal 9\n");
        assert_in_file(&rig, "exits/v", words);
    }
}

static void server_is(void **state)
{
    struct rig rig;
    char path[64], text[4096] = "";
    int fd;

    open_pair(&rig, state, "wait", "wait", NULL);
    rig_start_ok(&rig);
    (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", helper_of(&rig));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, UID "          1\n"));
    assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
    (void)snprintf(path, sizeof(path), "/proc/%d/status", helper_of(&rig));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(text, 0, sizeof(text));
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, "\nUid:\t" UID "\t" UID "\t" UID "\t" UID "\n"));
    assert_non_null(strstr(text, "\nCapBnd:\t00000000880401db\n"));
    assert_non_null(strstr(text, "\nCapPrm:\t00000000880401db\n"));
    assert_non_null(strstr(text, "\nNoNewPrivs:\t1\nSeccomp:\t2\n"));
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
}

/* ---------------------------------------------------------------- volumes in a tree */

static void put_dir(struct rig *rig, const char *name, const char *text)
{
    struct err err = ERR_INIT;
    autofree char *file = xasprintf("%s/file", name);

    assert_int_equal(mkdir(rig_path(rig, name), 0755), 0);
    assert_ok(fs_write_file(AT_FDCWD, rig_path(rig, file), text, strlen(text), 0666, &err), err);
    assert_int_equal(chmod(rig_path(rig, file), 0666), 0);
}

static void mount_in(struct rig *rig, const char *key, const char *name, const char *path)
{
    int fd = open(rig_path(rig, name), O_PATH | O_CLOEXEC);
    autofree char *value = xasprintf("%d:%s", rig_add_fd(rig, fd), path);

    assert_true(fd >= 0);
    if (strcmp(name, "tree") != 0)
        rig_field(rig, "root_base", "/share");
    rig_field(rig, key, value);
}

/* Links of the tree are followed within it, absolute ones and those that would lead above it;
 * missing points are made; a volume may lie in another one. */
static void grafts(void **state)
{
    static const char *const looks[] = {"/share/file",           "/share/etc/config/file",
                                        "/share/real/run/file",  "/share/etc/single",
                                        "/share/real/up/x/file", "/share/etc/config/deep/file"};
    struct rig rig;

    for (int readonly = 0; readonly < 2; readonly++) {
        rig_open(&rig, state, "v", "vmm");
        add_probe(&rig, "probe", "look", looks[0]);
        for (size_t i = 1; i < ARRAY_SIZE(looks); i++)
            rig_field(&rig, "arg", looks[i]);
        if (!readonly) {
            put_dir(&rig, "tree", "tree");
            put_dir(&rig, "a", "a");
            put_dir(&rig, "b", "b");
            assert_int_equal(mkdir(rig_path(&rig, "a/deep"), 0755), 0);
            assert_int_equal(mkdir(rig_path(&rig, "tree/real"), 0755), 0);
            assert_int_equal(symlink("/real", rig_path(&rig, "tree/var")), 0);
            assert_int_equal(symlink("../../../../real/up", rig_path(&rig, "tree/out")), 0);
            assert_int_equal(mkdir(rig_path(&rig, "tree/real/up"), 0755), 0);
            assert_int_equal(chown(rig_path(&rig, "tree"), UID_NUMBER, UID_NUMBER), 0);
            assert_int_equal(chown(rig_path(&rig, "tree/real"), UID_NUMBER, 0), 0);
            assert_int_equal(chown(rig_path(&rig, "tree/real/up"), UID_NUMBER, 0), 0);
        }
        mount_in(&rig, readonly ? "root_ro" : "root_rw", "tree", "/share");
        mount_in(&rig, "root_ro", "a", "/etc/config");
        mount_in(&rig, "root_rw", "b", "/var/run");
        mount_in(&rig, "root_ro", "a/file", "/etc/single");
        mount_in(&rig, "root_rw", "b", "/out/x");
        mount_in(&rig, "root_rw", "b", "/etc/config/deep");
        rig_start_ok(&rig);
        rig_end(&rig, "v", "code 0\nsignal 0\n");
        assert_in_file(&rig, "log",
                       readonly ? "/share/file: read no-write tree\n"
                                : "/share/file: read write tree\n");
        assert_in_file(&rig, "log", "/share/etc/config/file: read no-write a\n");
        assert_in_file(&rig, "log", "/share/real/run/file: read write b\n");
        assert_in_file(&rig, "log", "/share/etc/single: read no-write a\n");
        assert_in_file(&rig, "log", "/share/real/up/x/file: read write b\n");
        assert_in_file(&rig, "log", "/share/etc/config/deep/file: read write b\n");
        assert_int_equal(unlink(rig_path(&rig, "log")), 0);
    }
}

static void grafts_that_fail(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "v", "vmm");
    add_probe(&rig, "probe", "wait", NULL);
    put_dir(&rig, "tree", "tree");
    put_dir(&rig, "a", "a");
    assert_int_equal(symlink("/nowhere", rig_path(&rig, "tree/link")), 0);
    mount_in(&rig, "root_rw", "tree", "/share");
    mount_in(&rig, "root_ro", "a", "/link");
    rig_start_fails(&rig, "v", "make the mount point of volume '/link'");
    rig_open(&rig, state, "v", "vmm");
    add_probe(&rig, "probe", "wait", NULL);
    mount_in(&rig, "root_rw", "tree", "/share");
    mount_in(&rig, "root_ro", "a", "/not/ours"); /* the tree is root's */
    rig_start_fails(&rig, "v", "make the mount point of volume '/not/ours': Permission denied");
    rig_open(&rig, state, "v", "vmm");
    add_probe(&rig, "probe", "wait", NULL);
    rig_field(&rig, "root_base", "/none");
    rig_start_fails(&rig, "v", "spec: bad value 'root_base=/none'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(ends_with_the_workload),
        in_dir(takes_the_workload_along),
        in_dir(last_words),
        in_dir(program_that_is_none),
        in_dir(server_tries),
        in_dir(server_is),
        in_dir(grafts),
        in_dir(grafts_that_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
