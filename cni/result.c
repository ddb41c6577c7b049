/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result - what ADD printed, as plain values. Versions 0.3.x and 0.4.0 say the family of an address
 * beside it, 1.0 no longer does, 1.1 adds the MTU; the rest is the same, so one reader serves all
 * of them.
 *
 * Invariant: everything in a struct cni_result has been through inet_pton and back, whatever a
 * plugin printed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "cni/cni.h"
#include "cni/conflist.h"
#include "cni/plugin.h"

#define INTERFACES_MAX 256

static int parse_ip(const char *s, int *ret_family, char ret[INET6_ADDRSTRLEN], const char *what,
                    struct err *err)
{
    uint8_t bytes[16];
    int family = strchr(s, ':') ? AF_INET6 : AF_INET;

    if (inet_pton(family, s, bytes) != 1 || !inet_ntop(family, bytes, ret, INET6_ADDRSTRLEN))
        return err_set(err, ERR_INVALID, "%s: '%.64s' is not an IP address", what, s);
    *ret_family = family;
    return 0;
}

static int parse_cidr(const char *s, int *ret_family, char ret[INET6_ADDRSTRLEN], int *ret_prefix,
                      const char *what, struct err *err)
{
    const char *slash = strchr(s, '/');
    unsigned long long prefix = 0;
    autofree char *ip = NULL;

    if (!slash)
        return err_set(err, ERR_INVALID, "%s: '%.64s' has no prefix length", what, s);
    ip = xstrndup(s, (size_t)(slash - s));
    if (parse_ip(ip, ret_family, ret, what, err) < 0)
        return -1;
    if (parse_u64(slash + 1, *ret_family == AF_INET ? 32 : 128, what, &prefix, err) < 0)
        return -1;
    *ret_prefix = (int)prefix;
    return 0;
}

/* An optional gateway; "" when there is none. */
static int parse_gateway(const json_t *obj, const char *key, int family, char ret[INET6_ADDRSTRLEN],
                         const char *what, struct err *err)
{
    const char *s = NULL;
    int gateway_family = 0;

    *ret = '\0';
    if (json_opt_string(obj, key, &s, err) < 0)
        return err_wrap(err, "%s", what);
    if (!s || !*s)
        return 0;
    if (parse_ip(s, &gateway_family, ret, what, err) < 0)
        return -1;
    if (gateway_family != family)
        return err_set(err, ERR_INVALID, "%s: gateway '%.64s' is of another family", what, s);
    return 0;
}

static int parse_mac(const char *s, char ret[18], const char *what, struct err *err)
{
    for (size_t i = 0; i < 17; i++) {
        char c = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] - 'A' + 'a') : s[i];

        if (i % 3 == 2 ? c != ':' : !c || !strchr("0123456789abcdef", c))
            return err_set(err, ERR_INVALID, "%s: '%.64s' is not a MAC address", what, s);
        ret[i] = c;
    }
    if (s[17])
        return err_set(err, ERR_INVALID, "%s: '%.64s' is not a MAC address", what, s);
    ret[17] = '\0';
    return 0;
}

/* The interface in the pod. Returns its index in *ret_index, -1 when it is not listed. */
static int find_interface(const json_t *doc, const char *ifname, struct cni_result *ret,
                          int64_t *ret_index, size_t *ret_n, struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    *ret_index = -1;
    if (json_opt_array(doc, "interfaces", &list, err) < 0)
        return -1;
    *ret_n = json_array_size(list);
    if (*ret_n > INTERFACES_MAX)
        return err_set(err, ERR_INVALID, "'interfaces': more than %d", INTERFACES_MAX);
    json_array_foreach (list, i, item) {
        const char *name = NULL, *sandbox = NULL, *mac = NULL;
        int64_t mtu = 0;

        if (!json_is_object(item))
            return err_set(err, ERR_INVALID, "interfaces[%zu]: not an object", i);
        if (json_need_string(item, "name", &name, err) < 0 ||
            json_opt_string(item, "sandbox", &sandbox, err) < 0 ||
            json_opt_string(item, "mac", &mac, err) < 0 || json_opt_int(item, "mtu", &mtu, err) < 0)
            return err_wrap(err, "interfaces[%zu]", i);
        if (!sandbox || !*sandbox || !str_eq(name, ifname) || *ret_index >= 0)
            continue;
        if (mtu < 0 || mtu > UINT16_MAX)
            return err_set(err, ERR_INVALID, "interfaces[%zu]: MTU %lld", i, (long long)mtu);
        if (mac && *mac && parse_mac(mac, ret->mac, "interfaces", err) < 0)
            return -1;
        ret->mtu = (int)mtu;
        *ret_index = (int64_t)i;
    }
    return 0;
}

