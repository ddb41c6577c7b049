/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry - see registry.h. Spec: OCI distribution-spec 1.1, "Pull".
 *
 * Every request walks the host list: a host that fails in any way gives way to the next, and the
 * error of the last one is what the caller sees (the last is the registry itself).
 */
#include "imagestore/registry.h"

#include <string.h>

#include "base/json.h"
#include "base/redact.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "imagestore/auth.h"
#include "imagestore/hosts.h"
#include "imagestore/imagestore.h"

#define BACKOFF_FIRST  (200 * NSEC_PER_MSEC)
#define BACKOFF_MAX    (10 * NSEC_PER_SEC)
#define AUTH_ROUNDS    2 /* 401s answered in one request */
#define ERROR_TEXT_MAX 160

struct registry {
    const struct imagestore_config *config;
    const struct reference *ref;
    struct credentials creds;
    struct host_list hosts;
    const atomic_bool *stop;
    struct mutex lock;
    char **authorization GUARDED; /* one per host, NULL until a 401 was answered */
};

static const char *const accept_lines[] = {
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1",
    NULL,
};

NO_TSA struct registry *registry_open(const struct imagestore_config *config,
                                      const struct reference *ref, const struct registry_auth *auth,
                                      const atomic_bool *stop, struct err *err)
{
    struct registry *r = XNEW(struct registry);
    r->config = config;
    r->ref = ref;
    r->stop = stop;
    mutex_init(&r->lock);
    if (credentials_init(&r->creds, auth, err) < 0 ||
        hosts_load(config, ref->registry, &r->hosts, err) < 0) {
        registry_close(r);
        return NULL;
    }
    r->authorization = xcalloc(r->hosts.n, sizeof(char *));
    return r;
}

NO_TSA void registry_close(struct registry *r) /* nobody else has it any more */
{
    if (!r)
        return;
    for (size_t i = 0; r->authorization && i < r->hosts.n; i++) {
        if (r->authorization[i])
            explicit_bzero(r->authorization[i], strlen(r->authorization[i]));
        free(r->authorization[i]);
    }
    free(r->authorization);
    credentials_done(&r->creds);
    host_list_done(&r->hosts);
    mutex_done(&r->lock);
    free(r);
}

struct http *registry_http(struct registry *r)
{
    struct http_clocks clocks = {r->config->connect_timeout, r->config->header_timeout,
                                 r->config->stall_timeout, r->config->min_rate_bytes};
    return http_new(&clocks, r->stop);
}

size_t registry_hosts(const struct registry *r)
{
    return r->hosts.n;
}

void manifest_blob_done(struct manifest_blob *m)
{
    free(m->body);
    free(m->media_type);
    *m = (struct manifest_blob){0};
}

/* -------------------------------------------------------- one request */

static char *get_authorization(struct registry *r, size_t host)
{
    mutex_lock(&r->lock);
    char *s = xstrdup_null(r->authorization[host]);
    mutex_unlock(&r->lock);
    return s;
}

static void set_authorization(struct registry *r, size_t host, const char *value)
{
    mutex_lock(&r->lock);
    free(r->authorization[host]);
    r->authorization[host] = xstrdup(value);
    mutex_unlock(&r->lock);
}

/* The registry's own words for a failure, short and harmless. */
static char *error_text(const struct http_response *res)
{
    struct err why = ERR_INIT;
    autojson *j = json_parse(res->body, res->body_len, HTTP_ERROR_MAX_BYTES, "error", &why);
    json_t *first = json_array_get(json_object_get(j, "errors"), 0);
    const char *message = json_string_value(json_object_get(first, "message"));
    const char *code = json_string_value(json_object_get(first, "code"));
    if (!message || !message[0])
        message = code;
    if (!message)
        return xstrdup("");
    autofree char *cut = xstrndup(message, ERROR_TEXT_MAX);
    autofree char *clean = redact_url(cut);
    return xasprintf(" (%s)", clean);
}

