/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and the directory they come from: versions, names, bounds, bad files, files that are being
 * written. */
#include "cni/tests/lab.h"

#include <sys/stat.h>

#include "base/loop.h"
#include "cni/cni_private.h"

#define GOOD(name, version)                                                                        \
    "{\"cniVersion\":\"" version "\",\"name\":\"" name "\",\"plugins\":[{\"type\":\"bridge\"}]}"

static struct conflist *parse(const char *text, struct err *err)
{
    return conflist_parse(text, strlen(text), "x.conflist", err);
}

static void assert_refused(const char *text, const char *why)
{
    struct err err = ERR_INIT;

    if (parse(text, &err))
        fail_msg("accepted: %s", text);
    if (!strstr(err.msg, why) || !strstr(err.msg, "x.conflist"))
        fail_msg("%s: expected '%s', got '%s'", text, why, err.msg);
}

static void test_versions(void **state)
{
    static const char *const known[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        autofree char *text = xasprintf(
            "{\"cniVersion\":\"%s\",\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}]}", known[i]);
        autoconflist *list = parse(text, &err);

        assert_non_null(list);
        assert_string_equal(list->version_name, known[i]);
        assert_int_equal(list->version, i);
    }
    {
        autoconflist *list =
            parse("{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"9.0.0\",\"1.1.0\",\"1.0.0\"],"
                  "\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}],\"disableCheck\":true}",
                  &err);

        assert_non_null(list);
        assert_int_equal(list->version, CNI_1_1_0);
        assert_true(list->disable_check);
        assert_false(list->disable_gc);
    }
    assert_refused(GOOD("n", "2.0.0"), "cniVersion '2.0.0'");
    assert_refused(GOOD("n", "0.2.0"), "cniVersion '0.2.0'");
    assert_refused("{\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}]}", "'cniVersion' is missing");
    assert_refused("{\"cniVersion\":1,\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}]}",
                   "cniVersion");
}

static void test_shape(void **state)
{
    struct err err = ERR_INIT;
    autostrbuf many = STRBUF_INIT;
    autoconflist *single =
        parse("{\"cniVersion\":\"0.3.1\",\"name\":\"one\",\"type\":\"ptp\",\"mtu\":9}", &err);

    (void)state;
    assert_non_null(single);
    assert_string_equal(single->name, "one");
    assert_int_equal(json_array_size(single->plugins), 1);

    assert_refused("", "x.conflist");
    assert_refused("[]", "not an object");
    assert_refused("\xef\xbb\xbf{}", "x.conflist");
    assert_refused("{\"a\":1,\"a\":2}", "x.conflist");
    assert_refused(GOOD("n", "1.0.0") GOOD("n", "1.0.0"), "x.conflist");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"t\"}]}", "name");
    assert_refused(GOOD("../x", "1.0.0"), "'../x' is not the name of a network");
    assert_refused(GOOD("", "1.0.0"), "name");
    assert_refused(GOOD(".x", "1.0.0"), "name of a network");
    assert_refused(GOOD("a/b", "1.0.0"), "name of a network");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"name\":\"n\"}", "neither 'plugins' nor 'type'");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[]}",
                   "'plugins' is empty");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[1]}",
                   "plugins[0] is not an object");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{}]}", "plugins[0]");
    assert_refused(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"../../bin/sh\"}]}",
        "is not the name of a plugin");
    assert_refused("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"t\","
                   "\"capabilities\":{\"dns\":1}}]}",
                   "capability 'dns'");

    strbuf_adds(&many, "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}");
    for (int i = 0; i < 1000; i++)
        strbuf_adds(&many, ",{\"type\":\"t\"}");
    strbuf_adds(&many, "]}");
    assert_refused(many.s, "1001 plugins are more than 32");
}

static void clean_conf(void)
{
    autofree char *dir = lab_path("net.d");

    assert_ok(fs_remove_tree(AT_FDCWD, dir, err));
    assert_ok(fs_mkdir(AT_FDCWD, dir, 0755, err));
}

