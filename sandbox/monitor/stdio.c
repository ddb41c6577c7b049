/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio - the workload's standard streams: pipes, or a terminal that the runtime sends over the
 * console socket. What is read goes to the log and to everyone attached, in that order; what
 * clients write waits in one chunk until stdin takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define PAGE 4096

/* Pages of these are touched as far as output needs them and given back when it is quiet. */
static _Alignas(PAGE) char lines[STREAMS][SPEC_LINE_MAX];
static _Alignas(PAGE) char frame[CHUNK_MAX_BYTES + PAGE]; /* the channel byte, then the chunk */
static _Alignas(PAGE) char input[MONITOR_MESSAGE_MAX_BYTES];

static int make_pipe(int *ours, int *theirs, bool we_read, struct fault *f)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return fault(f, errno, "create pipe", NULL);
    *ours = p[we_read ? 0 : 1];
    *theirs = p[we_read ? 1 : 0];
    if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
        return fault(f, errno, "set up pipe", NULL);
    return 0;
}

static int open_console(struct monitor *m, struct fault *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX,
                                  .sun_path = "/proc/self/fd/5/" MONITOR_CONSOLE_NAME};

    (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_CONSOLE_NAME, 0);
    m->console_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->console_listener < 0 ||
        bind(m->console_listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(m->console_listener, 1) < 0)
        return fault(f, errno, "create console socket", MONITOR_CONSOLE_NAME);
    return 0;
}

int stdio_open(struct monitor *m, struct fault *f)
{
    bool terminal = m->spec.tty && m->spec.mode == MODE_RUNTIME;

    m->streams[STREAM_OUT] = (struct log_stream){.name = "stdout", .line = lines[STREAM_OUT]};
    m->streams[STREAM_ERR] =
        (struct log_stream){.name = m->spec.tty ? "stdout" : "stderr", .line = lines[STREAM_ERR]};
    if (make_pipe(&m->fd[STREAM_ERR], &m->child_err, true, f) < 0)
        return -1;
    if (terminal)
        return open_console(m, f);
    if (make_pipe(&m->fd[STREAM_OUT], &m->child_out, true, f) < 0)
        return -1;
    return m->spec.stdin_open ? make_pipe(&m->in, &m->child_in, false, f) : 0;
}

int stdio_child(const struct monitor *m)
{
    int in = m->child_in;

    if (in < 0)
        in = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (in < 0)
        return -1;
    /* with a terminal, the runtime's own words still go to the pipe */
    if (dup2(in, 0) < 0 || dup2(m->child_out >= 0 ? m->child_out : m->child_err, 1) < 0 ||
        dup2(m->child_err, 2) < 0)
        return -1;
    return 0;
}

