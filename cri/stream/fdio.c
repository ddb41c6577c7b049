/* SPDX-License-Identifier: Apache-2.0 */
/* fdio - see fdio.h. */
#include "cri/stream/fdio.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define READS_PER_TURN   8 /* then the others' turn */
#define COMPACT_BYTES    65536
#define PACKET_HEAD_SIZE sizeof(uint32_t)

struct fdio {
    uv_poll_t poll; /* first: freed by on_closed() */
    int fd;
    size_t *open;
    const struct fdio_events *events;
    void *arg;

    char *buf; /* owned: bytes [head, tail) wait to be written */
    size_t head, tail, cap;
    bool socket, watch_gone, packets, connecting, reading, closing;
    bool read_ended, write_ending, write_ended, broken;
    bool rest; /* only `rest_left` bytes more */
    size_t rest_left;
};

static void on_poll(uv_poll_t *h, int status, int events);

static void update(struct fdio *f)
{
    int events = 0;

    if (f->closing)
        return;
    if (f->connecting) {
        (void)uv_poll_start(&f->poll, UV_WRITABLE, on_poll);
        return;
    }
    if (f->reading && !f->read_ended)
        events |= UV_READABLE;
    else if (f->watch_gone && !f->read_ended && !f->broken)
        events |= UV_DISCONNECT;
    if ((f->tail > f->head || (f->write_ending && !f->write_ended)) && !f->broken)
        events |= UV_WRITABLE;
    if (events)
        (void)uv_poll_start(&f->poll, events, on_poll);
    else
        (void)uv_poll_stop(&f->poll);
}

struct fdio *fdio_new(uv_loop_t *loop, int fd, const struct fdio_events *events, void *arg,
                      size_t *open)
{
    struct fdio *f = XNEW(struct fdio);
    struct stat st;

    f->fd = fd;
    f->events = events;
    f->arg = arg;
    f->open = open;
    f->socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    if (uv_poll_init(loop, &f->poll, fd) != 0) {
        (void)close_fd(fd);
        free(f);
        return NULL;
    }
    ++*open;
    update(f);
    return f;
}

static void on_closed(uv_handle_t *h)
{
    struct fdio *f = (struct fdio *)h;

    --*f->open;
    free(f->buf);
    free(f);
}

void fdio_close(struct fdio *f)
{
    if (!f || f->closing)
        return;
    f->closing = true;
    uv_close((uv_handle_t *)&f->poll, on_closed);
    f->fd = close_fd(f->fd);
}

int fdio_fd(const struct fdio *f)
{
    return f->fd;
}

void fdio_connecting(struct fdio *f)
{
    f->connecting = true;
    update(f);
}

void fdio_watch_gone(struct fdio *f)
{
    f->watch_gone = true;
    update(f);
}

void fdio_packets(struct fdio *f)
{
    f->packets = true;
}

size_t fdio_pending(const struct fdio *f)
{
    return f->tail - f->head;
}

/* --------------------------------------------------------------------- reading */

static void read_end(struct fdio *f)
{
    if (f->read_ended)
        return;
    f->read_ended = true;
    update(f);
    if (f->events->end)
        f->events->end(f->arg);
}

/* Returns: false when there is nothing more for now. */
static bool read_once(struct fdio *f)
{
    char data[FDIO_READ_BYTES];
    size_t room = f->rest && f->rest_left < sizeof(data) ? f->rest_left : sizeof(data);
    ssize_t n = room ? read(f->fd, data, room) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !f->rest)
        return false;
    if (n <= 0) { /* a terminal whose other side is closed says EIO */
        read_end(f);
        return false;
    }
    if (f->rest)
        f->rest_left -= (size_t)n;
    if (f->events->data)
        f->events->data(f->arg, data, (size_t)n);
    return true;
}

static void pump(struct fdio *f, int turns)
{
    while (turns-- > 0 && f->reading && !f->read_ended && !f->closing && read_once(f))
        ;
}

void fdio_read(struct fdio *f, bool on)
{
    if (f->closing || f->reading == on)
        return;
    f->reading = on;
    update(f);
    /* A rest that is nothing makes no descriptor readable. */
    if (on && f->rest)
        pump(f, INT32_MAX);
}