static void test_directory(void **state)
{
    autofree char *dir = lab_path("net.d");
    struct conflist_scan scan;

    (void)state;
    assert_err(conflist_scan("/nowhere/net.d", NULL, &scan, err), ERR_NOT_FOUND, "/nowhere/net.d");
    clean_conf();
    assert_ok(conflist_scan(dir, NULL, &scan, err));
    assert_null(scan.list);
    assert_null(scan.skipped);

    lab_write("net.d/00-readme.txt", GOOD("text", "1.0.0"), 0644);
    lab_write("net.d/10-empty.conflist", "", 0644);
    lab_write("net.d/20-half.conf", "{\"cniVersion\":", 0644);
    lab_run("cd net.d && mkdir 30-dir.conflist && ln -s 40-loop.json "
            "40-loop.json &&"
            " mkfifo 50-fifo.conflist && head -c 2000000 /dev/zero > 60-big.json && ln -s nowhere "
            "70-gone.conf");
    lab_write("net.d/80-good.conflist", GOOD("good", "1.0.0"), 0644);
    lab_write("net.d/90-later.conflist", GOOD("later", "1.0.0"), 0644);
    assert_ok(conflist_scan(dir, NULL, &scan, err));
    assert_non_null(scan.list);
    assert_string_equal(scan.list->name, "good");
    assert_string_equal(scan.file, "80-good.conflist");
    assert_int_equal(strv_len(scan.skipped), 7);
    assert_non_null(strstr(scan.skipped[0], "10-empty.conflist"));
    assert_non_null(strstr(scan.skipped[2], "30-dir.conflist"));
    assert_non_null(strstr(scan.skipped[5], "60-big.json"));
    conflist_scan_done(&scan);

    /* The file in use is being written: stay with it; another one's moment of weakness is no
     * matter. */
    lab_write("net.d/80-good.conflist", "{\"cni", 0644);
    assert_ok(conflist_scan(dir, "80-good.conflist", &scan, err));
    assert_true(scan.kept);
    assert_null(scan.list);
    conflist_scan_done(&scan);
    assert_ok(conflist_scan(dir, "90-later.conflist", &scan, err));
    assert_false(scan.kept);
    assert_string_equal(scan.list->name, "later");
    conflist_scan_done(&scan);
}

static void test_many_files(void **state)
{
    autofree char *dir = lab_path("net.d");
    struct conflist_scan scan;

    (void)state;
    clean_conf();
    lab_run("cd net.d && seq -f %05g.conf 10000 | xargs touch");
    lab_write("net.d/99999.conflist", GOOD("last", "1.0.0"), 0644);
    assert_ok(conflist_scan(dir, NULL, &scan, err));
    assert_string_equal(scan.list->name, "last");
    assert_true(strv_len(scan.skipped) <= 16);
    conflist_scan_done(&scan);
}

/* ---------------------------------------------------------- the handle */

static char *bin_dirs[] = {NULL, NULL};

static struct cni_config config_here(void)
{
    bin_dirs[0] = lab_path("bin");
    assert_ok(fs_mkdirs(bin_dirs[0], 0755, err));
    lab_write("bin/bridge", "#!/bin/sh\n", 0755);
    return (struct cni_config){.conf_dir = lab_path("net.d"),
                               .bin_dirs = bin_dirs,
                               .cache_dir = (char *)"",
                               .conf_template = lab_path("template"),
                               .timeout = 5 * NSEC_PER_SEC};
}
static void config_done(struct cni_config *c)
{
    free(c->conf_dir);
    free(c->conf_template);
    free(bin_dirs[0]);
}

static void assert_status(struct cni *cni, bool want, const char *text)
{
    autofree char *why = NULL;

    if (cni_status(cni, &why) != want || (text && !strstr(why, text)))
        fail_msg("status: %s", why ? why : "ready");
}

static void test_status(void **state)
{
    struct cni_config config;
    autofree char *conflist = NULL;
    autofree char *args = NULL;
    struct cni_request request = {.id = "i", .netns = "/n", .ifname = "eth0"};
    struct err e = ERR_INIT;
    struct cni *cni;

    (void)state;
    clean_conf();
    config = config_here();
    cni = cni_open(&config, lab_dir, NULL, &e);
    assert_non_null(cni);
    assert_status(cni, false, "no network configuration in");
    assert_err(cni_plan(cni, &request, &conflist, &args, err), ERR_UNAVAILABLE,
               "no network configuration in");

    lab_write("net.d/10.conflist", "{", 0644);
    cni_reload(cni);
    assert_status(cni, false, "10.conflist");
    lab_write("net.d/10.conflist", GOOD("n", "1.0.0"), 0644);
    cni_reload(cni);
    assert_status(cni, true, NULL);
    lab_write("net.d/10.conflist", "{", 0644);
    cni_reload(cni);
    assert_status(cni, true, NULL);
    lab_run("rm net.d/10.conflist");
    cni_reload(cni);
    assert_status(cni, false, "no network configuration in");

    lab_run("chmod 644 bin/bridge");
    lab_write("net.d/10.conflist", GOOD("n", "1.0.0"), 0644);
    cni_reload(cni);
    assert_status(cni, false, "plugin 'bridge'");
    lab_run("rm bin/bridge");
    lab_write("net.d/10.conflist", GOOD("m", "1.0.0"), 0644);
    cni_reload(cni);
    assert_status(cni, false, "network 'm': plugin 'bridge': not installed in");
    cni_close(cni);
    config_done(&config);
}

/* One STATUS that fails is no reason to send all pods away, three are, and one good one is enough
 * to come back. */
