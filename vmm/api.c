/* SPDX-License-Identifier: Apache-2.0 */
/* api - see api.h. */
#include "vmm/api.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/strbuf.h"

/* ---------------------------------------------------------------- the head */

static bool is_name(const char *line, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(line, name, len) == 0;
}

/* One "Name: value" of `len` bytes. */
static int take_field(const char *line, size_t len, struct api_head *ret, bool *has_length,
                      struct err *err)
{
    const char *colon = memchr(line, ':', len), *end = line + len;
    unsigned long long n;

    if (!colon || colon == line)
        return err_set(err, ERR_CORRUPT, "API answer: a line of its head has no name");
    if (is_name(line, (size_t)(colon - line), "Transfer-Encoding"))
        return err_set(err, ERR_CORRUPT, "API answer: its length is not told");
    if (!is_name(line, (size_t)(colon - line), "Content-Length"))
        return 0;
    for (colon++; colon < end && (*colon == ' ' || *colon == '\t');)
        colon++;
    while (end > colon && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    /* What follows the number is the end of the line: scan_u64() stops there. */
    if (*has_length || !scan_u64(&colon, API_BODY_MAX_BYTES, &n) || colon != end)
        return err_set(err, ERR_CORRUPT, "API answer: Content-Length is no number up to %d",
                       API_BODY_MAX_BYTES);
    ret->body_len = (size_t)n;
    *has_length = true;
    return 0;
}

static int take_status(const char *line, size_t len, struct api_head *ret, struct err *err)
{
    static const char http[] = "HTTP/1.";
    const size_t at = sizeof(http) + 1; /* behind the minor version and a blank */

    if (len < at + 3 || memcmp(line, http, sizeof(http) - 1) != 0 || line[at - 1] != ' ' ||
        strspn(line + at, "0123456789") < 3 || (len > at + 3 && line[at + 3] != ' '))
        return err_set(err, ERR_CORRUPT, "API answer: is not HTTP/1");
    ret->status = (line[at] - '0') * 100 + (line[at + 1] - '0') * 10 + (line[at + 2] - '0');
    if (ret->status < 200 || ret->status > 599)
        return err_set(err, ERR_CORRUPT, "API answer: status %d", ret->status);
    return 0;
}

int api_head_parse(const char *text, size_t len, struct api_head *ret, struct err *err)
{
    size_t window = len < API_HEAD_MAX_BYTES ? len : API_HEAD_MAX_BYTES;
    const char *end = memmem(text, window, "\r\n\r\n", 4);
    bool has_length = false, first = true;
    autofree char *head = NULL;

    if (!end)
        return window == API_HEAD_MAX_BYTES
                   ? err_set(err, ERR_CORRUPT, "API answer: its head is longer than %d bytes",
                             API_HEAD_MAX_BYTES)
                   : 0;
    *ret = (struct api_head){.head_len = (size_t)(end - text) + 4};
    if (memchr(text, '\0', ret->head_len))
        return err_set(err, ERR_CORRUPT, "API answer: a zero byte in its head");
    head = xcalloc(1, ret->head_len + 1);
    memcpy(head, text, ret->head_len);
    for (char *line = head; strncmp(line, "\r\n", 2) != 0;) {
        char *next = strstr(line, "\r\n");

        if (!next)
            return err_set(err, ERR_CORRUPT, "API answer: a broken head");
        if ((first ? take_status(line, (size_t)(next - line), ret, err)
                   : take_field(line, (size_t)(next - line), ret, &has_length, err)) < 0)
            return -1;
        first = false;
        line = next + 2;
    }
    return first ? err_set(err, ERR_CORRUPT, "API answer: is not HTTP/1") : 1;
}

/* ---------------------------------------------------------------- words */

static void add_words(char *ret, const char *s, size_t len)
{
    size_t n = strlen(ret);

    if (n > 0 && n + 2 < API_WORDS_MAX_BYTES) {
        ret[n++] = ':';
        ret[n++] = ' ';
    }
    for (size_t i = 0; i < len && n + 1 < API_WORDS_MAX_BYTES; i++)
        ret[n++] = (char)((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i]);
    ret[n] = '\0';
}

static void add_json(char *ret, const json_t *j)
{
    if (json_is_string(j))
        add_words(ret, json_string_value(j), json_string_length(j));
}

void api_words(const char *body, size_t len, char ret[API_WORDS_MAX_BYTES])
{
    autojson *j = json_loadb(body, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    json_t *one;
    size_t i;

    ret[0] = '\0';
    add_json(ret, j);
    add_json(ret, json_object_get(j, "fault_message"));
    json_array_foreach (j, i, one)
        add_json(ret, one);
    if (!*ret)
        add_words(ret, body, len);
    if (!*ret)
        add_words(ret, "no reason", 9);
}

/* ---------------------------------------------------------------- a call */

static int wait_for(const struct api *api, short events, struct err *err)
{
    struct pollfd p = {.fd = api->fd, .events = events};
    int rc;

    do
        rc = poll(&p, 1, deadline_poll_ms(api->deadline));
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return err_set(err, ERR_DEADLINE, "%s does not answer", api->vmm);
    return rc < 0 ? err_sys(err, "wait for %s", api->vmm) : 0;
}

static int hung_up(const struct api *api, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "%s hung up", api->vmm);
}

static int send_all(const struct api *api, const char *text, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n;

        if (wait_for(api, POLLOUT, err) < 0)
            return -1;
        n = send(api->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return errno == EPIPE || errno == ECONNRESET ? hung_up(api, err)
                                                         : err_sys(err, "write to %s", api->vmm);
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Returns: bytes read, or -1. */
static ssize_t receive(const struct api *api, char *buf, size_t room, struct err *err)
{
    for (;;) {
        ssize_t n;

        if (wait_for(api, POLLIN, err) < 0)
            return -1;
        n = recv(api->fd, buf, room, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return hung_up(api, err);
        return n < 0 ? err_sys(err, "read from %s", api->vmm) : n;
    }
}

/* Head and body, whole, into buf. */
static int receive_answer(const struct api *api, char *buf, struct api_head *head, struct err *err)
{
    size_t len = 0;
    int rc = 0;

    while (rc == 0) {
        ssize_t n = receive(api, buf + len, API_HEAD_MAX_BYTES + API_BODY_MAX_BYTES - len, err);

        if (n < 0)
            return -1;
        len += (size_t)n;
        rc = api_head_parse(buf, len, head, err);
    }
    while (rc > 0 && len < head->head_len + head->body_len) {
        ssize_t n = receive(api, buf + len, head->head_len + head->body_len - len, err);

        if (n < 0)
            return -1;
        len += (size_t)n;
    }
    if (rc > 0 && len > head->head_len + head->body_len)
        return err_set(err, ERR_CORRUPT, "API answer: more bytes than it has told");
    return rc < 0 ? -1 : 0;
}

static int take_answer(const struct api *api, const char *path, const char *body,
                       const struct api_head *head, json_t **ret, struct err *err)
{
    char words[API_WORDS_MAX_BYTES];
    json_t *j = NULL;

    if (head->status >= 300) {
        api_words(body, head->body_len, words);
        return err_set(err, ERR_UNAVAILABLE, "%s answers %d to '%s': %s", api->vmm, head->status,
                       path, words);
    }
    if (!ret)
        return 0;
    if (head->body_len > 0) {
        j = json_parse(body, head->body_len, API_BODY_MAX_BYTES, "API answer", err);
        if (!json_is_object(j)) {
            json_decref(j);
            return err_set(err, ERR_CORRUPT, "API answer to '%s': is not a JSON object", path);
        }
    }
    *ret = j;
    return 0;
}

int api_call(struct api *api, const char *method, const char *path, const char *body, json_t **ret,
             struct err *err)
{
    autofree char *buf = xcalloc(1, API_HEAD_MAX_BYTES + API_BODY_MAX_BYTES);
    autostrbuf request = STRBUF_INIT;
    struct api_head head;

    strbuf_addf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n",
                method, path);
    if (body)
        strbuf_addf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                    strlen(body));
    strbuf_addf(&request, "\r\n%s", body ? body : "");
    api->status = 0;
    if (send_all(api, request.s, request.len, err) < 0 || receive_answer(api, buf, &head, err) < 0)
        return -1;
    api->status = head.status;
    return take_answer(api, path, buf + head.head_len, &head, ret, err);
}
