/* SPDX-License-Identifier: Apache-2.0 */
/* What requests may say: each rule is broken by one change to a request that is right, and named in
 * the error. */
#include "base/tests/testing.h"

#include "base/strbuf.h"
#include "cri/to_spec.h"

/* A request that is right, in parts that a test can bend. */
struct pod {
    Runtime__V1__RunPodSandboxRequest request;
    Runtime__V1__PodSandboxConfig config;
    Runtime__V1__PodSandboxMetadata metadata;
    Runtime__V1__DNSConfig dns;
    Runtime__V1__PortMapping port, *ports[1];
    Runtime__V1__LinuxPodSandboxConfig linux;
    Runtime__V1__LinuxSandboxSecurityContext context;
    Runtime__V1__NamespaceOption ns;
    Runtime__V1__UserNamespace userns;
    Runtime__V1__IDMapping map, *maps[2];
    Runtime__V1__LinuxPodSandboxConfig__SysctlsEntry sysctl, *sysctls[1];
    Runtime__V1__PodSandboxConfig__AnnotationsEntry annotation, *annotations[1];
    Runtime__V1__LinuxContainerResources resources;
    Runtime__V1__SecurityProfile seccomp;
    Runtime__V1__Int64Value user;
    char *servers[1], *searches[1], *options[1];
};

static void pod_init(struct pod *p)
{
    runtime__v1__run_pod_sandbox_request__init(&p->request);
    runtime__v1__pod_sandbox_config__init(&p->config);
    runtime__v1__pod_sandbox_metadata__init(&p->metadata);
    runtime__v1__dnsconfig__init(&p->dns);
    runtime__v1__port_mapping__init(&p->port);
    runtime__v1__linux_pod_sandbox_config__init(&p->linux);
    runtime__v1__linux_sandbox_security_context__init(&p->context);
    runtime__v1__namespace_option__init(&p->ns);
    runtime__v1__user_namespace__init(&p->userns);
    runtime__v1__idmapping__init(&p->map);
    runtime__v1__linux_pod_sandbox_config__sysctls_entry__init(&p->sysctl);
    runtime__v1__pod_sandbox_config__annotations_entry__init(&p->annotation);
    runtime__v1__linux_container_resources__init(&p->resources);
    runtime__v1__security_profile__init(&p->seccomp);
    runtime__v1__int64_value__init(&p->user);
    p->request.config = &p->config;
    p->config.metadata = &p->metadata;
    p->metadata.name = (char *)"Web-0.a_b";
    p->metadata.uid = (char *)"0b1c";
    p->metadata.namespace_ = (char *)"default";
    p->metadata.attempt = 7;
    p->config.hostname = (char *)"web-0";
    p->config.log_directory = (char *)"/var/log/pods/web";
    p->config.dns_config = &p->dns;
    p->servers[0] = (char *)"10.96.0.10";
    p->searches[0] = (char *)"svc.cluster.local";
    p->options[0] = (char *)"ndots:5";
    p->dns.n_servers = p->dns.n_searches = p->dns.n_options = 1;
    p->dns.servers = p->servers, p->dns.searches = p->searches, p->dns.options = p->options;
    p->port.container_port = 80, p->port.host_port = 8080, p->port.host_ip = (char *)"127.0.0.1";
    p->ports[0] = &p->port, p->config.port_mappings = p->ports, p->config.n_port_mappings = 1;
    p->annotation.key = (char *)"weird", p->annotation.value = (char *)"line\nand \x01 more";
    p->annotations[0] = &p->annotation, p->config.annotations = p->annotations,
    p->config.n_annotations = 1;
    p->config.linux = &p->linux;
    p->linux.cgroup_parent = (char *)"/kubepods/pod0b1c";
    p->linux.security_context = &p->context;
    p->context.namespace_options = &p->ns;
    p->ns.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
    p->ns.userns_options = &p->userns;
    p->userns.mode = RUNTIME__V1__NAMESPACE_MODE__NODE;
    p->map.host_id = 3419930624, p->map.length = 65536;
    p->maps[0] = p->maps[1] = &p->map;
    p->userns.uids = p->userns.gids = p->maps, p->userns.n_uids = p->userns.n_gids = 1;
    p->sysctl.key = (char *)"net.ipv4.ip_unprivileged_port_start", p->sysctl.value = (char *)"0";
    p->sysctls[0] = &p->sysctl, p->linux.sysctls = p->sysctls, p->linux.n_sysctls = 1;
    p->linux.resources = &p->resources;
    p->context.seccomp = &p->seccomp;
    p->context.run_as_user = &p->user;
}

