/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console - unicri:console: what the guest has written so far, out of the container's log, then
 * what it writes and, where the container takes input, what the client types.
 *
 * The connection to the monitor is older than the look at the log, so that nothing is missed
 * between them; what has come over it by then stands in the log, too, and is dropped. The monitor
 * logs whole lines: of a line that is not ended only what comes from now on is shown.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/debug/debug.h"
#include "sandbox/debug/logtext.h"

#define HISTORY_BYTES (256 * 1024) /* of the log */
#define PIECE         8192
#define PACKET_MAX    (32 * 1024 + 1)
#define INPUT_MAX     4096
#define SETTLE_ROUNDS 64 /* a guest that writes without end */
#define CHANNEL_IN    0

static char packet[PACKET_MAX];

/* Returns: bytes of text, or -1. */
static int copy_log(int fd, struct logtext *t, struct err *err)
{
    char in[PIECE], out[PIECE];
    ssize_t n;

    while ((n = read(fd, in, sizeof(in))) > 0) {
        size_t text = logtext_feed(t, in, (size_t)n, out);

        if (output_write(out, text, err) < 0)
            return -1;
    }
    return n < 0 ? err_sys(err, "read the log") : 0;
}

static void begin_late(int fd, struct logtext *t)
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > HISTORY_BYTES ? size - HISTORY_BYTES : 0;

    (void)lseek(fd, from, SEEK_SET);
    t->skipping = from > 0;
}

/* Returns: did anything come? */
static bool drop_packets(int fd)
{
    bool any = false;

    while (fd >= 0 && recv(fd, packet, sizeof(packet), MSG_DONTWAIT) > 0)
        any = true;
    return any;
}

static int history(const struct debug_options *o, struct err *err)
{
    struct logtext t = {0};

    if (o->log_fd < 0)
        return 0;
    begin_late(o->log_fd, &t);
    for (int i = 0; i < SETTLE_ROUNDS; i++) {
        if (copy_log(o->log_fd, &t, err) < 0)
            return -1;
        if (!drop_packets(o->attach_fd))
            break;
    }
    return 0;
}

/* Returns: 1, 0 at the guest's end, -1. */
static int from_guest(int fd, struct err *err)
{
    ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (n <= 0)
        return 0; /* the monitor has gone, and with it the guest */
    return output_write(packet + 1, (size_t)n - 1, err) < 0 ? -1 : 1;
}

/* Returns: will more come? */
static bool from_client(int fd)
{
    char in[1 + INPUT_MAX] = {CHANNEL_IN};
    ssize_t n = read(STDIN_FILENO, in + 1, INPUT_MAX);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    (void)!send(fd, in, (size_t)n + 1, MSG_NOSIGNAL);
    return true;
}

static int follow(const struct debug_options *o, struct err *err)
{
    struct pollfd p[4] = {{.fd = o->attach_fd, .events = POLLIN},
                          {.fd = STDOUT_FILENO},
                          {.fd = end_fd(), .events = POLLIN},
                          {.fd = o->input ? STDIN_FILENO : -1, .events = POLLIN}};

    for (;;) {
        if (poll(p, 4, -1) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (end_asked() || (p[1].revents & (POLLERR | POLLHUP)))
            return 0;
        if (p[3].revents && !from_client(o->attach_fd))
            p[3].fd = -1;
        if (p[0].revents) {
            int r = from_guest(o->attach_fd, err);

            if (r <= 0)
                return r;
        }
    }
}

static int run(const struct debug_options *o, struct err *err)
{
    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    if (history(o, err) < 0)
        return -1;
    return o->once || o->attach_fd < 0 ? 0 : follow(o, err);
}

const struct debug_command debug_console = {.name = "console", .run = run};
