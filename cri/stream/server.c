/* SPDX-License-Identifier: Apache-2.0 */
/* server - see stream.h: the listening socket, the options, opening and closing. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/loop.h"
#include "cri/stream/conn.h"

#define BACKLOG          512
#define ACCEPTS_PER_TURN 32
#define ACCEPT_PAUSE_MS  200

const struct option stream_options[] = {
    {"streaming.address", OPTION_STRING, offsetof(struct stream_config, address), "127.0.0.1", 0, 0,
     "where exec, attach and port-forward are served; the token in the URL is all that guards it"},
    {"streaming.port", OPTION_INT, offsetof(struct stream_config, port), "0", 0, 65535,
     "of the same; 0 takes a free one"},
    {"streaming.idle_timeout", OPTION_SECONDS, offsetof(struct stream_config, idle_timeout),
     "14400", 1, 604800, "a session with no traffic for so long is ended"},
    {"streaming.creation_timeout", OPTION_SECONDS, offsetof(struct stream_config, creation_timeout),
     "30", 1, 3600, "for a client to open all of a session's streams"},
    {"streaming.max_connections", OPTION_INT, offsetof(struct stream_config, max_connections),
     "1000", 1, 65536, "at once; further ones are closed"},
};
const size_t stream_options_n = ARRAY_SIZE(stream_options);

static void on_acceptable(uv_poll_t *h, int status, int events);

static void on_pause_over(uv_timer_t *h)
{
    struct stream_server *s = h->data;

    (void)uv_poll_start(&s->listener, UV_READABLE, on_acceptable);
}

static void accept_one(struct stream_server *s, int fd)
{
    const int on = 1;

    if (s->n_conns >= (size_t)s->config->max_connections) {
        log_warn("streaming: %zu connections; a further one is closed", s->n_conns);
        (void)close_fd(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    conn_new(s, fd);
}

static void on_acceptable(uv_poll_t *h, int status, int events)
{
    struct stream_server *s = h->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            accept_one(s, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_warn("streaming: accept: %s; pausing", strerror(errno));
            (void)uv_poll_stop(&s->listener);
            (void)uv_timer_start(&s->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
        }
        return;
    }
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int parse_address(const struct stream_config *config, union address *a, socklen_t *len,
                         struct err *err)
{
    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, config->address, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)config->port);
        *len = sizeof(a->v4);
    } else if (inet_pton(AF_INET6, config->address, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)config->port);
        *len = sizeof(a->v6);
    } else {
        return err_set(err, ERR_INVALID, "streaming.address '%s': not a numeric address",
                       config->address);
    }
    return 0;
}

static int listen_at(struct stream_server *s, struct err *err)
{
    const int on = 1;
    union address a;
    socklen_t len;
    bool v6;

    if (parse_address(s->config, &a, &len, err) < 0)
        return -1;
    v6 = a.any.sa_family == AF_INET6;

    autofd int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(err, "streaming: make a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, &a.any, &len) < 0)
        return err_sys(err, "streaming: listen at %s port %d", s->config->address,
                       (int)s->config->port);
    s->base_url = xasprintf("http://%s%s%s:%u", v6 ? "[" : "", s->config->address, v6 ? "]" : "",
                            ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
    s->listen_fd = TAKE_FD(fd);
    return 0;
}

struct stream_server *stream_open(const struct stream_config *config, struct engine *engine,
                                  struct loop *loop, struct err *err)
{
    struct stream_server *s = XNEW(struct stream_server);

    s->config = config;
    s->engine = engine;
    s->loop = loop_uv(loop);
    s->listen_fd = -1;
    LIST_INIT(&s->conns);
    if (listen_at(s, err) < 0) {
        free(s);
        return NULL;
    }
    s->tokens = tokens_new();
    tasks_init(&s->tasks, s->loop, &s->open);
    if (uv_poll_init(s->loop, &s->listener, s->listen_fd) || uv_timer_init(s->loop, &s->pause))
        abort(); /* a fresh socket can be polled */
    s->listener.data = s->pause.data = s;
    s->open += 2;
    on_pause_over(&s->pause);
    return s;
}

static void on_closed(uv_handle_t *h)
{
    struct stream_server *s = h->data;

    s->open--;
}

void stream_close(struct stream_server *s)
{
    struct conn *c;

    if (!s)
        return;
    uv_close((uv_handle_t *)&s->listener, on_closed);
    uv_close((uv_handle_t *)&s->pause, on_closed);
    LIST_FOREACH (c, &s->conns, link)
        conn_abort(c);
    /* Commands are being ended by their tasks; each has a deadline. */
    while (!LIST_EMPTY(&s->conns) || tasks_count(&s->tasks) > 0)
        (void)uv_run(s->loop, UV_RUN_ONCE);
    tasks_close(&s->tasks);
    while (s->open > 0)
        (void)uv_run(s->loop, UV_RUN_ONCE);
    (void)close_fd(s->listen_fd);
    tokens_free(s->tokens);
    free(s->base_url);
    free(s);
}

char *stream_url(struct stream_server *s, struct stream_request *request, struct err *err)
{
    static const char *const names[] = {
        [STREAM_EXEC] = "exec", [STREAM_ATTACH] = "attach", [STREAM_PORT_FORWARD] = "portforward"};
    char token[TOKEN_LEN + 1];
    const char *name = names[request->kind];

    if (tokens_put(s->tokens, request, clock_mono(), token, err) < 0)
        return NULL;
    return xasprintf("%s/%s/%s", s->base_url, name, token);
}
