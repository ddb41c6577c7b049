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
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cni/netns.h"

#define TIMEOUT_MS      5000
#define HONEST          0x5a /* in the padding of honest frames */
#define FRAME_BYTES     128
#define ICMPV6          58
#define ROUTER_AD       134
#define ND_SOLICIT      135
#define ND_ADVERT_      136
#define ND_REDIRECT_    137
#define LISTENER_REPORT 143

#define POD4 "10.91.0.2"
#define POD6 "fd91::2"

static char *pod;
static int pod_fd = -1, node = -1;
static struct guest_link link_;

static uint8_t mac[ETH_ALEN]; /* the guest's */
static const char *own4 = POD4;

static int pod_shell(void *arg, struct err *err)
{
    (void)err;
    return lab_shell(arg, NULL) == 0 ? 0 : -1;
}

static const char *mode = "bpf"; /* of the links that are made */

static int setup_with(struct guest_link_options options)
{
    autofree char *add = NULL;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    pod = lab_path("pod");
    assert_ok(netns_create(pod, err));
    assert_ok(pod_fd = netns_open(pod, err));
    add = xasprintf("set -e; ip link add veth0 type veth peer name eth0 netns /proc/%d/fd/%d;"
                    "ip link set veth0 up",
                    (int)getpid(), pod_fd);
    lab_run(add);
    assert_ok(netns_run(pod_fd, pod_shell,
                        (void *)(uintptr_t) "ip link set eth0 up; ip addr add " POD4
                                            "/24 dev eth0; ip addr add " POD6 "/64 dev eth0 nodad",
                        err));
    assert_int_equal(setenv("UNICRI_GUEST_LINK", mode, 1), 0);
    assert_ok(guest_link_create(pod, "eth0", "tap0", &options, &link_, err));
    assert_non_null(ether_aton_r(link_.mac, (void *)mac));
    node = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    to.sll_ifindex = (int)if_nametoindex("veth0");
    assert_true(node >= 0 && bind(node, (void *)&to, sizeof(to)) == 0);
    return 0;
}

static int setup_any(void **state)
{
    (void)state;
    return setup_with((struct guest_link_options){.any_source = true});
}
static int setup_strict(void **state)
{
    (void)state;
    return setup_with((struct guest_link_options){0});
}
static int setup_metadata(void **state)
{
    (void)state;
    return setup_with((struct guest_link_options){.metadata = true});
}

static int teardown(void **state)
{
    autofree char *gone = NULL;

    (void)state;
    node = close_fd(node);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    link_.tap_fd = close_fd(link_.tap_fd);
    pod_fd = close_fd(pod_fd);
    assert_ok(netns_remove(pod, err));
    (void)lab_shell("ip link del veth0", &gone); /* the kernel takes its time */
    free(pod);
    return 0;
}

