/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - see http.h. A request is run on a multi handle of the client, so that this loop and not
 * libcurl keeps the clocks; time that a sink spends (a slow disk) does not count against the
 * server.
 */
#include "imagestore/http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/strbuf.h"
#include "imagestore/hosts.h"

#define POLL_MS          100
#define RECEIVE_BYTES    (256 * 1024)
#define VALUE_MAX_BYTES  8192
#define KEEP_CONNECTIONS 4

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

static void curl_start(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

struct http *http_new(const struct http_clocks *clocks, const atomic_bool *stop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, curl_start);
    struct http *h = XNEW(struct http);
    h->clocks = *clocks;
    h->stop = stop;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (!h->multi || !h->easy)
        abort();
    (void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)KEEP_CONNECTIONS);
    return h;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi);
    free(h);
}

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

static size_t on_header(char *data, size_t size, size_t nitems, void *arg)
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

static size_t on_body(char *data, size_t size, size_t nitems, void *arg)
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

static bool v4_is_private(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 0 || a >> 16 == 0xa9fe;
}

static bool address_is_private(const struct curl_sockaddr *a)
{
    if (a->family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, (const char *)a + offsetof(struct curl_sockaddr, addr), sizeof(in));
        return v4_is_private(ntohl(in.sin_addr.s_addr));
    }
    if (a->family != AF_INET6)
        return true;
    struct sockaddr_in6 in6;
    memcpy(&in6, (const char *)a + offsetof(struct curl_sockaddr, addr), sizeof(in6));
    const struct in6_addr *x = &in6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(x) || IN6_IS_ADDR_V4COMPAT(x)) {
        uint32_t v4;
        memcpy(&v4, &x->s6_addr[12], sizeof(v4));
        return v4_is_private(ntohl(v4));
    }
    return IN6_IS_ADDR_LOOPBACK(x) || IN6_IS_ADDR_LINKLOCAL(x) || IN6_IS_ADDR_UNSPECIFIED(x);
}

static bool proxy_in_use(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *v = getenv(names[i]);
        if (v && v[0])
            return true;
    }
    return false;
}

/* The address is checked here, after DNS: a name that resolves to loopback gets no further than a
 * literal one. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = arg;
    (void)purpose;
    if (t->guard && !proxy_in_use() && address_is_private(a)) {
        t->failed = true;
        (void)err_set(&t->err, ERR_DENIED,
                      "registry '%s': refers to a loopback or link-local address", t->authority);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK)                                     \
            abort();                                                                               \
    } while (0)

static void set_tls(CURL *easy, const struct http_tls *tls)
{
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!tls)
        return;
    SET(CURLOPT_SSL_VERIFYPEER, tls->skip_verify ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, tls->skip_verify ? 0L : 2L);
    if (tls->ca_pem) {
        struct curl_blob blob = {(void *)(uintptr_t)tls->ca_pem, strlen(tls->ca_pem),
                                 CURL_BLOB_COPY};
        SET(CURLOPT_CAINFO_BLOB, &blob);
    }
    if (tls->client_cert) {
        SET(CURLOPT_SSLCERT, tls->client_cert);
        SET(CURLOPT_SSLKEY, tls->client_key);
    }
}

static struct curl_slist *append_header(struct curl_slist *list, const char *line)
{
    struct curl_slist *l = curl_slist_append(list, line);
    if (!l)
        abort();
    return l;
}

static struct curl_slist *make_headers(const struct http_request *req)
{
    struct curl_slist *l = append_header(NULL, "Expect:");
    for (size_t i = 0; req->headers && req->headers[i]; i++)
        l = append_header(l, req->headers[i]);
    for (size_t i = 0; req->origin_headers && req->origin_headers[i]; i++)
        l = append_header(l, req->origin_headers[i]);
    return l;
}

static void set_up(struct transfer *t, const char *url, struct curl_slist *headers)
{
    const struct http_request *req = t->req;
    CURL *easy = t->h->easy;
    curl_easy_reset(easy);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_USERAGENT, "unicri");
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(t->h->clocks.connect / NSEC_PER_MSEC));
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (host_is_loopback(t->authority))
        SET(CURLOPT_PROXY, "");
    if (strcmp(req->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    if (req->post)
        SET(CURLOPT_COPYPOSTFIELDS, req->post);
    if (req->range_from) {
        char range[32];
        (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)req->range_from);
        SET(CURLOPT_RANGE, range);
    }
    set_tls(easy, req->tls);
}

/* Header clock, stall clock and average rate; libcurl keeps the connect clock. */
struct watch {
    nsec_t start, window_start, last_byte, sink_seen;
    uint64_t window_bytes, last_received;
};

