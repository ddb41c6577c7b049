/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP heads that are one, and those that are not; tokens; terminal sizes and the last status. */
#include "base/tests/testing.h"

#include "cri/stream/http.h"
#include "cri/stream/remote_client.h"
#include "cri/stream/token.h"
#include "cri/stream/websocket.h"

#define UPGRADE                                                                                    \
    "POST /exec/abc?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\n"                \
    "X-Stream-Protocol-Version: v5\r\nx-stream-protocol-version: v4 , v3\r\n"                      \
    "Content-Length: 0\r\n\r\n"

static void test_head(void **state)
{
    struct http_head head;
    struct err err;

    (void)state;
    for (size_t n = 0; n < strlen(UPGRADE); n++)
        assert_int_equal(http_head_parse(UPGRADE, n, &head, &err), 0);
    assert_int_equal(http_head_parse(UPGRADE "rest", strlen(UPGRADE) + 4, &head, &err),
                     strlen(UPGRADE));
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.path, "/exec/abc");
    assert_string_equal(head.query, "x=1");
    assert_true(http_header_has(&head, "connection", "Upgrade"));
    assert_false(http_header_has(&head, "connection", "close"));
    assert_null(http_header(&head, "Upgrade"));
    autostrv char **list = http_header_list(&head, "X-Stream-Protocol-Version");
    assert_int_equal(strv_len(list), 3);
    assert_string_equal(list[0], "v5");
    assert_string_equal(list[1], "v4");
    assert_string_equal(list[2], "v3");
    http_head_done(&head);
}

static void test_bad_heads(void **state)
{
    static const char *const bad[] = {
        "GET /\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET x HTTP/1.1\r\n\r\n",
        "G T / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: a\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\001\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    struct http_head head;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_err((int)http_head_parse(bad[i], strlen(bad[i]), &head, &err), err, ERR_INVALID,
                   "HTTP");
    autofree char *big = xmalloc(HTTP_HEAD_MAX_BYTES + 1);
    memset(big, 'a', HTTP_HEAD_MAX_BYTES + 1);
    assert_int_equal(http_head_parse(big, HTTP_HEAD_MAX_BYTES - 1, &head, &err), 0);
    assert_err((int)http_head_parse(big, HTTP_HEAD_MAX_BYTES, &head, &err), err, ERR_EXHAUSTED,
               "longer");
}

static struct stream_request *request_new(enum stream_kind kind)
{
    struct stream_request *request = XNEW(struct stream_request);

    request->kind = kind;
    strv_push(&request->argv, "x");
    return request;
}

static void test_tokens(void **state)
{
    struct tokens *tokens = tokens_new();
    struct stream_request *request;
    char token[TOKEN_LEN + 1], other[TOKEN_LEN + 1];
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(tokens_put(tokens, request_new(STREAM_EXEC), 0, token, &err), err);
    assert_null(tokens_take(tokens, STREAM_ATTACH, token, 1)); /* for something else */
    assert_null(tokens_take(tokens, STREAM_EXEC, "short", 1));
    request = tokens_take(tokens, STREAM_EXEC, token, 1);
    assert_non_null(request);
    stream_request_free(request);
    assert_null(tokens_take(tokens, STREAM_EXEC, token, 1)); /* used */
    assert_ok(tokens_put(tokens, request_new(STREAM_EXEC), 0, token, &err), err);
    assert_null(tokens_take(tokens, STREAM_EXEC, token, TOKEN_LIFETIME)); /* too old */
    for (int i = 0; i < TOKENS_MAX; i++)
        assert_ok(tokens_put(tokens, request_new(STREAM_EXEC), i, token, &err), err);
    assert_err(tokens_put(tokens, request_new(STREAM_EXEC), TOKENS_MAX, other, &err), err,
               ERR_EXHAUSTED, "wait");
    assert_ok(tokens_put(tokens, request_new(STREAM_EXEC), TOKEN_LIFETIME, other, &err), err);
    stream_request_free(tokens_take(tokens, STREAM_EXEC, token, TOKEN_LIFETIME));
    tokens_free(tokens);
}

/* One that nobody comes for does not make the used ones behind it count. */
static void test_tokens_used_behind_one_that_waits(void **state)
{
    struct tokens *tokens = tokens_new();
    char first[TOKEN_LEN + 1], token[TOKEN_LEN + 1];
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(tokens_put(tokens, request_new(STREAM_ATTACH), 0, first, &err), err);
    for (int i = 0; i < 3 * TOKENS_MAX; i++) {
        struct stream_request *request;

        assert_ok(tokens_put(tokens, request_new(STREAM_EXEC), i, token, &err), err);
        request = tokens_take(tokens, STREAM_EXEC, token, i);
        assert_non_null(request);
        stream_request_free(request);
    }
    stream_request_free(tokens_take(tokens, STREAM_ATTACH, first, TOKEN_LIFETIME - 1));
    tokens_free(tokens);
}

static void test_resize(void **state)
{
    autostrbuf text = STRBUF_INIT;
    struct terminal_size size = {0, 0};

    (void)state;
    assert_false(remote_resize_feed(&text, "{\"Width\":8", 10, &size));
    assert_true(remote_resize_feed(&text, "0,\"Height\":24}\n{\"Width\":1", 25, &size));
    assert_int_equal(size.width, 80);
    assert_int_equal(size.height, 24);
    assert_true(remote_resize_feed(&text, ",\"Height\":2}", 12, &size));
    assert_int_equal(size.width, 1);
    assert_false(remote_resize_feed(&text, "{\"Width\":0,\"Height\":9}", 22, &size));
    assert_false(remote_resize_feed(&text, "{\"Width\":70000,\"Height\":9}", 26, &size));
    for (int i = 0; i < 5000; i++)
        assert_false(remote_resize_feed(&text, "{{{{", 4, &size));
    assert_true(text.len <= RESIZE_TEXT_MAX_BYTES);
}

static void test_status(void **state)
{
    autofree char *ok = remote_status(4, NULL, 0), *three = remote_status(5, NULL, 3),
                  *broken = remote_status(4, "no such \"file\"", 0),
                  *old = remote_status(3, NULL, 0), *accept;

    (void)state;
    assert_string_equal(ok, "{\"metadata\":{},\"status\":\"Success\"}");
    assert_non_null(strstr(three, "\"reason\":\"ExitCode\",\"message\":\"3\""));
    assert_non_null(strstr(three, "\"reason\":\"NonZeroExitCode\""));
    assert_non_null(strstr(broken, "Internal error occurred: no such \\\"file\\\""));
    assert_string_equal(old, "");
    /* RFC 6455, section 1.3 */
    accept = websocket_accept("dGhlIHNhbXBsZSBub25jZQ==");
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),   cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_tokens), cmocka_unit_test(test_tokens_used_behind_one_that_waits),
        cmocka_unit_test(test_resize), cmocka_unit_test(test_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
