/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of ordinary containers, member by member. */
#include "sandbox/handlers.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime_scope.h"

#include <sys/stat.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/security.h"

struct ground {
    struct container_spec *spec;
    struct pod_spec *pod;
    struct cgroups cgroups;
    struct user user;
    struct oci_input in;
};

static char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, NULL};
static char *env[] = {(char[]){"A=1"}, NULL};
static char *caps[] = {(char[]){"CAP_CHOWN"}, NULL};
static uint32_t groups[] = {5, 6};

static const char v1_mounts[] = "1 0 0:1 / /cg/memory rw shared:1 - cgroup cgroup rw,memory\n"
                                "2 0 0:2 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                "3 0 0:3 / /cg/pids rw - cgroup cgroup rw,pids\n"
                                "4 0 0:4 / /cg/unified rw - cgroup2 cgroup2 rw\n"
                                "5 0 0:4 / /cg/unified rw - cgroup2 cgroup2 rw\n"
                                "garbage\n6 0 - cgroup\n";

static int setup(void **state)
{
    struct ground *g = XNEW(struct ground);
    struct err err = ERR_INIT;

    g->spec = container_spec_new();
    g->pod = pod_spec_new();
    g->spec->ns.pid = NS_CONTAINER;
    g->user = (struct user){.uid = 4, .gid = 5, .groups = groups, .n_groups = 2};
    assert_ok(cgroups_scan(v1_mounts, &g->cgroups, &err), err);
    g->in = (struct oci_input){.spec = g->spec,
                               .pod = g->pod,
                               .rootfs = "/r",
                               .argv = argv,
                               .env = env,
                               .caps = caps,
                               .cwd = "/",
                               .user = &g->user,
                               .cgroups = &g->cgroups,
                               .cgroup = "/u/p/c",
                               .pod_dir = "/run/p",
                               .netns = "/run/n",
                               .userns = "",
                               .pidns = "",
                               .apparmor = "",
                               .selinux = "",
                               .selinux_mount = "",
                               .oom_score_adj = 100};
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct ground *g = *state;

    container_spec_free(g->spec);
    pod_spec_free(g->pod);
    cgroups_done(&g->cgroups);
    free(g);
    return 0;
}