static int explain_status(struct registry *r, size_t host, const char *what,
                          const struct http_response *res, struct err *err)
{
    autofree char *text = error_text(res);
    const char *where = r->hosts.v[host].authority;
    switch (res->status) {
    case 404:
        return err_set(err, ERR_NOT_FOUND, "%s: not found at registry '%s'%s", what, where, text);
    case 401:
    case 403:
        return err_set(err, ERR_DENIED, "%s: registry '%s' denies access%s", what, where, text);
    case 429:
        return err_set(err, ERR_UNAVAILABLE, "%s: registry '%s' limits the rate%s", what, where,
                       text);
    default:
        return err_set(err, res->status >= 500 ? ERR_UNAVAILABLE : ERR_UNKNOWN,
                       "%s: registry '%s' answers with status %ld%s", what, where, res->status,
                       text);
    }
}

static bool status_is_transient(long status)
{
    return status == 429 || status == 408 || status >= 500;
}

/* One request with the host's credentials; a 401 is answered at most AUTH_ROUNDS times. */
static int request(struct registry *r, struct http *http, size_t host, struct http_request *req,
                   struct http_response *res, struct err *err)
{
    const struct registry_host *h = &r->hosts.v[host];
    struct http_tls tls = {h->skip_verify, h->ca_pem, h->client_cert, h->client_key};
    bool may = credentials_apply(&r->creds, h, r->ref->registry);
    for (int round = 0;; round++) {
        autostrv char **headers = strv_dup(h->headers);
        autofree char *authorization = get_authorization(r, host);
        if (!authorization && may && r->creds.registry_token[0])
            authorization = xasprintf("Bearer %s", r->creds.registry_token);
        if (authorization)
            strv_take(&headers, xasprintf("Authorization: %s", authorization));
        req->origin_headers = headers;
        req->tls = &tls;
        req->follow = true;
        http_response_done(res);
        int n = http_perform(http, req, res, err);
        req->origin_headers = NULL;
        if (n < 0 || res->status != 401 || round == AUTH_ROUNDS || !res->challenges)
            return n;
        if (may && r->creds.registry_token[0])
            return 0;
        autofree char *answer =
            auth_answer(http, h, may ? &r->creds : NULL, res->challenges, r->ref->path, err);
        if (!answer)
            return -1;
        if (authorization && str_eq(answer, authorization))
            return 0; /* the same again would be refused again */
        set_authorization(r, host, answer);
    }
}

static int back_off(struct registry *r, int attempt, const struct http_response *res,
                    struct err *err)
{
    nsec_t first = r->config->retry_wait ? r->config->retry_wait : BACKOFF_FIRST;
    nsec_t wait = first << (attempt < 6 ? attempt : 6);
    if (res->retry_after && res->retry_after[0] >= '0' && res->retry_after[0] <= '9') {
        unsigned long long s = strtoull(res->retry_after, NULL, 10);
        nsec_t asked = s > 10 ? BACKOFF_MAX : (nsec_t)s * NSEC_PER_SEC;
        wait = asked > wait ? asked : wait;
    }
    deadline_t until = deadline_in(wait < BACKOFF_MAX ? wait : BACKOFF_MAX);
    while (!deadline_passed(until)) {
        if (r->stop && atomic_load(r->stop))
            return err_set(err, ERR_CANCELLED, "the daemon is stopping");
        clock_sleep_until(deadline_min(until, deadline_in(100 * NSEC_PER_MSEC)));
    }
    return 0;
}

static char *make_url(struct registry *r, size_t host, const char *kind, const char *what)
{
    const struct registry_host *h = &r->hosts.v[host];
    if (h->upstream)
        return xasprintf("%s/%s/%s/%s", h->base, r->ref->path, kind, what);
    autofree char *ns = http_url_encode(r->ref->registry);
    return xasprintf("%s/%s/%s/%s?ns=%s", h->base, r->ref->path, kind, what, ns);
}

/* ----------------------------------------------------------- manifests */

