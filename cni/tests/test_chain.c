/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of plugins that are shell scripts: what they are told, in which order, and every way in
 * which a plugin can misbehave. Each script notes its calls in the file `log`.
 */
#include "cni/tests/lab.h"

#include <sys/stat.h>

#include "cni/cni_private.h"

#define NOTE    "echo \"$CNI_COMMAND ${0##*/}\" >> $CNI_PATH/../log\n"
#define RESULT  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.9/8\"}]}"
#define SH      "#!/bin/sh\n" NOTE
#define TIMEOUT (2 * NSEC_PER_SEC)

static char *bin_dirs[2];
static struct cni_config config;
static struct cni *cni;
static char *netns;

static const struct {
    const char *name, *text;
} scripts[] = {
    {"ok", SH "cat >/dev/null; echo '" RESULT "'"},
    {"ok2", SH "cat >/dev/null; echo '" RESULT "'"},
    {"deaf", SH "echo '" RESULT "'"},
    {"record", SH "cat > $CNI_PATH/../stdin; env > $CNI_PATH/../env; echo '" RESULT "'"},
    {"hang", SH "trap '' TERM INT HUP; while :; do sleep 1; done"},
    {"daemon", SH "setsid sleep 12 & echo '" RESULT "'"},
    {"garbage", SH "head -c 1000 /dev/urandom"},
    {"two", SH "echo '" RESULT RESULT "'"},
    {"nothing", SH "true"},
    {"spaces", SH "echo; echo '  '"},
    {"flood", SH "head -c 1073741824 /dev/zero"},
    {"floodfail", SH "head -c 3000000 /dev/zero; exit 1"},
    {"bom", SH "printf '\\357\\273\\277" RESULT "'"},
    {"array", SH "echo '[1]'"},
    {"future", SH "echo '{\"cniVersion\":\"9.1.0\",\"ips\":[]}'"},
    {"liar0",
     SH "echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"try later\",\"details\":\"busy\"}'"},
    {"liar1", SH "echo '" RESULT "'; exit 1"},
    {"fails",
     SH "printf '%s' "
        "'{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"bad\\ncidr\",\"details\":\"x/99\"}'"
        "; exit 1"},
    {"mute", SH "echo 'first' >&2; echo 'panic: oh no' >&2; exit 3"},
    {"unknown", SH "test $CNI_COMMAND = ADD && echo '" RESULT "' && exit 0\n"
                   "echo '{\"code\":3,\"msg\":\"no such container\"}'; exit 1"},
    {"dies", SH "kill -9 $$"},
    {"nodel", SH "test $CNI_COMMAND = DEL && echo '{\"code\":99,\"msg\":\"still busy\"}' && exit "
                 "1\necho '" RESULT "'"},
    {"bomb", SH "i=0; while [ $i -lt 200 ]; do sleep 3173 & i=$((i+1)); done; wait"},
    {"interp", "#!/no/such/interpreter\n"},
};

static void new_log(void)
{
    lab_write("log", "", 0644);
}
static void assert_log(const char *want)
{
    autofree char *path = lab_path("log");
    autofree char *text = NULL;

    assert_ok(fs_read_file(AT_FDCWD, path, 4096, &text, NULL, err));
    assert_string_equal(text, want);
}

static int setup(void **state)
{
    struct err e = ERR_INIT;

    if (lab_setup(state) != 0)
        return -1;
    bin_dirs[0] = lab_path("bin");
    assert_ok(fs_mkdirs(bin_dirs[0], 0755, err));
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        autofree char *name = path_join("bin", scripts[i].name);

        lab_write(name, scripts[i].text, 0755);
    }
    lab_write("bin/plain", "#!/bin/sh\n", 0644);
    config = (struct cni_config){.conf_dir = lab_path("net.d"),
                                 .bin_dirs = bin_dirs,
                                 .cache_dir = (char *)"",
                                 .conf_template = (char *)"",
                                 .timeout = TIMEOUT};
    assert_ok(fs_mkdirs(config.conf_dir, 0755, err));
    netns = lab_path("pod");
    assert_ok(netns_create(netns, err));
    cni = cni_open(&config, lab_dir, NULL, &e);
    return cni ? 0 : -1;
}
static int teardown(void **state)
{
    cni_close(cni);
    assert_ok(netns_remove(netns, err));
    free(netns);
    free(bin_dirs[0]);
    free(config.conf_dir);
    return lab_teardown(state);
}

