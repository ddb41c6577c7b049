/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts - see hosts.h. The file is the node admin's, so its content is trusted but checked: a
 * mistake in it fails the pull with file and key instead of going to another host silently.
 */
#include "imagestore/hosts.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/toml.h"
#include "imagestore/imagestore.h"

bool host_is_loopback(const char *authority)
{
    if (str_has_prefix(authority, "[::1]"))
        return authority[5] == '\0' || authority[5] == ':';
    size_t n = strcspn(authority, ":");
    if (n == 9 && strncmp(authority, "localhost", 9) == 0)
        return true;
    return n >= 7 && n <= 15 && str_has_prefix(authority, "127.") &&
           strspn(authority, "0123456789.") == n;
}

static bool is_plain_http(const struct imagestore_config *config, const char *authority)
{
    return host_is_loopback(authority) || strv_contains(config->plain_http_hosts, authority);
}

static void host_done(struct registry_host *h)
{
    free(h->base);
    free(h->authority);
    free(h->ca_pem);
    free(h->client_cert);
    free(h->client_key);
    strv_free(h->headers);
    *h = (struct registry_host){0};
}

void host_list_done(struct host_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        host_done(&l->v[i]);
    free(l->v);
    *l = (struct host_list){0};
}

/* Docker's name for itself is not the name of its server. */
static const char *server_of(const char *registry)
{
    return str_eq(registry, "docker.io") ? "registry-1.docker.io" : registry;
}

static int set_url(const struct imagestore_config *config, const char *url, bool override_path,
                   struct registry_host *h, struct err *err)
{
    autofree char *full = NULL;
    if (str_has_prefix(url, "http://") || str_has_prefix(url, "https://")) {
        full = xstrdup(url);
    } else if (strstr(url, "://")) {
        return err_set(err, ERR_INVALID, "host '%s': not an http or https URL", url);
    } else {
        autofree char *authority = xstrndup(url, strcspn(url, "/"));
        full = xasprintf("%s://%s", is_plain_http(config, authority) ? "http" : "https", url);
    }
    const char *start = strstr(full, "://") + 3;
    size_t n = strcspn(start, "/?#");
    if (n == 0 || n > 260 || memchr(start, '@', n) || strpbrk(full, "?#\r\n \t\"\\"))
        return err_set(err, ERR_INVALID, "host '%s': not an http or https URL", url);
    h->authority = xstrndup(start, n);
    size_t len = strlen(full);
    while (len > (size_t)(start + n - full) && full[len - 1] == '/')
        full[--len] = '\0';
    bool has_v2 = str_has_suffix(full, "/v2");
    h->base = (override_path || has_v2) ? xstrdup(full) : xasprintf("%s/v2", full);
    return 0;
}

static int add_ca(struct registry_host *h, const char *dir, const char *name, struct strbuf *pem,
                  struct err *err)
{
    autofree char *path = name[0] == '/' ? xstrdup(name) : path_join(dir, name);
    autofree char *text = NULL;
    size_t len = 0;
    if (fs_read_file(AT_FDCWD, path, HOSTS_CA_MAX_BYTES, &text, &len, err) < 0)
        return err_wrap(err, "host '%s': ca", h->authority);
    if (pem->len + len > HOSTS_CA_MAX_BYTES)
        return err_set(err, ERR_INVALID, "host '%s': ca: more than %d bytes", h->authority,
                       HOSTS_CA_MAX_BYTES);
    strbuf_add(pem, text, len);
    strbuf_addc(pem, '\n');
    return 0;
}

static int parse_ca(struct registry_host *h, const json_t *t, const char *dir, struct err *err)
{
    json_t *ca = json_object_get(t, "ca");
    if (!ca)
        return 0;
    autostrbuf pem = STRBUF_INIT;
    if (json_is_string(ca)) {
        if (add_ca(h, dir, json_string_value(ca), &pem, err) < 0)
            return -1;
    } else if (json_is_array(ca)) {
        for (size_t i = 0; i < json_array_size(ca); i++) {
            const char *name = json_string_value(json_array_get(ca, i));
            if (!name)
                return err_set(err, ERR_INVALID, "host '%s': ca: not a string", h->authority);
            if (add_ca(h, dir, name, &pem, err) < 0)
                return -1;
        }
    } else {
        return err_set(err, ERR_INVALID, "host '%s': ca: neither string nor array", h->authority);
    }
    h->ca_pem = strbuf_detach(&pem);
    return 0;
}

