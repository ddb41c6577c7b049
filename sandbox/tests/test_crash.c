/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at every step of every step table: a child process drives a pod through its life and is
 * killed at one fault point; then an engine is opened over what it left, the request is repeated as
 * a client would, and the pod removed. The census must be empty: cgroups, namespaces, mounts,
 * files, leases, monitors.
 */
#include "sandbox/tests/fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/strbuf.h"

#define SCRIPT "echo alive; while :; do sleep 1; done"

/* The life of a pod, as far as it goes. Errors do not matter here: the next step is tried all the
 * same. */
static void live(struct fixture *f, bool to_the_end)
{
    struct pod_spec *spec = fixture_pod(f, "crash", true);
    struct container_spec *c;
    struct err err = ERR_INIT;
    char pod[65] = "", id[65] = "";

    spec->ns.pid = NS_POD;
    if (pod_run(f->engine, spec, NULL, pod, &err) == 0) {
        c = fixture_container(pod, "c", SCRIPT);
        if (container_create(f->engine, c, NULL, id, &err) == 0 &&
            container_start(f->engine, id, NULL, &err) == 0 && to_the_end) {
            if (container_stop(f->engine, id, 0, NULL, &err) < 0 ||
                container_remove(f->engine, id, NULL, &err) < 0 ||
                pod_stop(f->engine, pod, NULL, &err) < 0 ||
                pod_remove(f->engine, pod, NULL, &err) < 0)
                print_message("%s\n", err.msg);
        }
        container_spec_free(c);
    }
    pod_spec_free(spec);
}

/* Returns: whether the fault point was passed. */
static bool crash_at(struct fixture *f, const char *point)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        autofree char *fault = xasprintf("%s=kill", point);

        fixture_open(f);
        fault_set(fault);
        live(f, true);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void retry_and_remove(struct fixture *f, const char *point)
{
    struct pod_spec *spec = fixture_pod(f, "crash", true);
    struct container_spec *c;
    struct container_view v;
    struct err err = ERR_INIT;
    char pod[65], id[65];

    spec->ns.pid = NS_POD;
    if (pod_run(f->engine, spec, NULL, pod, &err) < 0)
        fail_msg("%s: retry of the pod: %s", point, err.msg);
    c = fixture_container(pod, "c", SCRIPT);
    if (container_create(f->engine, c, NULL, id, &err) < 0)
        fail_msg("%s: retry of the container: %s", point, err.msg);
    if (container_get(f->engine, id, &v, &err) == 0) {
        /* Found as it was left, at any stage; one that was not started yet can be. */
        if (v.state == CONTAINER_CREATED && container_start(f->engine, id, NULL, &err) < 0)
            fail_msg("%s: retry of the start: %s", point, err.msg);
        container_view_done(&v);
    }
    if (pod_stop(f->engine, pod, NULL, &err) < 0 || pod_remove(f->engine, pod, NULL, &err) < 0)
        fail_msg("%s: removal: %s", point, err.msg);
    container_spec_free(c);
    pod_spec_free(spec);
}

static void every_step(void **state)
{
    static const char *const points[] = {
        "pod.cgroup",          "pod.netns",         "pod.network",      "pod.room",
        "container.directory", "container.rootfs",  "container.bundle", "container.cgroup",
        "container.link",      "container.monitor",
    };
    static const char *const when[] = {"before", "after", "undo"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        for (size_t j = 0; j < ARRAY_SIZE(when); j++) {
            autofree char *point = xasprintf("%s.%s", points[i], when[j]);

            if (!crash_at(f, point))
                fail_msg("%s was not passed", point);
            fixture_open(f);
            retry_and_remove(f, point);
            fixture_assert_clean(f);
            fixture_close(f);
        }
}

/* A step that fails instead: everything is undone at once and the error names the step. */
static void every_failure(void **state)
{
    static const struct {
        const char *point;
        bool at_start;
    } points[] = {
        {"pod.cgroup.after", false},       {"pod.netns.before", false},
        {"pod.network.before", false},     {"pod.network.after", false},
        {"container.rootfs.after", false}, {"container.bundle.after", false},
        {"container.cgroup.after", true},  {"container.monitor.after", true},
    };
    struct fixture *f = *state;

    fixture_open(f);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        struct pod_spec *spec = fixture_pod(f, "fail", true);
        struct err err = ERR_INIT;
        char pod[65] = "", id[65] = "";
        autofree char *fault = xasprintf("%s=ENOSPC", points[i].point);
        struct container_spec *c;
        int rc;

        fault_set(fault);
        rc = pod_run(f->engine, spec, NULL, pod, &err);
        if (rc == 0) {
            c = fixture_container(pod, "c", SCRIPT);
            rc = container_create(f->engine, c, NULL, id, &err);
            if (points[i].at_start) {
                assert_int_equal(rc, 0);
                rc = container_start(f->engine, id, NULL, &err);
            }
            container_spec_free(c);
        }
        fault_set(NULL);
        assert_int_equal(rc, -1);
        assert_int_equal(err.code, ERR_EXHAUSTED);
        if (*pod) {
            assert_ok(pod_stop(f->engine, pod, NULL, &err), err);
            assert_ok(pod_remove(f->engine, pod, NULL, &err), err);
        }
        fixture_assert_clean(f);
        pod_spec_free(spec);
    }
}

