/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes a guest's link: fragments, pings, ARP, long streams to a guest with a real stack,
 * offload headers, extreme MTUs. Who answers at which port is test_link.c's.
 */
#include "cni/tests/guest_pod.h"
#include "cni/tests/real_guest.h"

#include <netinet/ether.h>

/* Fragments follow their first one; pings are the guest's. A superframe of the node reaches the
 * guest in pieces. */
static void test_fragments_and_pings(void **state)
{
    struct sockaddr_storage to;
    socklen_t len = address(&to, POD4, SIDECAR_PORT);
    static char big[3000], back[4096];
    autofd int fd = -1;
    autofd int in = -1;

    (void)state;
    if (!needs_bpf())
        skip();
    guest_up();
    in = open_socket(true, SOCK_DGRAM, "0.0.0.0", SIDECAR_PORT);
    fd = open_socket(false, SOCK_DGRAM, "0.0.0.0", 0);
    assert_int_equal(connect(fd, (void *)&to, len), 0);
    memset(big, 'x', sizeof(big));
    assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
    assert_true(readable(in, TIMEOUT_MS));
    assert_int_equal(read(in, back, sizeof(back)), sizeof(big));
    for (int i = 0; i < 100 && guest.tails < 1; i++)
        usleep(10000);
    assert_int_equal(guest.udp[SIDECAR_PORT], 0); /* the first one */
    assert_true(guest.tails > 0);                 /* the others */
    lab_run("busybox ping -c2 -W2 " POD4 " >/dev/null && busybox ping -6 -c2 -W2 " POD6
            " >/dev/null");
    assert_true(guest.echoes >= 4);
    assert_true(guest.arps > 0);
    pod_run("busybox ping -c1 -W2 " NODE4 " >/dev/null"); /* the answer to a container's own ping */
    guest_down();
}

struct flow {
    int listener;
    size_t got;
};
static void *sink(void *arg)
{
    struct flow *f = arg;
    autofd int c = accept(f->listener, NULL, NULL);
    static _Thread_local char buf[65536];
    ssize_t n;

    while ((n = read(c, buf, sizeof(buf))) > 0)
        f->got += (size_t)n;
    return NULL;
}

/* A busy container is not disturbed, and its frames stay away from the guest. */
static void test_bulk(void **state)
{
    static char chunk[65536];
    struct flow f = {0};
    const size_t total = 64 << 20;
    pthread_t thread;
    nsec_t start;
    int fd;

    (void)state;
    if (!needs_bpf())
        skip();
    guest_up();
    f.listener = open_socket(true, SOCK_STREAM, "0.0.0.0", SIDECAR_PORT);
    assert_int_equal(pthread_create(&thread, NULL, sink, &f), 0);
    fd = connect_in(false, POD4, SIDECAR_PORT);
    assert_true(fd >= 0);
    start = clock_mono();
    for (size_t sent = 0; sent < total; sent += sizeof(chunk))
        assert_ok(fs_write_all(fd, chunk, sizeof(chunk), err));
    close(fd);
    pthread_join(thread, NULL);
    print_message("node -> container %.0f MB/s\n",
                  (double)total / 1e6 / ((double)(clock_mono() - start) / 1e9));
    assert_int_equal(f.got, total);
    assert_int_equal(guest.tcp[SIDECAR_PORT], 0);
    close(f.listener);
    guest_down();
}

/* A guest whose stack takes 169.254.0.0/16 for neighbours asks for the client's address. */
static void test_arp_for_the_peer(void **state)
{
    uint8_t ask[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,   9,   8,  6,
                       0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,   0,   0,  9,
                       10,   91,   0,    2,    0,    0,    0, 0, 0, 0, 169, 254, 77, 1};
    uint8_t answer[128];
    bool found = false;

    (void)state;
    if (!needs_bpf())
        skip();
    assert_ok(guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &link_, err));
    assert_non_null(ether_aton_r(link_.mac, (void *)(ask + 6)));
    memcpy(ask + 22, ask + 6, 6);
    assert_int_equal(write(link_.tap_fd, ask, sizeof(ask)), sizeof(ask));
    while (!found && readable(link_.tap_fd, TIMEOUT_MS)) {
        ssize_t n = read(link_.tap_fd, answer, sizeof(answer));

        found = n >= 42 && answer[12] == 8 && answer[13] == 6 && answer[21] == 2;
    }
    assert_true(found);
    assert_memory_equal(answer, ask + 6, 6);       /* to the one who asked */
    assert_memory_equal(answer + 28, ask + 38, 4); /* about what it asked for */
    assert_memory_equal(answer + 38, ask + 28, 4);
    assert_int_equal(answer[22], 2);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    close(link_.tap_fd);
}

/* `total` bytes from a client to a server at ip:port, whoever they are. */
static void stream(bool client_in_pod, const char *ip, int listener, size_t total)
{
    static char chunk[65536];
    struct flow f = {.listener = listener};
    nsec_t start = clock_mono();
    pthread_t thread;
    int fd;

    assert_int_equal(pthread_create(&thread, NULL, sink, &f), 0);
    fd = connect_in(client_in_pod, ip, GUEST_PORT);
    assert_true(fd >= 0);
    for (size_t sent = 0; sent < total; sent += sizeof(chunk))
        assert_ok(fs_write_all(fd, chunk, sizeof(chunk), err));
    close(fd);
    pthread_join(thread, NULL);
    assert_int_equal(f.got, total);
    print_message("%s -> guest at %s: %.0f MB/s\n", client_in_pod ? "container" : "node", ip,
                  (double)total / 1e6 / ((double)(clock_mono() - start) / 1e9));
}

