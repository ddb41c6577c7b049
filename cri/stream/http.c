/* SPDX-License-Identifier: Apache-2.0 */
/* http - see http.h: RFC 9112, sections 2 to 5. */
#include "cri/stream/http.h"

#include <string.h>
#include <strings.h>

static bool is_token(const char *s, size_t n)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < n; i++) {
        char c = s[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(others, c))))
            return false;
    }
    return n > 0;
}

static bool is_text(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "HTTP: %s", what);
}

/* "GET /exec/TOKEN?x HTTP/1.1" */
static int parse_request_line(char *line, struct http_head *head, struct err *err)
{
    char *path = strchr(line, ' '), *version = path ? strchr(path + 1, ' ') : NULL, *query;

    if (!version)
        return bad(err, "not a request line");
    *path++ = *version++ = '\0';
    if (!is_token(line, strlen(line)) || *path != '/' || !is_text(path))
        return bad(err, "not a request line");
    if (strcmp(version, "HTTP/1.1") != 0)
        return bad(err, "not version 1.1");
    query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    head->method = line;
    head->path = path;
    head->query = query ? query : "";
    return 0;
}

static int parse_header(char *line, struct http_head *head, struct err *err)
{
    char *value = strchr(line, ':');

    if (head->n_headers == HTTP_HEADERS_MAX)
        return bad(err, "too many header lines");
    if (!value || !is_token(line, (size_t)(value - line)))
        return bad(err, "not a header line");
    *value++ = '\0';
    value += strspn(value, " \t");
    for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
        value[n - 1] = '\0';
    if (!is_text(value))
        return bad(err, "control byte in a header");
    head->headers[head->n_headers].name = line;
    head->headers[head->n_headers++].value = value;
    return 0;
}

static int parse_lines(struct http_head *head, struct err *err)
{
    char *line = head->text;

    for (bool first = true; *line; first = false) {
        char *end = strstr(line, "\r\n");

        *end = '\0';
        if (strchr(line, '\n') || strchr(line, '\r'))
            return bad(err, "bare line end");
        if ((first ? parse_request_line : parse_header)(line, head, err) < 0)
            return -1;
        line = end + 2;
    }
    return head->method ? 0 : bad(err, "no request line");
}

/* An upgrade has no body. */
static int check_body(const struct http_head *head, struct err *err)
{
    const char *length = http_header(head, "Content-Length");

    if (http_header(head, "Transfer-Encoding") || (length && strcmp(length, "0") != 0))
        return bad(err, "a body is not expected");
    return 0;
}

long http_head_parse(const char *data, size_t len, struct http_head *ret, struct err *err)
{
    size_t seen = len < HTTP_HEAD_MAX_BYTES ? len : HTTP_HEAD_MAX_BYTES;
    const char *end = memmem(data, seen, "\r\n\r\n", 4);
    struct http_head head = {.n_headers = 0};

    if (!end && len >= HTTP_HEAD_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "HTTP: the head is longer than %d bytes",
                       HTTP_HEAD_MAX_BYTES);
    if (!end)
        return 0;

    size_t n = (size_t)(end - data) + 2; /* with the end of the last line */

    if (memchr(data, '\0', n))
        return bad(err, "NUL byte");
    head.text = xstrndup(data, n);
    if (parse_lines(&head, err) < 0 || check_body(&head, err) < 0) {
        free(head.text);
        return -1;
    }
    *ret = head;
    return (long)n + 2;
}

void http_head_done(struct http_head *head)
{
    free(head->text);
    *head = (struct http_head){.n_headers = 0};
}

const char *http_header(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

char **http_header_list(const struct http_head *head, const char *name)
{
    char **list = NULL;

    for (size_t i = 0; i < head->n_headers; i++) {
        const char *s = head->headers[i].value;

        if (strcasecmp(head->headers[i].name, name) != 0)
            continue;
        while (*s) {
            size_t n = strcspn(s, ","), used = n;

            while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
                n--;
            if (n > 0)
                strv_take(&list, xstrndup(s, n));
            s += used;
            s += strspn(s, ", \t");
        }
    }
    return list;
}

bool http_header_has(const struct http_head *head, const char *name, const char *token)
{
    autostrv char **list = http_header_list(head, name);

    for (char **v = list; v && *v; v++)
        if (strcasecmp(*v, token) == 0)
            return true;
    return false;
}
