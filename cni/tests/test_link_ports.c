/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One address has one set of ports: who gets what at a port where an ordinary container and the
 * guest both listen. The guest has a real stack.
 */
#include "cni/tests/real_guest.h"

#define ROUTES                                                                                     \
    "ip addr add " POD4 "/24 dev eth0; ip addr add " POD6                                          \
    "/64 dev eth0 nodad; ip route add default via " NODE4 "; ip route add default via fd91::1"
#define CLIENTS 40

/* Both listen: the container has the port, the guest keeps all others, and has it when the
 * container ends. */
static void test_both_listen(void **state)
{
    struct server side, guests;
    struct real_guest g;

    (void)state;
    if (!needs_bpf())
        skip();
    real_guest_up(&g, &(struct guest_link_options){0}, ROUTES);
    server_start(&side, true, "::", SIDECAR_PORT);
    real_guest_enter(&g);
    server_start(&guests, true, "::", SIDECAR_PORT);
    real_guest_leave(&g);
    guests.reply = "guest";
    assert_answer(ask_tcp(false, POD4, SIDECAR_PORT), SIDECAR_REPLY);
    assert_answer(ask_tcp(false, POD6, SIDECAR_PORT), SIDECAR_REPLY);
    assert_answer(ask_udp(false, POD4, SIDECAR_PORT), SIDECAR_REPLY);
    server_stop(&side);
    assert_answer(ask_tcp(false, POD4, SIDECAR_PORT), "guest");
    assert_answer(ask_tcp(false, POD6, SIDECAR_PORT), "guest");
    assert_answer(ask_udp(false, POD4, SIDECAR_PORT), "guest");
    server_stop(&guests);
    real_guest_down(&g);
}

/* A container whose queue is full answers by SYN cookies, of which its stack keeps no memory: the
 * segment that ends the handshake is the container's all the same. */
static void test_syn_cookies(void **state)
{
    static const char *const ips[] = {POD4, POD6};
    struct real_guest g;

    (void)state;
    if (!needs_bpf())
        skip();
    real_guest_up(&g, &(struct guest_link_options){0}, ROUTES);
    if (lab_shell("nsenter --net=pod sh -c 'echo 2 > /proc/sys/net/ipv4/tcp_syncookies'", NULL)) {
        print_message("tcp_syncookies cannot be set here\n");
        real_guest_down(&g);
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(ips); i++) {
        struct server side;

        server_start(&side, true, "::", SIDECAR_PORT);
        for (int n = 0; n < CLIENTS; n++)
            assert_answer(ask_tcp(false, ips[i], SIDECAR_PORT), SIDECAR_REPLY);
        server_stop(&side);
    }
    real_guest_down(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_listen, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_syn_cookies, pod_setup, pod_teardown),
    };

    return cmocka_run_group_tests_name("link_ports", tests, lab_setup, lab_teardown);
}
