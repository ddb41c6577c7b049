/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap - unicri:pcap: the frames of the guest's tap, in the file format that tcpdump and Wireshark
 * read, as they come. Nothing of a frame is looked at; it is cut at --snaplen.
 *
 *     unicri:pcap [--count=N] [--seconds=N] [--snaplen=N]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/strbuf.h"
#include "sandbox/debug/debug.h"

#define SNAPLEN_MAX    65535
#define SECONDS_MAX    86400
#define ROOM_BYTES     (4 << 20) /* frames that wait for the client, in the kernel */
#define MAGIC_NSEC     0xa1b23c4dU
#define LINKTYPE_ETHER 1
#define FINITE_SECONDS 10 /* where output must have an end and nothing else is said */

struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t accuracy, snaplen, linktype;
};
struct frame_header {
    uint32_t sec, nsec, kept, len;
};

static struct {
    int fd;
    unsigned long long count, seconds, snaplen;
} capture = {.fd = -1, .snaplen = SNAPLEN_MAX};

static unsigned char frame[SNAPLEN_MAX];

static int parse(const struct debug_options *o, struct err *err)
{
    for (char *const *a = o->args; *a; a++) {
        const char *arg = *a;

        if (scan_text(&arg, "--count=")) {
            if (parse_u64(arg, INT64_MAX, "--count", &capture.count, err) < 0)
                return -1;
        } else if (scan_text(&arg, "--seconds=")) {
            if (parse_u64(arg, SECONDS_MAX, "--seconds", &capture.seconds, err) < 0)
                return -1;
        } else if (scan_text(&arg, "--snaplen=")) {
            if (parse_u64(arg, SNAPLEN_MAX, "--snaplen", &capture.snaplen, err) < 0)
                return -1;
        } else {
            return err_set(err, ERR_INVALID,
                           "argument '%s': there are --count=N, --seconds=N and --snaplen=N", arg);
        }
    }
    if (o->once && !capture.seconds)
        capture.seconds = FINITE_SECONDS;
    return 0;
}

static int open_tap(const struct debug_options *o, struct err *err)
{
    const int on = 1, room = ROOM_BYTES;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    if (parse(o, err) < 0)
        return -1;
    if (o->netns_fd < 0 || !*o->tap)
        return err_set(err, ERR_STATE, "the guest has no network");
    if (setns(o->netns_fd, CLONE_NEWNET) < 0)
        return err_sys(err, "enter the pod's network namespace");
    at.sll_ifindex = (int)if_nametoindex(o->tap);
    if (!at.sll_ifindex)
        return err_sys(err, "tap '%s'", o->tap);
    /* Protocol 0: nothing comes before it is bound to the tap. */
    capture.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (capture.fd < 0)
        return err_sys(err, "open a packet socket");
    (void)setsockopt(capture.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    (void)setsockopt(capture.fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    if (bind(capture.fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return err_sys(err, "listen on tap '%s'", o->tap);
    return 0;
}

static struct timespec time_of(struct msghdr *m)
{
    struct timespec ts = {0};

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
            memcpy(&ts, CMSG_DATA(c), sizeof(ts));
    if (!ts.tv_sec)
        (void)clock_gettime(CLOCK_REALTIME, &ts);
    return ts;
}

/* Returns: 1 a frame, 0 none is there, -1. */
static int one_frame(struct err *err)
{
    union {
        struct cmsghdr head;
        char room[256];
    } control;
    struct iovec data = {.iov_base = frame, .iov_len = (size_t)capture.snaplen};
    struct msghdr m = {.msg_iov = &data,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(capture.fd, &m, MSG_DONTWAIT | MSG_TRUNC);
    struct frame_header h;
    struct timespec ts;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_set(err, ERR_CANCELLED, "the tap is gone: %s", strerror(errno));
    ts = time_of(&m);
    h = (struct frame_header){.sec = (uint32_t)ts.tv_sec,
                              .nsec = (uint32_t)ts.tv_nsec,
                              .kept = (size_t)n < capture.snaplen ? (uint32_t)n
                                                                  : (uint32_t)capture.snaplen,
                              .len = (uint32_t)n};
    if (output_write(&h, sizeof(h), err) < 0 || output_write(frame, h.kept, err) < 0)
        return -1;
    return 1;
}

static long now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int copy_frames(unsigned long long *seen, struct err *err)
{
    long end = capture.seconds ? now_ms() + (long)capture.seconds * 1000 : 0;
    struct pollfd p[3] = {{.fd = capture.fd, .events = POLLIN},
                          {.fd = STDOUT_FILENO},
                          {.fd = end_fd(), .events = POLLIN}};

    while (!capture.count || *seen < capture.count) {
        long left = end ? end - now_ms() : -1;
        int r;

        if (end && left <= 0)
            return 0;
        if (poll(p, 3, (int)left) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (end_asked() || (p[1].revents & (POLLERR | POLLHUP)))
            return 0;
        if (p[0].revents && (r = one_frame(err)) != 0) {
            if (r < 0)
                return -1;
            ++*seen;
        }
    }
    return 0;
}

static int run(const struct debug_options *o, struct err *err)
{
    const struct file_header h = {.magic = MAGIC_NSEC,
                                  .major = 2,
                                  .minor = 4,
                                  .snaplen = (uint32_t)capture.snaplen,
                                  .linktype = LINKTYPE_ETHER};
    struct tpacket_stats stats = {0};
    socklen_t len = sizeof(stats);
    unsigned long long seen = 0;
    int rc;

    if (output_write(&h, sizeof(h), err) < 0)
        return -1;
    rc = copy_frames(&seen, err);
    (void)o;
    if (getsockopt(capture.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
        output_note("unicri:pcap: %llu frames, %u lost", seen, stats.tp_drops);
    return rc;
}

const struct debug_command debug_pcap = {.name = "pcap", .open = open_tap, .run = run};
