/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks whose gateway a guest could not ask for: one address a pod and a gateway outside of it,
 * known to the pod's stack alone (nothing answers ARP for it), as the networks of clouds have it.
 * The guest has a real stack, and is told what guests of each kind are told.
 */
#include "cni/tests/real_guest.h"

#define FAR    "169.254.1.1"
#define REMOTE "192.0.2.1" /* behind the gateway */
#define OTHER  "10.91.0.3" /* of another pod; in the guest's eyes perhaps a neighbour */

static int far_setup(void **state)
{
    autofree char *add = NULL;

    (void)state;
    free(pod);
    pod = lab_path("pod");
    assert_ok(netns_create(pod, err));
    assert_ok(pod_fd = netns_open(pod, err));
    add = xasprintf("set -e; ip link add veth0 type veth peer name eth0 netns /proc/%d/fd/%d;"
                    "ip link set veth0 mtu 1400 address 02:00:00:00:00:01 up;"
                    "ip addr add " REMOTE "/32 dev lo; ip addr add " OTHER "/32 dev lo;"
                    "ip route add " POD4 " dev veth0",
                    (int)getpid(), pod_fd);
    lab_run(add);
    pod_run("set -e; ip link set eth0 mtu 1400 up; ip addr add " POD4 "/32 dev eth0;"
            "ip route add " FAR " dev eth0 scope link; ip route add default via " FAR ";"
            "ip neigh add " FAR " dev eth0 lladdr 02:00:00:00:00:01 nud permanent");
    return 0;
}
static int far_teardown(void **state)
{
    lab_run("ip addr del " REMOTE "/32 dev lo; ip addr del " OTHER "/32 dev lo");
    return pod_teardown(state);
}

static void test_path(void **state)
{
    struct guest_path path;

    (void)state;
    assert_ok(guest_path_read(pod, "eth0", POD4, &path, err));
    assert_string_equal(path.gateway, FAR);
    assert_string_equal(path.gateway6, "");
    assert_false(path.on_link);
    pod_run("set -e; ip route add default via " FAR " metric 7; ip route add 10.91.0.0/24 via " FAR
            "; ip route add 10.92.0.0/24 dev eth0; ip -6 route add default via fe80::9 dev eth0;"
            "ip route add 198.51.100.0/24 via " FAR
            " table 9; ip route add blackhole 10.91.0.64/26");
    assert_ok(guest_path_read(pod, "eth0", POD4, &path, err));
    assert_string_equal(path.gateway, FAR);
    assert_string_equal(path.gateway6, "fe80::9");
    assert_false(path.on_link);
    pod_run("ip route add 10.91.0.0/16 dev eth0");
    assert_ok(guest_path_read(pod, "eth0", POD4, &path, err));
    assert_true(path.on_link);
    assert_ok(guest_path_read(pod, "eth0", "", &path, err));
    assert_false(path.on_link);
    assert_err(guest_path_read(pod, "eth7", POD4, &path, err), ERR_NOT_FOUND, "eth7");
    assert_err(guest_path_read("/nowhere", "eth0", POD4, &path, err), ERR_NOT_FOUND, "nowhere");
}

static void far_guest(const char *config)
{
    struct guest_link_options options = {0};
    struct real_guest g;
    struct server node, other, side;
    int listener;

    if (!needs_bpf())
        skip();
    assert_int_equal(inet_pton(AF_INET, FAR, &options.gateway), 1);
    real_guest_up(&g, &options, config);
    server_start(&node, false, REMOTE, 7000);
    server_start(&other, false, OTHER, 7000);
    server_start(&side, true, "0.0.0.0", SIDECAR_PORT);
    real_guest_enter(&g);
    listener = open_socket(true, SOCK_STREAM, "0.0.0.0", GUEST_PORT);
    assert_answer(ask_tcp(true, REMOTE, 7000), SIDECAR_REPLY);
    assert_answer(ask_udp(true, REMOTE, 7000), SIDECAR_REPLY);
    assert_answer(ask_tcp(true, OTHER, 7000), SIDECAR_REPLY);
    assert_answer(ask_tcp(true, "169.254.77.1", SIDECAR_PORT), SIDECAR_REPLY);
    /* Nobody else has its address: duplicate detection goes on. */
    pod_run("busybox arping -D -c 1 -w 1 -I eth0 10.91.0.2 >/dev/null");
    real_guest_leave(&g);
    assert_answer(ask_tcp(true, REMOTE, 7000), SIDECAR_REPLY); /* a container, as ever */
    for (int inside = 0; inside < 2; inside++) {               /* to the guest */
        int fd = connect_in(inside, POD4, GUEST_PORT);

        assert_true(fd >= 0);
        close(fd);
    }
    close(listener);
    server_stop(&side);
    server_stop(&other);
    server_stop(&node);
    real_guest_down(&g);
}

/* Of a stack that asks for a gateway wherever it is. */
static void test_far(void **state)
{
    (void)state;
    far_guest("ip addr add " POD4 "/32 dev eth0; ip route add " FAR " dev eth0;"
              "ip route add default via " FAR);
}
/* Of one that wants it in its network. */
static void test_made_up(void **state)
{
    (void)state;
    far_guest("ip addr add " POD4 "/8 dev eth0; ip route add default via 10.91.0.3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_path, far_setup, far_teardown),
        cmocka_unit_test_setup_teardown(test_far, far_setup, far_teardown),
        cmocka_unit_test_setup_teardown(test_made_up, far_setup, far_teardown),
    };

    return cmocka_run_group_tests_name("link_far", tests, lab_setup, lab_teardown);
}
