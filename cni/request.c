/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request - what a pod wants of its network, as the JSON text that is stored beside the list and
 * given to every later call: {"id", "netns", "ifname", "args" (CNI_ARGS), "capabilities" {NAME:
 * value}}.
 *
 * Clients' strings are checked here, once. Capabilities that no plugin of the list declares are
 * left out.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/strbuf.h"
#include "cni/cni_private.h"

#define PORTS_MAX        4096
#define ARG_MAX_BYTES    1024
#define BURST_BITS       UINT32_MAX /* the stock plugin's upper bound: no bound of ours */
#define RATE_MAX         1e15       /* 1 Pbit/s, as kubelet has it */
#define INGRESS_RATE_KEY "kubernetes.io/ingress-bandwidth"
#define EGRESS_RATE_KEY  "kubernetes.io/egress-bandwidth"

int request_parse_rate(const char *s, uint64_t *ret, struct err *err)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {
        {"", 1},
        {"k", 1e3},
        {"M", 1e6},
        {"G", 1e9},
        {"T", 1e12},
        {"P", 1e15},
        {"m", 1e-3},
        {"Ki", 1024},
        {"Mi", 1024. * 1024},
        {"Gi", 1024. * 1024 * 1024},
        {"Ti", 0x1p40},
        {"Pi", 0x1p50},
    };
    char *end;
    double v;

    if (!isdigit((unsigned char)*s) && *s != '.')
        return err_set(err, ERR_INVALID, "'%.64s' is not a rate", s);
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return err_set(err, ERR_INVALID, "'%.64s' is not a rate", s);
    v = strtod(s, &end);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (!str_eq(end, units[i].suffix))
            continue;
        v = ceil(v * units[i].factor);
        if (!(v >= 1 && v <= RATE_MAX))
            return err_set(err, ERR_INVALID, "rate '%.64s' is not within 1 and 1P", s);
        *ret = (uint64_t)v;
        return 0;
    }
    return err_set(err, ERR_INVALID, "'%.64s' is not a rate", s);
}

static json_t *array(void)
{
    json_t *a = json_array();

    if (!a)
        abort();
    return a;
}

/* ';' and '=' would start another argument. */
static int add_arg(struct strbuf *b, const char *key, const char *value, struct err *err)
{
    if (!value)
        value = "";
    if (strlen(value) > ARG_MAX_BYTES || strpbrk(value, ";=\n\r"))
        return err_set(err, ERR_INVALID, "%s '%.64s' cannot be an argument of a network plugin",
                       key, value);
    strbuf_addf(b, ";%s=%s", key, value);
    return 0;
}

static int put_ports(json_t *capabilities, const struct cni_request *r, struct err *err)
{
    json_t *list = array();

    json_put(capabilities, "portMappings",
             list); /* an empty list, too: plugins may have something to clean */
    if (r->n_ports > PORTS_MAX)
        return err_set(err, ERR_INVALID, "more than %d port mappings", PORTS_MAX);
    for (size_t i = 0; i < r->n_ports; i++) {
        const struct cni_port_mapping *p = &r->ports[i];
        json_t *item;

        if (p->host_port == 0) /* a port that is only declared */
            continue;
        if (!p->protocol || (!str_eq(p->protocol, "tcp") && !str_eq(p->protocol, "udp") &&
                             !str_eq(p->protocol, "sctp")))
            return err_set(err, ERR_INVALID,
                           "port mapping %zu: protocol '%s' is not tcp, udp or sctp", i,
                           p->protocol ? p->protocol : "");
        item = json_object();
        json_put(item, "hostPort", json_integer(p->host_port));
        json_put(item, "containerPort", json_integer(p->container_port));
        json_put(item, "protocol", json_string(p->protocol));
        json_put_string(item, "hostIP", p->host_ip);
        if (json_array_append_new(list, item) < 0)
            abort();
    }
    if (json_array_size(list) == 0)
        (void)json_object_del(capabilities, "portMappings");
    return 0;
}

static int put_rate(json_t *bandwidth, const struct kvs *annotations, const char *key,
                    const char *rate, const char *burst, struct err *err)
{
    const char *s = annotations ? kvs_get(annotations, key) : NULL;
    uint64_t v = 0;

    if (!s)
        return 0;
    if (request_parse_rate(s, &v, err) < 0)
        return err_wrap(err, "annotation '%s'", key);
    json_put(bandwidth, rate, json_integer((json_int_t)v));
    json_put(bandwidth, burst, json_integer(BURST_BITS));
    return 0;
}

static int put_bandwidth(json_t *capabilities, const struct cni_request *r, struct err *err)
{
    autojson *bandwidth = json_object();

    if (put_rate(bandwidth, r->annotations, INGRESS_RATE_KEY, "ingressRate", "ingressBurst", err) <
            0 ||
        put_rate(bandwidth, r->annotations, EGRESS_RATE_KEY, "egressRate", "egressBurst", err) < 0)
        return -1;
    if (json_object_size(bandwidth))
        json_put(capabilities, "bandwidth", TAKE_PTR(bandwidth));
    return 0;
}

static int put_dns(json_t *capabilities, const struct cni_request *r, struct err *err)
{
    autojson *dns = json_object();

    (void)err;
    json_put_strv(dns, "servers", r->dns_servers);
    json_put_strv(dns, "searches", r->dns_searches);
    json_put_strv(dns, "options", r->dns_options);
    if (json_object_size(dns))
        json_put(capabilities, "dns", TAKE_PTR(dns));
    return 0;
}

static int put_cgroup(json_t *capabilities, const struct cni_request *r, struct err *err)
{
    (void)err;
    json_put_string(capabilities, "cgroupPath", r->cgroup_parent);
    return 0;
}

static int put_annotations(json_t *capabilities, const struct cni_request *r, struct err *err)
{
    (void)err;
    if (r->annotations && r->annotations->n)
        json_put_kvs(capabilities, "io.kubernetes.cri.pod-annotations", r->annotations);
    return 0;
}

static const struct {
    const char *name;
    int (*put)(json_t *capabilities, const struct cni_request *r, struct err *err);
} known[] = {
    {"portMappings", put_ports},
    {"bandwidth", put_bandwidth},
    {"dns", put_dns},
    {"cgroupPath", put_cgroup},
    {"io.kubernetes.cri.pod-annotations", put_annotations},
};

char *request_args(const struct conflist *list, const struct cni_request *r, struct err *err)
{
    autojson *doc = json_object();
    json_t *capabilities = json_object();
    autostrbuf args = STRBUF_INIT;

    json_put(doc, "capabilities", capabilities);
    strbuf_adds(&args, "IgnoreUnknown=1");
    if (add_arg(&args, "K8S_POD_NAMESPACE", r->pod_namespace, err) < 0 ||
        add_arg(&args, "K8S_POD_NAME", r->pod_name, err) < 0 ||
        add_arg(&args, "K8S_POD_INFRA_CONTAINER_ID", r->id, err) < 0 ||
        add_arg(&args, "K8S_POD_UID", r->pod_uid, err) < 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (conflist_wants(list, known[i].name) && known[i].put(capabilities, r, err) < 0)
            return NULL;
    json_put_string(doc, "id", r->id);
    json_put_string(doc, "netns", r->netns);
    json_put_string(doc, "ifname", r->ifname);
    json_put_string(doc, "args", args.s);
    return json_text(doc);
}