static json_t *build(struct ground *g)
{
    struct err err = ERR_INIT;
    json_t *o = NULL;

    if (oci_spec_build(&g->in, &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static json_t *get(json_t *o, const char *path)
{
    autofree char *copy = xstrdup(path);
    char *save = NULL;

    for (char *k = strtok_r(copy, ".", &save); k && o; k = strtok_r(NULL, ".", &save))
        o = json_is_array(o) ? json_array_get(o, (size_t)strtoul(k, NULL, 10))
                             : json_object_get(o, k);
    return o;
}

static json_t *mount_at(json_t *o, const char *target)
{
    size_t i;
    json_t *m;

    json_array_foreach (get(o, "mounts"), i, m)
        if (str_eq(json_string_value(json_object_get(m, "destination")), target))
            return m;
    return NULL;
}

static bool has_option(json_t *m, const char *option)
{
    size_t i;
    json_t *v;

    json_array_foreach (json_object_get(m, "options"), i, v)
        if (str_eq(json_string_value(v), option))
            return true;
    return false;
}

static const char *ns_path(json_t *o, const char *type)
{
    size_t i;
    json_t *n;

    json_array_foreach (get(o, "linux.namespaces"), i, n)
        if (str_eq(json_string_value(json_object_get(n, "type")), type))
            return json_object_get(n, "path") ? json_string_value(json_object_get(n, "path"))
                                              : "new";
    return "none";
}

static void ordinary(void **state)
{
    struct ground *g = *state;
    autojson *o = build(g);

    assert_string_equal(json_string_value(get(o, "ociVersion")), "1.0.2");
    assert_string_equal(json_string_value(get(o, "process.args.1")), "-c");
    assert_int_equal(json_integer_value(get(o, "process.user.uid")), 4);
    assert_int_equal(json_integer_value(get(o, "process.user.additionalGids.1")), 6);
    assert_string_equal(json_string_value(get(o, "process.capabilities.bounding.0")), "CAP_CHOWN");
    assert_null(get(o, "process.capabilities.inheritable"));
    assert_int_equal(json_integer_value(get(o, "process.oomScoreAdj")), 100);
    assert_string_equal(json_string_value(get(o, "linux.cgroupsPath")), "/u/p/c");
    assert_string_equal(ns_path(o, "network"), "/run/n");
    assert_string_equal(ns_path(o, "ipc"), "/run/p/ipc");
    assert_string_equal(ns_path(o, "uts"), "/run/p/uts");
    assert_string_equal(ns_path(o, "pid"), "new");
    assert_string_equal(ns_path(o, "cgroup"), "none"); /* version 1 */
    assert_true(has_option(mount_at(o, "/sys"), "ro"));
    assert_string_equal(json_string_value(get(mount_at(o, "/dev/shm"), "source")), "/run/p/shm");
    assert_string_equal(json_string_value(get(mount_at(o, "/etc/resolv.conf"), "source")),
                        "/run/p/resolv.conf");
    assert_false(json_is_true(get(o, "linux.resources.devices.0.allow")));
    assert_null(get(o, "linux.seccomp"));
    assert_null(get(o, "root.readonly"));
}

static void of_the_node(void **state)
{
    struct ground *g = *state;

    g->in.netns = "";
    g->pod->ns.network = NS_NODE;
    g->pod->ns.ipc = NS_NODE;
    g->spec->ns.pid = NS_NODE;

    autojson *o = build(g);

    assert_string_equal(ns_path(o, "network"), "none");
    assert_string_equal(ns_path(o, "uts"), "none");
    assert_string_equal(ns_path(o, "ipc"), "none");
    assert_string_equal(ns_path(o, "pid"), "none");
    assert_string_equal(json_string_value(get(mount_at(o, "/dev/shm"), "source")), "/dev/shm");
}

static void privileged(void **state)
{
    struct ground *g = *state;

    g->spec->privileged = true;
    g->spec->no_new_privs = true;
    strv_push(&g->spec->masked_paths, "/proc/kcore");

    autojson *o = build(g);

    assert_false(has_option(mount_at(o, "/sys"), "ro"));
    assert_null(get(o, "linux.maskedPaths"));
    assert_true(json_is_true(get(o, "process.noNewPrivileges")));
    assert_true(json_is_true(get(o, "linux.resources.devices.0.allow")));
    assert_true(json_array_size(get(o, "linux.devices")) > 0);
}

static struct mount_spec *add_mount(struct ground *g, const char *target, const char *source)
{
    struct container_spec *s = g->spec;

    s->mounts = xrealloc_array(s->mounts, s->n_mounts + 1, sizeof(*s->mounts));
    s->mounts[s->n_mounts] = (struct mount_spec){.container_path = xstrdup(target),
                                                 .host_path = xstrdup(source),
                                                 .image = xstrdup(""),
                                                 .image_sub_path = xstrdup("")};
    return &s->mounts[s->n_mounts++];
}

static void mounts(void **state)
{
    struct ground *g = *state;
    struct err err = ERR_INIT;
    struct stat st;
    char dir[] = "/tmp/unicri-oci-XXXXXX";
    size_t i;
    json_t *m;

    assert_non_null(mkdtemp(dir));

    autofree char *made = xasprintf("%s/made/here", dir), *link = xasprintf("%s/link", dir);

    assert_int_equal(symlink(dir, link), 0);
    add_mount(g, "/data/deep/er", link)->readonly = true;
    add_mount(g, "/data", made)->options = NULL;
    strv_push(&g->spec->mounts[1].options, "noexec");
    add_mount(g, "/etc/hosts", dir);
    struct mount_spec *ro = add_mount(g, "/ro", dir);

    ro->readonly = ro->recursive_readonly = true;
    assert_ok(oci_check(g->pod, g->spec, &err), err);

    autojson *o = build(g);

    assert_string_equal(json_string_value(get(mount_at(o, "/data/deep/er"), "source")), dir);
    assert_true(has_option(mount_at(o, "/data/deep/er"), "ro"));
    assert_true(has_option(mount_at(o, "/data"), "noexec") &&
                has_option(mount_at(o, "/data"), "rprivate"));
    assert_true(has_option(mount_at(o, "/ro"), "rro"));
    assert_int_equal(stat(made, &st), 0);
    assert_string_equal(json_string_value(get(mount_at(o, "/etc/hosts"), "source")), dir);

    size_t data = 0, deep = 0, hosts = 0;

    json_array_foreach (get(o, "mounts"), i, m) {
        const char *target = json_string_value(json_object_get(m, "destination"));

        data = str_eq(target, "/data") ? i : data;
        deep = str_eq(target, "/data/deep/er") ? i : deep;
        hosts += str_eq(target, "/etc/hosts");
    }
    assert_true(data < deep);
    assert_int_equal(hosts, 1);

    /* A /dev of the node is complete: nothing of the standard set lies below it but /dev/shm. */
    add_mount(g, "/dev/", dir);

    autojson *dev = build(g);

    assert_null(mount_at(dev, "/dev"));
    assert_null(mount_at(dev, "/dev/pts"));
    assert_null(mount_at(dev, "/dev/mqueue"));
    assert_non_null(mount_at(dev, "/dev/shm"));
    assert_ok(fs_remove_tree(AT_FDCWD, dir, &err), err);
}

static void refused(void **state)
{
    struct ground *g = *state;
    struct err err = ERR_INIT;
    struct mount_spec *m = add_mount(g, "relative", "/tmp");
    json_t *o = NULL;

    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "not absolute");
    free(m->container_path);
    m->container_path = xstrdup("/m");
    m->recursive_readonly = true;
    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "recursive");
    m->recursive_readonly = false;
    strv_push(&m->options, "suid");
    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "suid");
    strv_free(m->options);
    m->options = NULL;
    g->spec->privileged = true;
    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "privileged pod");
    g->spec->privileged = false;
    g->in.cwd = "relative";
    assert_err(oci_spec_build(&g->in, &o, &err), err, ERR_INVALID, "working directory");
    g->in.cwd = "/";

    char *raw[] = {(char[]){"\xff"}, NULL};

    g->in.argv = raw;
    assert_err(oci_spec_build(&g->in, &o, &err), err, ERR_INVALID, "UTF-8");
}

