/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian's own plugins, in a namespace of the test's: bridge and host-local, ADD to DEL, with a
 * ping and a census of leases. Skipped where they are not installed (package
 * containernetworking-plugins).
 */
#include "cni/tests/lab.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cni/netns.h"

#define TIMED_ROUNDS 10
#define PARALLEL     8

static char *bin_dirs[] = {(char *)"/usr/lib/cni", (char *)"/opt/cni/bin", NULL};
static struct cni_config config;
static struct cni *cni;

static bool have(const char *plugin)
{
    for (char **d = bin_dirs; *d; d++) {
        autofree char *path = path_join(*d, plugin);

        if (access(path, X_OK) == 0)
            return true;
    }
    print_message("the CNI plugin '%s' is not installed\n", plugin);
    return false;
}

/* IPv4 alone where time matters: with IPv6 the bridge plugin waits for duplicate detection. */
static const char *range6 = ",[{\"subnet\":\"fd92::/64\"}]";

static void write_conflist(const char *more)
{
    autofree char *leases = lab_path("leases");
    autofree char *text = xasprintf(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"lab\",\"plugins\":[{\"type\":\"bridge\","
        "\"bridge\":\"cni0\",\"isGateway\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":"
        "\"%s\",\"ranges\":[[{\"subnet\":\"10.92.0.0/24\"}]%s],"
        "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}%s]}",
        leases, range6, more);

    lab_write("net.d/10-lab.conflist", text, 0644);
}

static int leases(void)
{
    autofree char *out = NULL;

    (void)lab_shell("ls leases/lab 2>/dev/null | grep -c '^[0-9a-f.:]*$'", &out);
    return (int)strtol(out, NULL, 10);
}

static int setup(void **state)
{
    struct err e = ERR_INIT;

    if (lab_setup(state) != 0)
        return -1;
    config = (struct cni_config){.conf_dir = lab_path("net.d"),
                                 .bin_dirs = bin_dirs,
                                 .cache_dir = (char *)"",
                                 .conf_template = (char *)"",
                                 .timeout = 20 * NSEC_PER_SEC};
    assert_ok(fs_mkdirs(config.conf_dir, 0755, err));
    write_conflist("");
    cni = cni_open(&config, lab_dir, NULL, &e);
    return cni ? 0 : -1;
}
static int teardown(void **state)
{
    cni_close(cni);
    free(config.conf_dir);
    return lab_teardown(state);
}

struct pod {
    char *netns, *conflist, *args, *result;
    struct cni_result parsed;
};

static void pod_up(struct pod *p, const char *id, const struct cni_port_mapping *ports,
                   size_t n_ports)
{
    struct cni_request r = {.id = id,
                            .ifname = "eth0",
                            .pod_namespace = "ns",
                            .pod_name = id,
                            .pod_uid = "u",
                            .ports = ports,
                            .n_ports = n_ports};

    memset(p, 0, sizeof(*p));
    p->netns = lab_path(id);
    r.netns = p->netns;
    assert_ok(netns_create(p->netns, err));
    assert_ok(cni_plan(cni, &r, &p->conflist, &p->args, err));
    assert_ok(cni_add(cni, p->conflist, p->args, deadline_in(30 * NSEC_PER_SEC), &p->result, err));
    assert_ok(cni_result_parse(p->result, "eth0", &p->parsed, err));
}
static void pod_del(struct pod *p)
{
    assert_ok(cni_del(cni, p->conflist, p->args, p->result, deadline_in(30 * NSEC_PER_SEC), err));
}
static void pod_done(struct pod *p)
{
    assert_ok(netns_remove(p->netns, err));
    free(p->netns);
    free(p->conflist);
    free(p->args);
    free(p->result);
}

static void test_life(void **state)
{
    autofree char *ping = NULL;
    struct pod a, b;

    (void)state;
    if (!have("bridge") || !have("host-local"))
        skip();
    pod_up(&a, "pod-a", NULL, 0);
    pod_up(&b, "pod-b", NULL, 0);
    assert_int_equal(a.parsed.n_addresses, 2);
    assert_string_equal(a.parsed.addresses[0].ip, "10.92.0.2");
    assert_int_equal(a.parsed.addresses[0].prefix, 24);
    assert_string_equal(a.parsed.addresses[0].gateway, "10.92.0.1");
    assert_int_equal(a.parsed.addresses[1].family, AF_INET6);
    assert_string_equal(a.parsed.routes[0].dst, "0.0.0.0/0");
    assert_int_equal(strlen(a.parsed.mac), 17);
    assert_int_equal(leases(), 4);
    ping = xasprintf("busybox ping -c1 -W3 %s && nsenter --net=%s busybox ping -c1 -W3 %s",
                     a.parsed.addresses[0].ip, a.netns, b.parsed.addresses[0].ip);
    lab_run(ping);
    assert_ok(cni_check(cni, a.conflist, a.args, a.result, deadline_in(30 * NSEC_PER_SEC), err));

    pod_del(&a);
    pod_del(&a); /* again, as after a crash */
    assert_int_equal(leases(), 2);
    /* The namespace goes first. */
    assert_ok(netns_remove(b.netns, err));
    pod_del(&b);
    assert_int_equal(leases(), 0);
    lab_run("test -z \"$(ip -o link show type veth)\" || sleep 1; test -z \"$(ip -o link show type "
            "veth)\"");
    pod_done(&a);
    pod_done(&b);
}

