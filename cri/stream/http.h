/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - the head of one HTTP/1.1 request, which is all of HTTP that an upgrade needs. Strict:
 * nothing is guessed, bare line feeds, folded lines and control bytes are refused. Pure functions,
 * no I/O.
 */
#ifndef UNICRI_CRI_STREAM_HTTP_H
#define UNICRI_CRI_STREAM_HTTP_H

#include <stdbool.h>

#include "base/mem.h"

#define HTTP_HEAD_MAX_BYTES 16384
#define HTTP_HEADERS_MAX    100

struct http_head {
    char *text;                        /* owned; the other members point into it */
    const char *method, *path, *query; /* query: "" without */
    struct {
        const char *name, *value;
    } headers[HTTP_HEADERS_MAX];
    size_t n_headers;
};

/**
 * http_head_parse() - of the first `len` bytes of a connection.
 * Returns: the bytes the head takes; 0: not complete yet; -1: not a request of HTTP/1.1 (INVALID),
 * or longer than HTTP_HEAD_MAX_BYTES (EXHAUSTED).
 */
long http_head_parse(const char *data, size_t len, struct http_head *ret,
                     struct err *err) MUST_CHECK;
void http_head_done(struct http_head *head);

/** http_header() - the first of that name, any case; NULL without. */
const char *http_header(const struct http_head *head, const char *name);
/** http_header_has() - is `token` among the values of a list header, any case? */
bool http_header_has(const struct http_head *head, const char *name, const char *token);
/** http_header_list() - all values of a list header, in order, from lines and commas alike. strv,
 * owned by the caller. */
char **http_header_list(const struct http_head *head, const char *name);

#endif
