/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_client - see vmm_client.h. */
#include "sandbox/debug/vmm_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/debug/link.h"

#define INPUT_BYTES 4096
#define LEFT_MAX    (2 * PACKET_MAX) /* bytes that are passed over for the last answer */

static long now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Returns: 1 ready, 0 in vain, -1. */
static int wait_for(int fd, short events, long end, bool ends, struct err *err)
{
    struct pollfd p[2] = {{.fd = fd, .events = events},
                          {.fd = ends ? end_fd() : -1, .events = POLLIN}};
    long left = end - now_ms();
    int n = poll(p, 2, left > 0 ? (int)left : 0);

    if (n < 0 && errno != EINTR)
        return err_sys(err, "wait");
    if (n > 0 && p[1].revents && end_asked())
        return err_set(err, ERR_CANCELLED, "asked to end");
    if (n == 0)
        return err_set(err, ERR_DEADLINE, "the guest's VMM does not answer");
    return n > 0 && p[0].revents;
}

int vmm_send(int fd, const void *data, size_t len, struct err *err)
{
    long end = now_ms() + VMM_PATIENCE_MS;
    const char *p = data;

    while (len > 0) {
        int rc = wait_for(fd, POLLOUT, end, false, err);
        ssize_t n = rc > 0 ? send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

        if (rc < 0)
            return -1;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_set(err, ERR_STATE, "the guest has ended");
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int take_answer(int fd, struct packet *p, struct err *err)
{
    long end = now_ms() + VMM_PATIENCE_MS;

    for (;;) {
        int rc = wait_for(fd, POLLIN, end, true, err);
        enum packet_event e;
        char c;

        if (rc < 0)
            return -1;
        if (rc == 0)
            continue;
        if (read(fd, &c, 1) != 1)
            return err_set(err, ERR_STATE, "the guest has ended");
        e = packet_take(p, c);
        if (e == PACKET_WHOLE)
            return vmm_send(fd, "+", 1, err);
        if (e == PACKET_BROKEN)
            return err_set(err, ERR_CORRUPT, "the guest's VMM does not speak GDB's protocol");
    }
}

int vmm_ask(int fd, const char *text, struct packet *p, struct err *err)
{
    char frame[256];
    size_t len = strlen(text);

    if (len + 4 > sizeof(frame))
        return err_set(err, ERR_INTERNAL, "too long a packet");
    if (vmm_send(fd, frame, packet_frame(text, len, frame), err) < 0)
        return -1;
    return take_answer(fd, p, err);
}

void vmm_leave(int fd, int ms)
{
    long end = now_ms() + ms;
    struct err ignored = ERR_INIT;
    char last[sizeof(LINK_LEFT)] = "";
    const size_t want = strlen(LINK_LEFT);

    if (vmm_send(fd, LINK_LEAVE, strlen(LINK_LEAVE), &ignored) < 0)
        return;
    for (size_t passed = 0; passed < LEFT_MAX; passed++) {
        int rc;

        while ((rc = wait_for(fd, POLLIN, end, false, &ignored)) == 0)
            ;
        memmove(last, last + 1, want - 1);
        if (rc < 0 || read(fd, &last[want - 1], 1) != 1 || memcmp(last, LINK_LEFT, want) == 0)
            return;
    }
}
