/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_http - see the header: the address, the server, its two pages. */
#include "cri/metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"

struct metrics_http {
    const struct daemon *daemon; /* borrowed */
    struct MHD_Daemon *server;
};

/* ------------------------------------------------------------------- address */

static int parse_port(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long port;

    if (*text < '0' || *text > '9' || strlen(text) > 5)
        return -1;
    port = strtoul(text, &end, 10);
    if (*end || port > UINT16_MAX)
        return -1;
    *ret = htons((uint16_t)port);
    return 0;
}

int metrics_address_parse(const char *address, struct sockaddr_storage *ret, struct err *err)
{
    const char *colon = strrchr(address, ':');
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    uint16_t port;
    bool loopback;

    if (!colon || parse_port(colon + 1, &port) < 0)
        return err_set(err, ERR_INVALID, "address '%s': not HOST:PORT", address);

    bool bracketed = address[0] == '[' && colon[-1] == ']';
    autofree char *host = bracketed ? xstrndup(address + 1, (size_t)(colon - address) - 2)
                                    : xstrndup(address, (size_t)(colon - address));

    memset(ret, 0, sizeof(*ret));
    if (!bracketed && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        v4.sin_port = port;
        memcpy(ret, &v4, sizeof(v4));
        loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    } else if (bracketed && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        v6.sin6_port = port;
        memcpy(ret, &v6, sizeof(v6));
        loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    } else {
        return err_set(err, ERR_INVALID, "address '%s': the host is not an IP address", address);
    }
    if (!loopback)
        return err_set(err, ERR_INVALID,
                       "address '%s': not on loopback, and this server knows no authentication",
                       address);
    return 0;
}

/* --------------------------------------------------------------------- pages */

/* Takes `text` over. */
static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, char *text,
                             const char *header, const char *value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, header, value);
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result metrics_page(const struct metrics_http *http,
                                    struct MHD_Connection *connection)
{
    autostrbuf out = STRBUF_INIT;

    metrics_text(http->daemon, &out);
    return reply(connection, MHD_HTTP_OK, strbuf_detach(&out), "Content-Type",
                 "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result health_page(const struct metrics_http *http,
                                   struct MHD_Connection *connection)
{
    autofree char *why = NULL;
    bool ready = engine_ready(http->daemon->engine, &why);

    return reply(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                 ready ? xstrdup("ok\n") : xasprintf("%s\n", why), "Content-Type",
                 "text/plain; charset=utf-8");
}

/* Called when the head has come, and again for a body: a request with one is answered and its
 * connection closed. */
static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_len, void **state)
{
    const struct metrics_http *http = arg;

    (void)version, (void)body, (void)body_len, (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, xstrdup("only GET and HEAD\n"),
                     "Allow", "GET, HEAD");
    if (strcmp(url, "/metrics") == 0)
        return metrics_page(http, connection);
    if (strcmp(url, "/healthz") == 0)
        return health_page(http, connection);
    return reply(connection, MHD_HTTP_NOT_FOUND, xstrdup("only /metrics and /healthz\n"),
                 "Content-Type", "text/plain; charset=utf-8");
}

static void on_log(void *arg, const char *fmt, va_list ap) PRINTF(2, 0);
static void on_log(void *arg, const char *fmt, va_list ap)
{
    char text[256];

    (void)arg;
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_debug("metrics: %s", text);
}

/* ------------------------------------------------------------ open and close */

struct metrics_http *metrics_http_open(const struct daemon *daemon, const char *address,
                                       struct err *err)
{
    struct metrics_http *http;
    struct sockaddr_storage at;
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG;

    if (metrics_address_parse(address, &at, err) < 0)
        return NULL;
    if (at.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    http = XNEW(struct metrics_http);
    http->daemon = daemon;
    errno = 0;
    /* The logger comes first: it speaks of the options behind it, too. */
    http->server =
        MHD_start_daemon(flags, 0, NULL, NULL, answer, http, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                         NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)METRICS_CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)METRICS_TIMEOUT_SECONDS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)METRICS_REQUEST_MAX_BYTES,
                         MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES, MHD_OPTION_END);
    if (!http->server) {
        (void)err_set(err, errno == EADDRINUSE ? ERR_STATE : ERR_INTERNAL, "serve HTTP at '%s': %s",
                      address, errno ? strerror(errno) : "refused");
        free(http);
        return NULL;
    }
    log_info("metrics at %s (port %u)", address, metrics_http_port(http));
    return http;
}

void metrics_http_close(struct metrics_http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->server);
    free(http);
}

unsigned metrics_http_port(const struct metrics_http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_BIND_PORT);

    return info ? info->port : 0;
}
