/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and ordinary containers at one address: who answers at which port, on every kind of
 * classifier, and that nothing of a link remains. Frames of all sorts are test_link_frames.c's.
 */
#include "cni/tests/guest_pod.h"

#define TIMED_ROUNDS    20
#define PARALLEL        8
#define PARALLEL_ROUNDS 5

static void test_shape(void **state)
{
    autofree char *why = NULL;

    (void)state;
    pod_run("echo 1 > /proc/sys/net/ipv6/conf/all/accept_ra; echo 2 > "
            "/proc/sys/net/ipv6/conf/default/accept_ra");
    guest_up();
    print_message("mode %d\n", (int)guest_link_probe(&why));
    assert_null(why);
    assert_int_equal(link_.mtu, 1400);
    assert_string_equal(link_.tap, "tap0");
    assert_true(fcntl(link_.tap_fd, F_GETFL) & O_NONBLOCK);
    pod_run("ip -o link show dev tap0 | grep -q 'mtu 1400.*state \\(UP\\|UNKNOWN\\)'");
    pod_run("test -z \"$(ip -o addr show dev tap0)\"");
    pod_run("ip -d link show dev tap0 | grep -q 'addrgenmode none'");
    usleep(300000);
    assert_int_equal(guest.from_tap, 0); /* the pod's stack has nothing to say there */
    pod_run("test $(cat /sys/class/net/eth0/address 2>/dev/null || ip -o link show eth0 | sed "
            "'s/.*ether //;s/ .*//')"
            " != $(ip -o link show tap0 | sed 's/.*ether //;s/ .*//')");
    {
        autofree char *same = xasprintf("ip -o link show eth0 | grep -q 'ether %s'", link_.mac);

        pod_run(same);
    }
    guest_down();
    pod_run("! ip link show dev tap0 2>/dev/null");
    pod_run("test -z \"$(tc filter show dev eth0 ingress)\"");
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    /* The stack has its address for itself again. */
    assert_true(open_socket(true, SOCK_DGRAM, POD4, 0) >= 0);
    lab_run("ping -c1 -W2 " POD4 " >/dev/null 2>&1 || true");
}

static void from_the_node(const char *ip)
{
    struct server sidecar;
    int before;

    guest_up();
    server_start(&sidecar, true, strchr(ip, ':') ? "::" : "0.0.0.0", SIDECAR_PORT);

    assert_answer(ask_tcp(false, ip, GUEST_PORT), GUEST_REPLY);
    assert_answer(ask_udp(false, ip, GUEST_PORT), "hello");
    before = guest.tcp[SIDECAR_PORT] + guest.udp[SIDECAR_PORT];
    assert_answer(ask_tcp(false, ip, SIDECAR_PORT), SIDECAR_REPLY);
    assert_answer(ask_udp(false, ip, SIDECAR_PORT), SIDECAR_REPLY);
    assert_int_equal(guest.tcp[SIDECAR_PORT] + guest.udp[SIDECAR_PORT], before);
    assert_true(guest.tcp[GUEST_PORT] > 0 && guest.udp[GUEST_PORT] > 0);
    /* Many in a row: time-wait and half-open sockets are the stack's as well. */
    for (int i = 0; i < 50; i++) {
        assert_answer(ask_tcp(false, ip, SIDECAR_PORT), SIDECAR_REPLY);
        assert_answer(ask_tcp(false, ip, GUEST_PORT), GUEST_REPLY);
    }
    assert_int_equal(guest.tcp[SIDECAR_PORT], 0);
    server_stop(&sidecar);
    guest_down();
}
static void test_from_the_node4(void **state)
{
    (void)state;
    if (!needs_bpf())
        skip();
    from_the_node(POD4);
}
static void test_from_the_node6(void **state)
{
    (void)state;
    if (!needs_bpf())
        skip();
    from_the_node(POD6);
}

/* But for what earlier tests still send to its own port. */
static void assert_guest_heard_nothing(void)
{
    for (int i = 1; i < GUEST_PORTS; i++)
        if (i != GUEST_PORT && (guest.tcp[i] || guest.udp[i]))
            fail_msg("the guest saw %d TCP and %d UDP frames to port %d", guest.tcp[i],
                     guest.udp[i], i);
}

/* As ask_tcp(), and nothing of the conversation reaches the guest for as long as it lasts. */
static void converse_unheard(const char *ip, uint16_t port)
{
    char buf[64] = "";
    autofd int fd = connect_in(true, ip, port);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_true(readable(fd, TIMEOUT_MS));
    assert_true(read(fd, buf, sizeof(buf) - 1) > 0);
    assert_string_equal(buf, SIDECAR_REPLY);
    assert_guest_heard_nothing();
}