/* As a guest of a Solo5 tender, and as one of QEMU, which leaves checksums and segments to others.
 */
static void real_stack(bool offload)
{
    int listener;
    struct real_guest g;
    struct server node;

    if (!needs_bpf())
        skip();
    real_guest_up(&g, &(struct guest_link_options){.vnet_hdr = offload},
                  "ip addr add " POD4 "/24 dev eth0; ip addr add " POD6
                  "/64 dev eth0 nodad; ip route add default via " NODE4
                  "; ip route add default via fd91::1");
    server_start(&node, false, "::", 7000);
    real_guest_enter(&g);
    listener = open_socket(true, SOCK_STREAM, "::", GUEST_PORT);
    assert_answer(ask_tcp(true, NODE4, 7000), SIDECAR_REPLY); /* the guest outward */
    assert_answer(ask_tcp(true, "fd91::1", 7000), SIDECAR_REPLY);
    assert_answer(ask_udp(true, NODE4, 7000), SIDECAR_REPLY);
    real_guest_leave(&g);
    assert_answer(ask_tcp(true, NODE4, 7000), SIDECAR_REPLY); /* and a container */
    for (int in_pod_ = 0; in_pod_ < 2; in_pod_++) {
        stream(in_pod_, POD4, listener, 16 << 20);
        stream(in_pod_, POD6, listener, 16 << 20);
    }
    server_stop(&node);
    close(listener);
    real_guest_down(&g);
}
static void test_real_stack(void **state)
{
    (void)state;
    real_stack(false);
}

/* Both of a guest's ways to a container of its pod: what has no checksum yet is taken. */
static void test_offload(void **state)
{
    static const char *const peers[] = {"169.254.77.1", "fd75:6e69:6372:6900::1"};
    struct real_guest g;
    struct server side;

    (void)state;
    real_stack(true);
    real_guest_up(&g, &(struct guest_link_options){.vnet_hdr = true},
                  "ip addr add " POD4 "/24 dev eth0; ip addr add " POD6
                  "/64 dev eth0 nodad; ip route add default via " NODE4
                  "; ip route add default via fd91::1");
    server_start(&side, true, "::", SIDECAR_PORT);
    real_guest_enter(&g);
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        assert_answer(ask_tcp(true, peers[i], SIDECAR_PORT), SIDECAR_REPLY);
        assert_answer(ask_udp(true, peers[i], SIDECAR_PORT), SIDECAR_REPLY);
    }
    real_guest_leave(&g);
    server_stop(&side);
    real_guest_down(&g);
}

static void test_vnet_hdr(void **state)
{
    struct ifreq req = {0};

    (void)state;
    assert_ok(guest_link_create(pod, "eth0", "tap0",
                                &(struct guest_link_options){.owner_uid = 4711, .vnet_hdr = true},
                                &link_, err));
    assert_int_equal(ioctl(link_.tap_fd, TUNGETIFF, &req), 0);
    assert_true(req.ifr_flags & IFF_VNET_HDR);
    assert_true(req.ifr_flags & IFF_NO_PI);
    pod_run("ip -d link show tap0 | grep -q 'user 4711'");
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    close(link_.tap_fd);
}

/* A tap that stays from a guest with another number of queues is no hindrance. */
static void test_queues(void **state)
{
    static const unsigned queues[] = {3, 1, 2, GUEST_LINK_QUEUES_MAX};
    struct ifreq req = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
        assert_ok(guest_link_create(
            pod, "eth0", "tap0", &(struct guest_link_options){.queues = queues[i]}, &link_, err));
        assert_int_equal(link_.n_more, queues[i] - 1);
        assert_int_equal(ioctl(link_.tap_fd, TUNGETIFF, &req), 0);
        assert_int_equal((req.ifr_flags & IFF_MULTI_QUEUE) != 0, queues[i] > 1);
        assert_int_equal(ioctl(link_.tap_fd, TUNSETPERSIST, 1), 0);
        guest_link_close(&link_);
        assert_int_equal(link_.tap_fd, -1);
        assert_int_equal(link_.n_more, 0);
    }
    assert_err(guest_link_create(pod, "eth0", "tap0",
                                 &(struct guest_link_options){.queues = GUEST_LINK_QUEUES_MAX + 1},
                                 &link_, err),
               ERR_INVALID, "at most");
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
}

static void test_extreme_mtu(void **state)
{
    static const struct {
        const char *set;
        int mtu;
    } cases[] = {{"ip link set eth0 mtu 68", 68}, {"ip link set eth0 mtu 65535", 65521}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        pod_run(cases[i].set);
        assert_ok(
            guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &link_, err));
        assert_int_equal(link_.mtu, cases[i].mtu);
        assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
        close(link_.tap_fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fragments_and_pings, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_bulk, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_arp_for_the_peer, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_real_stack, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_offload, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_vnet_hdr, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_queues, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_extreme_mtu, pod_setup, pod_teardown),
    };

    return cmocka_run_group_tests_name("link_frames", tests, lab_setup, lab_teardown);
}
