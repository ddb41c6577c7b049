/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and ordinary containers at one address: real sockets of the pod's stack on one side, a
 * guest in user space (fake_guest.h) behind the tap on the other, the test in the role of the node.
 */
#include "cni/tests/lab.h"

#include <linux/if_tun.h>
#include <sys/socket.h>

#include "cni/netns.h"
#include "cni/tests/fake_guest.h"

#define NODE4           "10.91.0.1"
#define POD4            "10.91.0.2"
#define POD6            "fd91::2"
#define SIDECAR_PORT    8080
#define GUEST_PORT      80
#define TIMEOUT_MS      5000
#define TIMED_ROUNDS    20
#define PARALLEL        8
#define PARALLEL_ROUNDS 5
#define SIDECAR_REPLY   "stack"

static char *pod; /* path of the namespace */
static int pod_fd = -1;
static struct guest_link link_;
static struct fake_guest guest;

/* ---------------------------------------------------------------- pod */

static int in_pod(void *arg, struct err *err)
{
    (void)err;
    return lab_shell(arg, NULL) == 0 ? 0 : -1;
}
static void pod_run(const char *command)
{
    assert_ok(netns_run(pod_fd, in_pod, (void *)(uintptr_t)command, err));
}

struct want_socket {
    int type;
    bool client;
    struct sockaddr *local;
    socklen_t len;
};
static int make_socket(void *arg, struct err *err)
{
    struct want_socket *w = arg;
    int one = 1, fd = socket(w->local->sa_family, w->type | SOCK_CLOEXEC, 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, w->local, w->len) < 0 ||
        (w->type == SOCK_STREAM && !w->client && listen(fd, 16) < 0))
        return err_sys(err, "make a socket");
    return fd;
}

static socklen_t address(struct sockaddr_storage *ret, const char *ip, uint16_t port)
{
    struct sockaddr_in *a4 = (void *)ret;
    struct sockaddr_in6 *a6 = (void *)ret;

    memset(ret, 0, sizeof(*ret));
    if (strchr(ip, ':')) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = htons(port);
        assert_int_equal(inet_pton(AF_INET6, ip, &a6->sin6_addr), 1);
        return sizeof(*a6);
    }
    a4->sin_family = AF_INET;
    a4->sin_port = htons(port);
    assert_int_equal(inet_pton(AF_INET, ip, &a4->sin_addr), 1);
    return sizeof(*a4);
}

/* A socket of an ordinary container of the pod (`inside`), or of the node. */
static int open_socket(bool inside, int type, const char *ip, uint16_t port)
{
    struct sockaddr_storage a;
    struct want_socket w = {.type = type, .local = (void *)&a, .len = address(&a, ip, port)};
    struct err err = ERR_INIT;
    int fd = inside ? netns_run(pod_fd, make_socket, &w, &err) : make_socket(&w, &err);

    if (fd < 0)
        fail_msg("%s", err.msg);
    return fd;
}

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

static int connect_in(bool inside, const char *ip, uint16_t port)
{
    struct sockaddr_storage to, any;
    struct want_socket w = {.type = SOCK_STREAM, .client = true, .local = (void *)&any};
    struct timeval t = {.tv_sec = TIMEOUT_MS / 1000};
    socklen_t len = address(&to, ip, port);
    struct err err = ERR_INIT;
    autofd int fd = -1;

    w.len = address(&any, strchr(ip, ':') ? "::" : "0.0.0.0", 0);
    fd = inside ? netns_run(pod_fd, make_socket, &w, &err) : make_socket(&w, &err);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
    if (connect(fd, (void *)&to, len) == 0)
        return TAKE_FD(fd);
    if (errno != ECONNREFUSED) /* tests expect nothing else */
        print_message("connect to %s:%d: %s\n", ip, port, strerror(errno));
    return -1;
}

/* Connect, write, read. Returns: what came back (owned), or NULL when there was no connection. */
static char *ask_tcp(bool inside, const char *ip, uint16_t port)
{
    char buf[64] = "";
    autofd int fd = connect_in(inside, ip, port);

    if (fd < 0)
        return NULL;
    assert_int_equal(write(fd, "hello", 5), 5);
    if (!readable(fd, TIMEOUT_MS)) {
        print_message("no answer from %s:%d\n", ip, port);
        return NULL;
    }
    if (read(fd, buf, sizeof(buf) - 1) > 0)
        return xstrdup(buf);
    print_message("read from %s:%d: %s\n", ip, port, strerror(errno));
    return NULL;
}