/* A list of the named plugins, separated by blanks. */
static char *list_of(const char *version, const char *plugins, const char *more)
{
    autostrbuf b = STRBUF_INIT;
    autofree char *copy = xstrdup(plugins);
    char *save = NULL;

    strbuf_addf(&b, "{\"cniVersion\":\"%s\",\"name\":\"net\",\"plugins\":[", version);
    for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
        strbuf_addf(&b, "%s{\"type\":\"%s\"%s}", p == copy ? "" : ",", p, more);
    strbuf_adds(&b, "]}");
    return strbuf_detach(&b);
}

static struct cni_request request(void)
{
    return (struct cni_request){.id = "pod1",
                                .netns = netns,
                                .ifname = "eth0",
                                .pod_namespace = "default",
                                .pod_name = "web",
                                .pod_uid = "u-1"};
}

static char *plain_args(void)
{
    return xasprintf(
        "{\"id\":\"pod1\",\"netns\":\"%s\",\"ifname\":\"eth0\",\"args\":\"K8S_POD_NAME=web\"}",
        netns);
}

static deadline_t soon(void)
{
    return deadline_in(20 * NSEC_PER_SEC);
}

/* ADD of one plugin alone. */
static int add_one(const char *plugin, struct err *err)
{
    autofree char *list = list_of("1.0.0", plugin, "");
    autofree char *args = plain_args();
    autofree char *result = NULL;

    return cni_add(cni, list, args, soon(), &result, err);
}

