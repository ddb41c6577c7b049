/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_steps - how a pod is built and, backwards, unbuilt: cgroup -> netns -> network -> room. The
 * step "netns" makes the user namespace too, which the network namespace then belongs to.
 *
 * RunPodSandbox walks up. Its own failure, StopPodSandbox (down to "cgroup"), RemovePodSandbox (to
 * nothing) and the recovery of a crash walk down. Each down takes "never was" and "half done" for
 * done.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/network.h"
#include "sandbox/security.h"

/* What containers may expect without asking: low ports and ping for everyone, as other runtimes
 * have it. */
static const struct {
    const char *name, *value;
} default_sysctls[] = {
    {"net.ipv4.ip_unprivileged_port_start", "0"},
    {"net.ipv4.ping_group_range", "0 2147483647"},
};

static int cgroup_up(void *object, struct err *err)
{
    struct pod *pod = object;
    nsec_t start = clock_mono();

    if (cgroup_create(&pod->engine->cgroups, pod->cgroup, &pod->cgroup_made, err) < 0 ||
        pod_limit(pod, err) < 0)
        return -1;
    stage_observe(STAGE_POD_CGROUP, start);
    return pod_save_runtime(pod, err);
}

/* A parent that a client made stays; one that we made for it goes when nobody else uses it. In our
 * own nothing may run on, not even what no container's row knows. */
static int cgroup_down(void *object, struct err *err)
{
    struct pod *pod = object;
    struct err why = ERR_INIT;

    if (pod->cgroup_ours &&
        cgroup_kill(&pod->engine->cgroups, pod->cgroup, deadline_in(KILL_TIMEOUT), err) < 0)
        return -1;
    if (pod->cgroup_ours)
        return cgroup_remove(&pod->engine->cgroups, pod->cgroup, deadline_in(CGROUP_REMOVE_TIMEOUT),
                             err);
    if (!pod->cgroup_made)
        return 0;

    autostrv char **children = cgroup_children(&pod->engine->cgroups, pod->cgroup);

    if (!children && cgroup_remove(&pod->engine->cgroups, pod->cgroup, deadline_in(0), &why) < 0)
        log_debug("ignoring: %s", why.msg);
    return 0;
}

static int sysctls_write(const struct pod *pod, struct err *err)
{
    const struct kvs *wanted = &pod->spec->sysctls;

    for (size_t i = 0; i < ARRAY_SIZE(default_sysctls); i++)
        if (!kvs_get(wanted, default_sysctls[i].name) &&
            netns_sysctl(pod->netns, default_sysctls[i].name, default_sysctls[i].value, NULL) < 0)
            log_debug("ignoring: this kernel does not take %s", default_sysctls[i].name);
    for (size_t i = 0; i < wanted->n; i++)
        if (str_has_prefix(wanted->v[i].key, "net.") &&
            netns_sysctl(pod->netns, wanted->v[i].key, wanted->v[i].value, err) < 0)
            return -1;
    return 0;
}

static int netns_up(void *object, struct err *err)
{
    struct pod *pod = object;
    nsec_t start = clock_mono();

    if (pod_userns_up(pod, err) < 0)
        return -1;
    if (!*pod->netns)
        return 0;
    if ((*pod->userns ? pod_userns_netns(pod, err) : netns_create(pod->netns, err)) < 0 ||
        sysctls_write(pod, err) < 0)
        return -1;
    stage_observe(STAGE_POD_NETNS, start);
    return 0;
}

static int netns_down(void *object, struct err *err)
{
    struct pod *pod = object;

    if (*pod->netns && netns_remove(pod->netns, err) < 0)
        return -1;
    return pod_userns_down(pod, err);
}

static int network_up(void *object, struct err *err)
{
    struct pod *pod = object;
    nsec_t start = clock_mono();

    if (!*pod->netns)
        return 0;
    if (network_add(pod, err) < 0)
        return -1;
    stage_observe(STAGE_POD_NETWORK, start);
    return 0;
}

static int network_down(void *object, struct err *err)
{
    return network_release(object, err);
}

static int room_down(void *object, struct err *err)
{
    return pod_room_undo(object, err);
}

static int record(void *object, size_t done, struct err *err)
{
    struct pod *pod = object;

    return db_pod_set_step(pod->engine->db, pod->id, done, err);
}

