/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a VMM's API: heads, words, and whole calls over a socket. */
#include <pthread.h>
#include <sys/socket.h>

#include "base/tests/testing.h"
#include "vmm/api.h"

static struct err err;

static int head(const char *text, struct api_head *ret)
{
    return api_head_parse(text, strlen(text), ret, &err);
}

static void heads(void **state)
{
    static const char *const bad[] = {
        "HTTP/2.0 200 \r\n\r\n",
        "HTTP/1.1 20x \r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 600 \r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1 200 \r\nno name\r\n\r\n",
        "HTTP/1.1 200 \r\n: x\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 65537\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n",
    };
    struct api_head h;

    (void)state;
    assert_int_equal(head("HTTP/1.1 200 \r\nContent-Length: 5\r\n", &h), 0);
    assert_int_equal(head("HTTP/1.1 200 OK\r\nA: b\r\ncontent-length:  5 \r\n\r\n{", &h), 1);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.body_len, 5);
    assert_int_equal(h.head_len, strlen("HTTP/1.1 200 OK\r\nA: b\r\ncontent-length:  5 \r\n\r\n"));
    assert_int_equal(head("HTTP/1.1 204\r\n\r\n", &h), 1);
    assert_int_equal(h.body_len, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_err(head(bad[i], &h), err, ERR_CORRUPT, "API answer");

    autofree char *longer = xcalloc(1, API_HEAD_MAX_BYTES + 1);

    memset(longer, 'x', API_HEAD_MAX_BYTES);
    assert_err(head(longer, &h), err, ERR_CORRUPT, "longer than");
}

static void words(void **state)
{
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"{\"fault_message\":\"bad kernel\"}", "bad kernel"},
        {"[\"Error from API\",\"no\\u0007VM\"]", "Error from API: no VM"},
        {"\"text\"", "text"},
        {"plain\x01text", "plain text"},
        {"", "no reason"},
        {"{}", "{}"},
    };
    char got[API_WORDS_MAX_BYTES];
    autofree char *longer = xcalloc(1, 1000);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        api_words(cases[i].body, strlen(cases[i].body), got);
        assert_string_equal(got, cases[i].words);
    }
    memset(longer, 'x', 999);
    api_words(longer, 999, got);
    assert_int_equal(strlen(got), API_WORDS_MAX_BYTES - 1);
}

/* The other end: reads one request, then writes `answer` in two parts. */
struct peer {
    int fd;
    const char *answer;
    char request[512];
};

static void *play(void *arg)
{
    struct peer *p = arg;
    ssize_t n = recv(p->fd, p->request, sizeof(p->request) - 1, 0);
    size_t half = strlen(p->answer) / 2;

    if (n > 0) {
        (void)!write(p->fd, p->answer, half);
        (void)!write(p->fd, p->answer + half, strlen(p->answer) - half);
    }
    (void)shutdown(p->fd, SHUT_WR);
    return NULL;
}

static int call(const char *answer, const char *body, char request[512], json_t **ret)
{
    int pair[2];
    struct peer p = {.answer = answer};
    pthread_t thread;
    int rc;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    p.fd = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, play, &p), 0);

    struct api api = {.fd = pair[0], .vmm = "VMM", .deadline = deadline_in(10 * NSEC_PER_SEC)};

    rc = api_call(&api, body ? "PUT" : "GET", "/x", body, ret, &err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (request)
        memcpy(request, p.request, sizeof(p.request));
    close(pair[0]);
    close(pair[1]);
    return rc;
}

static void calls(void **state)
{
    char request[512];
    autojson *answer = NULL;

    (void)state;
    assert_ok(call("HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n{\"a\":1}", NULL, request, &answer),
              err);
    assert_int_equal(json_integer_value(json_object_get(answer, "a")), 1);
    assert_string_equal(request,
                        "GET /x HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n");
    assert_ok(call("HTTP/1.1 204 \r\n\r\n", "{}", request, NULL), err);
    assert_string_equal(request,
                        "PUT /x HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    assert_err(call("HTTP/1.1 400 \r\nContent-Length: 22\r\n\r\n{\"fault_message\":\"no\"}", NULL,
                    NULL, NULL),
               err, ERR_UNAVAILABLE, "VMM answers 400 to '/x': no");
    assert_err(call("HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n{", NULL, NULL, &answer), err,
               ERR_UNAVAILABLE, "hung up");
    assert_err(call("", NULL, NULL, &answer), err, ERR_UNAVAILABLE, "hung up");
    assert_err(call("HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n{}", NULL, NULL, &answer), err,
               ERR_CORRUPT, "more bytes");
    assert_int_equal(call("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n[]", NULL, NULL, &answer), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void silence(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);

    struct api api = {.fd = pair[0], .vmm = "VMM", .deadline = deadline_in(50 * NSEC_PER_MSEC)};

    assert_err(api_call(&api, "GET", "/", NULL, NULL, &err), err, ERR_DEADLINE, "does not answer");
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(words),
        cmocka_unit_test(calls),
        cmocka_unit_test(silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
