/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_redirect - a request from hop to hop: which redirects are followed, and what goes along. The
 * rules are those of http.h; every URL here comes from outside.
 */
#include <string.h>

#include "imagestore/hosts.h"
#include "imagestore/http_transfer.h"

int http_url_host(const char *url, bool *ret_https, char **ret_authority, struct err *err)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    int r = -1;
    if (!u)
        abort();
    if (strnlen(url, HTTP_URL_MAX_BYTES + 1) > HTTP_URL_MAX_BYTES ||
        curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        (void)err_set(err, ERR_INVALID, "not a usable http or https URL");
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        (void)err_set(err, ERR_INVALID, "scheme '%s' is neither http nor https", scheme);
    } else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        (void)err_set(err, ERR_INVALID, "URL with a user name in it");
    } else {
        *ret_https = strcmp(scheme, "https") == 0;
        *ret_authority = xasprintf("%s:%s", host, port);
        r = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);
    return r;
}

char *http_url_encode(const char *s)
{
    char *e = curl_easy_escape(NULL, s, 0);
    if (!e)
        abort();
    char *r = xstrdup(e);
    curl_free(e);
    return r;
}

/* `base` and a Location, absolute or relative, joined. NULL when it is no URL. */
static char *resolve_url(const char *base, const char *location)
{
    CURLU *u = curl_url();
    char *full = NULL, *ret = NULL;
    if (!u)
        abort();
    if (curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &full, 0) == CURLUE_OK)
        ret = xstrdup(full);
    curl_free(full);
    curl_url_cleanup(u);
    return ret;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

struct hop {
    char *url, *authority; /* owned */
    bool https;
};

/* Where a redirect leads, checked against where it comes from. */
static int next_hop(const struct hop *from, const char *location, struct hop *ret, struct err *err)
{
    struct hop to = {0};
    to.url = location && location[0] ? resolve_url(from->url, location) : NULL;
    struct err why = ERR_INIT;
    int r = -1;
    if (!to.url)
        (void)err_set(&why, ERR_INVALID, "no usable Location");
    else if (http_url_host(to.url, &to.https, &to.authority, &why) == 0)
        r = from->https && !to.https ? err_set(&why, ERR_DENIED, "from https to http") : 0;
    if (r < 0) {
        free(to.url);
        free(to.authority);
        return err_set(err, ERR_DENIED, "registry '%s': redirect refused: %s", from->authority,
                       why.msg);
    }
    *ret = to;
    return 0;
}

static void hop_done(struct hop *h)
{
    free(h->url);
    free(h->authority);
    *h = (struct hop){0};
}

int http_perform(struct http *h, const struct http_request *req, struct http_response *ret,
                 struct err *err)
{
    autofree char *origin = NULL;
    bool origin_https = false;
    if (http_url_host(req->url, &origin_https, &origin, err) < 0)
        return -1;
    struct hop hop = {xstrdup(req->url), xstrdup(origin), origin_https};
    int r = 0;
    for (int n = 0; r == 0; n++) {
        bool same = str_eq(hop.authority, origin) && hop.https == origin_https;
        bool trusted = same || (host_is_loopback(origin) && !req->guard);
        struct http_request q = *req;
        q.guard = req->guard || !trusted;
        q.origin_headers = same ? req->origin_headers : NULL;
        q.tls = same ? req->tls : NULL;
        http_response_done(ret);
        r = http_hop(h, &q, hop.url, hop.authority, ret, err);
        if (r < 0 || !req->follow || !is_redirect(ret->status))
            break;
        if (n == HTTP_REDIRECTS_MAX) {
            r = err_set(err, ERR_DENIED, "registry '%s': more than %d redirects", origin,
                        HTTP_REDIRECTS_MAX);
            break;
        }
        struct hop to = {0};
        r = next_hop(&hop, ret->location, &to, err);
        if (r == 0) {
            hop_done(&hop);
            hop = to;
        }
    }
    hop_done(&hop);
    return r;
}