static void test_hysteresis(void **state)
{
    struct cni_config config;
    struct err e = ERR_INIT;
    struct cni *cni;

    (void)state;
    clean_conf();
    config = config_here();
    lab_write("net.d/10.conflist", GOOD("n", "1.1.0"), 0644);
    lab_write("bin/bridge",
              "#!/bin/sh\ntest -e $CNI_PATH/well && exit 0\n"
              "echo '{\"cniVersion\":\"1.1.0\",\"code\":50,\"msg\":\"agent is down\"}'; exit 1\n",
              0755);
    lab_write("bin/well", "", 0644);
    cni = cni_open(&config, lab_dir, NULL, &e);
    assert_non_null(cni);
    cni_refresh(cni);
    assert_status(cni, true, NULL);
    lab_run("rm bin/well");
    cni_refresh(cni);
    assert_status(cni, true, NULL);
    cni_refresh(cni);
    assert_status(cni, true, NULL);
    cni_refresh(cni);
    assert_status(cni, false, "network 'n': plugin 'bridge' STATUS: agent is down (code 50)");
    lab_write("bin/well", "", 0644);
    cni_refresh(cni);
    assert_status(cni, true, NULL);
    cni_close(cni);
    config_done(&config);
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static bool wait_status(struct cni *cni, bool want, int ms)
{
    for (int i = 0; i < ms / 10; i++) {
        if (cni_status(cni, NULL) == want)
            return true;
        usleep(10000);
    }
    return false;
}

static void test_watch(void **state)
{
    struct cni_config config;
    struct err e = ERR_INIT;
    struct loop *loop = loop_new(&e);
    pthread_t thread;
    struct cni *cni;

    (void)state;
    clean_conf();
    config = config_here();
    assert_non_null(loop);
    cni = cni_open(&config, lab_dir, loop, &e);
    assert_non_null(cni);
    assert_ok(thread_start("loop", run_loop, loop, &thread, err));
    assert_status(cni, false, NULL);
    lab_run("cd net.d && echo '" GOOD("n", "1.0.0") "' > .tmp && mv .tmp 10.conflist");
    assert_true(wait_status(cni, true, 5000));
    lab_run("rm net.d/10.conflist");
    assert_true(wait_status(cni, false, 5000));
    lab_run("echo '" GOOD("n", "1.0.0") "' > net.d/10.conflist");
    assert_true(wait_status(cni, true, 5000));
    /* The plugin goes and comes back without any change of the configuration. */
    lab_run("mv bin/bridge bin/away");
    assert_true(wait_status(cni, false, 15000));
    lab_run("mv bin/away bin/bridge");
    assert_true(wait_status(cni, true, 15000));
    loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    cni_close(cni);
    config_done(&config);
}

static void test_template(void **state)
{
    struct cni_config config;
    autofree char *out = lab_path("net.d/10-unicri.conflist");
    autofree char *text = NULL;
    struct err e = ERR_INIT;
    struct cni *cni;

    (void)state;
    clean_conf();
    config = config_here();
    cni = cni_open(&config, lab_dir, NULL, &e);
    assert_non_null(cni);
    assert_err(cni_set_pod_cidr(cni, "10.1.0.0/24", err), ERR_NOT_FOUND, "template");
    lab_write("template",
              "{\"cniVersion\":\"1.0.0\",\"name\":\"t\",\"plugins\":[{\"type\":\"bridge\","
              "\"first\":\"{{.PodCIDR}}\","
              "\"ranges\":{{.PodRanges}},\"routes\":{{.PodRoutes}}}]}",
              0644);
    assert_err(cni_set_pod_cidr(cni, "10.1.0.0", err), ERR_INVALID, "10.1.0.0");
    assert_err(cni_set_pod_cidr(cni, "10.1.0.0/33", err), ERR_INVALID, "prefix length");
    assert_err(cni_set_pod_cidr(cni, "x\"}/24", err), ERR_INVALID, "not an IP");
    assert_err(cni_set_pod_cidr(cni, "10.1.0.0/24,", err), ERR_INVALID, "not a list");
    assert_int_equal(access(out, F_OK), -1);
    assert_ok(cni_set_pod_cidr(cni, "10.1.0.0/24,fd00:1::/64", err));
    assert_ok(fs_read_file(AT_FDCWD, out, 4096, &text, NULL, err));
    assert_non_null(strstr(text, "\"first\":\"10.1.0.0/24\""));
    assert_non_null(
        strstr(text, "\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"}],[{\"subnet\":\"fd00:1::/64\"}]]"));
    assert_non_null(strstr(text, "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]"));
    assert_status(cni, true, NULL);
    lab_write("template", "{{.Nonsense}}", 0644);
    assert_err(cni_set_pod_cidr(cni, "10.2.0.0/24", err), ERR_INVALID, "{{.Nonsense}}");
    /* Somebody else's network comes first: hands off. */
    lab_write("net.d/05-other.conflist", GOOD("other", "1.0.0"), 0644);
    cni_reload(cni);
    assert_ok(cni_set_pod_cidr(cni, "10.2.0.0/24", err));
    cni_close(cni);
    config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),  cmocka_unit_test(test_shape),
        cmocka_unit_test(test_directory), cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_status),    cmocka_unit_test(test_hysteresis),
        cmocka_unit_test(test_watch),     cmocka_unit_test(test_template),
    };

    return cmocka_run_group_tests_name("conflist", tests, lab_setup, lab_teardown);
}
