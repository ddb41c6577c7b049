/* SPDX-License-Identifier: Apache-2.0 */
/* qmp - see qmp.h. */
#include "vmm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/strbuf.h"

#define SAY_MAX 512

/* What came from outside is shown to people: printable, and cut. */
static void set_words(struct qmp_message *m, const char *s)
{
    size_t n = 0;

    for (; *s && n + 1 < sizeof(m->words); s++)
        m->words[n++] = (char)((unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
    m->words[n] = '\0';
}

/* NULL: it is no answer. */
static const char *returned_words(const json_t *answer)
{
    const char *words =
        json_string_value(json_is_object(answer) ? json_object_get(answer, "status") : answer);

    return answer && !words ? "" : words;
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
    words = returned_words(json_object_get(j, "return"));
    if (words) {
        set_words(ret, words);
        return 0;
    }
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
static int expect(struct qmp *q, enum qmp_kind kind, struct qmp_message *ret, struct err *err)
{
    for (int i = 0; i < QMP_EVENTS_MAX; i++) {
        size_t len = 0;
        int rc = read_line(q, &len, err);

        if (rc <= 0)
            return rc;
        if (qmp_parse(q->buf, len, ret, err) < 0)
            return -1;
        if (ret->kind == kind)
            return 1;
        if (ret->kind == QMP_ERROR)
            return err_set(err, ERR_UNAVAILABLE, "QEMU says: %s", ret->words);
        if (ret->kind != QMP_EVENT)
            return err_set(err, ERR_CORRUPT, "QMP message: an answer that nobody waits for");
    }
    return err_set(err, ERR_CORRUPT, "QMP: more than %d events and no answer", QMP_EVENTS_MAX);
}

static int hung_up(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "QEMU hung up");
}

/* A descriptor goes along with the command that names it. */
static int say(struct qmp *q, const char *command, const char *arguments, int pass, struct err *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char text[SAY_MAX];
    int len = snprintf(text, sizeof(text), "{\"execute\":\"%s\"%s%s}\n", command,
                       arguments ? ",\"arguments\":" : "", arguments ? arguments : "");
    struct iovec data = {.iov_base = text, .iov_len = (size_t)len};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};

    if (len < 0 || (size_t)len >= sizeof(text))
        return err_set(err, ERR_INTERNAL, "QMP command '%s': too long", command);
    if (pass >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &pass, sizeof(pass));
    }
    if (wait_for(q, POLLOUT, err) < 0)
        return -1;
    if (sendmsg(q->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        return errno == EPIPE || errno == ECONNRESET ? hung_up(err) : err_sys(err, "write to QEMU");
    return 0;
}

struct qmp *qmp_open(int fd, deadline_t deadline, struct err *err)
{
    struct qmp *q = XNEW(struct qmp);
    struct qmp_message m;
    int rc;

    *q = (struct qmp){.fd = fd, .deadline = deadline, .buf = xcalloc(1, QMP_LINE_MAX_BYTES)};
    rc = expect(q, QMP_GREETING, &m, err);
    if (rc > 0 && say(q, "qmp_capabilities", NULL, -1, err) < 0)
        rc = -1;
    if (rc > 0)
        rc = expect(q, QMP_RETURN, &m, err);
    if (rc > 0)
        return q;
    if (rc == 0)
        hung_up(err);
    qmp_close(q);
    return NULL;
}

void qmp_close(struct qmp *q)
{
    if (!q)
        return;
    free(q->buf);
    free(q);
}

int qmp_ask(struct qmp *q, const char *command, const char *arguments, int pass,
            struct qmp_message *ret, struct err *err)
{
    struct qmp_message m;
    int rc;

    if (say(q, command, arguments, pass, err) < 0)
        return -1;
    rc = expect(q, QMP_RETURN, ret ? ret : &m, err);
    return rc > 0 ? 0 : rc < 0 ? -1 : hung_up(err);
}

int qmp_run(int fd, const char *command, bool may_end, deadline_t deadline, struct err *err)
{
    autoqmp *q = qmp_open(fd, deadline, err);
    struct qmp_message m;
    int rc;

    if (!q || say(q, command, NULL, -1, err) < 0)
        return -1;
    rc = expect(q, QMP_RETURN, &m, err);
    if (rc < 0)
        return -1;
    return rc > 0 || may_end ? 0 : hung_up(err);
}
