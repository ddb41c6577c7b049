/* SPDX-License-Identifier: Apache-2.0 */
/* kraftkit: unikernel images as KraftKit pushes them: an index of hypervisors, plain tars of one
 * file each, kernel and initrd named on the layers. */
#include "imagestore/tests/fixture.h"

/* A layer that is not compressed. */
static struct layer_info put_plain(struct fixture *f, const char *name, const char *data)
{
    struct tar t = {0};
    struct layer_info l;

    tar_add(&t, &(struct tar_entry){.name = name, .type = '0', .data = data, .len = strlen(data)});
    tar_end(&t);
    digest_of(t.data, t.len, l.diff_id);
    l.blob = put_blob(f, "kraft", t.data, t.len);
    tar_done(&t);
    return l;
}

/* The manifest of one platform; returns its entry in the index, kept. */
static const char *put_platform(struct fixture *f, const char *os)
{
    autofree char *content = xasprintf("kernel of %s", os);
    struct layer_info kernel = put_plain(f, "unikraft/bin/kernel", content);
    struct layer_info initrd = put_plain(f, "unikraft/bin/initrd", "070701");
    struct image_info image = {0};
    autofree char *config =
        xasprintf("{\"os\":\"%s\",\"architecture\":\"x86_64\",\"os.version\":\"0.17.0\",\"config\":"
                  "{\"Cmd\":[\"-p\","
                  "\"80\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"]}}",
                  os, kernel.diff_id, initrd.diff_id);
    struct blob_info c = put_blob(f, "kraft", config, strlen(config));
    autofree char *manifest = xasprintf(
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST
        "\",\"config\":{\"mediaType\":\"application/"
        "vnd.oci.image.config.v1+json\",\"digest\":\"%s\","
        "\"size\":%zu},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
        "\"digest\":\"%s\",\"size\":%zu,\"annotations\":{\"org.unikraft.kernel.image\":"
        "\"/unikraft/bin/kernel\",\"other\":\"x\"}},{\"mediaType\":"
        "\"application/"
        "vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":{"
        "\"org.unikraft.kernel.initrd\":\"/unikraft/bin/initrd\"}}],\"annotations\":{"
        "\"org.unikraft.image.name\":\"helloworld\"}}",
        c.digest, c.len, kernel.blob.digest, kernel.blob.len, initrd.blob.digest, initrd.blob.len);

    put_manifest(f, "kraft", os, OCI_MANIFEST, manifest, &image);
    return keep(f,
                xasprintf("{\"mediaType\":\"" OCI_MANIFEST
                          "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"%s\","
                          "\"architecture\":\"x86_64\"},\"annotations\":{\"sh.kraftkit.version\":"
                          "\"0.9\"}}",
                          image.manifest, strlen(manifest), os));
}

static struct image *pull_index(struct fixture *f, const char *a, const char *b, struct err *err)
{
    struct image_info info = {0};
    autofree char *index = xasprintf(
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[%s,%s]}", a, b);

    put_manifest(f, "kraft", "latest", OCI_INDEX, index, &info);
    return pull(f, image_name(f, "kraft"), err);
}

static void test_chosen(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = pull_index(f, put_platform(f, "xen"), put_platform(f, "fc"), &err);

    if (!image)
        fail_msg("%s", err.msg);
    autofree char *kernel =
        read_image_file(f, image, kvs_get(&image->annotations, "org.unikraft.kernel.image"), &err);
    autofree char *initrd =
        read_image_file(f, image, kvs_get(&image->annotations, "org.unikraft.kernel.initrd"), &err);

    assert_non_null(kernel);
    assert_non_null(initrd);
    assert_string_equal(kernel, "kernel of fc");
    assert_string_equal(initrd, "070701");
    assert_string_equal(image->config.os, "fc");
    assert_string_equal(image->config.os_version, "0.17.0");
    assert_string_equal(image->config.cmd[1], "80");
    assert_string_equal(kvs_get(&image->annotations, "org.unikraft.image.name"), "helloworld");
    assert_string_equal(kvs_get(&image->annotations, "sh.kraftkit.version"), "0.9");
    assert_null(kvs_get(&image->annotations, "other"));
    fixture_close(f); /* and from its row */
    fixture_open(f);
    autoimage *again = imagestore_find(f->store, image->id, &err);

    assert_non_null(again);
    assert_string_equal(again->config.os, "fc");
    assert_string_equal(kvs_get(&again->annotations, "org.unikraft.kernel.image"),
                        "/unikraft/bin/kernel");
}

static void test_order(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = pull_index(f, put_platform(f, "fc"), put_platform(f, "qemu"), &err);

    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->config.os, "qemu");
}

static void test_none(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autoimage *image = pull_index(f, put_platform(f, "xen"), put_platform(f, "kraftcloud"), &err);

    assert_null(image);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_contains(err.msg, "xen/x86_64, kraftcloud/x86_64");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_chosen), TEST(test_order), TEST(test_none)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
