/* SPDX-License-Identifier: Apache-2.0 */
/* tls: registries with certificates, good and bad, and what hosts.toml says of them. */
#include "imagestore/tests/certificates.h"
#include "imagestore/tests/fixture.h"

#define UNAVAILABLE "RegistryUnavailable: "

struct tls {
    struct fixture *f;
    struct authority *ca, *other_ca;
    char *host_dir; /* certs.d/127.0.0.1:PORT */
    char *name;     /* of the image */
};

static char *in_dir(struct tls *t, const char *name)
{
    return keep(t->f, path_join(t->host_dir, name));
}

/* A server certificate of the authority (NULL: self-signed) for a name, in use from now on. */
static void serve_as(struct tls *t, struct authority *by, const char *alt_name,
                     const char *client_ca)
{
    char *cert = in_dir(t, "server.pem"), *key = in_dir(t, "server.key");
    certificate_write(by, alt_name, cert, key);
    rs_tls(t->f->rs, cert, key, client_ca);
}

/* hosts.toml: the https server with these settings. */
static void set_hosts(struct tls *t, const char *settings)
{
    struct err err = ERR_INIT;
    autofree char *text =
        xasprintf("server = \"https://127.0.0.1:%d\"\n%s\n", rs_port(t->f->rs), settings);
    if (fs_write_file(AT_FDCWD, in_dir(t, "hosts.toml"), text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.msg);
}

static void expect_refused(struct tls *t, const char *why)
{
    struct err err;
    struct image *image = pull(t->f, t->name, &err);
    if (image)
        fail_msg("pulled in spite of its certificate");
    assert_int_equal(err.code, ERR_UNKNOWN);
    assert_true(str_has_prefix(err.msg, UNAVAILABLE));
    assert_contains(err.msg, why);
    assert_int_equal(rs_hits(t->f->rs), 0); /* not a byte of HTTP went out */
}

static void expect_pulled(struct tls *t)
{
    struct err err;
    autoimage *image = pull(t->f, t->name, &err);
    if (!image)
        fail_msg("%s", err.msg);
    autofree char *text = read_image_file(t->f, image, "/f", &err);
    assert_string_equal(text, "x");
}

static int tls_setup(void **state)
{
    void *fixture = NULL;
    if (fixture_setup(&fixture) != 0)
        return -1;
    struct err err = ERR_INIT;
    struct tls *t = calloc(1, sizeof(*t));
    struct fixture *f = t->f = fixture;
    autofree char *host = xasprintf("127.0.0.1:%d", rs_port(f->rs));
    t->host_dir = keep(f, path_join(f->certs, host));
    if (fs_mkdirs(t->host_dir, 0700, &err) < 0)
        fail_msg("%s", err.msg);
    t->ca = authority_new("authority", in_dir(t, "ca.pem"));
    t->other_ca = authority_new("other authority", in_dir(t, "other.pem"));
    struct layer_info l = put_file_layer(f, "safe", "f", "x", 1);
    (void)put_image(f, "safe", "latest", &l, 1, "");
    t->name = image_name(f, "safe");
    *state = t;
    return 0;
}

static int tls_teardown(void **state)
{
    struct tls *t = *state;
    void *fixture = t->f;
    authority_free(t->ca);
    authority_free(t->other_ca);
    free(t);
    return fixture_teardown(&fixture);
}

static void test_known_authority(void **state)
{
    struct tls *t = *state;
    serve_as(t, t->ca, "IP:127.0.0.1", NULL);
    set_hosts(t, "ca = \"ca.pem\"");
    expect_pulled(t);
    set_hosts(t, "ca = [\"other.pem\", \"ca.pem\"]");
    expect_pulled(t);
}

static void test_unknown_authority(void **state)
{
    struct tls *t = *state;
    serve_as(t, t->ca, "IP:127.0.0.1", NULL);
    set_hosts(t, "");
    expect_refused(t, "SSL peer certificate");
    set_hosts(t, "ca = \"other.pem\"");
    expect_refused(t, "SSL peer certificate");
}

static void test_wrong_name(void **state)
{
    struct tls *t = *state;
    static const char *const names[] = {"DNS:registry.example", "DNS:127.0.0.1", "IP:127.0.0.2"};
    set_hosts(t, "ca = \"ca.pem\"");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        serve_as(t, t->ca, names[i], NULL);
        expect_refused(t, "SSL peer certificate");
    }
}