static void test_misbehaviour(void **state)
{
    static const struct {
        const char *plugin, *why;
    } bad[] = {
        {"garbage", "plugin 'garbage' ADD: result: line"},
        {"two", "plugin 'two' ADD: result: line"},
        {"nothing", "plugin 'nothing' ADD: printed no result"},
        {"spaces", "printed no result"},
        {"flood", "plugin 'flood' ADD: printed more than 1048576 bytes"},
        {"floodfail", "exit status 1 without an error document"},
        {"bom", "plugin 'bom' ADD: result: line"},
        {"array", "result: not an object"},
        {"future", "result: unknown cniVersion"},
        {"liar0", "exit status 0 with an error document: try later: busy (code 11)"},
        {"liar1", "exit status 1 without an error document"},
        {"fails", "network 'net': plugin 'fails' ADD: bad?cidr: x/99 (code 7)"},
        {"mute", "exit status 3 without an error document: panic: oh no"},
        {"dies", "killed by signal 9"},
        {"absent", "plugin 'absent' ADD: not installed in "},
        {"plain", "is not executable"},
        {"interp", "plugin 'interp' ADD: "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_err(add_one(bad[i].plugin, err), ERR_UNAVAILABLE, bad[i].why);
    assert_ok(add_one("ok", err));
    assert_ok(add_one("deaf", err));
}

static int sleepers(void)
{
    autofree char *out = NULL;

    (void)lab_shell("ps -eo args | grep -c '^sleep 317[3]'", &out);
    return (int)strtol(out, NULL, 10);
}

static void test_time(void **state)
{
    autofree char *path = path_join(bin_dirs[0], "busy");
    autofd int fd = -1;
    nsec_t start;

    (void)state;
    start = clock_mono();
    assert_err(add_one("hang", err), ERR_DEADLINE, "plugin 'hang' ADD: ");
    assert_in_range(clock_mono() - start, TIMEOUT, TIMEOUT + 20 * NSEC_PER_SEC);
    start = clock_mono();
    assert_ok(add_one("daemon", err));
    assert_true(clock_mono() - start < 10 * NSEC_PER_SEC);
    assert_err(add_one("bomb", err), ERR_DEADLINE, "bomb");
    for (int i = 0; i < 500 && sleepers(); i++)
        usleep(20000);
    assert_int_equal(sleepers(), 0); /* the whole group is gone */

    lab_write("bin/busy", "#!/bin/sh\n", 0755);
    lab_run("cp /bin/true bin/busy");
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_err(add_one("busy", err), ERR_UNAVAILABLE, "plugin 'busy' ADD: ");
}

static void test_order(void **state)
{
    autofree char *list = list_of("1.0.0", "ok record ok2", "");
    autofree char *args = plain_args();
    autofree char *result = NULL;
    autofree char *path = lab_path("stdin");
    autofree char *text = NULL;
    autofree char *broken = list_of("1.0.0", "ok fails ok2", "");
    autofree char *stuck = list_of("1.0.0", "ok nodel ok2 unknown", "");

    (void)state;
    new_log();
    assert_ok(cni_add(cni, list, args, soon(), &result, err));
    assert_string_equal(result, RESULT);
    assert_ok(cni_check(cni, list, args, result, soon(), err));
    assert_ok(cni_del(cni, list, args, result, soon(), err));
    assert_log("ADD ok\nADD record\nADD ok2\nCHECK ok\nCHECK record\nCHECK ok2\nDEL ok2\nDEL "
               "record\nDEL ok\n");
    assert_ok(fs_read_file(AT_FDCWD, path, 4096, &text, NULL, err));
    assert_non_null(strstr(text, "\"prevResult\":" RESULT));

    new_log();
    free(result);
    result = NULL;
    assert_err(cni_add(cni, broken, args, soon(), &result, err), ERR_UNAVAILABLE,
               "plugin 'fails' ADD");
    assert_null(result);
    assert_log("ADD ok\nADD fails\n");

    /* One that fails on DEL does not keep the others from releasing what they have. */
    new_log();
    assert_err(cni_del(cni, stuck, args, "", soon(), err), ERR_UNAVAILABLE,
               "plugin 'nodel' DEL: still busy (code 99)");
    assert_log("DEL unknown\nDEL ok2\nDEL nodel\nDEL ok\n");
}

static json_t *recorded(void)
{
    autofree char *path = lab_path("stdin");
    autofree char *text = NULL;
    struct err e = ERR_INIT;
    json_t *doc;

    assert_ok(fs_read_file(AT_FDCWD, path, 65536, &text, NULL, err));
    doc = json_parse(text, strlen(text), 65536, "stdin", &e);
    assert_non_null(doc);
    return doc;
}
static char *recorded_env(void)
{
    autofree char *path = lab_path("env");
    char *text;

    assert_ok(fs_read_file(AT_FDCWD, path, 65536, &text, NULL, err));
    return text;
}

/* What a plugin is told: the environment, and the capabilities it declares and no others. */
static void test_told(void **state)
{
    struct kv annotations[] = {{(char *)"kubernetes.io/ingress-bandwidth", (char *)"10M"},
                               {(char *)"kubernetes.io/egress-bandwidth", (char *)"1.5Mi"},
                               {(char *)"x", (char *)"y"}};
    const struct kvs kvs = {annotations, ARRAY_SIZE(annotations)};
    const struct cni_port_mapping ports[] = {
        {"tcp", 80, 8080, ""}, {"udp", 53, 0, ""}, {"udp", 53, 5353, "127.0.0.1"}};
    char *servers[] = {(char *)"10.0.0.10", NULL};
    struct cni_request r = request();
    autofree char *list = NULL;
    autofree char *args = NULL;
    autofree char *result = NULL;
    autofree char *env = NULL;
    autofree char *told = NULL;
    autojson *doc = NULL;

    (void)state;
    r.ports = ports;
    r.n_ports = ARRAY_SIZE(ports);
    r.annotations = &kvs;
    r.dns_servers = servers;
    r.cgroup_parent = "/kubepods/x";
    lab_write("net.d/10.conflist",
              "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"record\","
              "\"mtu\":5,\"capabilities\":"
              "{\"portMappings\":true,\"bandwidth\":true,\"dns\":true,\"cgroupPath\":false,"
              "\"ipRanges\":true}}]}",
              0644);
    cni_reload(cni);
    assert_ok(cni_plan(cni, &r, &list, &args, err));
    /* From here on only what was planned counts. */
    lab_run("rm net.d/10.conflist");
    cni_reload(cni);
    assert_ok(cni_add(cni, list, args, soon(), &result, err));
    doc = recorded();
    assert_null(json_object_get(doc, "capabilities"));
    assert_null(json_object_get(doc, "prevResult"));
    assert_string_equal(json_string_value(json_object_get(doc, "name")), "net");
    assert_string_equal(json_string_value(json_object_get(doc, "cniVersion")), "0.4.0");
    assert_int_equal(json_integer_value(json_object_get(doc, "mtu")), 5);
    told = json_dumps(json_object_get(doc, "runtimeConfig"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(told, "{\"bandwidth\":{\"egressBurst\":4294967295,\"egressRate\":1572864,"
                              "\"ingressBurst\":4294967295,"
                              "\"ingressRate\":10000000},\"dns\":{\"servers\":[\"10.0.0.10\"]},"
                              "\"portMappings\":[{\"containerPort\":80,"
                              "\"hostPort\":8080,\"protocol\":\"tcp\"},{\"containerPort\":53,"
                              "\"hostIP\":\"127.0.0.1\",\"hostPort\":5353,"
                              "\"protocol\":\"udp\"}]}");
    env = recorded_env();
    assert_non_null(strstr(env, "CNI_COMMAND=ADD\n"));
    assert_non_null(strstr(env, "CNI_CONTAINERID=pod1\n"));
    assert_non_null(strstr(env, "CNI_IFNAME=eth0\n"));
    assert_non_null(strstr(env,
                           "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
                           "K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=u-1\n"));
    assert_non_null(strstr(env, "/bin\n"));
    assert_non_null(strstr(env, "PATH=/"));
    assert_null(strstr(env, "HOME="));
}

static void test_bad_requests(void **state)
{
    struct kv rate = {(char *)"kubernetes.io/ingress-bandwidth", (char *)"lots"};
    struct kvs kvs = {&rate, 1};
    const struct cni_port_mapping port = {"icmp", 80, 8080, ""};
    struct cni_request r = request();
    char *list, *args;
    uint64_t v;

    (void)state;
    lab_write(
        "net.d/10.conflist",
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"plugins\":[{\"type\":\"ok\",\"capabilities\":"
        "{\"portMappings\":true,\"bandwidth\":true}}]}",
        0644);
    cni_reload(cni);
    r.pod_name = "a;CNI_IFNAME=x";
    assert_err(cni_plan(cni, &r, &list, &args, err), ERR_INVALID, "K8S_POD_NAME 'a;CNI_IFNAME=x'");
    r = request();
    r.annotations = &kvs;
    assert_err(cni_plan(cni, &r, &list, &args, err), ERR_INVALID,
               "annotation 'kubernetes.io/ingress-bandwidth': 'lots'");
    r = request();
    r.ports = &port;
    r.n_ports = 1;
    assert_err(cni_plan(cni, &r, &list, &args, err), ERR_INVALID, "protocol 'icmp'");
    assert_err(cni_add(cni, "{", "{}", soon(), &args, err), ERR_INVALID,
               "stored network configuration");

    assert_ok(request_parse_rate("1k", &v, err));
    assert_int_equal(v, 1000);
    assert_ok(request_parse_rate("1e3", &v, err));
    assert_int_equal(v, 1000);
    assert_ok(request_parse_rate("1500m", &v, err));
    assert_int_equal(v, 2);
    assert_err(request_parse_rate("", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("-1", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("0", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("0x10", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("nan", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("1P1", &v, err), ERR_INVALID, "rate");
    assert_err(request_parse_rate("9999P", &v, err), ERR_INVALID, "rate");
    lab_run("rm net.d/10.conflist");
    cni_reload(cni);
}

/* The namespace is gone, or a reboot has left a plain file: DEL goes on without it. ADD does not.
 */
static void test_netns_gone(void **state)
{
    autofree char *list = list_of("1.0.0", "record", "");
    autofree char *result = NULL;
    autofree char *file = lab_path("file");
    autofree char *gone =
        xstrdup("{\"id\":\"p\",\"netns\":\"/run/none\",\"ifname\":\"eth0\",\"args\":\"A=1\"}");
    autofree char *plain =
        xasprintf("{\"id\":\"p\",\"netns\":\"%s\",\"ifname\":\"eth0\",\"args\":\"A=1\"}", file);

    (void)state;
    lab_write("file", "", 0644);
    for (int i = 0; i < 2; i++) {
        autofree char *env = NULL;

        assert_ok(cni_del(cni, list, i ? plain : gone, RESULT, soon(), err));
        env = recorded_env();
        assert_non_null(strstr(env, "CNI_NETNS=\n"));
        assert_err(cni_add(cni, list, i ? plain : gone, soon(), &result, err), ERR_STATE,
                   "namespace");
    }
}

static void test_prev_result_of_del(void **state)
{
    autofree char *args = plain_args();

    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const versions[] = {"0.3.1", "0.4.0", "1.1.0"};
        autofree char *list = list_of(versions[i], "record", "");
        autojson *doc = NULL;

        assert_ok(cni_del(cni, list, args, RESULT, soon(), err));
        doc = recorded();
        assert_int_equal(json_object_get(doc, "prevResult") != NULL, i > 0);
        json_decref(doc);
        assert_ok(cni_del(cni, list, args, "", soon(), err));
        doc = recorded();
        assert_null(json_object_get(doc, "prevResult"));
        json_decref(doc);
        /* What is stored may be spoilt; the address must be released all the same. */
        assert_ok(cni_del(cni, list, args, "{", soon(), err));
        doc = NULL;
    }
}

static void test_check(void **state)
{
    autofree char *args = plain_args();
    autofree char *old = list_of("0.3.1", "ok", "");

    (void)state;
    new_log();
    assert_err(cni_check(cni, old, args, RESULT, soon(), err), ERR_UNSUPPORTED,
               "CHECK needs CNI 0.4.0");
    assert_ok(cni_check(cni,
                        "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"disableCheck\":true,"
                        "\"plugins\":[{\"type\":\"ok\"}]}",
                        args, RESULT, soon(), err));
    assert_log("");
}

static void test_gc_and_status(void **state)
{
    char *ids[] = {(char *)"a", (char *)"b", NULL};
    autofree char *told = NULL;
    autojson *doc = NULL;

    (void)state;
    new_log();
    assert_ok(cni_gc(cni, ids, soon(), err)); /* no network: nothing to do */
    lab_write("net.d/10.conflist",
              "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"record\"}]}",
              0644);
    cni_reload(cni);
    assert_ok(cni_gc(cni, ids, soon(), err));
    assert_log("");
    lab_write("net.d/10.conflist",
              "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"record\"},{"
              "\"type\":\"fails\"},{\"type\":\"ok\"}]}",
              0644);
    cni_reload(cni);
    assert_err(cni_gc(cni, ids, soon(), err), ERR_UNAVAILABLE, "plugin 'fails' GC");
    assert_log("GC record\nGC fails\nGC ok\n");
    doc = recorded();
    told = json_dumps(json_object_get(doc, "cni.dev/valid-attachments"),
                      JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(told, "[{\"containerID\":\"a\",\"ifname\":\"eth0\"},{\"containerID\":\"b\","
                              "\"ifname\":\"eth0\"}]");
    lab_run("rm net.d/10.conflist");
    cni_reload(cni);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misbehaviour),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_netns_gone),
        cmocka_unit_test(test_prev_result_of_del),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_gc_and_status),
    };

    return cmocka_run_group_tests_name("chain", tests, setup, teardown);
}