void fdio_drain_rest(struct fdio *f)
{
    int n = 0;

    if (f->closing || f->read_ended || f->rest)
        return;
    f->rest = true;
    f->rest_left = ioctl(f->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
    pump(f, INT32_MAX);
}

/* --------------------------------------------------------------------- writing */

static void set_broken(struct fdio *f)
{
    if (f->broken)
        return;
    f->broken = true;
    f->head = f->tail = 0;
    update(f);
    if (f->events->broken)
        f->events->broken(f->arg);
}

static ssize_t write_some(struct fdio *f)
{
    uint32_t len;

    if (!f->packets)
        return f->socket ? send(f->fd, f->buf + f->head, f->tail - f->head, MSG_NOSIGNAL)
                         : write(f->fd, f->buf + f->head, f->tail - f->head);
    memcpy(&len, f->buf + f->head, sizeof(len));

    ssize_t n = send(f->fd, f->buf + f->head + PACKET_HEAD_SIZE, len, MSG_NOSIGNAL);

    return n < 0 ? n : (ssize_t)(len + PACKET_HEAD_SIZE);
}

/* Returns: false when the descriptor is of no more use for writing. */
static bool flush(struct fdio *f)
{
    while (f->tail > f->head) {
        ssize_t n = write_some(f);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
            return true;
        if (n < 0)
            return false;
        f->head += (size_t)n;
    }
    f->head = f->tail = 0;
    if (f->cap > COMPACT_BYTES) { /* a burst's buffer is not kept */
        free(f->buf);
        f->buf = NULL;
        f->cap = 0;
    }
    if (f->write_ending && !f->write_ended) {
        f->write_ended = true;
        if (f->socket)
            (void)shutdown(f->fd, SHUT_WR);
    }
    return true;
}

static bool make_room(struct fdio *f, size_t len)
{
    if (f->tail - f->head + len > FDIO_MAX_BYTES)
        return false;
    if (f->head > 0 && f->tail + len > f->cap) {
        memmove(f->buf, f->buf + f->head, f->tail - f->head);
        f->tail -= f->head;
        f->head = 0;
    }
    if (f->tail + len > f->cap) {
        f->cap = (f->tail + len) * 3 / 2;
        f->buf = xrealloc_array(f->buf, f->cap, 1);
    }
    return true;
}

static void append(struct fdio *f, const void *data, size_t len)
{
    memcpy(f->buf + f->tail, data, len);
    f->tail += len;
}

void fdio_write(struct fdio *f, const void *data, size_t len)
{
    uint32_t size = (uint32_t)len;

    if (f->closing || f->broken || f->write_ending || len == 0)
        return;
    if (!make_room(f, len + PACKET_HEAD_SIZE)) {
        f->broken = true; /* its owner did not heed the marks: on_poll() tells it */
        f->head = f->tail = 0;
        (void)uv_poll_start(&f->poll, UV_WRITABLE, on_poll);
        return;
    }
    if (f->packets)
        append(f, &size, sizeof(size));
    append(f, data, len);
    update(f);
}

void fdio_write_end(struct fdio *f)
{
    if (f->closing)
        return;
    f->write_ending = true;
    update(f);
}

static void on_writable(struct fdio *f)
{
    bool was_high = fdio_pending(f) >= FDIO_LOW_BYTES;
    bool had_something = fdio_pending(f) > 0 || (f->write_ending && !f->write_ended);

    if (!flush(f)) {
        set_broken(f);
        return;
    }
    update(f);
    if (was_high && fdio_pending(f) < FDIO_LOW_BYTES && f->events->drained)
        f->events->drained(f->arg);
    if (!f->closing && had_something && fdio_pending(f) == 0 && f->events->flushed)
        f->events->flushed(f->arg);
}

static void on_connected(struct fdio *f)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    f->connecting = false;
    update(f);
    if (f->events->connected)
        f->events->connected(f->arg, error);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct fdio *f = (struct fdio *)h;

    if (f->connecting) {
        on_connected(f);
        return;
    }
    if (f->broken && (events & UV_WRITABLE)) {
        f->broken = false;
        set_broken(f);
        return;
    }
    if (status < 0) { /* an error condition alone: reading or writing will name it */
        if (f->reading && !f->read_ended)
            read_end(f);
        if (!f->closing)
            set_broken(f);
        return;
    }
    if (events & UV_WRITABLE)
        on_writable(f);
    if (f->closing)
        return;
    if (events & UV_READABLE)
        pump(f, READS_PER_TURN);
    if (!f->closing && (events & UV_DISCONNECT) && !f->reading)
        set_broken(f);
}