static char *absolute(const char *dir, const char *name)
{
    return name[0] == '/' ? xstrdup(name) : path_join(dir, name);
}

/* client = "file" | ["file"] | [["cert", "key"]]; only the first pair is used. */
static int parse_client(struct registry_host *h, const json_t *t, const char *dir, struct err *err)
{
    json_t *c = json_object_get(t, "client");
    if (!c)
        return 0;
    json_t *first = json_is_array(c) ? json_array_get(c, 0) : c;
    const char *cert = json_string_value(json_is_array(first) ? json_array_get(first, 0) : first);
    const char *key = json_is_array(first) ? json_string_value(json_array_get(first, 1)) : NULL;
    if (!cert)
        return err_set(err, ERR_INVALID, "host '%s': client: no file name in it", h->authority);
    h->client_cert = absolute(dir, cert);
    h->client_key = absolute(dir, key && key[0] ? key : cert);
    return 0;
}

static int add_header(struct registry_host *h, const char *name, const char *value, struct err *err)
{
    if (!name[0] || strpbrk(name, ": \t\r\n") || !value || strpbrk(value, "\r\n"))
        return err_set(err, ERR_INVALID, "host '%s': header '%s': bad name or value", h->authority,
                       name);
    strv_take(&h->headers, xasprintf("%s: %s", name, value));
    return 0;
}

static int parse_headers(struct registry_host *h, const json_t *t, struct err *err)
{
    json_t *headers = NULL;
    if (json_opt_object(t, "header", &headers, err) < 0)
        return -1;
    const char *name;
    json_t *value;
    json_object_foreach (headers, name, value) {
        if (!json_is_array(value)) {
            if (add_header(h, name, json_string_value(value), err) < 0)
                return -1;
            continue;
        }
        for (size_t i = 0; i < json_array_size(value); i++)
            if (add_header(h, name, json_string_value(json_array_get(value, i)), err) < 0)
                return -1;
    }
    return 0;
}

static int parse_capabilities(struct registry_host *h, const json_t *t, struct err *err)
{
    autostrv char **caps = NULL;
    if (json_opt_strv(t, "capabilities", 16, &caps, err) < 0)
        return -1;
    h->can_pull = !caps || strv_contains(caps, "pull");
    h->can_resolve = !caps || strv_contains(caps, "resolve");
    return 0;
}

/* One table of host settings: the top level (for `server`) or one [host."URL"]. */
static int parse_host(const struct imagestore_config *config, const char *url, const json_t *t,
                      const char *dir, struct registry_host *h, struct err *err)
{
    bool override_path = false;
    if (json_opt_bool(t, "override_path", &override_path, err) < 0 ||
        json_opt_bool(t, "skip_verify", &h->skip_verify, err) < 0 ||
        set_url(config, url, override_path, h, err) < 0 || parse_capabilities(h, t, err) < 0 ||
        parse_ca(h, t, dir, err) < 0 || parse_client(h, t, dir, err) < 0 ||
        parse_headers(h, t, err) < 0)
        return -1;
    return 0;
}

static int add_host(const struct imagestore_config *config, const char *url, const json_t *t,
                    const char *dir, struct host_list *l, struct err *err)
{
    struct registry_host h = {0};
    if (parse_host(config, url, t, dir, &h, err) < 0) {
        host_done(&h);
        return -1;
    }
    l->v = xrealloc_array(l->v, l->n + 1, sizeof(*l->v));
    l->v[l->n++] = h;
    return 0;
}

/* TOML tables have no order, mirrors do: the order of their headings in the file. */
struct heading {
    const char *url;
    const json_t *table;
    const char *at;
};

