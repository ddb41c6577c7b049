/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of this very host, in a scratch one. */
#include "sandbox/cgroup.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"

static struct cgroups cgroups;
static char root[64];

static pid_t put_sleeper(const char *path)
{
    autostrv char **dirs = cgroup_dirs(&cgroups, path);
    struct err err = ERR_INIT;
    pid_t pid = fork();
    char text[32];

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
            (void)pause();
    }
    (void)snprintf(text, sizeof(text), "%d", pid);
    for (char **d = dirs; *d; d++)
        assert_ok(cgroup_put(*d, "cgroup.procs", text, &err), err);
    return pid;
}

static void make_kill_remove(void **state)
{
    autofree char *path = xasprintf("%s/a", root), *below = xasprintf("%s/a/b", root);
    struct err err = ERR_INIT;
    bool made;
    pid_t one, two;
    int status;

    (void)state;
    assert_ok(cgroup_create(&cgroups, path, &made, &err), err);
    assert_true(made);
    assert_ok(cgroup_create(&cgroups, path, &made, &err), err);
    assert_false(made);
    assert_true(cgroup_exists(&cgroups, path));
    assert_false(cgroup_populated(&cgroups, path));
    assert_ok(cgroup_create_in(&cgroups, "pids", below, &err), err);
    one = put_sleeper(path);
    two = put_sleeper(path);
    assert_true(cgroup_populated(&cgroups, path));
    assert_err(cgroup_remove(&cgroups, path, deadline_in(10 * NSEC_PER_MSEC), &err), err, ERR_STATE,
               "still in it");

    /* Reaped by a test's thread of control: a zombie has left its cgroup, which is what counts. */
    cgroup_kill_now(&cgroups, path);
    assert_int_equal(waitpid(one, &status, 0), one);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(two, &status, 0), two);
    assert_ok(cgroup_kill(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);

    autostrv char **children = cgroup_children(&cgroups, root);

    assert_int_equal(strv_len(children), 1);
    assert_ok(cgroup_remove(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);
    assert_ok(cgroup_remove(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);
    assert_false(cgroup_exists(&cgroups, path));
    assert_false(cgroup_populated(&cgroups, path));
}

/* What a daemon whose umask hid it has left. */
static void shown_to_all(void **state)
{
    autofree char *path = xasprintf("%s/hidden/root", root), *parent = xasprintf("%s/hidden", root);
    struct err err = ERR_INIT;
    struct stat st;

    (void)state;
    assert_err(cgroup_show(&cgroups, path, &err), err, ERR_NOT_FOUND, "hidden");
    assert_ok(cgroup_create(&cgroups, path, NULL, &err), err);

    autostrv char **dirs = cgroup_dirs(&cgroups, path), **parents = cgroup_dirs(&cgroups, parent);

    assert_true(strv_len(dirs) > 0);
    for (size_t i = 0; dirs[i]; i++) {
        assert_int_equal(chmod(dirs[i], 0700), 0);
        assert_int_equal(chmod(parents[i], 0710), 0);
    }
    for (int again = 0; again < 2; again++) {
        assert_ok(cgroup_show(&cgroups, path, &err), err);
        for (size_t i = 0; dirs[i]; i++) {
            assert_int_equal(stat(dirs[i], &st), 0);
            assert_int_equal(st.st_mode & 07777, 0755);
            assert_int_equal(stat(parents[i], &st), 0);
            assert_int_equal(st.st_mode & 07777, 0755);
        }
    }
    assert_ok(cgroup_remove(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);
    assert_ok(cgroup_remove(&cgroups, parent, deadline_in(NSEC_PER_SEC), &err), err);
}

static void locked_by_one(void **state)
{
    autofree char *path = xasprintf("%s/lock", root);
    struct err err = ERR_INIT;

    (void)state;
    assert_err(cgroup_lock(&cgroups, path, &err), err, ERR_NOT_FOUND, "lock");
    assert_ok(cgroup_create(&cgroups, path, NULL, &err), err);

    int fd = cgroup_lock(&cgroups, path, &err);

    assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    assert_err(cgroup_lock(&cgroups, path, &err), err, ERR_STATE, "another process");
    (void)close(fd);
    fd = cgroup_lock(&cgroups, path, &err);
    assert_true(fd >= 0);
    assert_ok(cgroup_remove(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);
    (void)close(fd);
}

static void limits(void **state)
{
    autofree char *path = xasprintf("%s/l", root), *dir = NULL, *text = NULL;
    struct linux_resources r = {.memory_limit = 64 << 20,
                                .cpu_shares = 512,
                                .cpu_period = 100000,
                                .cpu_quota = 50000,
                                .cpuset_cpus = (char[]){""},
                                .cpuset_mems = (char[]){""}};
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(cgroup_create(&cgroups, path, NULL, &err), err);
    assert_ok(cgroup_limit(&cgroups, path, &r, 32, &err), err);
    dir = cgroup_dir(&cgroups, "memory", path);
    autofree char *file = path_join(dir, cgroups.v2 ? "memory.max" : "memory.limit_in_bytes");

    assert_ok(fs_read_file(AT_FDCWD, file, 64, &text, NULL, &err), err);
    assert_int_equal(strtol(text, NULL, 10), 64 << 20);
    assert_ok(cgroup_remove(&cgroups, path, deadline_in(NSEC_PER_SEC), &err), err);
}

/* A host of version 2 lists its controllers in a file of the unified hierarchy; on a hybrid host
 * that is there too, but the controllers are elsewhere. */
static void versions(void **state)
{
    const char *dir = *state;
    autofree char *file = path_join(dir, "cgroup.controllers");
    autofree char *pure = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    autofree char *hybrid =
        xasprintf("29 1 0:27 / %s/memory rw - cgroup cgroup rw,memory\n%s", dir, pure);
    autofree char *again =
        xasprintf("%s31 1 0:27 / /elsewhere/memory rw - cgroup cgroup rw,memory\n"
                  "32 1 0:26 / /elsewhere/unified rw - cgroup2 cgroup2 rw\n",
                  hybrid);
    struct cgroups c;
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, file, "cpu memory pids\n", 16, 0644, &err), err);
    assert_ok(cgroups_scan(pure, &c, &err), err);
    assert_true(c.v2);
    cgroups_done(&c);
    assert_ok(cgroups_scan(hybrid, &c, &err), err);
    assert_false(c.v2);
    cgroups_done(&c);
    /* Mounted once more elsewhere: the first mounts are used, and each hierarchy once. */
    assert_ok(cgroups_scan(again, &c, &err), err);
    assert_int_equal(c.n, 2);
    for (size_t i = 0; i < c.n; i++)
        assert_true(str_has_prefix(c.h[i].mount, dir));
    cgroups_done(&c);
    assert_err(cgroups_scan("1 1 0:1 / / rw - ext4 a rw\n", &c, &err), err, ERR_UNSUPPORTED,
               "no control groups");
}

/* Who names slices needs somebody who makes them. */
static void drivers(void **state)
{
    struct cgroups c;
    struct err err = ERR_INIT;

    (void)state;
    assert_err(cgroups_open("other", &c, &err), err, ERR_INVALID, "neither");
    if (access("/run/systemd/system", F_OK) == 0) {
        assert_ok(cgroups_open("systemd", &c, &err), err);
        assert_true(c.systemd);
        cgroups_done(&c);
    } else {
        assert_err(cgroups_open("systemd", &c, &err), err, ERR_UNSUPPORTED, "does not run systemd");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(make_kill_remove),
                                       cmocka_unit_test(limits),
                                       cmocka_unit_test(shown_to_all),
                                       cmocka_unit_test(locked_by_one),
                                       in_dir(versions),
                                       cmocka_unit_test(drivers)};
    struct err err = ERR_INIT;

    (void)snprintf(root, sizeof(root), "/unicri-test-cg-%d", getpid());
    if (geteuid() != 0 || cgroups_open("cgroupfs", &cgroups, &err) < 0) {
        print_message("control groups cannot be used here: %s\n", err.msg);
        return 0;
    }

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    if (cgroup_remove(&cgroups, root, deadline_in(NSEC_PER_SEC), &err) < 0)
        print_error("%s\n", err.msg);
    cgroups_done(&cgroups);
    return failed;
}
