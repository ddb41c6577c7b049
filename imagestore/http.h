/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - one HTTP(S) request at a time over libcurl, with everything a hostile or dying server can
 * do bounded: four clocks (connect, header, stall, minimum average rate), header and body sizes,
 * redirects followed by hand.
 *
 * Redirects: at most HTTP_REDIRECTS_MAX, http and https only, never from https to http, never with
 * a user name in the URL; `origin_headers` (Authorization among them) go to the first host only. A
 * server that is not on loopback cannot send us to a loopback or link-local address.
 *
 * A client belongs to one thread and keeps its connections for the next request.
 */
#ifndef UNICRI_IMAGESTORE_HTTP_H
#define UNICRI_IMAGESTORE_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"

#define HTTP_REDIRECTS_MAX    5
#define HTTP_HEADER_MAX_BYTES (64 * 1024)
#define HTTP_ERROR_MAX_BYTES  (16 * 1024) /* of a body that explains a failure */
#define HTTP_CHALLENGES_MAX   8
#define HTTP_URL_MAX_BYTES    8192

struct http;

/* Waiting times; the rate is an average over the stall time. */
struct http_clocks {
    nsec_t connect, header, stall;
    uint64_t min_rate_bytes;
};

/** http_new() - `stop` (borrowed, may be NULL) ends every transfer soon after it becomes true. */
struct http *http_new(const struct http_clocks *clocks, const atomic_bool *stop);
void http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free);
#define autohttp CLEANUP(http_free_cleanup)

struct http_tls {
    bool skip_verify;
    const char *ca_pem, *client_cert, *client_key; /* NULL: none */
};

/* All borrowed for the time of the call. */
struct http_request {
    const char *method; /* "GET", "HEAD", "POST" */
    const char *url;
    char *const *headers;        /* sent on every hop */
    char *const *origin_headers; /* sent to the host of `url` only */
    const char *post;            /* form body of a POST */
    const struct http_tls *tls;  /* for the host of `url`; elsewhere the system's trust */
    uint64_t range_from;         /* ask for the rest from here */
    size_t max_body;             /* of a body kept in memory */
    bool follow;                 /* redirects */
    bool guard; /* the URL comes from a server: no loopback or link-local address */
    /* Where a body with status 200 or 206 goes instead of memory. `offset` is where these bytes are
     * in the whole. */
    int (*sink)(void *arg, uint64_t offset, const void *data, size_t len, struct err *err);
    void *sink_arg;
};

struct http_response {
    long status;
    char *body; /* owned, NUL terminated; "" when there is none */
    size_t body_len;
    char *content_type, *content_digest, *retry_after, *location; /* owned or NULL */
    char **challenges;                                            /* values of WWW-Authenticate */
    bool transient; /* a failure that may pass: set when http_perform() returns -1 too */
};
void http_response_done(struct http_response *r);
#define autoresponse CLEANUP(http_response_done) struct http_response

/**
 * http_perform() - Returns: 0 when a whole response came, whatever its status.
 * Errors: UNAVAILABLE (no connection, timeouts, cut connections), EXHAUSTED (a size bound), DENIED
 * (a redirect that is not followed), CANCELLED (stop), and those of the sink. Messages name the
 * host only, never a query or a header.
 */
int http_perform(struct http *h, const struct http_request *req, struct http_response *ret,
                 struct err *err) MUST_CHECK;

/** http_url_host() - "host:port" (port always there) and the scheme of a URL that came from
 * outside. Errors: INVALID unless http or https without user name. Caller frees *ret_authority. */
int http_url_host(const char *url, bool *ret_https, char **ret_authority,
                  struct err *err) MUST_CHECK;
/** http_url_encode() - for a query or a form; owned by the caller. */
char *http_url_encode(const char *s);

#endif
