/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - see http.h: clients, and one hop of a request. It is run on a multi handle of the client,
 * so that this loop and not libcurl keeps the clocks; time that a sink spends (a slow disk) does
 * not count against the server. What comes back is http_receive.c's, redirects are
 * http_redirect.c's.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "imagestore/hosts.h"
#include "imagestore/http_transfer.h"

#define POLL_MS          100
#define RECEIVE_BYTES    (256 * 1024)
#define KEEP_CONNECTIONS 4

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
    SET(CURLOPT_HEADERFUNCTION, http_on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, http_on_body);
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

int http_hop(struct http *h, const struct http_request *req, const char *url, const char *authority,
             struct http_response *res, struct err *err)
{
    struct transfer t = {.h = h,
                         .req = req,
                         .res = res,
                         .authority = authority,
                         .body = STRBUF_INIT,
                         .guard = req->guard,
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
