/* SPDX-License-Identifier: Apache-2.0 */
/* auth and http: who gets credentials, where redirects may lead. */
#include "imagestore/tests/fixture.h"

#include "imagestore/auth.h"
#include "imagestore/hosts.h"

#define BASIC "Basic dXNlcjpzM2NyZXQ=" /* user:s3cret */

static struct image *pull_as(struct fixture *f, const char *name, const struct registry_auth *auth,
                             struct err *err)
{
    *err = ERR_INIT;
    struct image *image =
        imagestore_pull(f->store, name, auth, deadline_in(30 * NSEC_PER_SEC), NULL, NULL, err);
    if (strstr(err->msg, "s3cret") || strstr(err->msg, "dXNlcj") || strstr(err->msg, "t0ken"))
        fail_msg("a secret in a message: %s", err->msg);
    return image;
}

static struct image_info simple(struct fixture *f, const char *repo)
{
    return put_image(f, repo, "latest", NULL, 0, "\"Cmd\":[\"x\"]");
}

static void test_basic(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct image_info info = simple(f, "basic");
    info.by_tag->need = info.config.route->need = BASIC;
    info.by_tag->challenge = info.config.route->challenge = "Basic realm=\"r\"";
    const char *name = image_name(f, "basic");
    autofree char *host = xasprintf("127.0.0.1:%d", rs_port(f->rs));
    struct registry_auth good = {.username = "user", .password = "s3cret", .server_address = host};
    struct registry_auth other = {.username = "user",
                                  .password = "s3cret",
                                  .server_address = "https://elsewhere.example/v1/"};
    struct registry_auth wrong = {.username = "user", .password = "no"};
    struct registry_auth encoded = {.auth = "dXNlcjpzM2NyZXQ="};
    assert_null(pull_as(f, name, NULL, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_null(pull_as(f, name, &other, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_string_equal(info.by_tag->authorization, "");
    assert_null(pull_as(f, name, &wrong, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_true(info.by_tag->hits < 10); /* 401s do not go round for ever */
    autoimage *a = pull_as(f, name, &good, &err);
    if (!a)
        fail_msg("%s", err.msg);
    autoimage *b = pull_as(f, name, &encoded, &err);
    assert_non_null(b);
    struct registry_auth garbage = {.auth = "%%%"};
    assert_null(pull_as(f, name, &garbage, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static struct rs_route *set_bearer(struct fixture *f, struct image_info *info,
                                   const char *realm_host, const char *reply)
{
    char *challenge =
        keep(f, xasprintf("Bearer realm=\"%s/token\",service=\"s&x\",scope=\"repository:evil:*\"",
                          realm_host));
    info->by_tag->need = info->config.route->need = "Bearer t0ken";
    info->by_tag->challenge = info->config.route->challenge = challenge;
    return rs_route(f->rs, "/token", 200, "application/json", reply, strlen(reply));
}

static void test_bearer(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct image_info info = simple(f, "bearer");
    autofree char *here = xasprintf("http://127.0.0.1:%d", rs_port(f->rs));
    struct rs_route *token = set_bearer(f, &info, here, "{\"access_token\":\"t0ken\"}");
    const char *name = image_name(f, "bearer");
    struct registry_auth user = {.username = "user", .password = "s3cret"};
    autoimage *a = pull_as(f, name, &user, &err);
    if (!a)
        fail_msg("%s", err.msg);
    assert_string_equal(token->authorization, BASIC);
    assert_string_equal(token->query, "service=s%26x&scope=repository%3Abearer%3Apull");
    assert_int_equal(token->hits, 1); /* once, also for the config */
    struct registry_auth identity = {.identity_token = "id&s3cret"};
    assert_int_equal(imagestore_remove(f->store, info.id, &err), 0);
    autoimage *b = pull_as(f, name, &identity, &err);
    assert_non_null(b);
    assert_contains(token->post, "grant_type=refresh_token");
    assert_contains(token->post, "refresh_token=id%26s3cret");
    assert_string_equal(token->authorization, "");
    struct registry_auth direct = {.registry_token = "t0ken"};
    int hits = token->hits;
    assert_int_equal(imagestore_remove(f->store, info.id, &err), 0);
    autoimage *c = pull_as(f, name, &direct, &err);
    assert_non_null(c);
    assert_int_equal(token->hits, hits);
}

static void test_bad_tokens(void **state)
{
    static const char *const replies[] = {
        "", "{}", "[1]", "{\"token\":\"a\\r\\nX: y\"}", "{\"token\":\"a b\"}", "<html>"};
    struct fixture *f = *state;
    struct err err;
    struct image_info info = simple(f, "badtoken");
    autofree char *here = xasprintf("http://127.0.0.1:%d", rs_port(f->rs));
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        (void)set_bearer(f, &info, here, replies[i]);
        assert_null(pull_as(f, image_name(f, "badtoken"), NULL, &err));
        assert_int_equal(err.code, ERR_DENIED);
    }
    static const char *const realms[] = {"http://127.0.0.2:1", "file:///etc",
                                         "http://u:p@127.0.0.1", "", "gopher://x"};
    for (size_t i = 0; i < ARRAY_SIZE(realms); i++) {
        (void)set_bearer(f, &info, realms[i], "{}");
        assert_null(pull_as(f, image_name(f, "badtoken"), NULL, &err));
        assert_int_equal(err.code, ERR_DENIED);
    }
    size_t n = 70000;
    char *big = keep(f, calloc(1, n + 1));
    memset(big, 'x', n);
    (void)set_bearer(f, &info, here, big);
    assert_null(pull_as(f, image_name(f, "badtoken"), NULL, &err));
    assert_contains(err.msg, "larger than");
}

static void test_realm_rules(void **state)
{
    static const struct {
        const char *base, *realm;
        int ok;
        bool related;
    } v[] = {
        {"https://registry-1.docker.io/v2", "https://auth.docker.io/token", 0, true},
        {"https://r.example/v2", "https://evil.example.net/token", 0, false},
        {"https://r.a.example/v2", "http://r.a.example/token", -1, false},
        {"http://r.a.example/v2", "http://r.a.example:81/token", 0, true},
        {"http://r.a.example/v2", "http://169.254.169.254/token", -1, false},
        {"https://10.0.0.1/v2", "https://10.9.0.1/token", 0, false},
        {"https://r.a.example/v2", "https://x@r.a.example/token", -1, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err = ERR_INIT;
        autofree char *base = xstrdup(v[i].base);
        autofree char *authority =
            xstrndup(strstr(base, "//") + 2, strcspn(strstr(base, "//") + 2, "/"));
        struct registry_host h = {.base = base, .authority = authority};
        bool related = false;
        if (auth_realm_check(&h, v[i].realm, &related, &err) != v[i].ok ||
            (v[i].ok == 0 && related != v[i].related))
            fail_msg("%s -> %s: %s", v[i].base, v[i].realm, err.msg);
    }
}

static void test_challenges(void **state)
{
    struct challenge v[AUTH_CHALLENGES_MAX];
    size_t n = 0;
    (void)state;
    challenges_parse("Negotiate, Basic realm=\"a \\\"b\\\"\", Bearer realm = \"https://x/t\" , "
                     "service=s,scope=\"x\"",
                     v, &n);
    assert_int_equal(n, 3);
    assert_int_equal(v[0].scheme, CHALLENGE_OTHER);
    assert_string_equal(v[1].realm, "a \"b\"");
    assert_int_equal(v[2].scheme, CHALLENGE_BEARER);
    assert_string_equal(v[2].realm, "https://x/t");
    assert_string_equal(v[2].service, "s");
    challenges_done(v, n);
    static const char *const odd[] = {"",
                                      ",",
                                      "Bearer",
                                      "Bearer realm",
                                      "Bearer realm=",
                                      "Bearer realm=\"x",
                                      "=,=",
                                      "Bearer realm=\"\\",
                                      "a b c d e f g h i j k l m"};
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        n = 0;
        challenges_parse(odd[i], v, &n);
        assert_true(n <= AUTH_CHALLENGES_MAX);
        challenges_done(v, n);
    }
}

/* --------------------------------------------------------------- redirects */

static void redirect(struct fixture *f, struct rs_route *r, int status, const char *to)
{
    r->status = status;
    r->len = 0;
    r->headers = keep(f, xasprintf("Location: %s\r\n", to));
}

static void test_redirect_follows(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct rs *other = rs_start();
    struct image_info info = simple(f, "redir");
    info.config.route->need = BASIC;
    info.config.route->challenge = "Basic realm=\"r\"";
    struct rs_route *there =
        rs_route(other, "/blob", 200, NULL, info.config.route->body, info.config.len);
    autofree char *to = xasprintf("http://127.0.0.1:%d/blob?sig=t0ken", rs_port(other));
    redirect(f, info.config.route, 307, to);
    struct registry_auth user = {.username = "user", .password = "s3cret"};
    autoimage *image = pull_as(f, image_name(f, "redir"), &user, &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(info.config.route->authorization, BASIC);
    assert_string_equal(there->authorization, ""); /* never to another host */
    assert_string_equal(there->query, "sig=t0ken");
    rs_stop(other);
}

static void test_redirect_refused(void **state)
{
    static const char *const to[] = {"file:///etc/passwd",
                                     "gopher://127.0.0.1/",
                                     "ftp://127.0.0.1/x",
                                     "http://u:p@127.0.0.1/x",
                                     "",
                                     "dict://127.0.0.1:11211/"};
    struct fixture *f = *state;
    struct err err;
    struct image_info info = simple(f, "refused");
    for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
        redirect(f, info.by_tag, 302, to[i]);
        assert_null(pull_as(f, image_name(f, "refused"), NULL, &err));
        if (err.code != ERR_DENIED)
            fail_msg("'%s': %s", to[i], err.msg);
        assert_contains(err.msg, "redirect refused");
    }
    redirect(f, info.by_tag, 301, "/v2/refused/manifests/latest");
    int hits = info.by_tag->hits;
    assert_null(pull_as(f, image_name(f, "refused"), NULL, &err));
    assert_contains(err.msg, "more than 5 redirects");
    assert_int_equal(info.by_tag->hits, hits + 6);
}

/* A server that is not on loopback may not send us there: by redirect or realm. */
static void test_guard(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct http_clocks clocks = {NSEC_PER_SEC, NSEC_PER_SEC, NSEC_PER_SEC, 1};
    struct http *http = http_new(&clocks, NULL);
    autofree char *url = xasprintf("http://127.0.0.1:%d/secret", rs_port(f->rs));
    (void)rs_route(f->rs, "/secret", 200, NULL, "x", 1);
    struct http_request req = {.method = "GET", .url = url, .max_body = 10, .guard = true};
    autoresponse res = {0};
    assert_int_equal(http_perform(http, &req, &res, &err), -1);
    assert_int_equal(err.code, ERR_DENIED);
    assert_int_equal(rs_find(f->rs, "/secret")->hits, 0);
    req.guard = false;
    assert_int_equal(http_perform(http, &req, &res, &err), 0);
    assert_string_equal(res.body, "x");
    http_free(http);
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_basic),
        CASE(test_bearer),
        CASE(test_bad_tokens),
        cmocka_unit_test(test_realm_rules),
        cmocka_unit_test(test_challenges),
        CASE(test_redirect_follows),
        CASE(test_redirect_refused),
        CASE(test_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