static int too_slow(struct transfer *t, const char *what)
{
    t->failed = true;
    return err_set(&t->err, ERR_UNAVAILABLE, "registry '%s': %s", t->authority, what);
}

static int watch_check(struct watch *w, struct transfer *t)
{
    const struct http_clocks *c = &t->h->clocks;
    nsec_t now = clock_mono();
    if (!t->headers_done) {
        if (now - w->start > c->connect + c->header)
            return too_slow(t, "no answer within the header time");
        w->window_start = w->last_byte = now;
        return 0;
    }
    nsec_t in_sink = t->sink_time - w->sink_seen; /* the server waited for us */
    w->sink_seen = t->sink_time;
    w->window_start += in_sink;
    w->last_byte += in_sink;
    if (t->received != w->last_received) {
        w->last_received = t->received;
        w->last_byte = now;
    }
    if (now - w->last_byte > c->stall)
        return too_slow(t, "stalled, no byte within the stall time");
    if (now - w->window_start > c->stall) {
        double seconds = (double)(now - w->window_start) / (double)NSEC_PER_SEC;
        double rate = (double)(t->received - w->window_bytes) / seconds;
        if (rate < (double)c->min_rate_bytes)
            return too_slow(t, "slower than the minimum rate");
        w->window_start = now;
        w->window_bytes = t->received;
    }
    return 0;
}

static int run_multi(struct transfer *t, CURLcode *ret)
{
    struct http *h = t->h;
    struct watch w = {.start = clock_mono()};
    int running = 1, left = 0;
    w.window_start = w.last_byte = w.start;
    while (running) {
        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
            return -1;
        if (!running)
            break;
        if (h->stop && atomic_load(h->stop)) {
            t->failed = true;
            return err_set(&t->err, ERR_CANCELLED, "the daemon is stopping");
        }
        if (watch_check(&w, t) < 0)
            return -1;
        if (curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return -1;
    }
    CURLMsg *m = curl_multi_info_read(h->multi, &left);
    if (!m || m->msg != CURLMSG_DONE)
        return -1;
    *ret = m->data.result;
    return 0;
}

static int explain(struct transfer *t, CURLcode code, struct err *err)
{
    if (t->failed) {
        *err = t->err;
        t->res->transient = err->code == ERR_UNAVAILABLE;
        return -1;
    }
    bool tls = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
               code == CURLE_SSL_CERTPROBLEM;
    /* a host that cannot be reached now will not be there in a second: no retry, the caller has
     * other hosts */
    t->res->transient = !tls && code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST;
    return err_set(err, ERR_UNAVAILABLE, "registry '%s': %s", t->authority,
                   curl_easy_strerror(code));
}

/* One hop. Bytes of an interrupted body that went to the sink are not lost: the caller knows its
 * offset. */
static int one_hop(struct http *h, const struct http_request *req, const char *url,
                   const char *authority, bool trusted, struct http_response *res, struct err *err)
{
    struct transfer t = {.h = h,
                         .req = req,
                         .res = res,
                         .authority = authority,
                         .body = STRBUF_INIT,
                         .guard = req->guard || !trusted,
                         .err = ERR_INIT};
    struct curl_slist *headers = make_headers(req);
    set_up(&t, url, headers);
    CURLcode code = CURLE_OK;
    int r = curl_multi_add_handle(h->multi, h->easy) == CURLM_OK ? run_multi(&t, &code) : -1;
    (void)curl_multi_remove_handle(h->multi, h->easy);
    curl_slist_free_all(headers);
    if (r < 0 && !t.failed)
        code = CURLE_RECV_ERROR;
    free(res->body);
    res->body = NULL;
    res->body_len = t.body.len;
    res->body = t.body.len ? strbuf_detach(&t.body) : xstrdup("");
    strbuf_done(&t.body);
    return r < 0 || t.failed || code != CURLE_OK ? explain(&t, code, err) : 0;
}

int http_url_host(const char *url, bool *ret_https, char **ret_authority, struct err *err)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    int r = -1;
    if (!u)
        abort();
    if (strnlen(url, HTTP_URL_MAX_BYTES + 1) > HTTP_URL_MAX_BYTES ||
        curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        (void)err_set(err, ERR_INVALID, "not a usable http or https URL");
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        (void)err_set(err, ERR_INVALID, "scheme '%s' is neither http nor https", scheme);
    } else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        (void)err_set(err, ERR_INVALID, "URL with a user name in it");
    } else {
        *ret_https = strcmp(scheme, "https") == 0;
        *ret_authority = xasprintf("%s:%s", host, port);
        r = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);
    return r;
}