static char *ask_udp(bool inside, const char *ip, uint16_t port)
{
    struct sockaddr_storage a;
    socklen_t len = address(&a, ip, port);
    char buf[64] = "";
    autofd int fd = open_socket(inside, SOCK_DGRAM, strchr(ip, ':') ? "::" : "0.0.0.0", 0);

    assert_int_equal(connect(fd, (void *)&a, len), 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    if (!readable(fd, TIMEOUT_MS))
        return NULL;
    return read(fd, buf, sizeof(buf) - 1) > 0 ? xstrdup(buf) : NULL;
}

/* Servers of the side container: one thread that answers on the sockets given. */
struct server {
    int tcp, udp;
    pthread_t thread;
    atomic_bool stop;
};
static void *server_thread(void *arg)
{
    struct server *s = arg;

    while (!s->stop) {
        struct pollfd p[2] = {{.fd = s->tcp, .events = POLLIN}, {.fd = s->udp, .events = POLLIN}};
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        char buf[64];

        if (poll(p, 2, 50) <= 0)
            continue;
        if (p[0].revents) {
            autofd int c = accept(s->tcp, NULL, NULL);

            if (c >= 0 && read(c, buf, sizeof(buf)) > 0)
                (void)!write(c, SIDECAR_REPLY, strlen(SIDECAR_REPLY));
        }
        if (p[1].revents && recvfrom(s->udp, buf, sizeof(buf), 0, (void *)&from, &len) > 0)
            (void)!sendto(s->udp, SIDECAR_REPLY, strlen(SIDECAR_REPLY), 0, (void *)&from, len);
    }
    return NULL;
}
static void server_start(struct server *s, bool inside, const char *ip, uint16_t port)
{
    s->stop = false;
    s->tcp = open_socket(inside, SOCK_STREAM, ip, port);
    s->udp = open_socket(inside, SOCK_DGRAM, ip, port);
    assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
}
static void server_stop(struct server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->tcp);
    close(s->udp);
}

static int pod_setup(void **state)
{
    autofree char *add = NULL;

    (void)state;
    free(pod);
    pod = lab_path("pod");
    assert_ok(netns_create(pod, err));
    assert_ok(pod_fd = netns_open(pod, err));
    add = xasprintf("set -e; ip link add veth0 type veth peer name eth0 netns /proc/%d/fd/%d;"
                    "ip link set veth0 mtu 1400 up; ip addr add " NODE4
                    "/24 dev veth0; ip addr add fd91::1/64 dev veth0 nodad",
                    (int)getpid(), pod_fd);
    lab_run(add);
    pod_run("set -e; ip link set eth0 mtu 1400 up; ip addr add " POD4 "/24 dev eth0;"
            "ip addr add " POD6 "/64 dev eth0 nodad; ip route add default via " NODE4);
    return 0;
}
static int pod_teardown(void **state)
{
    (void)state;
    pod_fd = close_fd(pod_fd);
    assert_ok(netns_remove(pod, err));
    (void)lab_shell("ip link del veth0", NULL);
    unsetenv("UNICRI_GUEST_LINK");
    return 0;
}

static void guest_up(void)
{
    assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
    fake_guest_start(&guest, link_.tap_fd);
}
static void guest_down(void)
{
    fake_guest_stop(&guest);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    link_.tap_fd = close_fd(link_.tap_fd);
}

static void assert_answer(char *answer, const char *want)
{
    assert_non_null(answer);
    assert_string_equal(answer, want);
    free(answer);
}
static bool needs_bpf(void)
{
    autofree char *why = NULL;

    if (guest_link_probe(&why) == GUEST_LINK_BPF)
        return true;
    print_message("this kernel has no classifier for it: %s\n", why);
    return false;
}

/* -------------------------------------------------------------- tests */

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
    assert_err(guest_link_create(pod, "eth0", "tap0", 0, false, &l, err), ERR_NOT_FOUND,
               "matchall");
    pod_run("! ip link show dev tap0 2>/dev/null");
    pod_run("test -z \"$(tc filter show dev eth0 ingress)\"");
}

static void test_again_and_others(void **state)
{
    struct guest_link l;

    (void)state;
    guest_up();
    /* Somebody holds it. */
    assert_err(guest_link_create(pod, "eth0", "tap0", 0, false, &l, err), ERR_EXISTS,
               "tap 'tap0' is held");
    assert_err(guest_link_create(pod, "eth0", "tap1", 0, false, &l, err), ERR_EXISTS,
               "by tap 'tap0'");
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
    assert_err(guest_link_create(pod, "eth0", "tap1", 0, false, &l, err), ERR_EXISTS,
               "by tap 'mine'");
    guest_down();
    pod_run("! ip link show dev mine 2>/dev/null");

    assert_err(guest_link_create(pod, "eth7", "tap0", 0, false, &l, err), ERR_NOT_FOUND,
               "no interface 'eth7'");
    assert_err(guest_link_create("/nowhere", "eth0", "tap0", 0, false, &l, err), ERR_NOT_FOUND,
               "/nowhere");
    assert_err(guest_link_create(pod, "eth0", "a/b", 0, false, &l, err), ERR_INVALID, "'a/b'");
    assert_err(guest_link_create(pod, "eth0", "tap%d", 0, false, &l, err), ERR_INVALID, "'tap%d'");
    assert_err(guest_link_create(pod, "eth0", "a-name-that-is-too-long", 0, false, &l, err),
               ERR_INVALID, "too-long");
    assert_ok(guest_link_remove("/nowhere", "eth0", "tap0", err));
    /* Others' filters stay. */
    pod_run("tc filter add dev eth0 ingress prio 5 protocol 0x88b5 u32 match u32 0 0 action mirred "
            "egress redirect dev lo");
    guest_up();
    guest_down();
    pod_run("tc filter show dev eth0 ingress | grep -q 'pref 5 '");
}

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
    assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
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

