/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_receive - what a server sends, header line by header line and part by part: the few headers
 * that matter are kept, sizes are bounded, a body goes to memory or to the sink.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "imagestore/http_transfer.h"

#define VALUE_MAX_BYTES 8192

void http_response_done(struct http_response *r)
{
    free(r->body);
    free(r->content_type);
    free(r->content_digest);
    free(r->retry_after);
    free(r->location);
    strv_free(r->challenges);
    *r = (struct http_response){0};
}

static void keep_value(char **slot, const char *value, size_t len)
{
    free(*slot);
    *slot = xstrndup(value, len);
}

/* "bytes FIRST-LAST/ALL": only FIRST matters. */
static void take_range(struct transfer *t, const char *value, size_t len)
{
    char text[64];
    if (len >= sizeof(text))
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    if (strncasecmp(text, "bytes ", 6) != 0 || !isdigit((unsigned char)text[6]))
        return;
    char *end = NULL;
    t->range_start = strtoull(text + 6, &end, 10);
    t->has_range = *end == '-';
}

/* The header lines that matter; `len` without the line end. */
static void take_header(struct transfer *t, const char *line, size_t len)
{
    struct http_response *res = t->res;
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return;
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t n = len - name_len - 1;
    while (n && isspace((unsigned char)*value)) {
        value++;
        n--;
    }
    while (n && isspace((unsigned char)value[n - 1]))
        n--;
    if (n > VALUE_MAX_BYTES || memchr(value, '\0', n))
        return;
#define IS(s) (name_len == sizeof(s) - 1 && strncasecmp(line, s, name_len) == 0)
    if (IS("content-type"))
        keep_value(&res->content_type, value, n);
    else if (IS("docker-content-digest"))
        keep_value(&res->content_digest, value, n);
    else if (IS("retry-after"))
        keep_value(&res->retry_after, value, n);
    else if (IS("location"))
        keep_value(&res->location, value, n);
    else if (IS("content-range"))
        take_range(t, value, n);
    else if (IS("www-authenticate") && strv_len(res->challenges) < HTTP_CHALLENGES_MAX)
        strv_take(&res->challenges, xstrndup(value, n));
#undef IS
}

static size_t fail_transfer(struct transfer *t)
{
    t->failed = true;
    return 0;
}

/* A part that does not start where it was asked to would spoil the whole. */
static bool check_range(struct transfer *t)
{
    t->offset = t->res->status == 206 ? t->req->range_from : 0;
    if (t->res->status != 206 || (t->has_range && t->range_start == t->req->range_from))
        return true;
    (void)err_set(&t->err, ERR_UNAVAILABLE, "registry '%s': answered with another byte range",
                  t->authority);
    (void)fail_transfer(t);
    return false;
}

size_t http_on_header(char *data, size_t size, size_t nitems, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * nitems;
    t->header_bytes += len;
    if (t->header_bytes > HTTP_HEADER_MAX_BYTES) {
        (void)err_set(&t->err, ERR_EXHAUSTED, "registry '%s': more than %d bytes of headers",
                      t->authority, HTTP_HEADER_MAX_BYTES);
        return fail_transfer(t);
    }
    if (len >= 5 && strncasecmp(data, "HTTP/", 5) == 0) { /* also after 100 Continue */
        http_response_done(t->res);
        t->headers_done = t->has_range = false;
    } else if (len <= 2 && (data[0] == '\r' || data[0] == '\n')) {
        long status = 0;
        (void)curl_easy_getinfo(t->h->easy, CURLINFO_RESPONSE_CODE, &status);
        t->res->status = status;
        t->headers_done = status >= 200;
        return check_range(t) ? len : 0;
    } else {
        take_header(t, data, len);
    }
    return len;
}

static bool is_body(const struct transfer *t)
{
    return t->res->status == 200 || t->res->status == 206;
}

/* Bytes for the sink; with 200 in answer to a Range the server starts over, so the known part is
 * passed over. */
static size_t to_sink(struct transfer *t, const char *data, size_t len)
{
    uint64_t from = t->offset;
    t->offset += len;
    uint64_t want = t->req->range_from;
    size_t skip = from < want ? (size_t)(want - from < len ? want - from : len) : 0;
    if (skip == len)
        return len;
    nsec_t start = clock_mono();
    int r = t->req->sink(t->req->sink_arg, from + skip, data + skip, len - skip, &t->err);
    t->sink_time += clock_mono() - start;
    return r < 0 ? fail_transfer(t) : len;
}

size_t http_on_body(char *data, size_t size, size_t nitems, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * nitems;
    t->received += len;
    if (t->req->sink && is_body(t))
        return to_sink(t, data, len);
    size_t max = is_body(t) ? t->req->max_body : HTTP_ERROR_MAX_BYTES;
    if (t->body.len + len <= max) {
        strbuf_add(&t->body, data, len);
    } else if (is_body(t)) {
        (void)err_set(&t->err, ERR_EXHAUSTED, "registry '%s': answer is larger than %zu bytes",
                      t->authority, max);
        return fail_transfer(t);
    } else if (t->received > UINT64_C(64) * HTTP_ERROR_MAX_BYTES) {
        (void)err_set(&t->err, ERR_EXHAUSTED, "registry '%s': status %ld with an endless body",
                      t->authority, t->res->status);
        return fail_transfer(t);
    }
    return len;
}