static bool is_html(const struct http_response *res)
{
    return res->content_type && (str_has_prefix(res->content_type, "text/html") ||
                                 str_has_prefix(res->content_type, "application/xhtml"));
}

static int check_manifest(const char *where, const char *asked, bool head,
                          const struct http_response *res, struct manifest_blob *m, struct err *err)
{
    const char *said = res->content_digest;
    if (is_html(res))
        return err_set(err, ERR_INVALID,
                       "registry '%s' answers with HTML instead of a manifest: not a registry?",
                       where);
    if (said && !digest_is_valid(said)) {
        if (!str_has_prefix(said, "sha512:"))
            return err_set(err, ERR_CORRUPT, "registry '%s': bad Docker-Content-Digest", where);
        said = NULL;
    }
    if (head) {
        (void)snprintf(m->digest, sizeof(m->digest), "%s", said ? said : "");
        return 0;
    }
    digest_of(res->body, res->body_len, m->digest);
    if (strchr(asked, ':') && !str_eq(asked, m->digest))
        return err_set(err, ERR_CORRUPT, "registry '%s': manifest has digest %s instead of %s",
                       where, m->digest, asked);
    if (said && !str_eq(said, m->digest))
        return err_set(err, ERR_CORRUPT,
                       "registry '%s': manifest has digest %s, but its header says %s", where,
                       m->digest, said);
    return 0;
}

static int manifest_from(struct registry *r, struct http *http, size_t host, const char *what,
                         bool head, struct manifest_blob *ret, struct err *err)
{
    autofree char *url = make_url(r, host, "manifests", what);
    autofree char *name = xasprintf("manifest '%s/%s' %s", r->ref->registry, r->ref->path, what);
    struct http_request req = {.method = head ? "HEAD" : "GET",
                               .url = url,
                               .headers = (char *const *)(uintptr_t)accept_lines,
                               .max_body = MANIFEST_MAX_BYTES};
    for (int attempt = 0;; attempt++) {
        autoresponse res = {0};
        int n = request(r, http, host, &req, &res, err);
        bool again = n < 0 ? res.transient : status_is_transient(res.status);
        if (n == 0 && res.status == 200) {
            struct manifest_blob m = {0};
            if (check_manifest(r->hosts.v[host].authority, what, head, &res, &m, err) < 0)
                return -1;
            const char *type = res.content_type ? res.content_type : "";
            m.media_type = xstrndup(type, strcspn(type, "; \t"));
            m.len = res.body_len;
            m.body = head ? NULL : TAKE_PTR(res.body);
            *ret = m;
            return 0;
        }
        if (n == 0)
            (void)explain_status(r, host, name, &res, err);
        if (!again || attempt + 1 == REGISTRY_ATTEMPTS)
            return -1;
        if (back_off(r, attempt, &res, err) < 0)
            return -1;
    }
}

int registry_manifest(struct registry *r, struct http *http, const char *what, bool head,
                      struct manifest_blob *ret, struct err *err)
{
    bool by_digest = strchr(what, ':') != NULL;
    for (size_t i = 0; i < r->hosts.n; i++) {
        const struct registry_host *h = &r->hosts.v[i];
        if (!(by_digest ? h->can_pull : h->can_resolve))
            continue;
        if (manifest_from(r, http, i, what, head, ret, err) == 0)
            return 0;
        if (err->code == ERR_CANCELLED)
            return -1;
    }
    return -1;
}

/* --------------------------------------------------------------- blobs */

struct blob {
    struct registry *r;
    const char *digest;
    uint64_t size, done; /* bytes that the sink has */
    blob_sink sink;
    void *arg;
    bool sink_failed;
};

static int on_blob(void *arg, uint64_t offset, const void *data, size_t len, struct err *err)
{
    struct blob *b = arg;
    if (offset != b->done || len > b->size - b->done)
        return err_set(err, ERR_CORRUPT, "blob %s: more than the %llu bytes its manifest says",
                       b->digest, (unsigned long long)b->size);
    if (b->sink(b->arg, data, len, err) < 0) {
        b->sink_failed = true;
        return -1;
    }
    b->done += len;
    return 0;
}

