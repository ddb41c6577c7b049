/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts: which manifests are some, their files as layers, bad names, removal, a new start. */
#include "imagestore/artifact.h"
#include "imagestore/tests/fixture.h"

#define EMPTY_CONFIG                                                                               \
    "\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:"         \
    "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2}"
#define IMAGE_CONFIG "application/vnd.oci.image.config.v1+json"

struct file {
    const char *name; /* NULL: none is given */
    const void *data;
    size_t len;
};

static struct image_info put_artifact(struct fixture *f, const char *tag, const char *head,
                                      const struct file *files, size_t n)
{
    struct image_info info = {0};
    autostrbuf m = STRBUF_INIT;

    strbuf_addf(&m, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\",%s,\"layers\":[",
                head);
    for (size_t i = 0; i < n; i++) {
        struct blob_info b = put_blob(f, "a", files[i].data, files[i].len);

        strbuf_addf(&m, "%s{\"mediaType\":\"text/plain\",\"digest\":\"%s\",\"size\":%zu",
                    i ? "," : "", b.digest, b.len);
        if (files[i].name)
            strbuf_addf(&m, ",\"annotations\":{\"org.opencontainers.image.title\":\"%s\"}",
                        files[i].name);
        strbuf_adds(&m, "}");
    }
    strbuf_adds(&m, "]}");
    put_manifest(f, "a", tag, OCI_MANIFEST, m.s, &info);
    return info;
}

static void expect_file(struct fixture *f, const struct image *image, const char *path,
                        const char *want)
{
    struct err err = ERR_INIT;
    autofree char *text = read_image_file(f, image, path, &err);

    if (!text || strcmp(text, want) != 0)
        fail_msg("'%s': '%s' %s", path, text ? text : "", err.msg);
}

static void files_of_it(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    /* what looks compressed stays as it is */
    static const char gzip[] = "\x1f\x8b not really", zip[] = "PK\3\4 zip";
    const struct file files[] = {{"a.txt", "first", 5},
                                 {NULL, "unseen", 6},
                                 {"/dir//./deep/b", gzip, sizeof(gzip) - 1},
                                 {"dir/c", zip, sizeof(zip) - 1},
                                 {"empty", "", 0},
                                 {"same", "first", 5}};
    struct image_info info = put_artifact(
        f, "v1", "\"artifactType\":\"application/x\"," EMPTY_CONFIG, files, ARRAY_SIZE(files));
    autoimage *image = pull(f, image_name(f, "a:v1"), &err);

    if (!image)
        fail_msg("%s", err.msg);
    assert_string_equal(image->id, info.manifest);
    assert_string_equal(image->artifact_type, "application/x");
    assert_int_equal(strv_len(image->layers), 5);
    assert_int_equal(count_layers(f), 5);
    expect_file(f, image, "a.txt", "first");
    expect_file(f, image, "same", "first");
    expect_file(f, image, "dir/deep/b", gzip);
    expect_file(f, image, "dir/c", zip);
    expect_file(f, image, "empty", "");

    struct stat st;
    autofd int fd = image_open_file(f->store, image, "a.txt", &err);

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(st.st_uid, 0);
    assert_true(image->size >= 5 * 2 + sizeof(gzip) && image->size < 4096);

    /* the same after a new start, the same id again, and nothing left when it is gone */
    fixture_close(f);
    fixture_open(f);
    autoimage *found = imagestore_find(f->store, info.manifest, &err);
    assert_non_null(found);
    assert_string_equal(found->artifact_type, "application/x");
    expect_file(f, found, "dir/c", zip);
    autoimage *again = pull(f, image_name(f, "a:v1"), &err);
    assert_non_null(again);
    assert_string_equal(again->id, info.manifest);
    assert_int_equal(count_layers(f), 5);
    assert_int_equal(imagestore_remove(f->store, info.manifest, &err), 0);
    assert_int_equal(count_layers(f), 0);
}

/* What type it is of: as it says, else as its config says. */
static void types(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    const struct file files[] = {{"x", "x", 1}};

    put_artifact(f, "config",
                 "\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\","
                 "\"digest\":\"sha256:"
                 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2}",
                 files, 1);
    put_artifact(f, "both",
                 "\"artifactType\":\"my/type\",\"config\":{\"mediaType\":\"" IMAGE_CONFIG
                 "\",\"digest\":\"sha256:"
                 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2}",
                 files, 1);
    autoimage *config = pull(f, image_name(f, "a:config"), &err);
    autoimage *both = pull(f, image_name(f, "a:both"), &err);
    assert_non_null(config);
    assert_non_null(both);
    assert_string_equal(config->artifact_type, "application/vnd.cncf.helm.config.v1+json");
    assert_string_equal(both->artifact_type, "my/type");
    assert_string_equal(config->layers[0], both->layers[0]); /* one file, kept once */
    assert_int_equal(count_layers(f), 1);
    assert_int_equal(imagestore_remove(f->store, config->id, &err), 0);
    expect_file(f, both, "x", "x");
}

static void refused(struct fixture *f, const char *tag, const struct file *files, size_t n,
                    enum err_code code, const char *part)
{
    struct err err = ERR_INIT;
    autofree char *name = xasprintf("a:%s", tag);

    put_artifact(f, tag, EMPTY_CONFIG, files, n);
    assert_null(pull(f, image_name(f, name), &err));
    if (err.code != code || !strstr(err.msg, part))
        fail_msg("%s: %s: %s", tag, err_code_name(err.code), err.msg);
    assert_int_equal(count_layers(f), 0);
}

static void bad_ones(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"..", "../x", "a/../../x", "/", "a/", ".", "a/.."};
    autofree char *long_name = xcalloc(1, ARTIFACT_NAME_MAX + 2);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct file file = {names[i], "x", 1};

        refused(f, "bad", &file, 1, ERR_INVALID, "file name");
    }
    memset(long_name, 'a', ARTIFACT_NAME_MAX + 1);
    refused(f, "long", &(struct file){long_name, "x", 1}, 1, ERR_INVALID, "file name");
    refused(f, "unnamed", &(struct file){NULL, "x", 1}, 1, ERR_UNSUPPORTED,
            "none of its blobs has a name");
    refused(f, "none", NULL, 0, ERR_UNSUPPORTED, "none of its blobs has a name");
}

/* Bytes that are not what the manifest says, and too many of them. */
static void wrong_bytes(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    const struct file file = {"x", "right", 5};

    put_artifact(f, "v", EMPTY_CONFIG, &file, 1);
    struct blob_info b = put_blob(f, "a", "right", 5);
    b.route->body = "wrong";
    assert_null(pull(f, image_name(f, "a:v"), &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_int_equal(count_layers(f), 0);

    autofree char *large = xcalloc(1, 3 << 20);
    const struct file big = {"big", large, 3 << 20};

    f->config.max_image_bytes = 1 << 20;
    put_artifact(f, "big", EMPTY_CONFIG, &big, 1);
    assert_null(pull(f, image_name(f, "a:big"), &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
    assert_int_equal(count_layers(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_of_it, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(types, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(bad_ones, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(wrong_bytes, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
