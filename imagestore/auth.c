/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - see auth.h. Specs: RFC 7235 challenges; the distribution project's token and OAuth2 token
 * protocols.
 */
#include "imagestore/auth.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/hosts.h"
#include "imagestore/imagestore.h"

#define SECRET_MAX_BYTES (32 * 1024)

static bool is_clean(const char *s)
{
    size_t n = strnlen(s, SECRET_MAX_BYTES + 1);
    if (n > SECRET_MAX_BYTES)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 127)
            return false;
    return true;
}

static char *copy(const char *s)
{
    return xstrdup(s ? s : "");
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

/* `auth` is base64 of "user:password" and wins over the two fields only when they are empty. */
static int decode_auth(struct credentials *c, const char *auth, struct err *err)
{
    size_t len = strnlen(auth, SECRET_MAX_BYTES + 1);
    if (len > SECRET_MAX_BYTES)
        return err_set(err, ERR_INVALID, "registry credentials: auth is too long");
    char *plain = xcalloc(1, len + 1);
    struct err why = ERR_INIT;
    long n = base64_decode(auth, len, plain, len, &why);
    char *colon = n > 0 ? memchr(plain, ':', (size_t)n) : NULL;
    bool ok = colon && strlen(plain) == (size_t)n;
    if (ok) {
        *colon = '\0';
        wipe(c->username);
        wipe(c->password);
        c->username = xstrdup(plain);
        c->password = xstrdup(colon + 1);
        *colon = ':';
    }
    wipe(plain);
    return ok ? 0
              : err_set(err, ERR_INVALID,
                        "registry credentials: auth is not base64 of user:password");
}

int credentials_init(struct credentials *c, const struct registry_auth *auth, struct err *err)
{
    static const struct registry_auth none = {0};
    const struct registry_auth *a = auth ? auth : &none;
    *c = (struct credentials){.username = copy(a->username),
                              .password = copy(a->password),
                              .server = copy(a->server_address),
                              .identity_token = copy(a->identity_token),
                              .registry_token = copy(a->registry_token)};
    int r = 0;
    if (!c->username[0] && !c->password[0] && a->auth && a->auth[0])
        r = decode_auth(c, a->auth, err);
    if (r == 0 && (!is_clean(c->username) || !is_clean(c->password) || !is_clean(c->server) ||
                   !is_clean(c->identity_token) || !is_clean(c->registry_token)))
        r = err_set(err, ERR_INVALID, "registry credentials: too long or with control bytes");
    if (r < 0)
        credentials_done(c);
    return r;
}

void credentials_done(struct credentials *c)
{
    wipe(c->username);
    wipe(c->password);
    wipe(c->server);
    wipe(c->identity_token);
    wipe(c->registry_token);
    *c = (struct credentials){0};
}

char *credentials_hash(const struct credentials *c)
{
    const char *const parts[] = {c->username, c->password, c->server, c->identity_token,
                                 c->registry_token};
    struct digest_stream *s = digest_stream_new();
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        digest_stream_add(s, parts[i], strlen(parts[i]) + 1);
    char digest[DIGEST_LEN + 1];
    digest_stream_end(s, digest);
    digest_stream_free(s);
    return xstrdup(digest_hex(digest));
}

/* "https://index.docker.io/v1/" and the like: the host in it. */
static char *server_host(const char *server)
{
    const char *p = strstr(server, "://");
    p = p ? p + 3 : server;
    char *h = xstrndup(p, strcspn(p, "/?#"));
    for (char *q = h; *q; q++)
        *q = (char)tolower((unsigned char)*q);
    return h;
}

static bool is_docker_hub(const char *h)
{
    return str_eq(h, "docker.io") || str_eq(h, "index.docker.io") ||
           str_eq(h, "registry-1.docker.io");
}

bool credentials_apply(const struct credentials *c, const struct registry_host *host,
                       const char *registry)
{
    if (!c->server[0])
        return true;
    autofree char *server = server_host(c->server);
    if (strcasecmp(server, host->authority) == 0)
        return true;
    if (is_docker_hub(server) && is_docker_hub(host->authority))
        return true;
    /* the admin's `server = ` says where the registry itself is */
    return host->upstream && (strcasecmp(server, registry) == 0 ||
                              (is_docker_hub(server) && is_docker_hub(registry)));
}

/* ------------------------------------------------------------ challenges */

static bool is_token(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* A token or a quoted string. Returns: what follows, NULL when it is neither or too long. */
static const char *read_value(const char *p, char **ret)
{
    autostrbuf b = STRBUF_INIT;
    bool quoted = *p == '"';
    if (quoted)
        p++;
    while (quoted ? *p != '"' : is_token(*p) || *p == '/' || *p == ':' || *p == '=') {
        if (quoted && *p == '\\')
            p++;
        if (*p == '\0' || b.len >= AUTH_PARAM_MAX_BYTES)
            return NULL;
        strbuf_addc(&b, *p++);
    }
    *ret = xstrdup(b.s);
    return quoted ? p + 1 : p;
}

static void set_param(struct challenge *c, const char *name, size_t len, char *value)
{
    char **slot = NULL;
    if (len == 5 && strncasecmp(name, "realm", 5) == 0)
        slot = &c->realm;
    else if (len == 7 && strncasecmp(name, "service", 7) == 0)
        slot = &c->service;
    else if (len == 5 && strncasecmp(name, "scope", 5) == 0)
        slot = &c->scope;
    if (!slot || *slot) {
        free(value);
        return;
    }
    *slot = value;
}

static enum challenge_scheme scheme_of(const char *name, size_t len)
{
    if (len == 5 && strncasecmp(name, "basic", 5) == 0)
        return CHALLENGE_BASIC;
    if (len == 6 && strncasecmp(name, "bearer", 6) == 0)
        return CHALLENGE_BEARER;
    return CHALLENGE_OTHER;
}

void challenges_parse(const char *value, struct challenge *v, size_t *n)
{
    const char *p = value;
    struct challenge *c = NULL;
    for (;;) {
        while (*p == ',' || *p == ' ' || *p == '\t')
            p++;
        const char *name = p;
        while (is_token(*p))
            p++;
        size_t len = (size_t)(p - name);
        if (len == 0)
            return;
        const char *after = skip_space(p);
        if (*after == '=' && c) {
            char *text = NULL;
            p = read_value(skip_space(after + 1), &text);
            if (!p)
                return;
            set_param(c, name, len, text);
        } else {
            if (*n == AUTH_CHALLENGES_MAX)
                return;
            c = &v[(*n)++];
            *c = (struct challenge){.scheme = scheme_of(name, len)};
            p = after;
        }
    }
}

void challenges_done(struct challenge *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].realm);
        free(v[i].service);
        free(v[i].scope);
    }
}