static void test_pod_is_taken_over(void **state)
{
    struct pod p;
    struct err err = ERR_INIT;

    (void)state;
    pod_init(&p);
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *spec = pod_spec_from_proto(&p.request, &err);
    if (!spec)
        fail_msg("%s", err.msg);
    assert_string_equal(spec->name, "Web-0.a_b");
    assert_int_equal(spec->attempt, 7);
    assert_string_equal(spec->handler, "");
    assert_true(spec->has_dns);
    assert_string_equal(spec->dns_options[0], "ndots:5");
    assert_int_equal(spec->ports[0].host_port, 8080);
    assert_string_equal(kvs_get(&spec->annotations, "weird"), "line\nand \x01 more");
    assert_string_equal(kvs_get(&spec->sysctls, p.sysctl.key), "0");
    assert_int_equal(spec->ns.pid, NS_CONTAINER);
    assert_false(spec->ns.userns);
    assert_true(spec->seccomp.set);
    assert_int_equal(spec->seccomp.type, PROFILE_RUNTIME_DEFAULT);
    assert_false(spec->apparmor.set);
    assert_true(spec->run_as_user.set);
}

/* Clients send maps in any order; a repeated request must give the same spec. */
static void test_maps_are_sorted(void **state)
{
    Runtime__V1__PodSandboxConfig__LabelsEntry
        a = RUNTIME__V1__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT,
        b = a, *ab[] = {&a, &b, &a}, *ba[] = {&b, &a, &b};
    struct err err = ERR_INIT;
    struct pod p;

    (void)state;
    a.key = (char *)"a", a.value = (char *)"1", b.key = (char *)"b", b.value = (char *)"2";
    pod_init(&p);
    p.config.labels = ab, p.config.n_labels = ARRAY_SIZE(ab);
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *one = pod_spec_from_proto(&p.request, &err);
    p.config.labels = ba;
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *two = pod_spec_from_proto(&p.request, &err);
    assert_true(one && two);
    autofree char *text = pod_spec_write(one), *same = pod_spec_write(two);
    assert_string_equal(text, same);
    assert_int_equal(one->labels.n, 2);
}

static void test_pod_userns(void **state)
{
    struct pod p;
    struct err err = ERR_INIT;

    (void)state;
    pod_init(&p);
    p.userns.mode = RUNTIME__V1__NAMESPACE_MODE__POD;
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *spec = pod_spec_from_proto(&p.request, &err);
    assert_non_null(spec);
    assert_true(spec->ns.userns);
    assert_int_equal(spec->ns.uids[0].host_id, 3419930624);
}

