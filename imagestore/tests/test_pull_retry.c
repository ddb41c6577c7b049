/* SPDX-License-Identifier: Apache-2.0 */
/* pull: what is fetched again, continued or kept when a registry fails half-way, and mirrors. */
#include "imagestore/tests/fixture.h"

#include "imagestore/kept.h"

static void test_stall_resumes(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l = random_layer(f, "stall", "f", 300000);
    (void)put_image(f, "stall", "latest", &l, 1, "");
    f->config.stall_timeout = 300 * NSEC_PER_MSEC;
    l.blob.route->mode = RS_STALL;
    l.blob.route->misbehave = 2;
    autoimage *image = pull(f, image_name(f, "stall"), &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_true(l.blob.route->hits >= 3); /* more where the machine stalls, too */
    assert_int_equal(l.blob.route->ranges, l.blob.route->hits - 1);
}

static void test_truncated_resumes(void **state)
{
    struct fixture *f = *state;
    struct err err;
    static const enum rs_mode modes[] = {RS_TRUNCATE, RS_NO_RANGE};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        autofree char *repo = xasprintf("cut%zu", i);
        struct layer_info l = random_layer(f, repo, repo, 300000);
        (void)put_image(f, repo, "latest", &l, 1, "");
        l.blob.route->mode = modes[i];
        l.blob.route->misbehave = 3;
        autoimage *image = pull(f, image_name(f, repo), &err);
        if (!image)
            fail_msg("%s", err.msg);
        assert_true(l.blob.route->ranges >= 1);
    }
    struct layer_info l = random_layer(f, "badrange", "f", 100000);
    (void)put_image(f, "badrange", "latest", &l, 1, "");
    l.blob.route->mode = RS_WRONG_RANGE;
    autoimage *image = pull(f, image_name(f, "badrange"), &err);
    assert_null(image);
    assert_contains(err.msg, "RegistryUnavailable: ");
}

static void test_server_errors_are_retried(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l = put_file_layer(f, "retry", "f", "x", 1);
    struct image_info info = put_image(f, "retry", "latest", &l, 1, "");
    info.by_tag->fail_status = 503;
    info.by_tag->fail_times = 2;
    l.blob.route->fail_status = 429;
    l.blob.route->fail_times = 1;
    autoimage *image = pull(f, image_name(f, "retry"), &err);
    if (!image)
        fail_msg("%s", err.msg);
    info.by_tag->fail_times = 100;
    assert_int_equal(imagestore_remove(f->store, info.id, &err), 0);
    expect_error(f, image_name(f, "retry"), ERR_UNKNOWN, "status 503");
}

/* Layers that were finished when the registry went away are there for the next try, and no longer
 * than is good. */
static void test_finished_layers_are_kept(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l[3];
    struct tar t = {0};
    tar_add(&t, &(struct tar_entry){.name = "tmp/", .type = '5', .mode = 01777});
    l[0] = put_layer(f, "keep", &t);
    l[1] = put_file_layer(f, "keep", "tmp/made", "x", 1); /* no entry for tmp/ */
    l[2] = random_layer(f, "keep", "f", 30000);
    struct image_info info = put_image(f, "keep", "latest", l, 3, "");
    f->config.parallel_layers = 1;
    for (int round = 0; round < 3; round++) {
        l[2].blob.route->mode = RS_WRONG_RANGE;
        int hits = l[0].blob.route->hits;
        assert_null(pull(f, image_name(f, "keep"), &err));
        assert_true(str_has_prefix(err.msg, "RegistryUnavailable: "));
        assert_int_equal(l[0].blob.route->hits, hits + 1);
        assert_int_equal(count_layers(f), 2);
        struct image_fs_info usage;
        assert_int_equal(imagestore_fs_info(f->store, &usage, &err), 0);
        assert_true(usage.used_inodes >= 2);
        image_fs_info_done(&usage);
        if (round == 0) {
            kept_expire(f->store, KEPT_TIME);
            assert_int_equal(count_layers(f), 2);
            kept_expire(f->store, 0); /* their time is over */
        } else if (round == 1) {
            fixture_close(f); /* a start throws them away */
            fixture_open(f);
        } else {
            break;
        }
        assert_int_equal(count_layers(f), 0);
    }
    assert_null(
        pull(f, image_name(f, "keep"), &err)); /* fails again: still nothing is fetched twice */
    l[2].blob.route->mode = RS_NORMAL;
    autoimage *image = pull(f, image_name(f, "keep"), &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->id, info.id);
    assert_int_equal(l[0].blob.route->hits, 3);
    assert_int_equal(l[1].blob.route->hits, 3);
    assert_int_equal(count_layers(f), 3);
    autofree char *tmp = xasprintf("%s/layers/%s/tmp", f->root, digest_hex(l[1].diff_id));
    struct stat st;
    assert_int_equal(stat(tmp, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01777); /* as the layer below has it */
    fixture_close(f);                            /* now they are like all others */
    fixture_open(f);
    autoimage *found = imagestore_find(f->store, info.id, &err);
    assert_non_null(found);
}

static void write_hosts(struct fixture *f, const char *host, const char *text)
{
    struct err err = ERR_INIT;
    autofree char *dir = path_join(f->certs, host);
    autofree char *file = path_join(dir, "hosts.toml");
    if (fs_mkdirs(dir, 0700, &err) < 0 ||
        fs_write_file(AT_FDCWD, file, text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.msg);
}

static void test_mirror(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l = random_layer(f, "library/thing", "f", 30000);
    (void)put_image(f, "library/thing", "latest", &l, 1, "");
    autofree char *toml =
        xasprintf("[host.\"http://127.0.0.1:1\"]\n[host.\"http://127.0.0.1:%d\"]\n"
                  "capabilities=[\"pull\",\"resolve\"]\n",
                  rs_port(f->rs));
    write_hosts(f, "docker.io", toml);
    autoimage *image = pull(f, "thing", &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->tags[0], "docker.io/library/thing:latest");
    assert_string_equal(rs_find(f->rs, "/v2/library/thing/manifests/latest")->query,
                        "ns=docker.io");
}

/* The first mirror serves wrong bytes of the right length, the second the right ones. */
static void test_wrong_mirror(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct rs *evil = rs_start();
    struct layer_info l = random_layer(f, "m/thing", "f", 30000);
    (void)put_image(f, "m/thing", "latest", &l, 1, "");
    char *bad = keep(f, malloc(l.blob.len));
    memcpy(bad, l.blob.route->body, l.blob.len);
    bad[l.blob.len / 2] ^= 1;
    rs_route(evil, l.blob.route->path, 200, NULL, bad, l.blob.len);
    autofree char *toml =
        xasprintf("server=\"http://127.0.0.1:%d\"\n[host.\"http://127.0.0.1:%d\"]\n",
                  rs_port(f->rs), rs_port(evil));
    write_hosts(f, "_default", toml);
    autoimage *image = pull(f, "quay.example/m/thing", &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->tags[0], "quay.example/m/thing:latest");
    assert_int_equal(rs_find(evil, l.blob.route->path)->hits, 1);
    rs_stop(evil);
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_stall_resumes),
        CASE(test_truncated_resumes),
        CASE(test_server_errors_are_retried),
        CASE(test_finished_layers_are_kept),
        CASE(test_mirror),
        CASE(test_wrong_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