static void forget(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void stdio_started(struct monitor *m)
{
    forget(&m->child_in);
    forget(&m->child_out);
    forget(&m->child_err);
}

static int receive_descriptor(int socket_fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char name[256];
    struct iovec data = {.iov_base = name, .iov_len = sizeof(name)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    const struct cmsghdr *head;
    int fd;

    if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -1;
    head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

void stdio_console(struct monitor *m)
{
    const struct timeval patience = {.tv_sec = 2};
    int connection = accept4(m->console_listener, NULL, NULL, SOCK_CLOEXEC);
    int fd;

    if (connection < 0)
        return;
    (void)setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    fd = receive_descriptor(connection);
    close(connection);
    if (fd < 0)
        return;
    if (!isatty(fd) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(fd);
        return;
    }
    forget(&m->console_listener);
    (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_CONSOLE_NAME, 0);
    m->fd[STREAM_OUT] = fd;
    m->terminal = true;
    if (m->spec.stdin_open)
        m->in = fd;
}

/* The tail of stderr, kept for messages: the last line of what was seen. */
static void keep_last_words(struct monitor *m, const char *data, size_t len)
{
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        len--;
    for (size_t i = len; i > 0; i--) {
        if (data[i - 1] == '\n') {
            data += i;
            len -= i;
            break;
        }
    }
    if (len == 0)
        return;
    m->last_words_len = len < LAST_WORDS_MAX_BYTES ? len : LAST_WORDS_MAX_BYTES;
    for (size_t i = 0; i < m->last_words_len; i++)
        m->last_words[i] = (unsigned char)data[i] < ' ' || data[i] == 0x7f ? ' ' : data[i];
}

static void keep_tail(struct monitor *m, const char *data, size_t len)
{
    size_t keep;

    if (len > sizeof(m->tail)) {
        data += len - sizeof(m->tail);
        len = sizeof(m->tail);
    }
    keep = m->tail_len < sizeof(m->tail) - len ? m->tail_len : sizeof(m->tail) - len;
    memmove(m->tail, m->tail + m->tail_len - keep, keep);
    memcpy(m->tail + keep, data, len);
    m->tail_len = keep + len;
}

static void end_stream(struct monitor *m, int stream)
{
    if (m->terminal && stream == STREAM_OUT) {
        m->in = -1; /* the same descriptor */
        m->in_used = 0;
    }
    forget(&m->fd[stream]);
    log_end(&m->log, &m->streams[stream]);
}

bool stdio_read(struct monitor *m, int stream)
{
    ssize_t n = read(m->fd[stream], frame + 1, CHUNK_MAX_BYTES);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) { /* a terminal whose other side is closed says EIO */
        end_stream(m, stream);
        return false;
    }
    if (stream == STREAM_ERR && (m->phase == PHASE_STARTING || m->spec.mode == MODE_VMM))
        keep_last_words(m, frame + 1, (size_t)n);
    if (m->spec.mode == MODE_VMM && stream == STREAM_OUT)
        keep_tail(m, frame + 1, (size_t)n);
    if (m->spec.tty && m->spec.mode == MODE_RUNTIME && stream == STREAM_ERR)
        return true; /* the runtime's, not the workload's */
    if (!m->first_ns && (stream == STREAM_OUT || m->phase != PHASE_STARTING))
        m->first_ns = now_ns();
    log_chunk(&m->log, &m->streams[stream], frame + 1, (size_t)n);
    frame[0] = stream == STREAM_ERR && !m->spec.tty ? 2 : 1;
    control_broadcast(m, frame, (size_t)n);
    return true;
}

void stdio_deliver(struct monitor *m)
{
    control_deliver(m, frame);
}

void stdio_input(struct monitor *m, const char *data, size_t len)
{
    if (m->in < 0)
        return;
    memcpy(input, data, len);
    m->in_used = len;
    m->in_done = 0;
    stdio_input_flush(m);
}

void stdio_input_flush(struct monitor *m)
{
    while (m->in_used > 0) {
        ssize_t n = write(m->in, input + m->in_done, m->in_used - m->in_done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* nobody reads any more */
            if (!m->terminal)
                forget(&m->in);
            m->in_used = 0;
            return;
        }
        m->in_done += (size_t)n;
        if (m->in_done == m->in_used)
            m->in_used = 0;
    }
    if (m->in_close)
        stdio_input_close(m);
}

void stdio_input_close(struct monitor *m)
{
    static const char eot = 4;

    m->in_close = m->in_used > 0; /* first what was written before */
    if (m->in < 0 || m->in_close)
        return;
    if (m->terminal)
        (void)!write(m->in, &eot, 1);
    else
        forget(&m->in);
}

int stdio_resize(struct monitor *m, const struct message *message)
{
    struct winsize size = {.ws_col = message->width, .ws_row = message->height};

    if (!m->terminal || m->fd[STREAM_OUT] < 0)
        return -1;
    return ioctl(m->fd[STREAM_OUT], TIOCSWINSZ, &size);
}

void stdio_release(struct monitor *m)
{
    for (int i = 0; i < STREAMS; i++)
        if (m->streams[i].used == 0)
            (void)madvise(lines[i], sizeof(lines[i]), MADV_DONTNEED);
    if (m->chunk_len == 0)
        (void)madvise(frame, sizeof(frame) / PAGE * PAGE, MADV_DONTNEED);
    if (m->in_used == 0)
        (void)madvise(input, sizeof(input) / PAGE * PAGE, MADV_DONTNEED);
    log_release();
}

bool stdio_ended(const struct monitor *m)
{
    return m->fd[STREAM_OUT] < 0 && m->fd[STREAM_ERR] < 0;
}
