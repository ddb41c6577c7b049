/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template - UpdateRuntimeConfig: a node's pod CIDR, put into a configuration of which the
 * administrator wrote the rest. Placeholders:
 *
 * - {{.PodCIDR}}: the first CIDR
 * - {{.PodRanges}}: [[{"subnet":"10.1.0.0/24"}],[...]], as host-local's "ranges"
 * - {{.PodRoutes}}: [{"dst":"0.0.0.0/0"},...], a default route for each family
 *
 * The outcome must be a valid list before it replaces the file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "cni/cni_private.h"

#define TEMPLATE_MAX_BYTES ((size_t)1024 * 1024)
#define TEMPLATE_TARGET    "10-unicri.conflist"
#define CIDRS_MAX          8
#define CIDR_MAX_BYTES     64

struct cidrs {
    char v[CIDRS_MAX][CIDR_MAX_BYTES];
    size_t n;
};

static int check_cidr(const char *s, struct err *err)
{
    autofree char *ip = xstrdup(s);
    char *slash = strchr(ip, '/');
    int family = strchr(s, ':') ? AF_INET6 : AF_INET;
    unsigned long long prefix;
    uint8_t bytes[16];

    if (!slash)
        return err_set(err, ERR_INVALID, "pod CIDR '%s': no prefix length", s);
    *slash++ = '\0';
    if (inet_pton(family, ip, bytes) != 1)
        return err_set(err, ERR_INVALID, "pod CIDR '%s': not an IP address", s);
    return parse_u64(slash, family == AF_INET ? 32 : 128, "prefix length", &prefix, err);
}

/* kubelet gives one CIDR, or two with a comma between them. */
static int parse_cidrs(const char *s, struct cidrs *ret, struct err *err)
{
    for (;;) {
        size_t len = strcspn(s, ",");

        if (len == 0 || len >= CIDR_MAX_BYTES || ret->n == CIDRS_MAX)
            return err_set(err, ERR_INVALID, "pod CIDR '%.100s' is not a list of CIDRs", s);
        (void)snprintf(ret->v[ret->n], CIDR_MAX_BYTES, "%.*s", (int)len, s);
        if (check_cidr(ret->v[ret->n], err) < 0)
            return -1;
        ret->n++;
        if (!s[len])
            return 0;
        s += len + 1;
    }
}

static void add_ranges(struct strbuf *b, const struct cidrs *cidrs)
{
    for (size_t i = 0; i < cidrs->n; i++)
        strbuf_addf(b, "%s[{\"subnet\":\"%s\"}]", i ? "," : "[", cidrs->v[i]);
    strbuf_addc(b, ']');
}

static void add_routes(struct strbuf *b, const struct cidrs *cidrs)
{
    bool v4 = false, v6 = false;

    for (size_t i = 0; i < cidrs->n; i++)
        *(strchr(cidrs->v[i], ':') ? &v6 : &v4) = true;
    strbuf_addf(b, "[%s%s%s]", v4 ? "{\"dst\":\"0.0.0.0/0\"}" : "", v4 && v6 ? "," : "",
                v6 ? "{\"dst\":\"::/0\"}" : "");
}

static int fill(const char *template, const struct cidrs *cidrs, struct strbuf *ret,
                struct err *err)
{
    const char *p = template, *next;

    for (; (next = strstr(p, "{{")); p = next) {
        strbuf_add(ret, p, (size_t)(next - p));
        if (str_has_prefix(next, "{{.PodCIDR}}")) {
            strbuf_adds(ret, cidrs->v[0]);
        } else if (str_has_prefix(next, "{{.PodRanges}}")) {
            add_ranges(ret, cidrs);
        } else if (str_has_prefix(next, "{{.PodRoutes}}")) {
            add_routes(ret, cidrs);
        } else {
            return err_set(err, ERR_INVALID, "unknown placeholder '%.32s'", next);
        }
        next = strstr(next, "}}") + 2;
    }
    strbuf_adds(ret, p);
    return 0;
}

/* A network that somebody else has set up is left alone. */
static bool is_foreign(struct cni *cni)
{
    bool foreign;

    mutex_lock(&cni->lock);
    foreign = cni->file && !str_eq(cni->file, TEMPLATE_TARGET);
    mutex_unlock(&cni->lock);
    return foreign;
}

int cni_set_pod_cidr(struct cni *cni, const char *pod_cidr, struct err *err)
{
    const char *template = cni->config->conf_template;
    autofree char *target = path_join(cni->config->conf_dir, TEMPLATE_TARGET);
    autofree char *text = NULL;
    autoconflist *list = NULL;
    autostrbuf out = STRBUF_INIT;
    struct cidrs cidrs = {0};

    if (!template || !*template || !*pod_cidr)
        return 0;
    if (parse_cidrs(pod_cidr, &cidrs, err) < 0)
        return -1;
    if (is_foreign(cni)) {
        log_info("pod CIDR '%s': there is a network configuration already, ignoring '%s'", pod_cidr,
                 template);
        return 0;
    }
    if (fs_read_file(AT_FDCWD, template, TEMPLATE_MAX_BYTES, &text, NULL, err) < 0)
        return err_wrap(err, "read template '%s'", template);
    if (fill(text, &cidrs, &out, err) < 0)
        return err_wrap(err, "template '%s'", template);
    list = conflist_parse(out.s, out.len, template, err);
    if (!list)
        return -1;
    if (fs_mkdirs(cni->config->conf_dir, 0755, err) < 0 ||
        fs_replace_file(AT_FDCWD, target, out.s, out.len, 0644, true, err) < 0)
        return err_wrap(err, "write '%s'", target);
    cni_reload(cni);
    return 0;
}