#define POD_REFUSES(part, ...)                                                                     \
    do {                                                                                           \
        struct pod p;                                                                              \
        struct err err_ = ERR_INIT;                                                                \
        pod_init(&p);                                                                              \
        __VA_ARGS__;                                                                               \
        struct pod_spec *spec_ = pod_spec_from_proto(&p.request, &err_);                           \
        if (spec_ || err_.code != ERR_INVALID || !strstr(err_.msg, part))                          \
            fail_msg("%s: got '%s'", #__VA_ARGS__, spec_ ? "no error" : err_.msg);                 \
    } while (0)

static char long_name[300], *many[200];

static void test_pod_refusals(void **state)
{
    (void)state;
    POD_REFUSES("config: missing", p.request.config = NULL);
    POD_REFUSES("config.metadata: missing", p.config.metadata = NULL);
    POD_REFUSES("metadata.name: missing", p.metadata.name = (char *)"");
    POD_REFUSES("metadata.uid: missing", p.metadata.uid = (char *)"");
    POD_REFUSES("metadata.namespace", p.metadata.namespace_ = (char *)"../x");
    POD_REFUSES("metadata.name", p.metadata.name = (char *)"a;IgnoreUnknown=1");
    POD_REFUSES("metadata.name", p.metadata.name = long_name);
    POD_REFUSES("metadata.name", p.metadata.name = (char *)".hidden");
    POD_REFUSES("hostname", p.config.hostname = (char *)"a b");
    POD_REFUSES("hostname", p.config.hostname = (char *)"a\n127.0.0.1 kube");
    POD_REFUSES("hostname", p.config.hostname = long_name);
    POD_REFUSES("log_directory", p.config.log_directory = (char *)"logs");
    POD_REFUSES("log_directory", p.config.log_directory = (char *)"/var/log/../../etc");
    POD_REFUSES("servers[0]", p.servers[0] = (char *)"10.0.0.1\nnameserver 6.6.6.6");
    POD_REFUSES("servers[0]", p.servers[0] = (char *)"dns.example");
    POD_REFUSES("searches[0]", p.searches[0] = (char *)"a\noptions debug");
    POD_REFUSES("options[0]", p.options[0] = (char *)"a b");
    POD_REFUSES("dns_config.servers", p.dns.servers = many, p.dns.n_servers = 200);
    POD_REFUSES("host_port", p.port.host_port = 65536);
    POD_REFUSES("host_port", p.port.host_port = -1);
    POD_REFUSES("container_port", p.port.container_port = 0);
    POD_REFUSES("host_ip", p.port.host_ip = (char *)"1.2.3.4; rm");
    POD_REFUSES("cgroup_parent", p.linux.cgroup_parent = (char *)"/kubepods/../../x");
    POD_REFUSES("cgroup_parent", p.linux.cgroup_parent = (char *)"/a\nb");
    POD_REFUSES("belongs to the host", p.sysctl.key = (char *)"kernel.core_pattern");
    POD_REFUSES("not a name", p.sysctl.key = (char *)"net.ipv4/../../kernel/core_pattern");
    POD_REFUSES("not a name", p.sysctl.key = (char *)"net..x");
    POD_REFUSES("not a name", p.sysctl.key = (char *)"net.ipv4.x+kernel.core_pattern=|/bin/sh");
    POD_REFUSES("its value", p.sysctl.value = (char *)"1\n2");
    POD_REFUSES("host's namespace", p.ns.network = RUNTIME__V1__NAMESPACE_MODE__NODE);
    POD_REFUSES(".network", p.ns.network = RUNTIME__V1__NAMESPACE_MODE__CONTAINER);
    POD_REFUSES(".ipc", p.ns.ipc = RUNTIME__V1__NAMESPACE_MODE__TARGET);
    POD_REFUSES(".pid", p.ns.pid = RUNTIME__V1__NAMESPACE_MODE__TARGET);
    POD_REFUSES("mode", p.userns.mode = RUNTIME__V1__NAMESPACE_MODE__TARGET);
    POD_REFUSES("exactly one", p.userns.mode = RUNTIME__V1__NAMESPACE_MODE__POD,
                p.userns.n_uids = 2);
    POD_REFUSES("id 0", p.userns.mode = RUNTIME__V1__NAMESPACE_MODE__POD, p.map.container_id = 1);
    POD_REFUSES("beyond", p.userns.mode = RUNTIME__V1__NAMESPACE_MODE__POD,
                p.map.host_id = 4294967000u);
    POD_REFUSES("run_as_user", p.user.value = -1);
    POD_REFUSES("run_as_user", p.user.value = 4294967295);
    POD_REFUSES("localhost_ref",
                p.seccomp.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost);
    POD_REFUSES("oom_score_adj", p.resources.oom_score_adj = 1001);
    POD_REFUSES("below -1", p.resources.memory_limit_in_bytes = -5);
    POD_REFUSES("below -1", p.resources.cpu_quota = -2);
    POD_REFUSES("cpuset_cpus", p.resources.cpuset_cpus = (char *)"0-3;x");
    POD_REFUSES("runtime_handler", p.request.runtime_handler = (char *)"../runc");
}

/* ------------------------------------------------------------- containers */

struct container {
    Runtime__V1__CreateContainerRequest request;
    Runtime__V1__ContainerConfig config;
    Runtime__V1__ContainerMetadata metadata;
    Runtime__V1__ImageSpec image, volume;
    Runtime__V1__KeyValue env, *envs[1];
    Runtime__V1__Mount mount, *mounts[1];
    Runtime__V1__Device device, *devices[1];
    Runtime__V1__CDIDevice cdi, *cdis[1];
    Runtime__V1__LinuxContainerConfig linux;
    Runtime__V1__LinuxContainerSecurityContext context;
    Runtime__V1__LinuxContainerResources resources;
    Runtime__V1__LinuxContainerResources__UnifiedEntry unified, *unifieds[1];
    Runtime__V1__HugepageLimit hugepage, *hugepages[1];
    Runtime__V1__NamespaceOption ns;
    Runtime__V1__Int64Value user, group;
    char *command[1], *masked[1], *options[1];
};

static void container_init(struct container *c)
{
    runtime__v1__create_container_request__init(&c->request);
    runtime__v1__container_config__init(&c->config);
    runtime__v1__container_metadata__init(&c->metadata);
    runtime__v1__image_spec__init(&c->image);
    runtime__v1__image_spec__init(&c->volume);
    runtime__v1__key_value__init(&c->env);
    runtime__v1__mount__init(&c->mount);
    runtime__v1__device__init(&c->device);
    runtime__v1__cdidevice__init(&c->cdi);
    runtime__v1__linux_container_config__init(&c->linux);
    runtime__v1__linux_container_security_context__init(&c->context);
    runtime__v1__linux_container_resources__init(&c->resources);
    runtime__v1__linux_container_resources__unified_entry__init(&c->unified);
    runtime__v1__hugepage_limit__init(&c->hugepage);
    runtime__v1__namespace_option__init(&c->ns);
    runtime__v1__int64_value__init(&c->user);
    runtime__v1__int64_value__init(&c->group);
    c->request.pod_sandbox_id = (char *)"abc";
    c->request.config = &c->config;
    c->config.metadata = &c->metadata;
    c->metadata.name = (char *)"app";
    c->config.image = &c->image;
    c->image.image = (char *)"sha256:11";
    c->image.user_specified_image = (char *)"busybox:1";
    c->command[0] = (char *)"/bin/sh", c->config.command = c->command, c->config.n_command = 1;
    c->config.working_dir = (char *)"/work";
    c->env.key = (char *)"A.b-c", c->env.value = (ProtobufCBinaryData){3, (uint8_t *)"\xff\n="};
    c->envs[0] = &c->env, c->config.envs = c->envs, c->config.n_envs = 1;
    c->mount.container_path = (char *)"/etc/hosts", c->mount.host_path = (char *)"/tmp/hosts";
    c->mounts[0] = &c->mount, c->config.mounts = c->mounts, c->config.n_mounts = 1;
    c->volume.image = (char *)"data:1";
    c->device.host_path = c->device.container_path = (char *)"/dev/null";
    c->device.permissions = (char *)"rwm";
    c->devices[0] = &c->device, c->config.devices = c->devices, c->config.n_devices = 1;
    c->cdi.name = (char *)"vendor.com/gpu=0";
    c->cdis[0] = &c->cdi, c->config.cdi_devices = c->cdis, c->config.n_cdi_devices = 1;
    c->config.log_path = (char *)"app/0.log";
    c->config.linux = &c->linux;
    c->linux.security_context = &c->context;
    c->linux.resources = &c->resources;
    c->unified.key = (char *)"memory.high", c->unified.value = (char *)"max";
    c->unifieds[0] = &c->unified, c->resources.unified = c->unifieds, c->resources.n_unified = 1;
    c->hugepage.page_size = (char *)"2MB";
    c->hugepages[0] = &c->hugepage, c->resources.hugepage_limits = c->hugepages;
    c->resources.n_hugepage_limits = 1;
    c->context.namespace_options = &c->ns;
    c->context.run_as_user = &c->user, c->context.run_as_group = &c->group;
    c->masked[0] = (char *)"/proc/kcore", c->context.masked_paths = c->masked,
    c->context.n_masked_paths = 1;
    c->options[0] = (char *)"noexec", c->mount.mount_options = c->options,
    c->mount.n_mount_options = 1;
}

static void test_container_is_taken_over(void **state)
{
    struct container c;
    struct err err = ERR_INIT;

    (void)state;
    container_init(&c);
    c.context.apparmor_profile = (char *)"localhost/prof";
    CLEANUP(container_spec_free_cleanup)
    struct container_spec *spec = container_spec_from_proto(&c.request, &err);
    if (!spec)
        fail_msg("%s", err.msg);
    assert_string_equal(spec->pod_id, "abc");
    assert_string_equal(spec->command[0], "/bin/sh");
    assert_string_equal(spec->envs[0].key, "A.b-c");
    assert_string_equal(spec->envs[0].value, "\xff\n=");
    assert_int_equal(spec->n_mounts, 1);
    assert_string_equal(spec->mounts[0].options[0], "noexec");
    assert_string_equal(spec->cdi_devices[0], "vendor.com/gpu=0");
    assert_string_equal(kvs_get(&spec->resources.unified, "memory.high"), "max");
    assert_int_equal(spec->apparmor.type, PROFILE_LOCALHOST);
    assert_string_equal(spec->apparmor.localhost_ref, "prof");
    assert_string_equal(spec->masked_paths[0], "/proc/kcore");
    assert_true(spec->run_as_group.set);
}

#define CONTAINER_REFUSES(part, ...)                                                               \
    do {                                                                                           \
        struct container c;                                                                        \
        struct err err_ = ERR_INIT;                                                                \
        container_init(&c);                                                                        \
        __VA_ARGS__;                                                                               \
        struct container_spec *spec_ = container_spec_from_proto(&c.request, &err_);               \
        if (spec_ || err_.code != ERR_INVALID || !strstr(err_.msg, part))                          \
            fail_msg("%s: got '%s'", #__VA_ARGS__, spec_ ? "no error" : err_.msg);                 \
    } while (0)

static void test_container_refusals(void **state)
{
    (void)state;
    CONTAINER_REFUSES("pod_sandbox_id", c.request.pod_sandbox_id = (char *)"");
    CONTAINER_REFUSES("config: missing", c.request.config = NULL);
    CONTAINER_REFUSES("config.metadata: missing", c.config.metadata = NULL);
    CONTAINER_REFUSES("config.image.image: missing", c.config.image = NULL);
    CONTAINER_REFUSES("config.image.image: missing", c.image.image = (char *)"");
    CONTAINER_REFUSES("metadata.name", c.metadata.name = (char *)"a/b");
    CONTAINER_REFUSES("config.command", c.command[0] = (char *)"");
    CONTAINER_REFUSES("working_dir", c.config.working_dir = (char *)"/proc/self/fd/8");
    CONTAINER_REFUSES("working_dir", c.config.working_dir = (char *)"work");
    CONTAINER_REFUSES("envs[0].key", c.env.key = (char *)"A=B");
    CONTAINER_REFUSES("envs[0].key", c.env.key = (char *)"A\nB");
    CONTAINER_REFUSES("envs[0].key", c.env.key = (char *)"");
    CONTAINER_REFUSES("NUL", c.env.value = (ProtobufCBinaryData){3, (uint8_t *)"a\0b"});
    CONTAINER_REFUSES("mounts[0]: container_path", c.mount.container_path = (char *)"etc");
    CONTAINER_REFUSES("over the root", c.mount.container_path = (char *)"/a/../..");
    CONTAINER_REFUSES("over the root", c.mount.container_path = (char *)"//./");
    CONTAINER_REFUSES("mounts[0]: host_path", c.mount.host_path = (char *)"");
    CONTAINER_REFUSES("both host_path and image", c.mount.image = &c.volume);
    CONTAINER_REFUSES("without an image", c.mount.image_sub_path = (char *)"x");
    CONTAINER_REFUSES("image_sub_path", c.mount.host_path = (char *)"", c.mount.image = &c.volume,
                      c.mount.image_sub_path = (char *)"a/../../b");
    CONTAINER_REFUSES("recursive_read_only", c.mount.recursive_read_only = true);
    CONTAINER_REFUSES("recursive_read_only", c.mount.recursive_read_only = c.mount.readonly = true,
                      c.mount.propagation =
                          RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL);
    CONTAINER_REFUSES("mount_options[0]", c.options[0] = (char *)"suid");
    CONTAINER_REFUSES("permissions", c.device.permissions = (char *)"rwx");
    CONTAINER_REFUSES("devices[0]", c.device.host_path = (char *)"null");
    CONTAINER_REFUSES("CDI_devices[0]", c.cdi.name = (char *)"gpu0");
    CONTAINER_REFUSES("log_path", c.config.log_path = (char *)"../../../etc/cron.d/x");
    CONTAINER_REFUSES("log_path", c.config.log_path = (char *)"/etc/passwd");
    CONTAINER_REFUSES("log_path", c.config.log_path = (char *)"a\nb");
    CONTAINER_REFUSES("run_as_group", c.context.run_as_user = NULL);
    CONTAINER_REFUSES("run_as_username", c.context.run_as_username = (char *)"root:x");
    CONTAINER_REFUSES("run_as_username", c.context.run_as_username = (char *)"a\nroot::0:0");
    CONTAINER_REFUSES("run_as_user", c.user.value = INT64_MAX);
    CONTAINER_REFUSES("target_id", c.ns.pid = RUNTIME__V1__NAMESPACE_MODE__TARGET);
    CONTAINER_REFUSES("masked_paths[0]", c.masked[0] = (char *)"proc");
    CONTAINER_REFUSES("apparmor", c.context.apparmor_profile = (char *)"weird");
    CONTAINER_REFUSES("unified", c.unified.key = (char *)"../cgroup.procs");
    CONTAINER_REFUSES("unified", c.unified.key = (char *)"cgroup.procs");
    CONTAINER_REFUSES("page_size", c.hugepage.page_size = (char *)"../2MB");
}

static void test_filters(void **state)
{
    Runtime__V1__PodSandboxFilter proto = RUNTIME__V1__POD_SANDBOX_FILTER__INIT;
    Runtime__V1__PodSandboxStateValue ready = RUNTIME__V1__POD_SANDBOX_STATE_VALUE__INIT;
    struct filter filter;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(pod_filter_from_proto(NULL, &filter, &err), err);
    assert_int_equal(filter.list.state, -1);
    assert_null(filter.list.labels);
    assert_ok(pod_filter_from_proto(&proto, &filter, &err), err);
    assert_int_equal(filter.list.state, -1);
    proto.state = &ready; /* as it comes in: an empty message */
    assert_ok(pod_filter_from_proto(&proto, &filter, &err), err);
    assert_int_equal(filter.list.state, RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY);
    filter_done(&filter);
}

static void test_argv_and_ids(void **state)
{
    char *words[] = {(char *)"sh", (char *)"-c", (char *)"a\nb"}, *none[] = {(char *)""};
    struct err err;
    autostrv char **argv = NULL;

    (void)state;
    assert_ok(argv_from_proto(3, words, "cmd", &argv, &err), err);
    assert_string_equal(argv[2], "a\nb");
    strv_free(argv);
    assert_err(argv_from_proto(0, NULL, "cmd", &argv, &err), err, ERR_INVALID, "no command");
    assert_err(argv_from_proto(1, none, "cmd", &argv, &err), err, ERR_INVALID, "no command");
    assert_err(id_from_proto("", "container_id", &err), err, ERR_INVALID, "container_id: missing");
    assert_err(id_from_proto(long_name, "container_id", &err), err, ERR_INVALID, "longer");
    assert_err(id_from_proto("a\tb", "container_id", &err), err, ERR_INVALID, "control");
}

/* Where a mount goes: as it is, but for dots. */
static void test_targets(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"/a", "/a"},           {"/a//b/", "/a//b/"},       {"/a/../b", "/b"},
        {"/a/./b", "/a/b"},     {"/../../etc/x", "/etc/x"}, {"/a/b/../../c/..d", "/c/..d"},
        {"/a/.hid", "/a/.hid"}, {"/...", "/..."},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *got = xstrdup("");
        struct err err = ERR_INIT;

        assert_int_equal(spec_target(cases[i].in, "target", &got, &err), 0);
        assert_string_equal(got, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pod_is_taken_over),
        cmocka_unit_test(test_maps_are_sorted),
        cmocka_unit_test(test_pod_userns),
        cmocka_unit_test(test_pod_refusals),
        cmocka_unit_test(test_container_is_taken_over),
        cmocka_unit_test(test_container_refusals),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_argv_and_ids),
    };
    memset(long_name, 'a', sizeof long_name - 1);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (char *)"1.1.1.1";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
