/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_spec_pod - RunPodSandboxRequest to struct pod_spec, resources, and the filters of the lists.
 * Whatever later reaches a file of the pod (resolv.conf, hostname, CNI_ARGS, /proc/sys) is held to
 * the grammar of that file here.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/strbuf.h"
#include "cri/to_spec.h"

static int hostname_ok(const char *s, struct err *err)
{
    if (strlen(s) > SPEC_HOSTNAME_MAX)
        return err_set(err, ERR_INVALID, "config.hostname: longer than %d bytes",
                       SPEC_HOSTNAME_MAX);
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == s || !strchr(".-_", *p)))
            return err_set(err, ERR_INVALID, "config.hostname '%s': not a host name", s);
    return 0;
}

static bool is_address(const char *s)
{
    unsigned char buffer[sizeof(struct in6_addr)];
    char plain[INET6_ADDRSTRLEN];
    const char *zone = strchr(s, '%');
    size_t len = zone ? (size_t)(zone - s) : strlen(s);

    if (inet_pton(AF_INET, s, buffer) == 1)
        return true;
    if (len >= sizeof plain)
        return false;
    memcpy(plain, s, len);
    plain[len] = '\0';
    return inet_pton(AF_INET6, plain, buffer) == 1;
}

/* A word of resolv.conf: nothing that ends it or the line. */
static int dns_words(size_t n, char **words, const char *what, char ***dst, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!*words[i] || strpbrk(words[i], " \t\r\n\v\f#;"))
            return err_set(err, ERR_INVALID, "%s[%zu] '%s': not one word", what, i, words[i]);
    return spec_strv(n, words, SPEC_DNS_MAX, SPEC_NAME_MAX_BYTES, false, what, dst, err);
}

static int dns(const Runtime__V1__DNSConfig *proto, struct pod_spec *spec, struct err *err)
{
    if (!proto)
        return 0;
    spec->has_dns = true;
    for (size_t i = 0; i < proto->n_servers; i++)
        if (!is_address(proto->servers[i]))
            return err_set(err, ERR_INVALID,
                           "config.dns_config.servers[%zu] '%s': not an IP address", i,
                           proto->servers[i]);
    if (dns_words(proto->n_servers, proto->servers, "config.dns_config.servers", &spec->dns_servers,
                  err) < 0 ||
        dns_words(proto->n_searches, proto->searches, "config.dns_config.searches",
                  &spec->dns_searches, err) < 0)
        return -1;
    return dns_words(proto->n_options, proto->options, "config.dns_config.options",
                     &spec->dns_options, err);
}

static int ports(size_t n, Runtime__V1__PortMapping **protos, struct pod_spec *spec,
                 struct err *err)
{
    if (spec_count(n, SPEC_PORTS_MAX, "config.port_mappings", err) < 0)
        return -1;
    spec->ports = n ? xcalloc(n, sizeof *spec->ports) : NULL;
    spec->n_ports = n;
    for (size_t i = 0; i < n; i++)
        spec->ports[i].host_ip = xstrdup("");
    for (size_t i = 0; i < n; i++) {
        const Runtime__V1__PortMapping *proto = protos[i];
        struct port_mapping *port = &spec->ports[i];
        if (proto->host_port < 0 || proto->host_port > 65535)
            return err_set(err, ERR_INVALID, "config.port_mappings[%zu].host_port: %d is no port",
                           i, proto->host_port);
        if (proto->container_port < (proto->host_port > 0) || proto->container_port > 65535)
            return err_set(err, ERR_INVALID,
                           "config.port_mappings[%zu].container_port: %d is no port", i,
                           proto->container_port);
        if (*proto->host_ip && !is_address(proto->host_ip))
            return err_set(err, ERR_INVALID,
                           "config.port_mappings[%zu].host_ip '%s': not an IP address", i,
                           proto->host_ip);
        port->protocol = (int)proto->protocol;
        port->container_port = proto->container_port;
        port->host_port = proto->host_port;
        spec_set(&port->host_ip, proto->host_ip);
    }
    return 0;
}

/* Names are kept with dots between their parts, as sysctl(8) has it: the first separator decides,
 * and "net/ipv4/conf/eth0.1/forwarding" is "net.ipv4.conf.eth0/1.forwarding". */
