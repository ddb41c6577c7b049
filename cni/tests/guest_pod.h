/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_pod - a pod with a guest and an ordinary container for tests: the namespace, real sockets
 * inside and outside, servers of the side container, a guest in user space (fake_guest.h) behind
 * the tap. The test is the node. Included by one .c file per program.
 */
#ifndef UNICRI_CNI_TESTS_GUEST_POD_H
#define UNICRI_CNI_TESTS_GUEST_POD_H

#include "cni/tests/lab.h"

#include <linux/if_tun.h>
#include <sys/socket.h>

#include "cni/netns.h"
#include "cni/tests/fake_guest.h"

#define NODE4         "10.91.0.1"
#define POD4          "10.91.0.2"
#define POD6          "fd91::2"
#define SIDECAR_PORT  8080
#define GUEST_PORT    80
#define TIMEOUT_MS    5000
#define SIDECAR_REPLY "stack"

static char *pod; /* path of the namespace */
static int pod_fd = -1;
static struct guest_link link_;
static struct fake_guest guest;

__attribute__((unused)) static int in_pod(void *arg, struct err *err)
{
    (void)err;
    return lab_shell(arg, NULL) == 0 ? 0 : -1;
}
__attribute__((unused)) static void pod_run(const char *command)
{
    assert_ok(netns_run(pod_fd, in_pod, (void *)(uintptr_t)command, err));
}

struct want_socket {
    int type;
    bool client;
    struct sockaddr *local;
    socklen_t len;
};
__attribute__((unused)) static int make_socket(void *arg, struct err *err)
{
    struct want_socket *w = arg;
    int one = 1, fd = socket(w->local->sa_family, w->type | SOCK_CLOEXEC, 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, w->local, w->len) < 0 ||
        (w->type == SOCK_STREAM && !w->client && listen(fd, 16) < 0))
        return err_sys(err, "make a socket");
    return fd;
}

__attribute__((unused)) static socklen_t address(struct sockaddr_storage *ret, const char *ip,
                                                 uint16_t port)
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
__attribute__((unused)) static int open_socket(bool inside, int type, const char *ip, uint16_t port)
{
    struct sockaddr_storage a;
    struct want_socket w = {.type = type, .local = (void *)&a, .len = address(&a, ip, port)};
    struct err err = ERR_INIT;
    int fd = inside ? netns_run(pod_fd, make_socket, &w, &err) : make_socket(&w, &err);

    if (fd < 0)
        fail_msg("%s", err.msg);
    return fd;
}

__attribute__((unused)) static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

__attribute__((unused)) static int connect_in(bool inside, const char *ip, uint16_t port)
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
__attribute__((unused)) static char *ask_tcp(bool inside, const char *ip, uint16_t port)
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

__attribute__((unused)) static char *ask_udp(bool inside, const char *ip, uint16_t port)
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
    const char *_Atomic reply;
    int tcp, udp;
    pthread_t thread;
    atomic_bool stop;
};
__attribute__((unused)) static void *server_thread(void *arg)
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
                (void)!write(c, s->reply, strlen(s->reply));
        }
        if (p[1].revents && recvfrom(s->udp, buf, sizeof(buf), 0, (void *)&from, &len) > 0)
            (void)!sendto(s->udp, s->reply, strlen(s->reply), 0, (void *)&from, len);
    }
    return NULL;
}
__attribute__((unused)) static void server_start(struct server *s, bool inside, const char *ip,
                                                 uint16_t port)
{
    s->stop = false;
    s->reply = SIDECAR_REPLY;
    s->tcp = open_socket(inside, SOCK_STREAM, ip, port);
    s->udp = open_socket(inside, SOCK_DGRAM, ip, port);
    assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
}
__attribute__((unused)) static void server_stop(struct server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->tcp);
    close(s->udp);
}

__attribute__((unused)) static int pod_setup(void **state)
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
__attribute__((unused)) static int pod_teardown(void **state)
{
    (void)state;
    pod_fd = close_fd(pod_fd);
    assert_ok(netns_remove(pod, err));
    (void)lab_shell("ip link del veth0", NULL);
    unsetenv("UNICRI_GUEST_LINK");
    return 0;
}

__attribute__((unused)) static void guest_up(void)
{
    assert_ok(guest_link_create(pod, "eth0", "tap0", &(struct guest_link_options){0}, &link_, err));
    fake_guest_start(&guest, link_.tap_fd);
}
__attribute__((unused)) static void guest_down(void)
{
    fake_guest_stop(&guest);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    link_.tap_fd = close_fd(link_.tap_fd);
}

__attribute__((unused)) static void assert_answer(char *answer, const char *want)
{
    assert_non_null(answer);
    assert_string_equal(answer, want);
    free(answer);
}
__attribute__((unused)) static bool needs_bpf(void)
{
    autofree char *why = NULL;

    if (guest_link_probe(&why) == GUEST_LINK_BPF)
        return true;
    print_message("this kernel has no classifier for it: %s\n", why);
    return false;
}

#endif
