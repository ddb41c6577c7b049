/* SPDX-License-Identifier: Apache-2.0 */
/* Specs and their JSON: every member comes back, equal requests have equal texts, nonsense is
 * refused. */
#include "sandbox/spec.h"

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/engine.h"

/* Members by their place: fill all, so that one that a schema forgets shows. */
static struct pod_spec *full_pod(void)
{
    static const char text[] =
        "{\"name\":\"n\",\"uid\":\"u\",\"namespace_\":\"ns\",\"attempt\":4294967295,\"handler\":"
        "\"h\",\"hostname\":\"host\","
        "\"log_directory\":\"/"
        "l\",\"dns_servers\":[\"1.1.1.1\"],\"dns_searches\":[\"a\"],\"dns_options\":[\"o\"],\"has_"
        "dns\":true,"
        "\"ports\":[{\"protocol\":1,\"container_port\":80,\"host_port\":8080,\"host_ip\":\"::1\"}],"
        "\"labels\":{\"a\":\"b\",\"c\":\"\"},"
        "\"annotations\":{\"x\":\"y\"},\"cgroup_parent\":\"/"
        "p\",\"sysctls\":{\"net.a\":\"1\"},\"ns\":{\"network\":2,\"pid\":3,"
        "\"ipc\":2,\"target_id\":\"t\",\"userns\":true,\"uids\":[{\"host_id\":4000000000,"
        "\"length\":65536}],"
        "\"gids\":[{\"host_id\":1,\"container_id\":2,\"length\":3}]},\"privileged\":true,\"run_as_"
        "user\":{\"set\":true},"
        "\"run_as_group\":{\"set\":true,\"value\":7},\"supplemental_groups\":[1,2],\"selinux\":{"
        "\"user\":\"u\",\"role\":\"r\","
        "\"type\":\"t\",\"level\":\"l\"},\"seccomp\":{\"set\":true,\"type\":2,\"localhost_ref\":\"/"
        "s\"},\"apparmor\":{\"set\":true,"
        "\"type\":1},\"overhead\":{\"cpu_period\":1,\"cpu_quota\":-1,\"cpu_shares\":3,\"memory_"
        "limit\":4,\"memory_swap_limit\":5,"
        "\"oom_score_adj\":-999,\"cpuset_cpus\":\"0\",\"cpuset_mems\":\"0\",\"hugepages\":[{\"page_"
        "size\":\"2MB\",\"limit\":6}],"
        "\"unified\":{\"memory.high\":\"max\"}},\"resources\":{\"memory_limit\":9}}";
    struct err err = ERR_INIT;
    struct pod_spec *spec = pod_spec_parse(text, &err);
    autofree char *back = NULL;

    if (!spec)
        fail_msg("%s", err.msg);
    back = pod_spec_write(spec);
    assert_string_equal(back, text);
    return spec;
}

static void pod_roundtrip(void **state)
{
    struct pod_spec *spec = full_pod();

    (void)state;
    assert_int_equal(spec->attempt, UINT32_MAX);
    assert_int_equal(spec->ns.pid, NS_TARGET);
    assert_int_equal(spec->ns.uids[0].host_id, 4000000000U);
    assert_int_equal(spec->overhead.cpu_quota, -1);
    assert_true(spec->run_as_user.set);
    assert_string_equal(kvs_get(&spec->labels, "c"), "");
    assert_int_equal(spec->supplemental_groups[1], 2);
    assert_string_equal(spec->resources.cpuset_cpus, "");
    pod_spec_free(spec);
}