/* One member of "ips"; *ret_ours tells whether it belongs to the pod's interface. */
static int parse_address(const json_t *item, int64_t index, size_t n_interfaces,
                         struct cni_address *ret, bool *ret_ours, struct err *err)
{
    const char *cidr = NULL, *version = NULL;
    int64_t of = -1;

    if (!json_is_object(item))
        return err_set(err, ERR_INVALID, "not an object");
    if (json_need_string(item, "address", &cidr, err) < 0 ||
        json_opt_string(item, "version", &version, err) < 0 ||
        json_opt_int(item, "interface", &of, err) < 0)
        return -1;
    if (!json_is_integer(json_object_get(item, "interface")))
        of = -1;
    if (of < -1 || (of >= 0 && (size_t)of >= n_interfaces))
        return err_set(err, ERR_INVALID, "'interface' is %lld and there are %zu", (long long)of,
                       n_interfaces);
    if (parse_cidr(cidr, &ret->family, ret->ip, &ret->prefix, "'address'", err) < 0 ||
        parse_gateway(item, "gateway", ret->family, ret->gateway, "'gateway'", err) < 0)
        return -1;
    if (version && *version && !str_eq(version, ret->family == AF_INET ? "4" : "6"))
        return err_set(err, ERR_INVALID, "'version' is '%.16s' for address '%s'", version, ret->ip);
    /* Without an index, or without a list of interfaces, there is only one it can belong to. */
    *ret_ours = of < 0 || index < 0 || of == index;
    return 0;
}

static int parse_ips(const json_t *doc, int64_t index, size_t n_interfaces, struct cni_result *ret,
                     struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    if (json_opt_array(doc, "ips", &list, err) < 0)
        return -1;
    json_array_foreach (list, i, item) {
        struct cni_address a = {0};
        bool ours = false;

        if (parse_address(item, index, n_interfaces, &a, &ours, err) < 0)
            return err_wrap(err, "ips[%zu]", i);
        if (!ours)
            continue;
        if (ret->n_addresses == CNI_ADDRESSES_MAX)
            return err_set(err, ERR_INVALID, "'ips': more than %d addresses for '%s'",
                           CNI_ADDRESSES_MAX, ret->ifname);
        ret->addresses[ret->n_addresses++] = a;
    }
    if (ret->n_addresses == 0)
        return err_set(err, ERR_INVALID, "'ips': no address for interface '%s'", ret->ifname);
    return 0;
}

static int parse_routes(const json_t *doc, struct cni_result *ret, struct err *err)
{
    json_t *list = NULL, *item;
    size_t i;

    if (json_opt_array(doc, "routes", &list, err) < 0)
        return -1;
    if (json_array_size(list) > CNI_ROUTES_MAX)
        return err_set(err, ERR_INVALID, "'routes': more than %d", CNI_ROUTES_MAX);
    json_array_foreach (list, i, item) {
        struct cni_route *r = &ret->routes[i];
        char ip[INET6_ADDRSTRLEN] = "";
        const char *dst = NULL;
        int family = 0, prefix = 0;

        if (!json_is_object(item))
            return err_set(err, ERR_INVALID, "routes[%zu]: not an object", i);
        if (json_need_string(item, "dst", &dst, err) < 0 ||
            parse_cidr(dst, &family, ip, &prefix, "'dst'", err) < 0 ||
            parse_gateway(item, "gw", family, r->gateway, "'gw'", err) < 0)
            return err_wrap(err, "routes[%zu]", i);
        (void)snprintf(r->dst, sizeof(r->dst), "%s/%d", ip, prefix);
        ret->n_routes++;
    }
    return 0;
}

int cni_result_parse(const char *json, const char *ifname, struct cni_result *ret, struct err *err)
{
    autojson *doc = json_parse(json, strlen(json), PLUGIN_OUTPUT_MAX_BYTES, "CNI result", err);
    autofree struct cni_result *r = XNEW(struct cni_result);
    const char *version = NULL;
    int64_t index = -1;
    size_t n = 0;

    if (!doc)
        return -1;
    if (!json_is_object(doc))
        return err_set(err, ERR_INVALID, "CNI result: not an object");
    if (json_opt_string(doc, "cniVersion", &version, err) < 0)
        return err_wrap(err, "CNI result");
    if (version && cni_version_parse(version) < 0)
        return err_set(err, ERR_INVALID,
                       "CNI result: cniVersion '%.32s' is not one of 0.3.0 to 1.1.0", version);
    (void)snprintf(r->ifname, sizeof(r->ifname), "%s", ifname);
    if (find_interface(doc, ifname, r, &index, &n, err) < 0 ||
        parse_ips(doc, index, n, r, err) < 0 || parse_routes(doc, r, err) < 0)
        return err_wrap(err, "CNI result");
    *ret = *r;
    return 0;
}