static int sysctl_names(struct kvs *sysctls, struct err *err)
{
    for (size_t i = 0; i < sysctls->n; i++) {
        char *name = sysctls->v[i].key;

        if (name[strcspn(name, "./")] == '/')
            for (char *p = name; *p; p++)
                *p = (char)(*p == '/' ? '.' : *p == '.' ? '/' : *p);
        for (size_t j = 0; j < i; j++)
            if (str_eq(sysctls->v[j].key, name))
                return err_set(err, ERR_INVALID, "sysctl '%s': is there twice", name);
    }
    return 0;
}

/* Which namespace of the pod a sysctl belongs to; the host's own ones are never written. */
static int sysctl_ok(const char *name, const char *value, const struct ns_options *ns,
                     struct err *err)
{
    bool net = str_has_prefix(name, "net.");
    bool ipc = str_has_prefix(name, "kernel.shm") || str_has_prefix(name, "kernel.msg") ||
               str_eq(name, "kernel.sem") || str_has_prefix(name, "fs.mqueue.");

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !(strchr(net ? "._-/" : "._-", *p) && p[1] != '.'))
            return err_set(err, ERR_INVALID, "sysctl '%s': not a name", name);
    if (!net && !ipc)
        return err_set(err, ERR_INVALID, "sysctl '%s': belongs to the host, not to a pod", name);
    if ((net && ns->network == NS_NODE) || (ipc && ns->ipc == NS_NODE))
        return err_set(err, ERR_INVALID, "sysctl '%s': the pod uses the host's namespace", name);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 && *p != '\t')
            return err_set(err, ERR_INVALID, "sysctl '%s': control character in its value", name);
    return 0;
}

static int linux_context(const Runtime__V1__LinuxSandboxSecurityContext *proto,
                         struct pod_spec *spec, struct err *err)
{
#define WHAT "config.linux.security_context."
    if (!proto)
        return 0;
    spec->privileged = proto->privileged;
    if (spec_namespaces(proto->namespace_options, true, WHAT "namespace_options", &spec->ns, err) <
            0 ||
        spec_id(proto->run_as_user, WHAT "run_as_user", &spec->run_as_user, err) < 0 ||
        spec_id(proto->run_as_group, WHAT "run_as_group", &spec->run_as_group, err) < 0 ||
        spec_groups(proto->n_supplemental_groups, proto->supplemental_groups,
                    WHAT "supplemental_groups", &spec->supplemental_groups,
                    &spec->n_supplemental_groups, err) < 0 ||
        spec_selinux(proto->selinux_options, WHAT "selinux_options", &spec->selinux, err) < 0 ||
        spec_profile(proto->seccomp, proto->seccomp_profile_path, WHAT "seccomp", &spec->seccomp,
                     err) < 0)
        return -1;
    return spec_profile(proto->apparmor, NULL, WHAT "apparmor", &spec->apparmor, err);
#undef WHAT
}

static int linux_config(const Runtime__V1__LinuxPodSandboxConfig *proto, struct pod_spec *spec,
                        struct err *err)
{
    if (!proto)
        return 0;
    if (strstr(proto->cgroup_parent, "..") || strchr(proto->cgroup_parent, ':'))
        return err_set(err, ERR_INVALID, "config.linux.cgroup_parent '%s': contains '..' or ':'",
                       proto->cgroup_parent);
    if (spec_text(proto->cgroup_parent, SPEC_PATH_MAX_BYTES, "config.linux.cgroup_parent",
                  &spec->cgroup_parent, err) < 0 ||
        linux_context(proto->security_context, spec, err) < 0 ||
        spec_resources(proto->overhead, "config.linux.overhead", &spec->overhead, err) < 0 ||
        spec_resources(proto->resources, "config.linux.resources", &spec->resources, err) < 0 ||
        spec_map(proto->n_sysctls, MAP(proto->sysctls), "config.linux.sysctls", &spec->sysctls,
                 err) < 0)
        return -1;
    if (sysctl_names(&spec->sysctls, err) < 0)
        return err_wrap(err, "config.linux.sysctls");
    for (size_t i = 0; i < spec->sysctls.n; i++)
        if (sysctl_ok(spec->sysctls.v[i].key, spec->sysctls.v[i].value, &spec->ns, err) < 0)
            return err_wrap(err, "config.linux.sysctls");
    return 0;
}

