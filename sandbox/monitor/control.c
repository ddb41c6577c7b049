/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - the socket by which daemons, one after the other, speak to a monitor; see monitor.h for
 * the messages.
 *
 * Output goes to attached clients one chunk at a time. When one of them does not take the chunk,
 * reading of output stops until it does or STALL_MS have passed and it is cut off: a slow viewer
 * slows the workload for a bounded time, a dead one is dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define BACKLOG 16

static char request[MONITOR_MESSAGE_MAX_BYTES + 1];

/* The run directory's own path may be longer than a socket address: go through its descriptor. */
#define NEW_NAME        MONITOR_CONTROL_NAME ".new"
#define SELF_PATH(name) "/proc/self/fd/5/" name
_Static_assert(MONITOR_RUN_DIR_FD == 5, "path of the control socket");

int control_open(struct monitor *m, struct fault *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SELF_PATH(NEW_NAME)};
    mode_t old;
    int r;

    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        m->clients[i].fd = -1;
    (void)unlinkat(MONITOR_RUN_DIR_FD, NEW_NAME, 0);
    m->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->listener < 0)
        return fault(f, errno, "create socket", MONITOR_CONTROL_NAME);
    old = umask(0177);
    r = bind(m->listener, (const struct sockaddr *)&address, sizeof(address));
    umask(old);
    /* who sees the name can connect */
    if (r < 0 || listen(m->listener, BACKLOG) < 0 ||
        renameat(MONITOR_RUN_DIR_FD, NEW_NAME, MONITOR_RUN_DIR_FD, MONITOR_CONTROL_NAME) < 0)
        return fault(f, errno, "bind socket", MONITOR_CONTROL_NAME);
    return 0;
}

void control_drop(struct monitor *m, struct client *c)
{
    bool was_input = c->attached && c->input;

    close(c->fd);
    *c = (struct client){.fd = -1};
    if (was_input && m->spec.stdin_once)
        stdio_input_close(m);
}

void control_close(struct monitor *m)
{
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        if (m->clients[i].fd >= 0)
            close(m->clients[i].fd);
    if (m->listener >= 0)
        close(m->listener);
    (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_CONTROL_NAME, 0);
}

static void answer(struct monitor *m, struct client *c, const char *s, size_t len)
{
    if (send(c->fd, s, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        control_drop(m, c);
}

static void answer_text(struct monitor *m, struct client *c, const char *s)
{
    answer(m, c, s, strlen(s));
}

static void answer_error(struct monitor *m, struct client *c, const char *why)
{
    char buf[FAULT_TEXT_MAX_BYTES + 16];
    struct text t = TEXT(buf);

    text_str(&t, "error ");
    text_str(&t, why);
    answer(m, c, buf, t.len);
}

void control_accept(struct monitor *m)
{
    static const char full[] = "error too many clients";
    int fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++) {
        if (m->clients[i].fd < 0) {
            m->clients[i] = (struct client){.fd = fd};
            return;
        }
    }
    (void)send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void on_ping(struct monitor *m, struct client *c)
{
    char buf[64];
    struct text t = TEXT(buf);

    if (m->phase == PHASE_STARTING) {
        answer_error(m, c, "the workload has not started yet");
        return;
    }
    text_str(&t, "ok ");
    text_num(&t, m->pid);
    text_str(&t, " ");
    text_num(&t, (int64_t)m->start_time);
    answer(m, c, buf, t.len);
}

static void on_stat(struct monitor *m, struct client *c)
{
    char buf[96];
    struct text t = TEXT(buf);

    text_str(&t, "ok log_bytes ");
    text_num(&t, (int64_t)m->log.written_bytes);
    text_str(&t, " dropped_bytes ");
    text_num(&t, (int64_t)m->log.dropped_bytes);
    answer(m, c, buf, t.len);
}

static void on_attach(struct monitor *m, struct client *c, bool input)
{
    const int size = 8 * MONITOR_MESSAGE_MAX_BYTES;

    if (input && m->in < 0) {
        answer_error(m, c, "the container has no stdin, or it is closed");
        return;
    }
    (void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    c->input = input;
    answer_text(m, c, "ok");
    if (c->fd >= 0)
        c->attached = true;
}

static void on_request(struct monitor *m, struct client *c, size_t len)
{
    struct message message = message_parse(request, len);
    struct fault f;

    switch (message.type) {
    case MESSAGE_REOPEN:
        if (log_reopen(&m->log, &f) < 0)
            answer_error(m, c, f.text);
        else
            answer_text(m, c, "ok");
        return;
    case MESSAGE_PING:
        on_ping(m, c);
        return;
    case MESSAGE_STAT:
        on_stat(m, c);
        return;
    case MESSAGE_RESIZE:
        if (stdio_resize(m, &message) < 0)
            answer_error(m, c, "the container has no terminal");
        else
            answer_text(m, c, "ok");
        return;
    case MESSAGE_ATTACH:
        on_attach(m, c, message.input);
        return;
    case MESSAGE_BAD:
        answer_error(m, c, "not a request");
        return;
    }
}

void control_read(struct monitor *m, struct client *c)
{
    ssize_t len = recv(c->fd, request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        control_drop(m, c);
        return;
    }
    if ((size_t)len > MONITOR_MESSAGE_MAX_BYTES) {
        if (!c->attached)
            answer_error(m, c, "message too long");
        if (c->fd >= 0)
            control_drop(m, c);
        return;
    }
    if (!c->attached) {
        on_request(m, c, (size_t)len);
        return;
    }
    if (!c->input || request[0] != 0)
        return; /* a viewer has nothing to say */
    if (len == 1)
        stdio_input_close(m);
    else
        stdio_input(m, request + 1, (size_t)len - 1);
}

static void offer(struct monitor *m, struct client *c, const char *frame)
{
    if (send(c->fd, frame, m->chunk_len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        c->behind = false;
    else if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
        c->behind = true;
    else
        control_drop(m, c);
}

static bool anybody_behind(const struct monitor *m)
{
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        if (m->clients[i].fd >= 0 && m->clients[i].behind)
            return true;
    return false;
}

void control_broadcast(struct monitor *m, const char *frame, size_t len)
{
    m->chunk_len = len;
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        if (m->clients[i].fd >= 0 && m->clients[i].attached)
            offer(m, &m->clients[i], frame);
    if (anybody_behind(m))
        m->stall_deadline_ms =
            now_ms() + (m->phase == PHASE_DRAINING ? STALL_DRAINING_MS : STALL_MS);
    else
        m->chunk_len = 0;
}

void control_deliver(struct monitor *m, const char *frame)
{
    bool late = now_ms() >= m->stall_deadline_ms;

    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++) {
        struct client *c = &m->clients[i];

        if (c->fd < 0 || !c->behind)
            continue;
        offer(m, c, frame);
        if (c->fd >= 0 && c->behind && late)
            control_drop(m, c);
    }
    if (!anybody_behind(m))
        m->chunk_len = 0;
}
