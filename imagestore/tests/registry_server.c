/* SPDX-License-Identifier: Apache-2.0 */
/* registry_server - see registry_server.h. One thread per connection, closed after one answer. */
#include "imagestore/tests/registry_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTES_MAX  1024
#define REQUEST_MAX 16384

struct rs {
    int listen_fd, port;
    SSL_CTX *tls; /* NULL: plain */
    pthread_t thread;
    pthread_mutex_t lock;
    struct rs_route routes[ROUTES_MAX];
    size_t n;
    int hits;
    atomic_bool stop;
    atomic_int connections;
};

struct connection {
    struct rs *s;
    int fd;
    SSL *tls; /* NULL: plain */
};

static void nap(int ms)
{
    (void)usleep((useconds_t)ms * 1000);
}

static bool put(struct connection *c, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = c->tls ? SSL_write(c->tls, p, (int)len) : send(c->fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool puts_to(struct connection *c, const char *s)
{
    return put(c, s, strlen(s));
}

static void header_value(const char *request, const char *name, char *ret, size_t size)
{
    ret[0] = '\0';
    const char *p = strcasestr(request, name);
    if (!p)
        return;
    p += strlen(name);
    size_t n = strcspn(p, "\r\n");
    (void)snprintf(ret, size, "%.*s", (int)(n < size ? n : size - 1), p);
}

static void sleep_until_stopped(struct connection *c)
{
    char b;
    while (!atomic_load(&c->s->stop) && recv(c->fd, &b, 1, MSG_DONTWAIT) != 0)
        nap(20);
}

/* Bytes [from, len) of the body as the mode has it. */
static void put_body(struct connection *c, const struct rs_route *r, size_t from, bool bad)
{
    const char *p = (const char *)r->body + from;
    size_t n = r->len - from, half = n / 2;
    if (!bad) {
        (void)put(c, p, n);
    } else if (r->mode == RS_STALL) {
        (void)put(c, p, half);
        sleep_until_stopped(c);
    } else if (r->mode == RS_TRICKLE) {
        for (size_t i = 0; i < n && !atomic_load(&c->s->stop) && put(c, p + i, 1); i++)
            nap(50);
    } else {
        (void)put(c, p, half);
    }
}

static void put_slow_header(struct connection *c)
{
    static const char line[] = "HTTP/1.1 200 OK\r\nX-Slow: ";
    for (size_t i = 0; !atomic_load(&c->s->stop); i++) {
        char b = i < sizeof(line) - 1 ? line[i] : 'x';
        if (!put(c, &b, 1))
            return;
        nap(50);
    }
}

static void put_header_flood(struct connection *c)
{
    if (!puts_to(c, "HTTP/1.1 200 OK\r\n"))
        return;
    while (!atomic_load(&c->s->stop) && puts_to(c, "X-Filler: 0123456789abcdef0123456789\r\n"))
        ;
}

static void answer_status(struct connection *c, int status, const char *headers)
{
    char text[2048];
    (void)snprintf(text, sizeof(text),
                   "HTTP/1.1 %d X\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                   headers ? headers : "");
    (void)puts_to(c, text);
}

static void answer(struct connection *c, const struct rs_route *r, const char *request, bool bad)
{
    char head[4096], range[64], extra[128] = "";
    size_t from = 0;
    int status = r->status;
    header_value(request, "\r\nRange: bytes=", range, sizeof(range));
    if (bad && r->mode == RS_SLOW_HEADER)
        return put_slow_header(c);
    if (bad && r->mode == RS_HEADER_FLOOD)
        return put_header_flood(c);
    if (bad && r->mode == RS_NO_ANSWER)
        return sleep_until_stopped(c);
    if (bad && r->mode == RS_SLOW)
        nap(300);
    if (range[0] && r->mode != RS_NO_RANGE && status == 200) {
        from = strtoul(range, NULL, 10);
        from = from < r->len ? from : r->len;
        status = 206;
        size_t said = r->mode == RS_WRONG_RANGE ? from / 2 : from;
        (void)snprintf(extra, sizeof(extra), "Content-Range: bytes %zu-%zu/%zu\r\n", said,
                       r->len - 1, r->len);
    }
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 %d X\r\n%s%s%sContent-Length: %zu\r\n%s%sConnection: close\r\n\r\n",
                   status, r->type ? "Content-Type: " : "", r->type ? r->type : "",
                   r->type ? "\r\n" : "", r->len - from, extra, r->headers ? r->headers : "");
    if (!puts_to(c, head) || strncmp(request, "HEAD ", 5) == 0)
        return;
    put_body(c, r, from, bad && r->mode != RS_SLOW);
}

static void challenge(struct connection *c, const struct rs_route *r)
{
    char line[1024];
    (void)snprintf(line, sizeof(line), "WWW-Authenticate: %s\r\n", r->challenge);
    answer_status(c, 401, r->challenge ? line : NULL);
}

/* Note what came, decide what goes back. The route is copied, so that the lock is not held while
 * sending. */
static void serve(struct connection *c, char *request, size_t len)
{
    char path[512] = "", query[512] = "", authorization[512], range[64];
    (void)sscanf(request, "%*15s %511s", path);
    char *q = strchr(path, '?');
    if (q) {
        (void)snprintf(query, sizeof(query), "%s", q + 1);
        *q = '\0';
    }
    header_value(request, "\r\nAuthorization: ", authorization, sizeof(authorization));
    header_value(request, "\r\nRange: ", range, sizeof(range));
    pthread_mutex_lock(&c->s->lock);
    struct rs_route *r = rs_find(c->s, path), copy = {0};
    bool bad = false, fail = false;
    c->s->hits++;
    if (r) {
        r->hits++;
        r->ranges += range[0] != '\0';
        (void)snprintf(r->authorization, sizeof(r->authorization), "%s", authorization);
        (void)snprintf(r->query, sizeof(r->query), "%s", query);
        const char *body = strstr(request, "\r\n\r\n");
        (void)snprintf(r->post, sizeof(r->post), "%.*s", (int)(len - (size_t)(body + 4 - request)),
                       body + 4);
        fail = r->fail_times > 0;
        r->fail_times -= fail;
        bad = r->mode != RS_NORMAL && (r->misbehave == 0 || r->hits <= r->misbehave);
        copy = *r;
    }
    pthread_mutex_unlock(&c->s->lock);
    if (!r)
        answer_status(c, 404, NULL);
    else if (copy.need && strcmp(copy.need, authorization) != 0)
        challenge(c, &copy);
    else if (fail)
        answer_status(c, copy.fail_status, "Retry-After: 0\r\n");
    else
        answer(c, &copy, request, bad);
}

static void *connection_thread(void *arg)
{
    struct connection *c = arg;
    char request[REQUEST_MAX + 1];
    size_t len = 0;
    bool ready = !c->tls || SSL_accept(c->tls) == 1;
    while (ready) {
        ssize_t n = c->tls ? SSL_read(c->tls, request + len, (int)(REQUEST_MAX - len))
                           : recv(c->fd, request + len, REQUEST_MAX - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        char size[32];
        header_value(request, "\r\nContent-Length: ", size, sizeof(size));
        if (!end || len - (size_t)(end + 4 - request) < strtoul(size, NULL, 10))
            continue;
        serve(c, request, len);
        break;
    }
    if (c->tls && ready)
        (void)SSL_shutdown(c->tls);
    SSL_free(c->tls);
    (void)shutdown(c->fd, SHUT_WR);
    (void)close(c->fd);
    atomic_fetch_sub(&c->s->connections, 1);
    free(c);
    return NULL;
}

static void *listen_thread(void *arg)
{
    struct rs *s = arg;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE); /* TLS writes to clients that have gone */
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        int fd = accept(s->listen_fd, NULL, NULL);
        if (atomic_load(&s->stop)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        if (fd < 0)
            continue;
        struct connection *c = malloc(sizeof(*c));
        pthread_t t;
        *c = (struct connection){.s = s, .fd = fd};
        pthread_mutex_lock(&s->lock);
        if (s->tls && (!(c->tls = SSL_new(s->tls)) || SSL_set_fd(c->tls, fd) != 1))
            abort();
        pthread_mutex_unlock(&s->lock);
        atomic_fetch_add(&s->connections, 1);
        if (pthread_create(&t, NULL, connection_thread, c) != 0)
            abort();
        (void)pthread_detach(t);
    }
}

struct rs *rs_start(void)
{
    struct rs *s = calloc(1, sizeof(*s));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(s->listen_fd, 128) < 0 ||
        getsockname(s->listen_fd, (struct sockaddr *)&a, &len) < 0 ||
        pthread_create(&s->thread, NULL, listen_thread, s) != 0)
        abort();
    s->port = ntohs(a.sin_port);
    return s;
}

void rs_tls(struct rs *s, const char *cert_file, const char *key_file, const char *client_ca)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_file(tls, cert_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1)
        abort();
    if (client_ca) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        if (SSL_CTX_load_verify_locations(tls, client_ca, NULL) != 1)
            abort();
    }
    pthread_mutex_lock(&s->lock);
    SSL_CTX_free(s->tls); /* connections have references of their own */
    s->tls = tls;
    pthread_mutex_unlock(&s->lock);
}

void rs_stop(struct rs *s)
{
    atomic_store(&s->stop, true);
    (void)shutdown(s->listen_fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    while (atomic_load(&s->connections))
        nap(5);
    (void)close(s->listen_fd);
    SSL_CTX_free(s->tls);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

int rs_port(const struct rs *s)
{
    return s->port;
}

struct rs_route *rs_find(struct rs *s, const char *path)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->routes[i].path, path) == 0)
            return &s->routes[i];
    return NULL;
}

struct rs_route *rs_route(struct rs *s, const char *path, int status, const char *type,
                          const void *body, size_t len)
{
    pthread_mutex_lock(&s->lock);
    struct rs_route *r = rs_find(s, path);
    if (!r) {
        if (s->n == ROUTES_MAX)
            abort();
        r = &s->routes[s->n++];
    }
    *r = (struct rs_route){.status = status, .type = type, .body = body, .len = len};
    (void)snprintf(r->path, sizeof(r->path), "%s", path);
    pthread_mutex_unlock(&s->lock);
    return r;
}

int rs_hits(struct rs *s)
{
    pthread_mutex_lock(&s->lock);
    int n = s->hits;
    pthread_mutex_unlock(&s->lock);
    return n;
}