static int pod_config(const Runtime__V1__PodSandboxConfig *proto, struct pod_spec *spec,
                      struct err *err)
{
    const Runtime__V1__PodSandboxMetadata *metadata = proto->metadata;

    if (!metadata)
        return err_set(err, ERR_INVALID, "config.metadata: missing");
    spec->attempt = metadata->attempt;
    if (spec_name(metadata->name, "config.metadata.name", &spec->name, err) < 0 ||
        spec_name(metadata->uid, "config.metadata.uid", &spec->uid, err) < 0 ||
        spec_name(metadata->namespace_, "config.metadata.namespace", &spec->namespace_, err) < 0 ||
        hostname_ok(proto->hostname, err) < 0 || dns(proto->dns_config, spec, err) < 0 ||
        ports(proto->n_port_mappings, proto->port_mappings, spec, err) < 0 ||
        spec_map(proto->n_labels, MAP(proto->labels), "config.labels", &spec->labels, err) < 0 ||
        spec_map(proto->n_annotations, MAP(proto->annotations), "config.annotations",
                 &spec->annotations, err) < 0)
        return -1;
    spec_set(&spec->hostname, proto->hostname);
    if (*proto->log_directory &&
        spec_path(proto->log_directory, "config.log_directory", &spec->log_directory, err) < 0)
        return -1;
    return linux_config(proto->linux, spec, err);
}

struct pod_spec *pod_spec_from_proto(const Runtime__V1__RunPodSandboxRequest *request,
                                     struct err *err)
{
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *spec = pod_spec_new();

    if (!request->config) {
        (void)err_set(err, ERR_INVALID, "config: missing");
        return NULL;
    }
    if (pod_config(request->config, spec, err) < 0)
        return NULL;
    if (*request->runtime_handler &&
        spec_name(request->runtime_handler, "runtime_handler", &spec->handler, err) < 0)
        return NULL;
    return TAKE_PTR(spec);
}

/* ------------------------------------------------------------- resources */

static int cpuset(const char *s, const char *what, char **dst, struct err *err)
{
    if (s[strspn(s, "0123456789,-")])
        return err_set(err, ERR_INVALID, "%s '%s': not a list of numbers", what, s);
    return spec_text(s, SPEC_TEXT_MAX_BYTES, what, dst, err);
}

static int hugepages(size_t n, Runtime__V1__HugepageLimit **protos, const char *what,
                     struct linux_resources *dst, struct err *err)
{
    if (spec_count(n, SPEC_HUGEPAGES_MAX, "hugepage_limits", err) < 0)
        return err_wrap(err, "%s", what);
    dst->hugepages = n ? xcalloc(n, sizeof *dst->hugepages) : NULL;
    dst->n_hugepages = n;
    for (size_t i = 0; i < n; i++)
        dst->hugepages[i].page_size = xstrdup("");
    for (size_t i = 0; i < n; i++) {
        const char *size = protos[i]->page_size;
        size_t digits = strspn(size, "0123456789");
        if (!digits || digits > 10 ||
            (!str_eq(size + digits, "KB") && !str_eq(size + digits, "MB") &&
             !str_eq(size + digits, "GB")))
            return err_set(err, ERR_INVALID,
                           "%s.hugepage_limits[%zu].page_size '%s': not like '2MB'", what, i, size);
        spec_set(&dst->hugepages[i].page_size, size);
        dst->hugepages[i].limit = protos[i]->limit;
    }
    return 0;
}

/* Keys become file names in a cgroup. */
static int unified_ok(const struct kvs *unified, const char *what, struct err *err)
{
    for (size_t i = 0; i < unified->n; i++) {
        const char *key = unified->v[i].key, *value = unified->v[i].value;
        if (!strchr(key, '.') || *key == '.' ||
            key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ||
            str_has_prefix(key, "cgroup."))
            return err_set(err, ERR_INVALID, "%s.unified '%s': not a controller's file", what, key);
        for (const char *p = value; *p; p++)
            if ((unsigned char)*p < 0x20 && *p != '\n')
                return err_set(err, ERR_INVALID, "%s.unified '%s': control character in its value",
                               what, key);
    }
    return 0;
}

