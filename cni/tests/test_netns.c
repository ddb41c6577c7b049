/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: made, pinned, found again, tuned, removed; and the caller never moves. */
#include "cni/tests/lab.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "cni/netns.h"

#define TIMED_ROUNDS 50

static ino_t own_netns(void)
{
    struct stat st;

    assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
    return st.st_ino;
}

static int lo_addresses(void *arg, struct err *err)
{
    char **ret = arg;

    (void)err;
    return lab_shell("ip -o addr show dev lo", ret);
}

static void test_create(void **state)
{
    autofree char *path = lab_path("deep/er/ns");
    autofree char *addresses = NULL;
    ino_t before = own_netns();
    struct stat st, again;
    autofd int fd = -1;

    (void)state;
    assert_ok(netns_create(path, err));
    assert_int_equal(own_netns(), before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_not_equal(st.st_ino, before);
    assert_ok(netns_create(path, err));
    assert_int_equal(stat(path, &again), 0);
    assert_int_equal(st.st_ino, again.st_ino);

    assert_ok(fd = netns_open(path, err));
    assert_ok(netns_run(fd, lo_addresses, &addresses, err));
    assert_non_null(strstr(addresses, "127.0.0.1/8"));
    assert_non_null(strstr(addresses, "::1/128"));

    assert_ok(netns_remove(path, err));
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(netns_remove(path, err));
    assert_err(netns_open(path, err), ERR_NOT_FOUND, path);
}

/* The file without the mount: after a crash in between, or a reboot. */
static void test_plain_file(void **state)
{
    autofree char *path = lab_path("plain");
    autofd int fd = -1;

    (void)state;
    lab_write("plain", "", 0644);
    assert_err(netns_open(path, err), ERR_NOT_FOUND, "not a network namespace");
    assert_ok(netns_create(path, err));
    assert_ok(fd = netns_open(path, err));
    assert_ok(netns_remove(path, err));
    assert_int_equal(access(path, F_OK), -1);
}

static void test_sysctl(void **state)
{
    autofree char *path = lab_path("tuned");
    autofree char *here = NULL;
    autofree char *there = NULL;

    (void)state;
    assert_ok(netns_create(path, err));
    assert_ok(netns_sysctl(path, "net.ipv4.ip_local_port_range", "1111 2222", err));
    assert_ok(netns_sysctl(path, "net/ipv4/conf/lo/rp_filter", "2", err));
    assert_int_equal(lab_shell("cat /proc/sys/net/ipv4/ip_local_port_range", &here), 0);
    assert_null(strstr(here, "1111"));
    assert_err(netns_sysctl(path, "kernel.hostname", "x", err), ERR_INVALID, "kernel.hostname");
    assert_err(netns_sysctl(path, "net.ipv4/../../../kernel/hostname", "x", err), ERR_INVALID,
               "sysctl");
    assert_err(netns_sysctl(path, "net/../kernel/hostname", "x", err), ERR_INVALID, "sysctl");
    assert_err(netns_sysctl(path, "net", "x", err), ERR_INVALID, "sysctl");
    assert_err(netns_sysctl(path, "net..x", "x", err), ERR_INVALID, "sysctl");
    assert_err(netns_sysctl(path, "net.ipv4.no_such_thing", "1", err), ERR_NOT_FOUND,
               "no_such_thing");
    assert_err(netns_sysctl("/nowhere/ns", "net.ipv4.ip_forward", "1", err), ERR_NOT_FOUND,
               "/nowhere/ns");
    there = xasprintf("nsenter --net=%s cat /proc/sys/net/ipv4/ip_local_port_range", path);
    free(here);
    assert_int_equal(lab_shell(there, &here), 0);
    assert_non_null(strstr(here, "1111\t2222"));
    assert_ok(netns_remove(path, err));
}

static void test_time(void **state)
{
    nsec_t create = 0, remove = 0;

    (void)state;
    for (int i = 0; i < TIMED_ROUNDS; i++) {
        autofree char *name = xasprintf("timed-%d", i);
        autofree char *path = lab_path(name);
        nsec_t start = clock_mono();

        assert_ok(netns_create(path, err));
        create += clock_mono() - start;
        start = clock_mono();
        assert_ok(netns_remove(path, err));
        remove += clock_mono() - start;
    }
    print_message("netns_create %.3f ms, netns_remove %.3f ms\n",
                  (double)create / TIMED_ROUNDS / 1e6, (double)remove / TIMED_ROUNDS / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_plain_file),
        cmocka_unit_test(test_sysctl),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests_name("netns", tests, lab_setup, lab_teardown);
}