static void put(uint8_t *frame, uint16_t type)
{
    memset(frame, 0, FRAME_BYTES);
    memset(frame, 0xff, ETH_ALEN);
    memcpy(frame + ETH_ALEN, mac, ETH_ALEN);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

static void put_arp(uint8_t *frame, const char *from)
{
    uint8_t *arp = frame + ETH_HLEN;

    put(frame, ETH_P_ARP);
    arp[1] = 1; /* Ethernet */
    arp[2] = ETH_P_IP >> 8;
    arp[4] = ETH_ALEN;
    arp[5] = 4;
    arp[7] = 1; /* who has */
    memcpy(arp + 8, mac, ETH_ALEN);
    assert_int_equal(inet_pton(AF_INET, from, arp + 14), 1);
}

static void put_ip4(uint8_t *frame, const char *from, const char *to)
{
    uint8_t *ip = frame + ETH_HLEN;

    put(frame, ETH_P_IP);
    ip[0] = 0x45;
    ip[3] = FRAME_BYTES - ETH_HLEN;
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    assert_int_equal(inet_pton(AF_INET, from, ip + 12), 1);
    assert_int_equal(inet_pton(AF_INET, to, ip + 16), 1);
}

static void put_ip6(uint8_t *frame, const char *from, const char *to)
{
    uint8_t *ip = frame + ETH_HLEN;

    put(frame, ETH_P_IPV6);
    ip[0] = 0x60;
    ip[5] = FRAME_BYTES - ETH_HLEN - 40;
    ip[6] = IPPROTO_UDP;
    ip[7] = 255;
    assert_int_equal(inet_pton(AF_INET6, from, ip + 8), 1);
    assert_int_equal(inet_pton(AF_INET6, to, ip + 24), 1);
}

/* "This address is mine": a neighbour advertisement. */
static void put_advert(uint8_t *frame, const char *from, const char *target)
{
    uint8_t *ip = frame + ETH_HLEN;

    put_ip6(frame, from, "ff02::1");
    ip[6] = ICMPV6;
    ip[40] = ND_ADVERT_;
    assert_int_equal(inet_pton(AF_INET6, target, ip + 48), 1);
}

/* An ICMPv6 message of `type`, behind an empty hop-by-hop header if asked. */
static void put_icmp6(uint8_t *frame, uint8_t type, bool extended)
{
    uint8_t *ip = frame + ETH_HLEN, *icmp = ip + (extended ? 48 : 40);

    put_ip6(frame, "fe80::", "fe80::");
    ip[6] = extended ? 0 : ICMPV6;
    if (extended) {
        ip[40] = ICMPV6;
        ip[42] = 1; /* padding to eight bytes */
        ip[43] = 4;
    }
    icmp[0] = type;
}

/* Do the first `len` bytes of `frame` leave the pod? */
static bool passes_cut(const uint8_t *frame, size_t len)
{
    static uint8_t number; /* makes each honest frame one of its kind */
    uint8_t honest[FRAME_BYTES], got[FRAME_BYTES * 2];
    bool seen = false;

    put_arp(honest, own4);
    honest[FRAME_BYTES - 1] = ++number;
    honest[FRAME_BYTES - 2] = HONEST;
    assert_int_equal(write(link_.tap_fd, frame, len), len);
    assert_int_equal(write(link_.tap_fd, honest, FRAME_BYTES), FRAME_BYTES);
    for (;;) {
        struct pollfd p = {.fd = node, .events = POLLIN};
        ssize_t n;

        assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
        n = recv(node, got, sizeof(got), 0);
        if (n == FRAME_BYTES && memcmp(got, honest, FRAME_BYTES) == 0)
            return seen;
        seen = seen || (n == (ssize_t)len && memcmp(got, frame, len) == 0);
    }
}

static bool passes(const uint8_t *frame)
{
    return passes_cut(frame, FRAME_BYTES);
}

static void test_frames_of_others(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
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
        assert_int_equal(passes(frame), !extended);
    }
    /* All zero, it is a chain of hop-by-hop options without end: nobody sees what stands behind. */
    put(frame, ETH_P_IPV6);
    assert_false(passes(frame));
    /* A router's message behind five headers of destination options. */
    put_icmp6(frame, ROUTER_AD, false);
    frame[ETH_HLEN + 6] = 60;
    memmove(frame + ETH_HLEN + 80, frame + ETH_HLEN + 40, FRAME_BYTES - ETH_HLEN - 80);
    for (int i = 0; i < 5; i++) {
        memset(frame + ETH_HLEN + 40 + i * 8, 0, 8);
        frame[ETH_HLEN + 40 + i * 8] = i < 4 ? 60 : ICMPV6;
    }
    assert_false(passes(frame));
}

/* The same rules whether it is only the source that is looked at or the metadata service, too. */
static void honest_frames_pass(void)
{
    uint8_t frame[FRAME_BYTES];

    put_ip4(frame, POD4, "192.0.2.1");
    assert_true(passes(frame));
    put_ip6(frame, POD6, "2001:db8::1");
    assert_true(passes(frame));
    put_arp(frame, POD4);
    assert_true(passes(frame));
}

static void test_sources(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
    honest_frames_pass();
    put_arp(frame, "0.0.0.0"); /* a probe */
    assert_true(passes(frame));
    put_arp(frame, "10.91.0.1"); /* "I am the gateway" */
    assert_false(passes(frame));
    put_arp(frame, POD4);
    frame[ETH_HLEN + 8 + 5] ^= 1; /* "it is at another MAC" */
    assert_false(passes(frame));
    put_arp(frame, POD4);
    assert_false(passes_cut(frame, ETH_HLEN + 27));
    put_ip4(frame, "10.91.0.3", "192.0.2.1");
    assert_false(passes(frame));
    put_ip4(frame, "0.0.0.0", "255.255.255.255");
    assert_false(passes(frame));
    put_ip4(frame, POD4, "192.0.2.1");
    assert_false(passes_cut(frame, ETH_HLEN + 19));
    frame[ETH_ALEN + 5] ^= 1;
    assert_false(passes(frame));
    put_ip6(frame, "fd91::3", "2001:db8::1");
    assert_false(passes(frame));
    put_ip6(frame, POD6, "2001:db8::1");
    assert_false(passes_cut(frame, ETH_HLEN + 39));
    put_ip6(frame, "fe80::1234", "ff02::2");
    assert_true(passes(frame));
    put_ip6(frame, "::", "ff02::1:ff00:2"); /* duplicate detection */
    assert_true(passes(frame));
    put_ip6(frame, "::", "2001:db8::1");
    assert_false(passes(frame));
    put(frame, 0x88cc); /* LLDP, as a stand-in for everything else */
    assert_false(passes(frame));
    put(frame, 0x26); /* a bridge's spanning tree speaks by lengths */
    assert_false(passes(frame));
}