static void container_roundtrip(void **state)
{
    static const char text[] =
        "{\"pod_id\":\"p\",\"name\":\"c\",\"attempt\":2,\"image\":\"i\",\"user_specified_image\":"
        "\"u\",\"command\":[\"a\",\"\"],"
        "\"args\":[\"b\"],\"working_dir\":\"/"
        "w\",\"envs\":[{\"key\":\"K\",\"value\":\"v\"},{\"key\":\"B\",\"value\":{\"base64\":"
        "\"/wo=\"}}],\"mounts\":[{\"container_path\":\"/c\",\"host_path\":\"/"
        "h\",\"readonly\":true,\"recursive_readonly\":true,"
        "\"selinux_relabel\":true,\"propagation\":2,\"uids\":[{\"length\":1}],\"gids\":[{"
        "\"length\":1}],\"image\":\"i\","
        "\"image_sub_path\":\"s\",\"options\":[\"noexec\"]}],\"devices\":[{\"container_path\":\"/"
        "dev/a\",\"host_path\":\"/dev/b\","
        "\"permissions\":\"r\"}],\"cdi_devices\":[\"d\"],\"labels\":{\"l\":\"1\"},\"annotations\":{"
        "\"a\":\"1\"},\"log_path\":\"x\","
        "\"stdin_open\":true,\"stdin_once\":true,\"tty\":true,\"stop_signal\":13,\"resources\":{"
        "\"cpu_shares\":2},\"ns\":{\"pid\":1},"
        "\"privileged\":true,\"readonly_rootfs\":true,\"no_new_privs\":true,\"add_caps\":[\"A\"],"
        "\"drop_caps\":[\"B\"],"
        "\"ambient_caps\":[\"C\"],\"run_as_user\":{\"set\":true,\"value\":1},\"run_as_group\":{"
        "\"set\":true,\"value\":2},"
        "\"run_as_username\":\"n\",\"supplemental_groups\":[3],\"supplemental_groups_policy\":1,"
        "\"masked_paths\":[\"/m\"],"
        "\"readonly_paths\":[\"/"
        "r\"],\"selinux\":{\"user\":\"u\"},\"seccomp\":{\"set\":true},\"apparmor\":{\"set\":true}}";
    struct err err = ERR_INIT;
    struct container_spec *spec = container_spec_parse(text, &err);
    autofree char *back = NULL;

    (void)state;
    if (!spec)
        fail_msg("%s", err.msg);
    back = container_spec_write(spec);
    assert_string_equal(back, text);
    assert_string_equal(spec->envs[1].value, "\xff\n");
    assert_string_equal(spec->command[1], "");
    container_spec_free(spec);
}

static void empty_is_empty(void **state)
{
    struct pod_spec *pod = pod_spec_new();
    struct container_spec *c = container_spec_new();
    autofree char *a = pod_spec_write(pod), *b = container_spec_write(c);

    (void)state;
    assert_string_equal(a, "{}");
    assert_string_equal(b, "{}");
    pod_spec_free(pod);
    container_spec_free(c);
}

/* The order of a map is the client's accident. */
static void map_order_is_no_difference(void **state)
{
    struct err err = ERR_INIT;
    struct pod_spec *a =
        pod_spec_parse("{\"name\":\"n\",\"labels\":{\"x\":\"1\",\"a\":\"2\"}}", &err);
    struct pod_spec *b =
        pod_spec_parse("{\"labels\":{\"a\":\"2\",\"x\":\"1\"},\"name\":\"n\"}", &err);
    autofree char *s = pod_spec_write(a), *t = pod_spec_write(b);
    char hs[33], ht[33];

    (void)state;
    assert_string_equal(s, t);
    spec_hash(s, hs);
    spec_hash(t, ht);
    assert_string_equal(hs, ht);
    b->attempt = 3;
    free(t);
    t = pod_spec_write(b);
    spec_hash(t, ht);
    assert_string_not_equal(hs, ht);

    autofree char *what = spec_difference(s, t);

    assert_string_equal(what, "attempt");
    pod_spec_free(a);
    pod_spec_free(b);
}

static void nonsense_is_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", ""},
        {"[]", "object"},
        {"{\"name\":1}", "name"},
        {"{\"attempt\":-1}", "attempt"},
        {"{\"attempt\":4294967296}", "attempt"},
        {"{\"ns\":{\"network\":9999999999}}", "network"},
        {"{\"ports\":[{\"host_ip\":3}]}", "host_ip"},
        {"{\"ports\":{}}", "ports"},
        {"{\"labels\":{\"a\":1}}", "labels"},
        {"{\"dns_servers\":[1]}", "dns_servers"},
        {"{\"supplemental_groups\":[\"1\"]}", "supplemental_groups"},
        {"{\"has_dns\":1}", "has_dns"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = ERR_INIT;

        assert_null(pod_spec_parse(bad[i].text, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        if (!strstr(err.msg, bad[i].part))
            fail_msg("%s: %s", bad[i].text, err.msg);
    }
    struct err err = ERR_INIT;

    assert_null(
        container_spec_parse("{\"envs\":[{\"key\":\"a\",\"value\":{\"base64\":\"AA==\"}}]}", &err));
    assert_non_null(strstr(err.msg, "NUL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pod_roundtrip),       cmocka_unit_test(container_roundtrip),
        cmocka_unit_test(empty_is_empty),      cmocka_unit_test(map_order_is_no_difference),
        cmocka_unit_test(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