static void resources(void **state)
{
    struct ground *g = *state;
    struct linux_resources *r = &g->spec->resources;

    r->cpu_quota = -1;
    r->cpu_shares = 2;
    r->memory_limit = 1 << 20;
    kvs_set(&r->unified, "memory.high", "max");
    strv_push(&g->spec->masked_paths, "/bin/ls");

    autojson *o = build(g);

    assert_int_equal(json_integer_value(get(o, "linux.resources.cpu.quota")), -1);
    assert_int_equal(json_integer_value(get(o, "linux.resources.memory.limit")), 1 << 20);
    assert_null(get(o, "linux.resources.unified")); /* version 1 */
    assert_string_equal(json_string_value(get(o, "linux.maskedPaths.0")), "/bin/ls");
    g->cgroups.v2 = true;

    autojson *v2 = build(g);

    assert_non_null(get(v2, "linux.resources.unified"));
    assert_string_equal(ns_path(v2, "cgroup"), "new");
}

static void propagation(void **state)
{
    static const char info[] = "1 0 8:1 / / rw shared:1 - ext4 a rw\n2 1 0:5 / /a rw master:3 - "
                               "tmpfs b rw\n3 2 0:6 / /a/b rw - tmpfs c rw\n";
    bool shared, slave;

    (void)state;
    mount_propagation_of(info, "/x", &shared, &slave);
    assert_true(shared && !slave);
    mount_propagation_of(info, "/a/c", &shared, &slave);
    assert_true(!shared && slave);
    mount_propagation_of(info, "/a/b/c", &shared, &slave);
    assert_true(!shared && !slave);
    mount_propagation_of(info, "/ab", &shared, &slave);
    assert_true(shared && !slave);
}