static int compare_headings(const void *a, const void *b)
{
    const struct heading *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int add_mirrors(const struct imagestore_config *config, json_t *hosts, const char *text,
                       const char *dir, struct host_list *l, struct err *err)
{
    struct heading order[HOSTS_MAX];
    size_t n = 0;
    const char *url;
    json_t *t;
    json_object_foreach (hosts, url, t) {
        if (n == HOSTS_MAX)
            return err_set(err, ERR_INVALID, "more than %d hosts", HOSTS_MAX);
        if (!json_is_object(t))
            return err_set(err, ERR_INVALID, "host '%s': not a table", url);
        autofree char *heading = xasprintf("host.\"%s\"", url);
        const char *at = strstr(text, heading);
        order[n++] = (struct heading){url, t, at ? at : text};
    }
    qsort(order, n, sizeof(order[0]), compare_headings);
    for (size_t i = 0; i < n; i++)
        if (add_host(config, order[i].url, order[i].table, dir, l, err) < 0)
            return -1;
    return 0;
}

static int parse_doc(const struct imagestore_config *config, const char *registry,
                     const struct toml_doc *doc, const char *text, const char *dir,
                     struct host_list *l, struct err *err)
{
    json_t *root = toml_root(doc);
    const char *server = NULL;
    json_t *hosts = NULL;
    if (json_opt_string(root, "server", &server, err) < 0 ||
        json_opt_object(root, "host", &hosts, err) < 0 ||
        add_mirrors(config, hosts, text, dir, l, err) < 0)
        return -1;
    if (add_host(config, server && server[0] ? server : server_of(registry), root, dir, l, err) < 0)
        return -1;
    struct registry_host *last = &l->v[l->n - 1];
    last->upstream = last->can_pull = last->can_resolve = true;
    return 0;
}

int hosts_parse(const struct imagestore_config *config, const char *registry, const char *text,
                size_t len, const char *dir, struct host_list *ret, struct err *err)
{
    autofree char *name = path_join(dir, "hosts.toml");
    struct toml_doc *doc = toml_parse(text, len, name, err);
    if (!doc)
        return -1;
    struct host_list l = {0};
    int r = parse_doc(config, registry, doc, text, dir, &l, err);
    toml_free(doc);
    if (r < 0) {
        host_list_done(&l);
        return err_wrap(err, "%s", name);
    }
    *ret = l;
    return 0;
}

/* CERTS_DIR/{HOST:PORT, HOST_PORT_, _default}: the first that has a hosts.toml. */
static int find_file(const struct imagestore_config *config, const char *registry, char **ret_dir,
                     char **ret_text, size_t *ret_len, struct err *err)
{
    autofree char *underscored = xasprintf("%s_", registry);
    char *colon = strrchr(underscored, ':');
    if (colon)
        *colon = '_';
    const char *const names[] = {registry, underscored, "_default"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autofree char *dir = path_join(config->certs_dir, names[i]);
        autofree char *file = path_join(dir, "hosts.toml");
        struct err e = ERR_INIT;
        if (fs_read_file(AT_FDCWD, file, HOSTS_FILE_MAX_BYTES, ret_text, ret_len, &e) == 0) {
            *ret_dir = TAKE_PTR(dir);
            return 0;
        }
        if (e.code != ERR_NOT_FOUND && e.sys != ENOTDIR) {
            *err = e;
            return -1;
        }
    }
    return 0;
}

int hosts_load(const struct imagestore_config *config, const char *registry, struct host_list *ret,
               struct err *err)
{
    autofree char *dir = NULL, *text = NULL;
    size_t len = 0;
    if (config->certs_dir && config->certs_dir[0] &&
        find_file(config, registry, &dir, &text, &len, err) < 0)
        return -1;
    if (text)
        return hosts_parse(config, registry, text, len, dir, ret, err);
    struct host_list l = {0};
    autojson *none = json_object();
    if (add_host(config, server_of(registry), none, "/", &l, err) < 0)
        return -1;
    l.v[0].upstream = true;
    *ret = l;
    return 0;
}