/*
 * A guest with a real stack: a namespace of its own whose interface has the pod's MAC and
 * addresses, and a thread that carries frames between its tap and the guest's. Long streams prove
 * segmentation and checksums on every way.
 */
struct pump {
    int a, b;
    atomic_bool stop;
    pthread_t thread;
};
static void *pump_thread(void *arg)
{
    struct pump *p = arg;
    static _Thread_local char frame[65536];

    while (!p->stop) {
        struct pollfd fds[2] = {{.fd = p->a, .events = POLLIN}, {.fd = p->b, .events = POLLIN}};
        ssize_t n;

        if (poll(fds, 2, 50) <= 0)
            continue;
        if (fds[0].revents && (n = read(p->a, frame, sizeof(frame))) > 0)
            (void)!write(p->b, frame, (size_t)n);
        if (fds[1].revents && (n = read(p->b, frame, sizeof(frame))) > 0)
            (void)!write(p->a, frame, (size_t)n);
    }
    return NULL;
}
static int open_plain_tap(void *arg, struct err *err)
{
    struct ifreq req = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    (void)arg;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0)
        return err_sys(err, "tap of the guest's stack");
    return fd;
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

static void test_real_stack(void **state)
{
    autofree char *guest_ns = lab_path("guest");
    autofree char *config = NULL;
    int former = pod_fd, listener;
    struct pump pump = {0};
    struct server node;

    (void)state;
    if (!needs_bpf())
        skip();
    assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
    assert_ok(netns_create(guest_ns, err));
    assert_ok(pod_fd = netns_open(guest_ns, err)); /* "inside" is the guest for a moment */
    pump.a = link_.tap_fd;
    assert_ok(pump.b = netns_run(pod_fd, open_plain_tap, NULL, err));
    config = xasprintf("set -e; ip link set eth0 mtu 1400 address %s up; ip addr add " POD4
                       "/24 dev eth0;"
                       "ip addr add " POD6 "/64 dev eth0 nodad; ip route add default via " NODE4
                       "; ip route add default via fd91::1",
                       link_.mac);
    pod_run(config);
    listener = open_socket(true, SOCK_STREAM, "::", GUEST_PORT);
    assert_int_equal(pthread_create(&pump.thread, NULL, pump_thread, &pump), 0);
    server_start(&node, false, "::", 7000);
    assert_answer(ask_tcp(true, NODE4, 7000), SIDECAR_REPLY); /* the guest outward */
    assert_answer(ask_tcp(true, "fd91::1", 7000), SIDECAR_REPLY);
    pod_fd = close_fd(pod_fd);
    pod_fd = former;
    assert_answer(ask_tcp(true, NODE4, 7000), SIDECAR_REPLY); /* and a container */
    for (int in_pod_ = 0; in_pod_ < 2; in_pod_++) {
        stream(in_pod_, POD4, listener, 16 << 20);
        stream(in_pod_, POD6, listener, 16 << 20);
    }
    server_stop(&node);
    pump.stop = true;
    pthread_join(pump.thread, NULL);
    close(pump.b);
    close(listener);
    assert_ok(netns_remove(guest_ns, err));
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    close(link_.tap_fd);
}

static void test_vnet_hdr(void **state)
{
    struct ifreq req = {0};

    (void)state;
    assert_ok(guest_link_create(pod, "eth0", "tap0", 4711, true, &link_, err));
    assert_int_equal(ioctl(link_.tap_fd, TUNGETIFF, &req), 0);
    assert_true(req.ifr_flags & IFF_VNET_HDR);
    assert_true(req.ifr_flags & IFF_NO_PI);
    pod_run("ip -d link show tap0 | grep -q 'user 4711'");
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    close(link_.tap_fd);
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
        assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
        assert_int_equal(link_.mtu, cases[i].mtu);
        assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
        close(link_.tap_fd);
    }
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
            guest_link_create(path, "eth0", "tap0", 0, false, &l, &e) < 0 ||
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
        assert_ok(guest_link_create(pod, "eth0", "tap0", 0, false, &link_, err));
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
        cmocka_unit_test_setup_teardown(test_fragments_and_pings, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_bulk, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_arp_for_the_peer, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_real_stack, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_vnet_hdr, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_extreme_mtu, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_without_ipv6, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_parallel, pod_setup, pod_teardown),
        cmocka_unit_test_setup_teardown(test_time, pod_setup, pod_teardown),
    };

    return cmocka_run_group_tests_name("link", tests, lab_setup, lab_teardown);
}
