/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_gdb - unicri:gdb of a guest whose VMM speaks GDB's protocol itself: the client's stdio and
 * the VMM's socket, joined by link.c. However the session ends, the VMM is asked to let the guest
 * go on; the daemon sees to it once more when this process has ended.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/debug/link.h"
#include "sandbox/debug/vmm_client.h"

#define INPUT_BYTES 4096
#define LEAVE_MS    2000

struct session {
    struct link link;
    int vmm_fd;
    struct err why;
};
static struct session session;

static void to_client(void *arg, const char *data, size_t len)
{
    struct session *s = arg;

    if (output_write(data, len, &s->why) < 0)
        s->link.state = LINK_OVER;
}

static void to_vmm(void *arg, const char *data, size_t len)
{
    struct session *s = arg;

    if (vmm_send(s->vmm_fd, data, len, &s->why) < 0)
        s->link.state = LINK_OVER;
}

static const struct link_ends ends = {.to_client = to_client, .to_vmm = to_vmm};

/* Returns: will more come? */
static bool move_bytes(struct session *s, int fd, bool client)
{
    char in[INPUT_BYTES];
    ssize_t n = read(fd, in, sizeof(in));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    if (client)
        link_client(&s->link, in, (size_t)n);
    else
        link_vmm(&s->link, in, (size_t)n);
    return true;
}

static int serve(struct session *s, struct err *err)
{
    struct pollfd p[4] = {{.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = STDOUT_FILENO},
                          {.fd = end_fd(), .events = POLLIN},
                          {.fd = s->vmm_fd, .events = POLLIN}};

    while (s->link.state != LINK_OVER) {
        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (end_asked() || (p[1].revents & (POLLERR | POLLHUP)))
            return 0;
        if (p[3].revents && !move_bytes(s, s->vmm_fd, false))
            return err_set(err, ERR_STATE, "the guest has ended");
        if (p[0].revents && s->link.state != LINK_OVER && !move_bytes(s, STDIN_FILENO, true))
            return 0;
    }
    return 0;
}

static int run(const struct debug_options *o, struct err *err)
{
    struct session *s = &session;
    int rc;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    s->vmm_fd = o->rsp_fd;
    link_init(&s->link, &ends, s);
    rc = serve(s, err);
    if (!s->link.detaching || s->link.state != LINK_OVER)
        vmm_leave(s->vmm_fd, LEAVE_MS);
    return rc;
}

const struct debug_command debug_vmm_gdb = {.name = "gdb", .run = run};