/* The side container as a client of the node. */
static void test_sidecar_outward(void **state)
{
    struct server node;

    (void)state;
    if (!needs_bpf())
        skip();
    guest_up();
    server_start(&node, false, "::", 7000);
    assert_answer(ask_udp(true, NODE4, 7000), SIDECAR_REPLY);
    assert_guest_heard_nothing();
    converse_unheard(NODE4, 7000);
    fake_guest_stop(&guest);
    fake_guest_start(&guest, link_.tap_fd);
    converse_unheard("fd91::1", 7000);
    server_stop(&node);
    /* Refused by the node: the ICMP error reaches the client, and the guest gets to see it. */
    assert_null(ask_tcp(true, NODE4, 7001));
    assert_null(ask_udp(true, NODE4, 7001));
    for (int i = 0; i < 100 && !guest.unreachables; i++)
        usleep(10000);
    assert_true(guest.unreachables > 0);
    guest_down();
}

/* An ordinary container talks to the guest at the pod's own address, and to its neighbour as
 * before. */
static void sidecar_to_guest(const char *ip)
{
    struct server sidecar;

    guest_up();
    server_start(&sidecar, true, strchr(ip, ':') ? "::" : "0.0.0.0", SIDECAR_PORT);
    assert_answer(ask_udp(true, ip, GUEST_PORT), "hello");
    assert_answer(ask_tcp(true, ip, GUEST_PORT), GUEST_REPLY);
    assert_answer(ask_tcp(true, ip, SIDECAR_PORT), SIDECAR_REPLY);
    assert_answer(ask_udp(true, ip, SIDECAR_PORT), SIDECAR_REPLY);
    assert_int_equal(guest.tcp[SIDECAR_PORT] + guest.udp[SIDECAR_PORT], 0);
    /* Loopback itself is the stack's alone. */
    assert_answer(ask_tcp(true, strchr(ip, ':') ? "::1" : "127.0.0.1", SIDECAR_PORT),
                  SIDECAR_REPLY);
    assert_null(ask_tcp(true, strchr(ip, ':') ? "::1" : "127.0.0.1", GUEST_PORT));
    server_stop(&sidecar);
    guest_down();
}
static void test_sidecar_to_guest4(void **state)
{
    (void)state;
    if (!needs_bpf())
        skip();
    sidecar_to_guest(POD4);
}
static void test_sidecar_to_guest6(void **state)
{
    (void)state;
    if (!needs_bpf())
        skip();
    sidecar_to_guest(POD6);
}

/* Every frame goes to the guest; ordinary containers hear nothing. */
static void all_to_the_guest(const char *mode)
{
    struct server sidecar;
    int before;

    assert_int_equal(setenv("UNICRI_GUEST_LINK", mode, 1), 0);
    guest_up();
    server_start(&sidecar, true, "0.0.0.0", SIDECAR_PORT);
    lab_run("ip neigh replace " POD4 " nud permanent dev veth0 lladdr"
            " $(nsenter --net=pod ip -o link show eth0 | sed 's/.*ether //;s/ .*//')");
    assert_answer(ask_tcp(false, POD4, GUEST_PORT), GUEST_REPLY);
    assert_answer(ask_udp(false, POD4, SIDECAR_PORT), "hello");
    before = guest.tcp[SIDECAR_PORT];
    assert_answer(ask_tcp(false, POD4, SIDECAR_PORT), GUEST_REPLY);
    assert_true(guest.tcp[SIDECAR_PORT] > before);
    lab_run("ip neigh replace " POD6 " nud permanent dev veth0 lladdr"
            " $(nsenter --net=pod ip -o link show eth0 | sed 's/.*ether //;s/ .*//')");
    assert_answer(ask_tcp(false, POD6, GUEST_PORT), GUEST_REPLY);
    assert_answer(ask_udp(false, POD6, SIDECAR_PORT), "hello");
    server_stop(&sidecar);
    guest_down();
    pod_run("test -z \"$(tc filter show dev eth0 ingress)\"");
    lab_run("ping -c1 -W2 " POD4 " >/dev/null 2>&1 || busybox ping -c1 -W2 " POD4 " >/dev/null");
}
static bool kernel_has(const char *kind)
{
    autofree char *command = xasprintf("unshare -n sh -c 'tc qdisc add dev lo clsact && tc filter "
                                       "add dev lo ingress %s action mirred"
                                       " egress redirect dev lo' >/dev/null 2>&1",
                                       kind);
    autofree char *out = NULL;

    return lab_shell(command, &out) == 0;
}
static void test_u32(void **state)
{
    (void)state;
    if (!kernel_has("protocol all u32 match u32 0 0")) {
        print_message("this kernel has no u32 classifier with mirred\n");
        skip();
    }
    all_to_the_guest("u32");
}
static void test_matchall(void **state)
{
    struct guest_link l;

    (void)state;
    if (kernel_has("matchall")) {
        all_to_the_guest("matchall");
        return;
    }
    /* Not here: then it must say so and leave nothing. */
    assert_int_equal(setenv("UNICRI_GUEST_LINK", "matchall", 1), 0);
    assert_err(guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &l, err),
               ERR_NOT_FOUND, "matchall");
    pod_run("! ip link show dev tap0 2>/dev/null");
    pod_run("test -z \"$(tc filter show dev eth0 ingress)\"");
}