/* The daemon dies while a workload runs, and the row says that the node was rebooted since. */
static void reboot(void **state)
{
    struct fixture *f = *state;
    struct pod_view pod;
    struct pod_view *pods;
    struct container_view *containers;
    struct err err = ERR_INIT;

    fixture_open(f);
    live(f, false);
    assert_ok(db_meta_set(f->db, "boot", "another-boot", &err), err);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(pod_list(f->engine, NULL, &pods), 1);
    assert_int_equal(pods[0].state, POD_NOTREADY);
    assert_int_equal(container_list(f->engine, NULL, &containers), 1);
    assert_int_equal(containers[0].state, CONTAINER_EXITED);
    assert_string_equal(containers[0].reason, "NodeRebooted");
    assert_ok(pod_remove(f->engine, pods[0].id, NULL, &err), err);
    assert_err(pod_get(f->engine, pods[0].id, &pod, &err), err, ERR_NOT_FOUND, "no such");
    container_views_free(containers, 1);
    pod_views_free(pods, 1);
    fixture_assert_clean(f);
}

/* A plugin that fails on DEL does not hold the pod: the debt is kept and paid later. */
static void owed_del(void **state)
{
    struct fixture *f = *state;
    struct pod_spec *spec = fixture_pod(f, "debt", true);
    autofree char *plugin = xasprintf("%s/bin/flaky", f->dir), *dir = xasprintf("%s/bin", f->dir),
                  *list = xasprintf("%s/net.d/10-test.conflist", f->dir);
    autofree char *text = xasprintf("#!/bin/sh\nif [ \"$CNI_COMMAND\" = DEL ] && [ ! -e %s/heal ]; "
                                    "then\necho '{\"cniVersion\":\"1.0.0\",\"code\":11,"
                                    "\"msg\":\"agent is away\"}'\nexit 1\nfi\ncat >/dev/null\necho "
                                    "'{\"cniVersion\":\"1.0.0\",\"interfaces\":"
                                    "[{\"name\":\"eth0\",\"sandbox\":\"x\"}],\"ips\":[{\"address\":"
                                    "\"10.93.0.9/24\",\"interface\":0}]}'\n",
                                    f->dir);
    const char *conf =
        "{\"cniVersion\":\"1.0.0\",\"name\":\"flaky\",\"plugins\":[{\"type\":\"flaky\"}]}";
    autofree char *heal = xasprintf("%s/heal", f->dir);
    struct err err = ERR_INIT;
    char pod[65];

    assert_ok(fs_mkdirs(dir, 0755, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, plugin, text, strlen(text), 0755, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, list, conf, strlen(conf), 0644, &err), err);
    strv_push(&f->cni_config.bin_dirs, dir);
    fixture_open(f);
    assert_ok(pod_run(f->engine, spec, NULL, pod, &err), err);
    assert_ok(pod_stop(f->engine, pod, NULL, &err), err);
    assert_ok(pod_remove(f->engine, pod, NULL, &err), err);

    autofree char *census = engine_census(f->engine);

    assert_non_null(strstr(census, "\"owed_dels\":1"));
    fixture_close(f);
    assert_ok(fs_write_file(AT_FDCWD, heal, "", 0, 0644, &err), err);
    fixture_open(f);
    fixture_assert_clean(f);
    pod_spec_free(spec);
}

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(every_step),
        T(every_failure),
        T(reboot),
        T(owed_del),
    };

    log_set_level(LOG_LEVEL_ERROR);
    if (!fixture_isolate() || !fixture_have("runc") || !fixture_have("busybox"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
