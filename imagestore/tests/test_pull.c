/* SPDX-License-Identifier: Apache-2.0 */
/* pull: good registries, bad ones, and many callers at once. */
#include "imagestore/tests/fixture.h"

#include <pthread.h>

#include "base/thread.h"

static void test_simple(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l[2] = {put_file_layer(f, "a/b", "etc/one", "1", 1),
                              put_file_layer(f, "a/b", "etc/two", "22", 2)};
    struct image_info info =
        put_image(f, "a/b", "latest", l, 2,
                  "\"Entrypoint\":[\"/"
                  "x\"],\"Env\":[\"A=b\",\"=bad\"],\"User\":\"7\",\"Labels\":{\"k\":\"v\"}");
    const char *name = image_name(f, "a/b");
    autoimage *image = pull(f, name, &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->id, info.id);
    assert_int_equal(strv_len(image->tags), 1);
    autofree char *tag = xasprintf("%s:latest", name);
    autofree char *digest = xasprintf("%s@%s", name, info.manifest);
    assert_string_equal(image->tags[0], tag);
    assert_string_equal(image->digests[0], digest);
    assert_string_equal(image->config.entrypoint[0], "/x");
    assert_int_equal(strv_len(image->config.env), 1);
    assert_string_equal(kvs_get(&image->config.labels, "k"), "v");
    assert_true(image->size > l[0].blob.len + l[1].blob.len);
    autofree char *two = read_image_file(f, image, "/etc/two", &err);
    assert_string_equal(two, "22");
    const char *const names[] = {name, tag, digest, info.id, digest_hex(info.id)};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autoimage *found = imagestore_find(f->store, names[i], &err);
        assert_non_null(found);
    }
    autofree char *prefix = xstrndup(digest_hex(info.id), 6);
    autoimage *found = imagestore_find(f->store, prefix, &err);
    assert_non_null(found);
    /* again: a HEAD and nothing more */
    int hits = rs_hits(f->rs);
    autoimage *again = pull(f, name, &err);
    assert_non_null(again);
    assert_int_equal(rs_hits(f->rs), hits + 1);
    /* and after a restart */
    fixture_close(f);
    fixture_open(f);
    autoimage *kept = imagestore_find(f->store, tag, &err);
    assert_non_null(kept);
    assert_string_equal(kept->id, info.id);
    assert_int_equal(imagestore_remove(f->store, tag, &err), 0);
    assert_int_equal(count_layers(f), 0);
    assert_int_equal(imagestore_remove(f->store, tag, &err), 0);
}

static void test_digest_pull_and_index(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info l = put_file_layer(f, "idx", "f", "x", 1);
    struct image_info inner = put_image(f, "idx", "inner", &l, 1, "");
    struct image_info index = {0};
    autofree char *text = xasprintf(
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
        "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":1,"
        "\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}},{\"mediaType\":\"" OCI_MANIFEST
        "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":"
        "\"amd64\"},"
        "\"annotations\":{\"from\":\"index\"}}]}",
        l.diff_id, inner.manifest, inner.by_digest->len);
    put_manifest(f, "idx", "multi", OCI_INDEX, text, &index);
    autofree char *name = xasprintf("%s@%s", image_name(f, "idx"), index.manifest);
    autoimage *image = pull(f, name, &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->id, inner.id);
    assert_null(image->tags);
    assert_int_equal(strv_len(image->digests), 1);
    assert_string_equal(image->digests[0], name);
    assert_string_equal(kvs_get(&image->annotations, "from"), "index");
    /* the same image by a tag of another repository: one id, all names */
    struct layer_info l2 = put_file_layer(f, "other", "f", "x", 1);
    struct image_info same = put_image(f, "other", "v1", &l2, 1, "");
    assert_string_equal(same.id, inner.id);
    autofree char *other = xasprintf("%s:v1", image_name(f, "other"));
    autoimage *both = pull(f, other, &err);
    assert_non_null(both);
    assert_string_equal(both->id, image->id);
    assert_int_equal(strv_len(both->tags), 1);
    assert_int_equal(strv_len(both->digests), 2);
    struct image **list = NULL;
    size_t n = imagestore_list(f->store, &list);
    assert_int_equal(n, 1);
    image_list_free(list, n);
}

