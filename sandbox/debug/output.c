/* SPDX-License-Identifier: Apache-2.0 */
/* output - to the client, who may be slow or gone; see debug.h. While a guest stands still nobody
 * may keep it so by not reading. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/debug/debug.h"

#define TEXT_CHUNK 1024
#define NOTE_MAX   512

static int wait_room(struct err *err)
{
    struct pollfd p[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                          {.fd = end_fd(), .events = POLLIN}};
    int n;

    do {
        n = poll(p, 2, OUTPUT_PATIENCE_MS);
        if (n > 0 && p[1].revents && end_asked())
            return err_set(err, ERR_CANCELLED, "asked to end");
    } while ((n < 0 && errno == EINTR) || (n > 0 && !p[0].revents));
    if (n == 0)
        return err_set(err, ERR_DEADLINE, "the client does not read");
    if (p[0].revents & (POLLERR | POLLNVAL))
        return err_set(err, ERR_CANCELLED, "the client has gone");
    return 0;
}

int output_write(const void *data, size_t len, struct err *err)
{
    const char *p = data;

    while (len > 0) {
        /* A blocking descriptor with room takes PIPE_BUF bytes at once; more could block. */
        size_t piece = len < 4096 ? len : 4096;
        ssize_t n;

        if (wait_room(err) < 0)
            return -1;
        n = write(STDOUT_FILENO, p, piece);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return err_set(err, ERR_CANCELLED, "the client has gone: %s", strerror(errno));
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int output_text(const char *text, size_t len, struct err *err)
{
    char clean[TEXT_CHUNK];

    while (len > 0) {
        size_t n = len < sizeof(clean) ? len : sizeof(clean);

        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)text[i];

            clean[i] = (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c;
        }
        if (output_write(clean, n, err) < 0)
            return -1;
        text += n;
        len -= n;
    }
    return 0;
}

void output_note(const char *fmt, ...)
{
    char line[NOTE_MAX];
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n > sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    if (poll(&p, 1, 1000) > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n);
}
