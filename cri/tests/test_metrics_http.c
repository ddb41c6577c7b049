/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics server, talked to over a socket, politely and not. */
#include "cri/metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/tests/testing.h"
#include "cri/tests/fake.h"

#define PATIENCE_MS 5000

static void addresses(void **state)
{
    static const char *const good[] = {"127.0.0.1:9730", "127.3.2.1:0", "[::1]:65535"};
    static const char *const bad[] = {"",
                                      ":9730",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:x",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1: 80",
                                      "localhost:80",
                                      "0.0.0.0:9730",
                                      "10.0.0.1:9730",
                                      "[::]:9730",
                                      "::1:9730",
                                      "[127.0.0.1]:1",
                                      "[]:1",
                                      "[::1:9730",
                                      "127.0.0.1:0x50"};
    struct sockaddr_storage at;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(metrics_address_parse(good[i], &at, &err), err);
    assert_int_equal(at.ss_family, AF_INET6);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_err(metrics_address_parse(bad[i], &at, &err), err, ERR_INVALID, bad[i]);
}

static int dial(const struct metrics_http *http)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)metrics_http_port(http))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Send, then read to the end of the connection. Owned by the caller. */
static char *ask(const struct metrics_http *http, const char *request)
{
    autofd int fd = dial(http);
    struct strbuf out = STRBUF_INIT;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct err err = ERR_INIT;
    char buf[4096];
    ssize_t n;

    assert_ok(fs_write_all(fd, request, strlen(request), &err), err);
    while (poll(&p, 1, PATIENCE_MS) == 1 && (n = read(fd, buf, sizeof(buf))) > 0)
        strbuf_add(&out, buf, (size_t)n);
    return strbuf_detach(&out);
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr(text, part))                                                                   \
            fail_msg("no '%s' in:\n%s", part, text);                                               \
    } while (0)

static int set_up(void **state)
{
    static struct daemon daemon;
    struct err err = ERR_INIT;

    fake_reset();
    *state = metrics_http_open(&daemon, "127.0.0.1:0", &err);
    if (!*state)
        print_error("%s\n", err.msg);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    metrics_http_close(*state);
    fake_reset();
    return 0;
}

static void pages(void **state)
{
    autofree char *all =
        ask(*state, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    autofree char *head =
        ask(*state, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    autofree char *healthy =
        ask(*state, "GET /healthz?verbose HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    assert_has(all, "HTTP/1.1 200");
    assert_has(all, "Content-Type: text/plain; version=0.0.4");
    assert_has(all, "\nfake_pulls_total 5\n");
    assert_has(all, "unicri_rpc_seconds_count{method=\"ListContainerStats\"} 0\n");
    assert_has(all, "\nunicri_pods{state=\"ready\"} 0\n");
    assert_has(all, "\nunicri_containers{state=\"running\"} 0\n");
    assert_has(all, "\nunicri_census{what=\"taps\"} 0\n");
    assert_has(all, "\nprocess_resident_memory_bytes ");
    assert_has(head, "HTTP/1.1 200");
    assert_null(strstr(head, "fake_pulls_total"));
    assert_has(healthy, "HTTP/1.1 200");
    assert_has(healthy, "\r\n\r\nok\n");
    fake.not_ready = true;

    autofree char *ill = ask(*state, "GET /healthz HTTP/1.0\r\n\r\n");

    assert_has(ill, " 503 ");
    assert_has(ill, "no runtime\n");
}

static void refusals(void **state)
{
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", " 404 "},
        {"GET /metrics/ HTTP/1.0\r\n\r\n", " 404 "},
        {"GET /metrics%2fx HTTP/1.0\r\n\r\n", " 404 "},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
         " 405 "},
        {"DELETE /healthz HTTP/1.0\r\n\r\n", " 405 "},
        {"PRI * HTTP/2.0\r\n\r\n", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autofree char *text = ask(*state, rows[i].request);

        assert_has(text, rows[i].answer);
        assert_null(strstr(text, "fake_pulls_total"));
    }
}

/* A head larger than the bound ends the connection, and the server goes on. */
static void large_head(void **state)
{
    struct strbuf request = STRBUF_INIT;
    autofd int fd = dial(*state);
    struct err err = ERR_INIT;

    strbuf_adds(&request, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
    for (size_t i = 0; i < (size_t)4 * METRICS_REQUEST_MAX_BYTES; i++)
        strbuf_addc(&request, 'x');
    if (fs_write_all(fd, request.s, request.len, &err) < 0)
        assert_true(err.sys == EPIPE || err.sys == ECONNRESET); /* it has been refused already */
    strbuf_done(&request);

    autofree char *healthy = ask(*state, "GET /healthz HTTP/1.0\r\n\r\n");

    assert_has(healthy, " 200 ");
}

/* Connections beyond the bound wait; when room is made, they are served. */
static void many_connections(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    int fds[METRICS_CONNECTIONS_MAX];
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = dial(*state);

    autofd int late = dial(*state);
    struct pollfd p = {.fd = late, .events = POLLIN};

    assert_ok(fs_write_all(late, request, strlen(request), &err), err);
    assert_int_equal(poll(&p, 1, 200), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void)close_fd(fds[i]);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

static void address_in_use(void **state)
{
    struct daemon daemon = {0};
    struct err err = ERR_INIT;
    autofree char *address = xasprintf("127.0.0.1:%u", metrics_http_port(*state));

    assert_null(metrics_http_open(&daemon, address, &err));
    assert_non_null(strstr(err.msg, address));
    assert_null(metrics_http_open(&daemon, "0.0.0.0:0", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
#define with_server(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),   with_server(pages),
        with_server(refusals),         with_server(large_head),
        with_server(many_connections), with_server(address_in_use),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