static void test_tag_moves(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct layer_info a = put_file_layer(f, "mv", "f", "a", 1),
                      b = put_file_layer(f, "mv", "f", "b", 1);
    struct image_info one = put_image(f, "mv", "t", &a, 1, "");
    autofree char *name = xasprintf("%s:t", image_name(f, "mv"));
    autoimage *first = pull(f, name, &err);
    assert_non_null(first);
    struct image_info two = put_image(f, "mv", "t", &b, 1, "");
    autoimage *second = pull(f, name, &err);
    assert_non_null(second);
    assert_string_equal(second->id, two.id);
    autoimage *old = imagestore_find(f->store, one.id, &err);
    assert_non_null(old);
    assert_int_equal(strv_len(old->tags), 0);
    fixture_close(f);
    fixture_open(f);
    autoimage *found = imagestore_find(f->store, name, &err);
    assert_string_equal(found->id, two.id);
}

static void test_no_layers(void **state)
{
    struct fixture *f = *state;
    struct err err;
    (void)put_image(f, "empty", "latest", NULL, 0, "\"Cmd\":[\"x\"]");
    autoimage *image = pull(f, image_name(f, "empty"), &err);
    if (!image)
        fail_msg("%s", err.msg);
    assert_null(read_image_file(f, image, "/x", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    autofree char *dir = path_join(f->dir, "c0");
    if (rootfs_mount(f->store, image, dir, -1, &err) < 0 || rootfs_unmount(f->store, dir, &err) < 0)
        fail_msg("%s", err.msg);
}

/* ------------------------------------------------------------ bad registries */

static void test_not_found(void **state)
{
    struct fixture *f = *state;
    expect_error(f, image_name(f, "nothing:v9"), ERR_NOT_FOUND, "nothing");
    expect_error(f, "127.0.0.1:1/none", ERR_UNKNOWN, "RegistryUnavailable: ");
    expect_error(f, "a/UPPER", ERR_INVALID, "a/UPPER");
}

static void test_html(void **state)
{
    struct fixture *f = *state;
    rs_route(f->rs, "/v2/page/manifests/latest", 200, "text/html; charset=utf-8", "<html>", 6);
    expect_error(f, image_name(f, "page"), ERR_INVALID, "HTML");
}

static void test_wrong_content(void **state)
{
    struct fixture *f = *state;
    struct layer_info l = random_layer(f, "wrong", "f", 50000);
    struct image_info info = put_image(f, "wrong", "latest", &l, 1, "");
    /* another layer under this digest */
    char *bad = keep(f, malloc(l.blob.len));
    memset(bad, 'x', l.blob.len);
    l.blob.route->body = bad;
    expect_error(f, image_name(f, "wrong"), ERR_CORRUPT, "layer");
    struct layer_info other = random_layer(f, "wrong2", "g", 50000);
    l.blob.route->body = other.blob.route->body;
    l.blob.route->len = other.blob.route->len;
    expect_error(f, image_name(f, "wrong"), ERR_CORRUPT, "layer");
    /* a config of other content, a manifest whose header lies */
    info.config.route->body = bad;
    expect_error(f, image_name(f, "wrong"), ERR_CORRUPT, "has digest");
    info.by_tag->headers = "Docker-Content-Digest: sha256:"
                           "0000000000000000000000000000000000000000000000000000000000000000\r\n";
    expect_error(f, image_name(f, "wrong"), ERR_CORRUPT, "header says");
}

static void test_wrong_diff_id(void **state)
{
    struct fixture *f = *state;
    struct layer_info l = put_file_layer(f, "diff", "f", "x", 1);
    memset(l.diff_id + 10, '0', 20);
    (void)put_image(f, "diff", "latest", &l, 1, "");
    expect_error(f, image_name(f, "diff"), ERR_CORRUPT, "config says");
}

static void test_wrong_count(void **state)
{
    struct fixture *f = *state;
    struct layer_info l[2] = {put_file_layer(f, "count", "f", "x", 1),
                              put_file_layer(f, "count", "g", "y", 1)};
    struct image_info one = put_image(f, "count", "one", l, 1, "");
    autofree char *text = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
                                    "vnd.oci.image.config.v1+json\","
                                    "\"digest\":\"%s\",\"size\":%zu},\"layers\":[]}",
                                    one.id, one.config.len);
    struct image_info lie = {0};
    put_manifest(f, "count", "latest", OCI_MANIFEST, text, &lie);
    expect_error(f, image_name(f, "count"), ERR_INVALID, "0 layers, its config 1");
}

static void test_too_large(void **state)
{
    struct fixture *f = *state;
    size_t n = (4 << 20) + 1;
    char *big = keep(f, malloc(n));
    memset(big, ' ', n);
    rs_route(f->rs, "/v2/big/manifests/latest", 200, OCI_MANIFEST, big, n);
    expect_error(f, image_name(f, "big"), ERR_EXHAUSTED, "larger than");
}

static void test_clocks(void **state)
{
    struct fixture *f = *state;
    struct layer_info l = random_layer(f, "slow", "f", 20000);
    struct image_info info = put_image(f, "slow", "latest", &l, 1, "");
    l.blob.route->mode = RS_TRICKLE;
    f->config.stall_timeout = 300 * NSEC_PER_MSEC;
    expect_error(f, image_name(f, "slow"), ERR_UNKNOWN, "RegistryUnavailable: ");
    l.blob.route->mode = RS_NORMAL;
    info.by_tag->mode = RS_SLOW_HEADER;
    f->config.header_timeout = f->config.connect_timeout = 300 * NSEC_PER_MSEC;
    expect_error(f, image_name(f, "slow"), ERR_UNKNOWN, "header time");
    f->config.header_timeout = f->config.connect_timeout = 20 * NSEC_PER_SEC;
    info.by_tag->mode = RS_HEADER_FLOOD;
    expect_error(f, image_name(f, "slow"), ERR_EXHAUSTED, "headers");
}

/* -------------------------------------------------------------- mirrors */

/* ------------------------------------------------------------------ jobs */

struct caller {
    struct fixture *f;
    const char *name;
    struct image *image;
    struct err err;
};

static void *call_pull(void *arg)
{
    struct caller *c = arg;
    c->image = pull(c->f, c->name, &c->err);
    return NULL;
}

static void test_hundred_callers(void **state)
{
    struct fixture *f = *state;
    enum { N = 100 };
    struct layer_info l = random_layer(f, "many", "f", 100000);
    struct image_info info = put_image(f, "many", "latest", &l, 1, "");
    info.by_tag->mode = RS_SLOW;
    struct caller c[N];
    pthread_t t[N];
    for (size_t i = 0; i < N; i++) {
        struct err err = ERR_INIT;
        c[i] = (struct caller){.f = f, .name = image_name(f, "many")};
        if (thread_start("caller", call_pull, &c[i], &t[i], &err) < 0)
            fail_msg("%s", err.msg);
    }
    for (size_t i = 0; i < N; i++) {
        (void)pthread_join(t[i], NULL);
        if (!c[i].image)
            fail_msg("%s", c[i].err.msg);
        assert_string_equal(c[i].image->id, info.id);
        image_unref(c[i].image);
    }
    assert_int_equal(l.blob.route->hits, 1);
    assert_int_equal(count_layers(f), 1);
}

static bool gone(void *arg)
{
    (void)arg;
    return true;
}

static void test_client_leaves(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = random_layer(f, "leave", "f", 100000);
    struct image_info info = put_image(f, "leave", "latest", &l, 1, "");
    info.by_tag->mode = RS_SLOW;
    const char *name = image_name(f, "leave");
    assert_null(
        imagestore_pull(f->store, name, NULL, deadline_in(NSEC_PER_MSEC), NULL, NULL, &err));
    assert_int_equal(err.code, ERR_DEADLINE);
    assert_null(imagestore_pull(f->store, name, NULL, DEADLINE_NEVER, gone, NULL, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    deadline_t until = deadline_in(20 * NSEC_PER_SEC);
    autoimage *image = NULL;
    while (!image && !deadline_passed(until)) {
        image = imagestore_find(f->store, name, &err);
        clock_sleep_until(deadline_in(20 * NSEC_PER_MSEC));
    }
    assert_non_null(image); /* the pull went on without them */
    assert_int_equal(l.blob.route->hits, 1);
}

static void test_close_during_pull(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct layer_info l = random_layer(f, "closing", "f", 100000);
    (void)put_image(f, "closing", "latest", &l, 1, "");
    l.blob.route->mode = RS_STALL;
    f->config.stall_timeout = 60 * NSEC_PER_SEC;
    assert_null(imagestore_pull(f->store, image_name(f, "closing"), NULL,
                                deadline_in(300 * NSEC_PER_MSEC), NULL, NULL, &err));
    nsec_t start = clock_mono();
    fixture_close(f);
    assert_true(clock_mono() - start < 20 * NSEC_PER_SEC);
    assert_int_equal(count_layers(f), 0);
    fixture_open(f);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct layer_info l[3] = {random_layer(f, "lim", "f", 100000),
                              random_layer(f, "lim", "g", 100000),
                              random_layer(f, "lim", "h", 100000)};
    (void)put_image(f, "lim", "latest", l, 3, "");
    f->config.max_layers = 2;
    expect_error(f, image_name(f, "lim"), ERR_EXHAUSTED, "more than 2");
    f->config.max_layers = 10;
    f->config.max_image_bytes = 250000;
    expect_error(f, image_name(f, "lim"), ERR_EXHAUSTED, "than 250000 bytes");
    /* a gzip bomb: 64 MiB of zeros */
    f->config.max_image_bytes = 1 << 20;
    size_t n = 64 << 20;
    char *zeros = calloc(1, n);
    struct layer_info bomb = put_file_layer(f, "bomb", "z", zeros, n);
    free(zeros);
    (void)put_image(f, "bomb", "latest", &bomb, 1, "");
    expect_error(f, image_name(f, "bomb"), ERR_EXHAUSTED, "too large");
}

static void test_bad_layer_is_named(void **state)
{
    struct fixture *f = *state;
    struct tar t = {0};
    tar_add(&t, &(struct tar_entry){.name = "../evil", .type = '0'});
    struct layer_info l = put_layer(f, "evil", &t);
    (void)put_image(f, "evil", "latest", &l, 1, "");
    expect_error(f, image_name(f, "evil"), ERR_INVALID, "../evil");
}

/* Everything the child's filter must let through: directories replaced, links, whiteouts, odd
 * files. */
static void test_confined_child_can(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct tar t = {0};
    static const struct tar_entry entries[] = {
        {.name = "./", .type = '5', .mode = 0755},
        {.name = "d/e/f", .type = '0', .data = "x", .len = 1},
        {.name = "d/e/g/h", .type = '0'},
        {.name = "d", .type = '2', .link = "elsewhere"},
        {.name = "p", .type = '6'},
        {.name = "s/", .type = '5', .mode = 01777, .uid = 1, .mtime = 5},
        {.name = "s/.wh..wh..opq", .type = '0'},
        {.name = "s/.wh.a", .type = '0'},
        {.name = "s/su", .type = '0', .mode = 06755, .uid = 1000, .data = "y", .len = 1},
        {.name = "s/hard", .type = '1', .link = "s/su"},
        {.name = "s", .type = '0', .data = "file", .len = 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        tar_add(&t, &entries[i]);
    tar_pax(&t, "SCHILY.xattr.user.a", "v", 1);
    tar_add(&t, &(struct tar_entry){.name = "x", .type = '0'});
    struct layer_info l = put_layer(f, "can", &t);
    (void)put_image(f, "can", "latest", &l, 1, "");
    static const int64_t uids[] = {0, 65534};
    for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
        f->config.unpack_uid = uids[i];
        autoimage *image = pull(f, image_name(f, "can"), &err);
        if (!image)
            fail_msg("%s", err.msg);
        autofree char *text = read_image_file(f, image, "/s", &err);
        assert_string_equal(text, "file");
        assert_int_equal(imagestore_remove(f->store, image->id, &err), 0);
    }
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_simple),
        CASE(test_confined_child_can),
        CASE(test_digest_pull_and_index),
        CASE(test_tag_moves),
        CASE(test_no_layers),
        CASE(test_not_found),
        CASE(test_html),
        CASE(test_wrong_content),
        CASE(test_wrong_diff_id),
        CASE(test_wrong_count),
        CASE(test_too_large),
        CASE(test_clocks),
        CASE(test_hundred_callers),
        CASE(test_client_leaves),
        CASE(test_close_during_pull),
        CASE(test_limits),
        CASE(test_bad_layer_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
