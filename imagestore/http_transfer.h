/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_transfer - what the files of the HTTP client share: http.c runs one hop, http_receive.c
 * takes what comes back, http_redirect.c goes from hop to hop.
 */
#ifndef UNICRI_IMAGESTORE_HTTP_TRANSFER_H
#define UNICRI_IMAGESTORE_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "base/strbuf.h"
#include "imagestore/http.h"

struct http {
    struct http_clocks clocks;
    const atomic_bool *stop;
    CURLM *multi;
    CURL *easy;
};

/* One hop of one request. */
struct transfer {
    struct http *h;
    const struct http_request *req;
    struct http_response *res;
    const char *authority; /* for messages */
    struct strbuf body;
    size_t header_bytes;
    bool headers_done, guard, failed;
    uint64_t range_start; /* of Content-Range */
    bool has_range;
    uint64_t offset;   /* of the next byte in the whole body */
    uint64_t received; /* body bytes of this hop */
    nsec_t sink_time;
    struct err err; /* valid when failed */
};

/** http_on_header(), http_on_body() - libcurl's callbacks; `arg` is the struct transfer. */
size_t http_on_header(char *data, size_t size, size_t nitems, void *arg);
size_t http_on_body(char *data, size_t size, size_t nitems, void *arg);

/**
 * http_hop() - one request to one URL, no redirect followed.
 * @authority: of `url`, for messages.
 * Bytes of an interrupted body that went to the sink are not lost: the caller knows its offset.
 * Errors: as http_perform().
 */
int http_hop(struct http *h, const struct http_request *req, const char *url, const char *authority,
             struct http_response *res, struct err *err) MUST_CHECK;

#endif