/* Returns: 1 to try this host again, 0 done, -1 to go on with the next one. */
static int blob_attempt(struct blob *b, struct http *http, size_t host, struct http_response *res,
                        struct err *err)
{
    struct registry *r = b->r;
    autofree char *url = make_url(r, host, "blobs", b->digest);
    struct http_request req = {
        .method = "GET", .url = url, .range_from = b->done, .sink = on_blob, .sink_arg = b};
    int n = request(r, http, host, &req, res, err);
    if (n < 0)
        return res->transient && !b->sink_failed ? 1 : -1;
    if (res->status == 200 || res->status == 206) {
        if (b->done == b->size)
            return 0;
        (void)err_set(err, ERR_CORRUPT, "blob %s: %llu bytes instead of %llu", b->digest,
                      (unsigned long long)b->done, (unsigned long long)b->size);
        return -1;
    }
    autofree char *name = xasprintf("blob '%s/%s' %s", r->ref->registry, r->ref->path, b->digest);
    (void)explain_status(r, host, name, res, err);
    return status_is_transient(res->status) ? 1 : -1;
}

static int blob_from(struct blob *b, struct http *http, size_t host, struct err *err)
{
    const struct imagestore_config *c = b->r->config;
    uint64_t enough = 1 + c->min_rate_bytes * (uint64_t)(c->stall_timeout / NSEC_PER_MSEC) / 1000;
    int idle = 0;
    for (int resumes = 0; resumes < REGISTRY_RESUMES; resumes++) {
        autoresponse res = {0};
        uint64_t before = b->done;
        int n = blob_attempt(b, http, host, &res, err);
        if (n <= 0)
            return n;
        /* resuming a trickle for ever is no progress */
        idle = b->done - before >= enough ? 0 : idle + 1;
        if (idle == REGISTRY_ATTEMPTS || back_off(b->r, idle, &res, err) < 0)
            return -1;
    }
    return -1;
}

int registry_blob(struct registry *r, struct http *http, const char *digest, uint64_t size,
                  size_t *host, blob_sink sink, void *arg, struct err *err)
{
    struct blob b = {.r = r, .digest = digest, .size = size, .sink = sink, .arg = arg};
    for (size_t i = *host; i < r->hosts.n; i++) {
        if (!r->hosts.v[i].can_pull)
            continue;
        *host = i;
        if (size == 0 || blob_from(&b, http, i, err) == 0)
            return 0;
        if (b.sink_failed || err->code == ERR_CANCELLED)
            return -1;
    }
    return -1;
}

struct text {
    char *s;
    size_t len;
};

static int on_text(void *arg, const void *data, size_t len, struct err *err)
{
    struct text *t = arg;
    (void)err;
    memcpy(t->s + t->len, data, len); /* on_blob() keeps it within the size */
    t->len += len;
    return 0;
}

int registry_blob_text(struct registry *r, struct http *http, const char *digest, uint64_t size,
                       size_t max, char **ret, struct err *err)
{
    if (size > max)
        return err_set(err, ERR_EXHAUSTED, "blob %s: %llu bytes, more than %zu", digest,
                       (unsigned long long)size, max);
    for (size_t host = 0; host < r->hosts.n; host++) {
        autofree char *s = try_alloc((size_t)size + 1, err);
        if (!s)
            return -1;
        struct text t = {.s = s};
        if (registry_blob(r, http, digest, size, &host, on_text, &t, err) < 0)
            return -1;
        s[t.len] = '\0';
        char got[DIGEST_LEN + 1];
        digest_of(s, t.len, got);
        if (str_eq(got, digest)) {
            *ret = TAKE_PTR(s);
            return 0;
        }
        (void)err_set(err, ERR_CORRUPT, "blob %s: has digest %s", digest, got);
    }
    return -1;
}
