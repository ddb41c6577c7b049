/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that no guest has a reason to send: the test writes them to the tap as a guest would and
 * listens on the node's end of the pod's interface. Each is followed by an honest frame, so that
 * nothing has to be waited for in vain.
 */
#include "cni/tests/lab.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include "cni/netns.h"

#define TIMEOUT_MS   5000
#define HONEST_TYPE  0x88b5 /* for experiments */
#define FRAME_BYTES  128
#define ICMPV6       58
#define ROUTER_AD    134
#define ND_SOLICIT   135
#define ND_REDIRECT_ 137

static char *pod;
static int pod_fd = -1, node = -1;
static struct guest_link link_;

static int pod_shell(void *arg, struct err *err)
{
    (void)err;
    return lab_shell(arg, NULL) == 0 ? 0 : -1;
}

static int setup(void **state)
{
    autofree char *add = NULL;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    (void)state;
    pod = lab_path("pod");
    assert_ok(netns_create(pod, err));
    assert_ok(pod_fd = netns_open(pod, err));
    add = xasprintf("set -e; ip link add veth0 type veth peer name eth0 netns /proc/%d/fd/%d;"
                    "ip link set veth0 up",
                    (int)getpid(), pod_fd);
    lab_run(add);
    assert_ok(netns_run(pod_fd, pod_shell, (void *)(uintptr_t) "ip link set eth0 up", err));
    assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
    node = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    to.sll_ifindex = (int)if_nametoindex("veth0");
    assert_true(node >= 0 && bind(node, (void *)&to, sizeof(to)) == 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    node = close_fd(node);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    link_.tap_fd = close_fd(link_.tap_fd);
    pod_fd = close_fd(pod_fd);
    assert_ok(netns_remove(pod, err));
    free(pod);
    return 0;
}

static void put(uint8_t *frame, uint16_t type)
{
    static const uint8_t from[] = {2, 0, 0, 0, 0, 0x77};

    memset(frame, 0, FRAME_BYTES);
    memset(frame, 0xff, ETH_ALEN);
    memcpy(frame + ETH_ALEN, from, sizeof(from));
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

/* An ICMPv6 message of `type`, behind an empty hop-by-hop header if asked. */
static void put_icmp6(uint8_t *frame, uint8_t type, bool extended)
{
    uint8_t *ip = frame + ETH_HLEN, *icmp = ip + (extended ? 48 : 40);

    put(frame, ETH_P_IPV6);
    ip[0] = 0x60;
    ip[5] = FRAME_BYTES - ETH_HLEN - 40;
    ip[6] = extended ? 0 : ICMPV6;
    ip[7] = 255;
    ip[8] = ip[24] = 0xfe;
    ip[9] = ip[25] = 0x80;
    if (extended) {
        ip[40] = ICMPV6;
        ip[42] = 1; /* padding to eight bytes */
        ip[43] = 4;
    }
    icmp[0] = type;
}

/* Does `frame` leave the pod? */
static bool passes(const uint8_t *frame)
{
    uint8_t honest[FRAME_BYTES], got[FRAME_BYTES * 2];
    bool seen = false;

    put(honest, HONEST_TYPE);
    assert_int_equal(write(link_.tap_fd, frame, FRAME_BYTES), FRAME_BYTES);
    assert_int_equal(write(link_.tap_fd, honest, FRAME_BYTES), FRAME_BYTES);
    for (;;) {
        struct pollfd p = {.fd = node, .events = POLLIN};

        assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
        if (recv(node, got, sizeof(got), 0) < ETH_HLEN || memcmp(got + 6, frame + 6, ETH_ALEN) != 0)
            continue; /* the stacks' own */
        if (got[12] == HONEST_TYPE >> 8 && got[13] == (HONEST_TYPE & 0xff))
            return seen;
        seen = true;
    }
}

static void test_frames_of_others(void **state)
{
    uint8_t frame[FRAME_BYTES];
    autofree char *why = NULL;

    (void)state;
    if (guest_link_probe(&why) != GUEST_LINK_BPF) {
        print_message("this kernel has no classifier for it: %s\n", why);
        skip();
    }
    put(frame, ETH_P_8021Q);
    frame[15] = 42; /* the VLAN */
    frame[16] = 8;  /* IPv4 inside */
    assert_false(passes(frame));
    put(frame, ETH_P_8021AD);
    frame[15] = 42;
    frame[16] = ETH_P_8021Q >> 8; /* a tag within a tag */
    assert_false(passes(frame));
    for (int extended = 0; extended < 2; extended++) {
        put_icmp6(frame, ROUTER_AD, extended);
        assert_false(passes(frame));
        put_icmp6(frame, ND_REDIRECT_, extended);
        assert_false(passes(frame));
        put_icmp6(frame, ND_SOLICIT, extended);
        assert_true(passes(frame));
    }
    put(frame, ETH_P_IPV6); /* nonsense harms nobody and is not ours to judge */
    assert_true(passes(frame));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frames_of_others, setup, teardown),
    };

    return cmocka_run_group_tests_name("link_hostile", tests, lab_setup, lab_teardown);
}
