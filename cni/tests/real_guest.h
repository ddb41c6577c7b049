/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real_guest - a guest with a real stack behind the tap of a pod (guest_pod.h): a namespace of its
 * own whose interface has the pod's MAC, and a thread that carries frames between its tap and the
 * guest's. With offload headers (options.vnet_hdr) it sends and takes what QEMU's guests do:
 * partial checksums and long segments.
 */
#ifndef UNICRI_CNI_TESTS_REAL_GUEST_H
#define UNICRI_CNI_TESTS_REAL_GUEST_H

#include "cni/tests/guest_pod.h"

#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)

struct real_guest {
    int tap, guest;
    atomic_bool stop;
    pthread_t thread;
    char *netns;
    int netns_fd, pod_fd;
};

static void *real_guest_thread(void *arg)
{
    struct real_guest *p = arg;
    static _Thread_local char frame[(size_t)2 * 65536];

    while (!p->stop) {
        struct pollfd fds[2] = {{.fd = p->tap, .events = POLLIN},
                                {.fd = p->guest, .events = POLLIN}};
        ssize_t n;

        if (poll(fds, 2, 50) <= 0)
            continue;
        if (fds[0].revents && (n = read(p->tap, frame, sizeof(frame))) > 0)
            (void)!write(p->guest, frame, (size_t)n);
        if (fds[1].revents && (n = read(p->guest, frame, sizeof(frame))) > 0)
            (void)!write(p->tap, frame, (size_t)n);
    }
    return NULL;
}

static int real_guest_tap(void *arg, struct err *err)
{
    struct ifreq req = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (*(bool *)arg)
        req.ifr_flags |= IFF_VNET_HDR;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0 ||
        (*(bool *)arg && ioctl(fd, TUNSETOFFLOAD, OFFLOADS) < 0))
        return err_sys(err, "tap of the guest's stack");
    return fd;
}

/* "Inside" is the guest until real_guest_leave(). */
static void real_guest_enter(struct real_guest *g)
{
    g->pod_fd = pod_fd;
    pod_fd = g->netns_fd;
}
static void real_guest_leave(struct real_guest *g)
{
    pod_fd = g->pod_fd;
}

/* `config`: a shell's words that give its eth0 addresses and routes. */
static void real_guest_up(struct real_guest *g, const struct guest_link_options *options,
                          const char *config)
{
    autofree char *up = NULL;
    bool offload = options->vnet_hdr;

    *g = (struct real_guest){.netns = lab_path("guest")};
    assert_ok(guest_link_create(pod, "eth0", "tap0", options, &link_, err));
    up = xasprintf("set -e; ip link set eth0 mtu 1400 address %s up; %s", link_.mac, config);
    g->tap = link_.tap_fd;
    if (offload)
        assert_int_equal(ioctl(g->tap, TUNSETOFFLOAD, OFFLOADS), 0);
    assert_ok(netns_create(g->netns, err));
    assert_ok(g->netns_fd = netns_open(g->netns, err));
    assert_ok(g->guest = netns_run(g->netns_fd, real_guest_tap, &offload, err));
    real_guest_enter(g);
    pod_run(up);
    real_guest_leave(g);
    assert_int_equal(pthread_create(&g->thread, NULL, real_guest_thread, g), 0);
}

static void real_guest_down(struct real_guest *g)
{
    g->stop = true;
    pthread_join(g->thread, NULL);
    close(g->guest);
    close(g->netns_fd);
    assert_ok(netns_remove(g->netns, err));
    free(g->netns);
    assert_ok(guest_link_remove(pod, "eth0", "tap0", err));
    link_.tap_fd = close_fd(link_.tap_fd);
}

#endif