/* ADD that fails behind the bridge: the lease is there, and DEL gives it back. */
static void test_half_done(void **state)
{
    struct cni_request r = {
        .id = "half", .ifname = "eth0", .pod_namespace = "ns", .pod_name = "p", .pod_uid = "u"};
    autofree char *path = lab_path("half");
    autofree char *conflist = NULL;
    autofree char *args = NULL;
    autofree char *result = NULL;

    (void)state;
    if (!have("bridge") || !have("host-local"))
        skip();
    write_conflist(",{\"type\":\"no-such-plugin\"}");
    cni_reload(cni);
    r.netns = path;
    assert_ok(netns_create(path, err));
    assert_ok(cni_plan(cni, &r, &conflist, &args, err));
    assert_err(cni_add(cni, conflist, args, deadline_in(30 * NSEC_PER_SEC), &result, err),
               ERR_UNAVAILABLE, "plugin 'no-such-plugin' ADD: not installed");
    assert_int_equal(leases(), 2);
    assert_err(cni_del(cni, conflist, args, "", deadline_in(30 * NSEC_PER_SEC), err),
               ERR_UNAVAILABLE, "no-such-plugin");
    assert_int_equal(leases(), 0);
    assert_ok(netns_remove(path, err));
    write_conflist("");
    cni_reload(cni);
}

/* A chain with portmap: the mapped port answers on the node's address. */
static void test_portmap(void **state)
{
    const struct cni_port_mapping ports[] = {{"tcp", 80, 8099, ""}, {"tcp", 81, 0, ""}};
    autofree char *rules = NULL;
    struct pod p;

    (void)state;
    if (!have("bridge") || !have("host-local") || !have("portmap"))
        skip();
    if (lab_shell("iptables -t nat -L -n", &rules) != 0) {
        print_message("no iptables nat here\n");
        skip();
    }
    write_conflist(
        ",{\"type\":\"portmap\",\"snat\":true,\"capabilities\":{\"portMappings\":true}}");
    cni_reload(cni);
    pod_up(&p, "pod-p", ports, ARRAY_SIZE(ports));
    free(rules);
    lab_shell("iptables -t nat -S", &rules);
    assert_non_null(strstr(rules, "--dport 8099"));
    assert_null(strstr(rules, "--dport 81 "));
    pod_del(&p);
    free(rules);
    lab_shell("iptables -t nat -S", &rules);
    assert_null(strstr(rules, "--dport 8099"));
    assert_int_equal(leases(), 0);
    pod_done(&p);
    write_conflist("");
    cni_reload(cni);
}

/* Pods side by side: no address twice, none left. */
static void *pod_thread(void *arg)
{
    struct pod *p = arg;
    struct err e = ERR_INIT;

    if (cni_add(cni, p->conflist, p->args, deadline_in(60 * NSEC_PER_SEC), &p->result, &e) < 0)
        return xstrdup(e.msg);
    if (cni_result_parse(p->result, "eth0", &p->parsed, &e) < 0)
        return xstrdup(e.msg);
    return NULL;
}
static void test_parallel(void **state)
{
    struct pod pods[PARALLEL] = {0};
    pthread_t threads[PARALLEL];

    (void)state;
    if (!have("bridge") || !have("host-local"))
        skip();
    for (int i = 0; i < PARALLEL; i++) {
        autofree char *id = xasprintf("parallel-%d", i);
        struct cni_request r = {.id = id, .ifname = "eth0"};

        pods[i].netns = lab_path(id);
        r.netns = pods[i].netns;
        assert_ok(netns_create(pods[i].netns, err));
        assert_ok(cni_plan(cni, &r, &pods[i].conflist, &pods[i].args, err));
        assert_int_equal(pthread_create(&threads[i], NULL, pod_thread, &pods[i]), 0);
    }
    for (int i = 0; i < PARALLEL; i++) {
        void *failure;

        pthread_join(threads[i], &failure);
        if (failure)
            fail_msg("%s", (char *)failure);
    }
    for (int i = 0; i < PARALLEL; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(pods[i].parsed.addresses[0].ip, pods[j].parsed.addresses[0].ip);
    assert_int_equal(leases(), 2 * PARALLEL);
    for (int i = 0; i < PARALLEL; i++) {
        pod_del(&pods[i]);
        pod_done(&pods[i]);
    }
    assert_int_equal(leases(), 0);
}

static double cpu_ms(void)
{
    struct rusage self, children;

    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) *
               1e3 +
           (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec) /
               1e3;
}

static void test_time(void **state)
{
    nsec_t add = 0, del = 0, link = 0, start;
    double cpu = 0;

    (void)state;
    if (!have("bridge") || !have("host-local"))
        skip();
    range6 = "";
    write_conflist("");
    cni_reload(cni);
    (void)guest_link_probe(NULL);
    for (int i = 0; i < TIMED_ROUNDS; i++) {
        autofree char *id = xasprintf("timed-%d", i);
        struct guest_link g;
        double cpu_start = cpu_ms(), cpu_link;
        struct pod p;

        start = clock_mono();
        pod_up(&p, id, NULL, 0);
        add += clock_mono() - start;
        cpu_link = cpu_ms();
        start = clock_mono();
        assert_ok(
            guest_link_create(p.netns, "eth0", "tap0", &(struct guest_link_options){0}, &g, err));
        link += clock_mono() - start;
        close(g.tap_fd);
        cpu -= cpu_ms() - cpu_link;
        start = clock_mono();
        pod_del(&p);
        del += clock_mono() - start;
        cpu += cpu_ms() - cpu_start;
        pod_done(&p);
    }
    print_message("bridge + host-local: netns and ADD %.2f ms, DEL %.2f ms, CPU of both %.2f ms; "
                  "guest_link_create %.3f ms\n",
                  (double)add / TIMED_ROUNDS / 1e6, (double)del / TIMED_ROUNDS / 1e6,
                  cpu / TIMED_ROUNDS, (double)link / TIMED_ROUNDS / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_half_done),
        cmocka_unit_test(test_portmap), cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests_name("plugins", tests, setup, teardown);
}