static void cgroup_names(void **state)
{
    struct ground *g = *state;
    struct err err = ERR_INIT;
    autofree char *memory = cgroup_dir(&g->cgroups, "memory", "/x"),
                  *cpuacct = cgroup_dir(&g->cgroups, "cpuacct", "/x");
    autofree char *plain = cgroup_parent_path(&g->cgroups, "kubepods/pod1/", &err);

    assert_false(g->cgroups.v2);
    assert_int_equal(g->cgroups.n, 4);
    assert_string_equal(memory, "/cg/memory/x");
    assert_string_equal(cpuacct, "/cg/cpu/x");
    assert_string_equal(plain, "/kubepods/pod1");
    assert_null(cgroup_parent_path(&g->cgroups, "/a/../../etc", &err));
    g->cgroups.systemd = true;

    autofree char *slice = cgroup_parent_path(&g->cgroups, "kubepods-burstable-podX.slice", &err);

    assert_string_equal(slice,
                        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice");
    assert_null(cgroup_parent_path(&g->cgroups, "/kubepods", &err));

    autofree char *scope = xasprintf("%s/unicri-0123abcd.scope", slice);

    assert_true(scope_is(scope));
    assert_false(scope_is(slice) || scope_is("/unicri/0123abcd") || scope_is("x"));
    g->in.cgroup = scope;

    autojson *o = build(g);

    assert_string_equal(json_string_value(get(o, "linux.cgroupsPath")),
                        "kubepods-burstable-podX.slice:unicri:0123abcd");
    assert_null(cgroup_parent_path(&g->cgroups, "a--b.slice", &err));
    assert_null(cgroup_parent_path(&g->cgroups, ".slice", &err));
}

static void seccomp(void **state)
{
    struct ground *g = *state;
    struct err err = ERR_INIT;
    json_t *p = NULL;
    char file[] = "/tmp/unicri-seccomp-XXXXXX";
    autofd int fd = mkstemp(file);

    g->spec->seccomp.set = true;
    assert_ok(seccomp_profile(g->spec, caps, &p, &err), err);
    assert_string_equal(json_string_value(get(p, "defaultAction")), "SCMP_ACT_ERRNO");
    assert_true(json_array_size(get(p, "syscalls.0.names")) > 250);
    json_decref(p);
    g->spec->seccomp.type = PROFILE_LOCALHOST;
    free(g->spec->seccomp.localhost_ref);
    g->spec->seccomp.localhost_ref = xstrdup("../etc/x");
    assert_err(seccomp_profile(g->spec, caps, &p, &err), err, ERR_INVALID, "absolute");
    free(g->spec->seccomp.localhost_ref);
    g->spec->seccomp.localhost_ref = xstrdup(file);
    assert_err(seccomp_profile(g->spec, caps, &p, &err), err, ERR_INVALID, "seccomp");
    assert_int_equal(write(fd, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", 34), 34);
    assert_ok(seccomp_profile(g->spec, caps, &p, &err), err);
    json_decref(p);
    g->spec->privileged = true;
    assert_ok(seccomp_profile(g->spec, caps, &p, &err), err);
    assert_null(p);
    assert_int_equal(unlink(file), 0);
}

static void user_namespace(void **state)
{
    struct ground *g = *state;
    struct err err = ERR_INIT;
    struct id_map *maps = xcalloc(1, sizeof(*maps));

    g->in.userns = "/run/u";
    g->spec->devices = xcalloc(1, sizeof(*g->spec->devices));
    g->spec->devices[g->spec->n_devices++] =
        (struct device_spec){xstrdup("/dev/mine"), xstrdup("/dev/zero"), xstrdup("r")};
    {
        autojson *o = build(g);

        assert_string_equal(json_string_value(get(mount_at(o, "/dev/mine"), "source")),
                            "/dev/zero");
        assert_int_equal(json_array_size(get(o, "linux.devices")), 0);
        assert_string_equal(json_string_value(get(o, "linux.resources.devices.1.access")), "r");

        assert_string_equal(ns_path(o, "user"), "/run/u");
        assert_string_equal(json_string_value(get(mount_at(o, "/sys"), "type")), "sysfs");
        assert_null(get(o, "linux.uidMappings")); /* the namespace has them */
    }
    g->in.netns = "";
    {
        autojson *o = build(g);

        assert_string_equal(json_string_value(get(mount_at(o, "/sys"), "type")), "bind");
        assert_true(has_option(mount_at(o, "/sys"), "rro"));
    }
    *maps = (struct id_map){.host_id = 65536, .length = 65536};
    g->spec->ns.userns = true;
    g->spec->ns.uids = maps;
    g->spec->ns.n_uids = 1;
    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "user namespace");
    g->pod->ns.userns = true;
    assert_err(oci_check(g->pod, g->spec, &err), err, ERR_INVALID, "user namespace");
}

static void runtime_features(void **state)
{
    static const char newer[] =
        "{\"mountOptions\":[\"ro\",\"rro\"],\"linux\":{\"namespaces\":[\"pid\",\"user\"],"
        "\"mountExtensions\":{\"idmap\":{\"enabled\":true}}},"
        "\"annotations\":{\"org.opencontainers.runc.version\":\"1.3.6\"}}";
    static const char *const poor[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"linux\":[],\"mountOptions\":{}}",
        "{\"linux\":{\"mountExtensions\":{\"idmap\":{\"enabled\":true}}}}",
        "{\"linux\":{\"namespaces\":[\"user\"],\"mountExtensions\":{\"idmap\":{\"enabled\":1}}}}",
        "{\"linux\":{\"namespaces\":[7],\"mountExtensions\":7},\"mountOptions\":[7]}",
        "{\"annotations\":{\"org.opencontainers.runc.version\":\"1\\n2\"}}",
    };
    struct runtime_features f;

    (void)state;
    runtime_features_parse(newer, strlen(newer), &f);
    assert_true(f.recursive_readonly && f.idmapped_mounts);
    assert_string_equal(f.version, "1.3.6");
    for (size_t i = 0; i < ARRAY_SIZE(poor); i++) {
        runtime_features_parse(poor[i], strlen(poor[i]), &f);
        assert_false(f.recursive_readonly || f.idmapped_mounts);
        assert_string_equal(f.version, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(ordinary), T(of_the_node),    T(privileged),       T(mounts),
        T(refused),  T(resources),      T(propagation),      T(cgroup_names),
        T(seccomp),  T(user_namespace), T(runtime_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
