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

struct seen {
    size_t calls, n_links;
    struct link_stats here, peer;
};

static void on_links(void *arg, size_t i, const struct link_stats *links, size_t n_links)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->n_links += n_links;
    for (size_t k = 0; k < n_links; k++) {
        assert_int_equal(i, 2);
        if (strcmp(links[k].name, "here") == 0)
            seen->here = links[k];
        else if (strcmp(links[k].name, "peer") == 0)
            seen->peer = links[k];
    }
}

/* One namespace with a pair of interfaces, one with loopback only, one that is gone. */
static void test_link_stats(void **state)
{
    autofree char *full = lab_path("full"), *empty = lab_path("empty"), *gone = lab_path("gone");
    const char *const paths[] = {gone, empty, full};
    ino_t before = own_netns();
    struct seen seen = {0};

    (void)state;
    assert_ok(netns_create(full, err));
    assert_ok(netns_create(empty, err));
    lab_run("nsenter --net=full sh -c 'ip link add here type veth peer name peer && ip link set "
            "peer up && ip addr add 10.9.9.1/24 dev here && ip link set here up && ip neigh add "
            "10.9.9.2 lladdr 02:00:00:00:00:02 dev here && bash -c \"echo hello > "
            "/dev/udp/10.9.9.2/9\"'");
    assert_ok(netns_link_stats(paths, ARRAY_SIZE(paths), on_links, &seen, err));
    assert_int_equal(own_netns(), before);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.n_links, 2);
    assert_true(seen.here.tx_packets >= 1 && seen.here.tx_bytes >= 14 + 20 + 8 + 6);
    assert_true(seen.peer.rx_packets >= 1 && seen.peer.rx_bytes >= 14 + 20 + 8 + 6);
    assert_ok(netns_link_stats(paths, 0, on_links, &seen, err));
    assert_int_equal(seen.calls, 2);
    assert_ok(netns_remove(full, err));
    assert_ok(netns_remove(empty, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create), cmocka_unit_test(test_plain_file),
        cmocka_unit_test(test_sysctl), cmocka_unit_test(test_link_stats),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests_name("netns", tests, lab_setup, lab_teardown);
}