static void test_advertisements(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
    put_advert(frame, POD6, POD6);
    assert_true(passes(frame));
    assert_false(passes_cut(frame, ETH_HLEN + 40 + 23));
    put_advert(frame, "fe80::1", "fe80::1");
    assert_true(passes(frame));
    put_advert(frame, POD6, "fd91::1"); /* "I am the gateway" */
    assert_false(passes(frame));
    put_icmp6(frame, ND_ADVERT_, true);
    assert_false(passes(frame));
}

static void metadata(bool want)
{
    uint8_t frame[FRAME_BYTES];

    put_ip4(frame, POD4, "169.254.169.254");
    assert_int_equal(passes(frame), want);
    put_ip6(frame, POD6, "fd00:ec2::254");
    assert_int_equal(passes(frame), want);
    put_ip6(frame, POD6, "fd20:ce::254");
    assert_int_equal(passes(frame), want);
    put_ip4(frame, POD4, "169.254.169.253");
    assert_true(passes(frame));
    put_ip6(frame, POD6, "fd00:ec2::253");
    assert_true(passes(frame));
}

static void test_no_metadata(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
    honest_frames_pass();
    metadata(false);
    put_ip4(frame, "10.91.0.3", "192.0.2.1");
    assert_int_equal(passes(frame), *state != NULL);
}

static void test_metadata(void **state)
{
    (void)state;
    metadata(true);
}

static void test_listeners(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
    put_icmp6(frame, LISTENER_REPORT, true);
    assert_true(passes(frame));
    assert_int_equal(inet_pton(AF_INET6, "fd91::7", frame + ETH_HLEN + 8), 1);
    assert_false(passes(frame));
}

/* What the tap had before is not asked any more. */
static void test_again(void **state)
{
    uint8_t frame[FRAME_BYTES];

    (void)state;
    assert_int_equal(ioctl(link_.tap_fd, TUNSETPERSIST, 1), 0);
    link_.tap_fd = close_fd(link_.tap_fd);
    assert_ok(netns_run(pod_fd, pod_shell,
                        (void *)(uintptr_t) "ip addr del " POD4 "/24 dev eth0;"
                                            "ip addr add 10.91.0.9/24 dev eth0",
                        err));
    assert_ok(guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &link_, err));
    own4 = "10.91.0.9";
    put_ip4(frame, own4, "192.0.2.1");
    assert_true(passes(frame));
    put_ip4(frame, POD4, "192.0.2.1");
    assert_false(passes(frame));
    own4 = POD4;
}

static int use_u32(void **state)
{
    (void)state;
    mode = "u32";
    return 0;
}

#define TEST(f, setup) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TESTS(any)                                                                                 \
    TEST(test_frames_of_others, setup_any), TEST(test_sources, setup_strict),                      \
        TEST(test_advertisements, setup_strict), TEST(test_no_metadata, setup_strict),             \
        {"test_no_metadata_any_source", test_no_metadata, setup_any, teardown, any},               \
        TEST(test_metadata, setup_metadata), TEST(test_listeners, setup_strict),                   \
        TEST(test_again, setup_strict)

static void then_by_u32(void **state)
{
    (void)state;
}

int main(void)
{
    static int any; /* its address tells test_no_metadata() that sources are free */
    const struct CMUnitTest both[] = {TESTS(&any), cmocka_unit_test_setup(then_by_u32, use_u32),
                                      TESTS(&any)};
    const struct CMUnitTest u32[] = {cmocka_unit_test_setup(then_by_u32, use_u32), TESTS(&any)};
    autofree char *why = NULL;

    if (guest_link_probe(&why) == GUEST_LINK_BPF)
        return cmocka_run_group_tests_name("link_hostile", both, lab_setup, lab_teardown);
    print_message("by BPF: skipped, this kernel has no classifier for it: %s\n", why);
    return cmocka_run_group_tests_name("link_hostile", u32, lab_setup, lab_teardown);
}