/* ---------------------------------------------------------------- tokens */

/* The last two labels of a host name; the whole for addresses and short names. */
static const char *domain_of(const char *host, size_t len, size_t *ret_len)
{
    size_t dots = 0;
    bool address = host[0] == '[';
    address = address || strspn(host, "0123456789.") >= len;
    for (size_t i = len; i > 0 && !address; i--) {
        if (host[i - 1] == '.' && ++dots == 2) {
            *ret_len = len - i;
            return host + i;
        }
    }
    *ret_len = len;
    return host;
}

static size_t host_len(const char *authority)
{
    if (authority[0] == '[')
        return strcspn(authority, "]") + 1;
    return strcspn(authority, ":");
}

static bool same_host(const char *a, const char *b)
{
    size_t n = host_len(a);
    return n == host_len(b) && strncasecmp(a, b, n) == 0;
}

static bool related(const char *a, const char *b)
{
    size_t la, lb;
    const char *da = domain_of(a, host_len(a), &la), *db = domain_of(b, host_len(b), &lb);
    return la == lb && strncasecmp(da, db, la) == 0;
}

int auth_realm_check(const struct registry_host *host, const char *realm, bool *ret_related,
                     struct err *err)
{
    bool https = false;
    autofree char *authority = NULL;
    if (strpbrk(realm, "#\r\n \t") || http_url_host(realm, &https, &authority, err) < 0)
        return err_set(err, ERR_DENIED, "registry '%s': token server is not a usable URL",
                       host->authority);
    bool plain = str_has_prefix(host->base, "http://");
    if (!https && !(plain && same_host(authority, host->authority)))
        return err_set(err, ERR_DENIED,
                       "registry '%s': token server '%s' is neither https nor the registry itself",
                       host->authority, authority);
    *ret_related = related(authority, host->authority);
    return 0;
}

static char *basic_header(const char *user, const char *password)
{
    char *plain = xasprintf("%s:%s", user, password);
    char *b64 = base64_encode(plain, strlen(plain));
    char *r = xasprintf("Basic %s", b64);
    wipe(plain);
    wipe(b64);
    return r;
}

