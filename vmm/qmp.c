/* SPDX-License-Identifier: Apache-2.0 */
/* qmp - see qmp.h. */
#include "vmm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/strbuf.h"

/* What came from outside is shown to people: printable, and cut. */
static void set_words(struct qmp_message *m, const char *s)
{
    size_t n = 0;

    for (; *s && n + 1 < sizeof(m->words); s++)
        m->words[n++] = (char)((unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
    m->words[n] = '\0';
}

int qmp_parse(const char *line, size_t len, struct qmp_message *ret, struct err *err)
{
    autojson *j = json_parse(line, len, QMP_LINE_MAX_BYTES, "QMP message", err);
    const char *words = NULL;
    json_t *error = NULL;

    *ret = (struct qmp_message){.kind = QMP_RETURN};
    if (!j || !json_is_object(j)) {
        err_set(err, ERR_CORRUPT, "QMP message: not a JSON object");
        return -1;
    }
    if (json_is_object(json_object_get(j, "QMP"))) {
        ret->kind = QMP_GREETING;
        return 0;
    }
    if (json_object_get(j, "return"))
        return 0;
    error = json_object_get(j, "error");
    words = json_string_value(json_object_get(error ? error : j, error ? "desc" : "event"));
    if (!words)
        return err_set(err, ERR_CORRUPT, "QMP message: neither an answer nor an event");
    ret->kind = error ? QMP_ERROR : QMP_EVENT;
    set_words(ret, words);
    return 0;
}

/* A connection with the bytes that came but were not yet used. */
struct qmp {
    int fd;
    deadline_t deadline;
    char *buf;
    size_t len, used;
};

static int wait_for(const struct qmp *q, short events, struct err *err)
{
    struct pollfd p = {.fd = q->fd, .events = events};
    int rc;

    do
        rc = poll(&p, 1, deadline_poll_ms(q->deadline));
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return err_set(err, ERR_DEADLINE, "QEMU does not answer");
    return rc < 0 ? err_sys(err, "wait for QEMU") : 0;
}

/* Returns: 1 a line in q->buf (its length in *ret), 0 the other end hung up, -1. */
static int read_line(struct qmp *q, size_t *ret, struct err *err)
{
    memmove(q->buf, q->buf + q->used, q->len - q->used);
    q->len -= q->used;
    q->used = 0;
    for (;;) {
        const char *end = memchr(q->buf, '\n', q->len);
        ssize_t n;

        if (end) {
            *ret = (size_t)(end - q->buf);
            q->used = *ret + 1;
            return 1;
        }
        if (q->len == QMP_LINE_MAX_BYTES)
            return err_set(err, ERR_CORRUPT, "QMP message: longer than %d bytes",
                           QMP_LINE_MAX_BYTES);
        if (wait_for(q, POLLIN, err) < 0)
            return -1;
        n = recv(q->fd, q->buf + q->len, QMP_LINE_MAX_BYTES - q->len, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return 0;
        if (n < 0)
            return err_sys(err, "read from QEMU");
        q->len += (size_t)n;
    }
}

/* Returns: 1 the wanted message, 0 hung up, -1. */
static int expect(struct qmp *q, enum qmp_kind kind, struct err *err)
{
    for (int i = 0; i < QMP_EVENTS_MAX; i++) {
        struct qmp_message m;
        size_t len = 0;
        int rc = read_line(q, &len, err);

        if (rc <= 0)
            return rc;
        if (qmp_parse(q->buf, len, &m, err) < 0)
            return -1;
        if (m.kind == kind)
            return 1;
        if (m.kind == QMP_ERROR)
            return err_set(err, ERR_UNAVAILABLE, "QEMU says: %s", m.words);
        if (m.kind != QMP_EVENT)
            return err_set(err, ERR_CORRUPT, "QMP message: an answer that nobody waits for");
    }
    return err_set(err, ERR_CORRUPT, "QMP: more than %d events and no answer", QMP_EVENTS_MAX);
}

static int hung_up(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "QEMU hung up");
}

static int say(struct qmp *q, const char *command, struct err *err)
{
    char text[128];
    int len = snprintf(text, sizeof(text), "{\"execute\":\"%s\"}\n", command);

    if (wait_for(q, POLLOUT, err) < 0)
        return -1;
    if (send(q->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        return errno == EPIPE || errno == ECONNRESET ? hung_up(err) : err_sys(err, "write to QEMU");
    return 0;
}

static int run(struct qmp *q, const char *command, bool may_end, struct err *err)
{
    int rc = expect(q, QMP_GREETING, err);

    if (rc > 0 && say(q, "qmp_capabilities", err) < 0)
        return -1;
    if (rc > 0)
        rc = expect(q, QMP_RETURN, err);
    if (rc <= 0)
        return rc < 0 ? -1 : hung_up(err);
    if (say(q, command, err) < 0)
        return -1;
    rc = expect(q, QMP_RETURN, err);
    if (rc < 0)
        return -1;
    return rc > 0 || may_end ? 0 : hung_up(err);
}

int qmp_run(int fd, const char *command, bool may_end, deadline_t deadline, struct err *err)
{
    struct qmp q = {.fd = fd, .deadline = deadline, .buf = xcalloc(1, QMP_LINE_MAX_BYTES)};
    int rc = run(&q, command, may_end, err);

    free(q.buf);
    return rc;
}