static void test_self_signed(void **state)
{
    struct tls *t = *state;
    serve_as(t, NULL, "IP:127.0.0.1", NULL);
    set_hosts(t, "");
    expect_refused(t, "SSL peer certificate");
    set_hosts(t, "skip_verify = false");
    expect_refused(t, "SSL peer certificate");
    set_hosts(t, "skip_verify = true");
    expect_pulled(t);
}

/* skip_verify is one host's: another host's certificate is still checked. */
static void test_skip_verify_is_one_hosts(void **state)
{
    struct tls *t = *state;
    serve_as(t, NULL, "IP:127.0.0.1", NULL);
    autofree char *mirror = xasprintf("[host.\"https://127.0.0.2:%d\"]\nskip_verify = true\n",
                                      rs_port(t->f->rs)); /* nobody listens there */
    set_hosts(t, mirror);
    expect_refused(t, "SSL peer certificate");
}

static void test_client_certificate(void **state)
{
    struct tls *t = *state;
    certificate_write(t->other_ca, "DNS:node", in_dir(t, "node.pem"), in_dir(t, "node.key"));
    certificate_write(t->ca, "DNS:node", in_dir(t, "bad.pem"), in_dir(t, "bad.key"));
    serve_as(t, t->ca, "IP:127.0.0.1", in_dir(t, "other.pem"));
    /* a server refuses only after its own part of the handshake: libcurl sees a broken connection
     */
    set_hosts(t, "ca = \"ca.pem\"");
    expect_refused(t, "127.0.0.1");
    set_hosts(t, "ca = \"ca.pem\"\nclient = [[\"bad.pem\", \"bad.key\"]]");
    expect_refused(t, "127.0.0.1");
    set_hosts(t, "ca = \"ca.pem\"\nclient = [[\"gone.pem\", \"gone.key\"]]");
    expect_refused(t, "local SSL certificate");
    set_hosts(t, "ca = \"ca.pem\"\nclient = [[\"node.pem\", \"node.key\"]]");
    expect_pulled(t);
}

/* A registry that speaks TLS is not spoken to without it, and the other way round. */
static void test_scheme_is_kept(void **state)
{
    struct tls *t = *state;
    struct err err;
    set_hosts(t, "skip_verify = true"); /* the server is plain yet: it waits for a line, as we do */
    nsec_t patience = t->f->config.connect_timeout;
    t->f->config.connect_timeout = NSEC_PER_SEC / 2;
    assert_null(pull(t->f, t->name, &err));
    t->f->config.connect_timeout = patience;
    assert_int_equal(rs_hits(t->f->rs), 0);
    serve_as(t, t->ca, "IP:127.0.0.1", NULL);
    expect_pulled(t);
    /* a redirect from https to http is not followed */
    struct rs *plain = rs_start();
    autofree char *to =
        xasprintf("Location: http://127.0.0.1:%d/v2/down/manifests/latest\r\n", rs_port(plain));
    struct rs_route *r = rs_route(t->f->rs, "/v2/down/manifests/latest", 307, NULL, "", 0);
    r->headers = to;
    assert_null(pull(t->f, image_name(t->f, "down"), &err));
    assert_contains(err.msg, "from https to http");
    assert_int_equal(rs_hits(plain), 0);
    rs_stop(plain);
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, tls_setup, tls_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_known_authority),
        CASE(test_unknown_authority),
        CASE(test_wrong_name),
        CASE(test_self_signed),
        CASE(test_skip_verify_is_one_hosts),
        CASE(test_client_certificate),
        CASE(test_scheme_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