static void test_again_and_others(void **state)
{
    struct guest_link l;

    (void)state;
    guest_up();
    /* Somebody holds it. */
    assert_err(guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &l, err),
               ERR_EXISTS, "tap 'tap0' is held");
    assert_err(guest_link_create(pod, "eth0", "tap1", &(struct guest_link_options){0}, &l, err),
               ERR_EXISTS, "by tap 'tap0'");
    /* The loser's clean-up leaves the winner alone. */
    assert_ok(guest_link_remove(pod, "eth0", "tap1", err));
    lab_run("busybox ping -c1 -W2 " POD4 " >/dev/null");
    assert_true(guest.echoes > 0);
    fake_guest_stop(&guest);

    /* The VMM dies, the same guest starts again without any clean-up between. */
    close(link_.tap_fd);
    guest_up();
    assert_answer(ask_udp(false, POD4, GUEST_PORT), "hello");
    /* The tap is renamed by a container that may: found and removed by its mark. */
    pod_run("ip link set tap0 down && ip link set tap0 name mine");
    assert_err(guest_link_create(pod, "eth0", "tap1", &(struct guest_link_options){0}, &l, err),
               ERR_EXISTS, "by tap 'mine'");
    guest_down();
    pod_run("! ip link show dev mine 2>/dev/null");

    assert_err(guest_link_create(pod, "eth7", "tap0", &(struct guest_link_options){0}, &l, err),
               ERR_NOT_FOUND, "no interface 'eth7'");
    assert_err(
        guest_link_create("/nowhere", "eth0", "tap0", &(struct guest_link_options){0}, &l, err),
        ERR_NOT_FOUND, "/nowhere");
    assert_err(guest_link_create(pod, "eth0", "a/b", &(struct guest_link_options){0}, &l, err),
               ERR_INVALID, "'a/b'");
    assert_err(guest_link_create(pod, "eth0", "tap%d", &(struct guest_link_options){0}, &l, err),
               ERR_INVALID, "'tap%d'");
    assert_err(guest_link_create(pod, "eth0", "a-name-that-is-too-long",
                                 &(struct guest_link_options){0}, &l, err),
               ERR_INVALID, "too-long");
    assert_ok(guest_link_remove("/nowhere", "eth0", "tap0", err));
    /* Others' filters stay. */
    pod_run("tc filter add dev eth0 ingress prio 5 protocol 0x88b5 u32 match u32 0 0 action mirred "
            "egress redirect dev lo");
    guest_up();
    guest_down();
    pod_run("tc filter show dev eth0 ingress | grep -q 'pref 5 '");
}

/* No IPv6 in the pod: the IPv4 half works, ordinary containers' way to the guest included. */
static void test_without_ipv6(void **state)
{
    (void)state;
    if (!needs_bpf())
        skip();
    pod_run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > "
            "/proc/sys/net/ipv6/conf/default/disable_ipv6");
    guest_up();
    assert_answer(ask_tcp(false, POD4, GUEST_PORT), GUEST_REPLY);
    assert_answer(ask_tcp(true, POD4, GUEST_PORT), GUEST_REPLY);
    guest_down();
}

static void *pods_thread(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        autofree char *path = lab_path(name);
        struct guest_link l = {.tap_fd = -1};
        struct err e = ERR_INIT;
        autofd int fd = -1;

        if (netns_create(path, &e) < 0 || (fd = netns_open(path, &e)) < 0 ||
            netns_run(fd, in_pod, (void *)(uintptr_t) "ip link add eth0 type veth peer name p0",
                      &e) < 0 ||
            guest_link_create(path, "eth0", "tap0", &(struct guest_link_options){0}, &l, &e) < 0 ||
            guest_link_remove(path, "eth0", "tap0", &e) < 0 || netns_remove(path, &e) < 0)
            return xstrdup(e.msg);
        close(l.tap_fd);
    }
    return NULL;
}

static void test_parallel(void **state)
{
    static char names[PARALLEL][16];
    pthread_t threads[PARALLEL];

    (void)state;
    for (int i = 0; i < PARALLEL; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "parallel-%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, pods_thread, names[i]), 0);
    }
    for (int i = 0; i < PARALLEL; i++) {
        void *failure;

        pthread_join(threads[i], &failure);
        if (failure)
            fail_msg("%s: %s", names[i], (char *)failure);
    }
}

static void test_time(void **state)
{
    nsec_t create = 0, remove = 0, start;

    (void)state;
    (void)guest_link_probe(NULL);
    for (int i = 0; i < TIMED_ROUNDS; i++) {
        start = clock_mono();
        assert_ok(
            guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &link_, err));
        create += clock_mono() - start;
        close(link_.tap_fd);
        start = clock_mono();
        assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
        remove += clock_mono() - start;
    }
    print_message("guest_link_create %.3f ms, guest_link_remove %.3f ms\n",
                  (double)create / TIMED_ROUNDS / 1e6, (double)remove / TIMED_ROUNDS / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shape, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_from_the_node4, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_from_the_node6, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_sidecar_outward, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_sidecar_to_guest4, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_sidecar_to_guest6, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_u32, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_matchall, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_again_and_others, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_without_ipv6, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_parallel, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_time, pod_setup, pod_teardown),
    };

    return cmocka_run_group_tests_name("link", tests, lab_setup, lab_teardown);
}