static bool token_is_clean(const char *t)
{
    if (!t || !t[0])
        return false;
    for (; *t; t++)
        if (*t <= ' ' || *t >= 127)
            return false;
    return true;
}

static char *token_of(const struct http_response *res, const char *authority, struct err *err)
{
    struct err why = ERR_INIT;
    autojson *j = json_parse(res->body, res->body_len, AUTH_TOKEN_MAX_BYTES, "token", &why);
    const char *token = json_string_value(json_object_get(j, "token"));
    if (!token || !token[0])
        token = json_string_value(json_object_get(j, "access_token"));
    if (!token_is_clean(token)) {
        (void)err_set(err, ERR_DENIED, "token server of '%s': no usable token in the answer",
                      authority);
        return NULL;
    }
    return xasprintf("Bearer %s", token);
}

/* service and scope as a query or form. The scope is ours, not the server's: pull of this
 * repository. */
static char *token_query(const struct challenge *ch, const char *path)
{
    autostrbuf b = STRBUF_INIT;
    autofree char *scope = xasprintf("repository:%s:pull", path);
    autofree char *e = http_url_encode(scope);
    if (ch->service && ch->service[0]) {
        autofree char *service = http_url_encode(ch->service);
        strbuf_addf(&b, "service=%s&", service);
    }
    strbuf_addf(&b, "scope=%s", e);
    return strbuf_detach(&b);
}

static char *ask_token(struct http *http, const struct registry_host *host,
                       const struct credentials *c, const struct challenge *ch, const char *path,
                       struct err *err)
{
    bool is_related = false;
    if (auth_realm_check(host, ch->realm, &is_related, err) < 0)
        return NULL;
    const struct credentials *who = is_related ? c : NULL;
    autostrv char **headers = NULL;
    autofree char *query = token_query(ch, path);
    autofree char *url = NULL, *post = NULL;
    if (who && who->identity_token[0]) {
        autofree char *secret = http_url_encode(who->identity_token);
        post = xasprintf("grant_type=refresh_token&client_id=unicri&%s&refresh_token=%s", query,
                         secret);
        url = xstrdup(ch->realm);
    } else {
        url = xasprintf("%s%c%s", ch->realm, strchr(ch->realm, '?') ? '&' : '?', query);
        if (who && who->username[0]) {
            autofree char *basic = basic_header(who->username, who->password);
            strv_take(&headers, xasprintf("Authorization: %s", basic));
        }
    }
    struct http_tls tls = {host->skip_verify, host->ca_pem, NULL, NULL};
    struct http_request req = {.method = post ? "POST" : "GET",
                               .url = url,
                               .origin_headers = headers,
                               .post = post,
                               .tls = is_related ? &tls : NULL,
                               .max_body = AUTH_TOKEN_MAX_BYTES,
                               .guard = !host_is_loopback(host->authority)};
    autoresponse res = {0};
    if (http_perform(http, &req, &res, err) < 0) {
        (void)err_wrap(err, "token server of '%s'", host->authority);
        return NULL;
    }
    if (res.status == 200)
        return token_of(&res, host->authority, err);
    (void)err_set(err, res.status >= 500 || res.status == 429 ? ERR_UNAVAILABLE : ERR_DENIED,
                  "token server of '%s': status %ld%s", host->authority, res.status,
                  c && !who ? " (credentials are not sent to a token server of another domain)"
                            : "");
    return NULL;
}

char *auth_answer(struct http *http, const struct registry_host *host, const struct credentials *c,
                  char *const *values, const char *path, struct err *err)
{
    struct challenge v[AUTH_CHALLENGES_MAX];
    size_t n = 0;
    char *ret = NULL;
    for (size_t i = 0; values && values[i]; i++)
        challenges_parse(values[i], v, &n);
    const struct challenge *bearer = NULL, *basic = NULL;
    for (size_t i = 0; i < n; i++) {
        if (v[i].scheme == CHALLENGE_BEARER && v[i].realm && !bearer)
            bearer = &v[i];
        if (v[i].scheme == CHALLENGE_BASIC && !basic)
            basic = &v[i];
    }
    if (c && c->registry_token[0])
        ret = xasprintf("Bearer %s", c->registry_token);
    else if (bearer)
        ret = ask_token(http, host, c, bearer, path, err);
    else if (basic && c && c->username[0])
        ret = basic_header(c->username, c->password);
    else
        (void)err_set(err, ERR_DENIED, "registry '%s': authentication is needed%s", host->authority,
                      basic ? "" : " by a method that is not known here");
    challenges_done(v, n);
    return ret;
}