static const struct step steps[] = {
    {"cgroup", cgroup_up, cgroup_down},
    {"netns", netns_up, netns_down},
    {"network", network_up, network_down},
    {"room", NULL, room_down}, /* made when the first container needs it: pod_room() */
};
const struct step_table pod_steps = {
    .name = "pod", .steps = steps, .n = ARRAY_SIZE(steps), .record = record};

size_t pod_step_stopped(void)
{
    return step_find(&pod_steps, "cgroup") + 1;
}

/* ----------------------------------------------------------------- checks */

static int check_word(const char *what, const char *s, size_t max, struct err *err)
{
    if (strlen(s) > max)
        return err_set(err, ERR_INVALID, "%s: longer than %zu bytes", what, max);
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(err, ERR_INVALID, "%s '%s': holds a blank or a control byte", what, s);
    return 0;
}

static int check_dns(const struct pod_spec *spec, struct err *err)
{
    struct in6_addr addr;

    for (char *const *s = spec->dns_servers; s && *s; s++) {
        autofree char *plain = xstrndup(*s, strcspn(*s, "%"));

        if (check_word("DNS server", *s, 255, err) < 0)
            return -1;
        if (inet_pton(AF_INET, plain, &addr) != 1 && inet_pton(AF_INET6, plain, &addr) != 1)
            return err_set(err, ERR_INVALID, "DNS server '%s': not an address", *s);
    }
    for (char *const *s = spec->dns_searches; s && *s; s++)
        if (check_word("DNS search domain", *s, 255, err) < 0)
            return -1;
    for (char *const *s = spec->dns_options; s && *s; s++)
        if (check_word("DNS option", *s, 255, err) < 0)
            return -1;
    return 0;
}

static int check_ports(const struct pod_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct port_mapping *p = &spec->ports[i];

        if (p->protocol < 0 || p->protocol > 2)
            return err_set(err, ERR_INVALID, "port mapping: unknown protocol %d", p->protocol);
        if (p->host_port < 0 || p->host_port > 65535)
            return err_set(err, ERR_INVALID, "port mapping: host port %d is out of range",
                           p->host_port);
        if (p->host_port && (p->container_port < 1 || p->container_port > 65535))
            return err_set(err, ERR_INVALID, "port mapping: container port %d is out of range",
                           p->container_port);
        for (size_t j = 0; j < i; j++)
            if (p->host_port && spec->ports[j].host_port == p->host_port &&
                spec->ports[j].protocol == p->protocol &&
                str_eq(spec->ports[j].host_ip, p->host_ip))
                return err_set(err, ERR_INVALID, "port mapping: host port %d is asked for twice",
                               p->host_port);
    }
    return 0;
}

static int check_namespaces(struct engine *engine, const struct pod_spec *spec,
                            const struct handler *handler, struct err *err)
{
    const struct ns_options *ns = &spec->ns;

    if ((ns->network != NS_POD && ns->network != NS_NODE) ||
        (ns->ipc != NS_POD && ns->ipc != NS_NODE))
        return err_set(err, ERR_INVALID,
                       "a pod's network and IPC namespaces are its own or the node's");
    if (ns->pid != NS_POD && ns->pid != NS_CONTAINER && ns->pid != NS_NODE)
        return err_set(err, ERR_INVALID,
                       "a pod's PID namespace is its own, its containers' or the node's");
    if (handler->type == HANDLER_VMM && ns->network == NS_NODE)
        return err_set(err, ERR_INVALID, "handler '%s': a unikernel cannot use the node's network",
                       handler->name);
    return ns->userns ? pod_userns_check(engine, spec, handler, err) : 0;
}

int pod_check(struct engine *engine, const struct pod_spec *spec, struct err *err)
{
    const struct handler *handler = handler_find(engine->handlers, spec->handler, err);

    if (!handler || check_namespaces(engine, spec, handler, err) < 0 || check_dns(spec, err) < 0 ||
        check_ports(spec, err) < 0)
        return -1;
    if (check_word("hostname", spec->hostname, 64, err) < 0)
        return -1;
    if (strchr(spec->hostname, '/'))
        return err_set(err, ERR_INVALID, "hostname '%s': holds a '/'", spec->hostname);
    if (*spec->log_directory && spec->log_directory[0] != '/')
        return err_set(err, ERR_INVALID, "log directory '%s': not absolute", spec->log_directory);
    for (size_t i = 0; i < spec->sysctls.n; i++)
        if (pod_sysctl_check(spec, spec->sysctls.v[i].key, spec->sysctls.v[i].value, err) < 0)
            return -1;
    return selinux_check(&spec->selinux, err);
}