char *http_url_encode(const char *s)
{
    char *e = curl_easy_escape(NULL, s, 0);
    if (!e)
        abort();
    char *r = xstrdup(e);
    curl_free(e);
    return r;
}

/* `base` and a Location, absolute or relative, joined. NULL when it is no URL. */
static char *resolve_url(const char *base, const char *location)
{
    CURLU *u = curl_url();
    char *full = NULL, *ret = NULL;
    if (!u)
        abort();
    if (curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &full, 0) == CURLUE_OK)
        ret = xstrdup(full);
    curl_free(full);
    curl_url_cleanup(u);
    return ret;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

struct hop {
    char *url, *authority; /* owned */
    bool https;
};

/* Where a redirect leads, checked against where it comes from. */
static int next_hop(const struct hop *from, const char *location, struct hop *ret, struct err *err)
{
    struct hop to = {0};
    to.url = location && location[0] ? resolve_url(from->url, location) : NULL;
    struct err why = ERR_INIT;
    if (!to.url)
        (void)err_set(&why, ERR_INVALID, "no usable Location");
    else if (http_url_host(to.url, &to.https, &to.authority, &why) == 0 && from->https && !to.https)
        (void)err_set(&why, ERR_DENIED, "from https to http");
    if (why.code != ERR_NONE) {
        free(to.url);
        free(to.authority);
        return err_set(err, ERR_DENIED, "registry '%s': redirect refused: %s", from->authority,
                       why.msg);
    }
    *ret = to;
    return 0;
}

static void hop_done(struct hop *h)
{
    free(h->url);
    free(h->authority);
    *h = (struct hop){0};
}

int http_perform(struct http *h, const struct http_request *req, struct http_response *ret,
                 struct err *err)
{
    struct hop hop = {.url = xstrdup(req->url)};
    autofree char *origin = NULL;
    bool origin_https = false;
    int r = http_url_host(req->url, &origin_https, &origin, err);
    hop.authority = xstrdup(r == 0 ? origin : "?");
    hop.https = origin_https;
    for (int n = 0; r == 0; n++) {
        bool same = str_eq(hop.authority, origin) && hop.https == origin_https;
        bool trusted = same || (host_is_loopback(origin) && !req->guard);
        struct http_request q = *req;
        q.guard = req->guard || !trusted;
        q.origin_headers = same ? req->origin_headers : NULL;
        q.tls = same ? req->tls : NULL;
        http_response_done(ret);
        r = one_hop(h, &q, hop.url, hop.authority, trusted, ret, err);
        if (r < 0 || !req->follow || !is_redirect(ret->status))
            break;
        if (n == HTTP_REDIRECTS_MAX) {
            r = err_set(err, ERR_DENIED, "registry '%s': more than %d redirects", origin,
                        HTTP_REDIRECTS_MAX);
            break;
        }
        struct hop to = {0};
        r = next_hop(&hop, ret->location, &to, err);
        if (r == 0) {
            hop_done(&hop);
            hop = to;
        }
    }
    hop_done(&hop);
    return r;
}