int spec_resources(const Runtime__V1__LinuxContainerResources *proto, const char *what,
                   struct linux_resources *dst, struct err *err)
{
    if (!proto)
        return 0;
    if (proto->cpu_period < 0 || proto->cpu_shares < 0)
        return err_set(err, ERR_INVALID, "%s: cpu_period or cpu_shares is negative", what);
    if (proto->cpu_quota < -1 || proto->memory_limit_in_bytes < -1 ||
        proto->memory_swap_limit_in_bytes < -1)
        return err_set(err, ERR_INVALID,
                       "%s: cpu_quota, memory_limit_in_bytes or memory_swap_limit_in_bytes is "
                       "below -1, which means no limit",
                       what);
    if (proto->oom_score_adj < -1000 || proto->oom_score_adj > 1000)
        return err_set(err, ERR_INVALID, "%s.oom_score_adj: %lld is not within -1000 and 1000",
                       what, (long long)proto->oom_score_adj);
    dst->cpu_period = proto->cpu_period;
    dst->cpu_quota = proto->cpu_quota;
    dst->cpu_shares = proto->cpu_shares;
    dst->memory_limit = proto->memory_limit_in_bytes;
    dst->memory_swap_limit = proto->memory_swap_limit_in_bytes;
    dst->oom_score_adj = proto->oom_score_adj;
    if (cpuset(proto->cpuset_cpus, "cpuset_cpus", &dst->cpuset_cpus, err) < 0 ||
        cpuset(proto->cpuset_mems, "cpuset_mems", &dst->cpuset_mems, err) < 0 ||
        spec_map(proto->n_unified, MAP(proto->unified), "unified", &dst->unified, err) < 0)
        return err_wrap(err, "%s", what);
    if (unified_ok(&dst->unified, what, err) < 0)
        return -1;
    return hugepages(proto->n_hugepage_limits, proto->hugepage_limits, what, dst, err);
}

/* --------------------------------------------------------------- filters */

void filter_done(struct filter *filter)
{
    kvs_done(&filter->labels);
}

int pod_filter_from_proto(const Runtime__V1__PodSandboxFilter *proto, struct filter *ret,
                          struct err *err)
{
    *ret = (struct filter){.list.state = -1};
    if (!proto)
        return 0;
    ret->list.id = proto->id;
    if (proto->state) /* presence counts: READY is 0 */
        ret->list.state = (int)proto->state->state;
    if (spec_map(proto->n_label_selector, MAP(proto->label_selector), "filter.label_selector",
                 &ret->labels, err) < 0)
        return -1;
    ret->list.labels = &ret->labels;
    return 0;
}

int container_filter_from_proto(const Runtime__V1__ContainerFilter *proto, struct filter *ret,
                                struct err *err)
{
    *ret = (struct filter){.list.state = -1};
    if (!proto)
        return 0;
    ret->list.id = proto->id;
    ret->list.pod_id = proto->pod_sandbox_id;
    if (proto->state)
        ret->list.state = (int)proto->state->state;
    if (spec_map(proto->n_label_selector, MAP(proto->label_selector), "filter.label_selector",
                 &ret->labels, err) < 0)
        return -1;
    ret->list.labels = &ret->labels;
    return 0;
}

int container_stats_filter_from_proto(const Runtime__V1__ContainerStatsFilter *proto,
                                      struct filter *ret, struct err *err)
{
    *ret = (struct filter){.list.state = -1};
    if (!proto)
        return 0;
    ret->list.id = proto->id;
    ret->list.pod_id = proto->pod_sandbox_id;
    ret->list.labels = &ret->labels;
    return spec_map(proto->n_label_selector, MAP(proto->label_selector), "filter.label_selector",
                    &ret->labels, err);
}

int pod_stats_filter_from_proto(const Runtime__V1__PodSandboxStatsFilter *proto, struct filter *ret,
                                struct err *err)
{
    *ret = (struct filter){.list.state = -1};
    if (!proto)
        return 0;
    ret->list.id = proto->id;
    ret->list.labels = &ret->labels;
    return spec_map(proto->n_label_selector, MAP(proto->label_selector), "filter.label_selector",
                    &ret->labels, err);
}
