/* SPDX-License-Identifier: Apache-2.0 */
/* manifest: documents that are what they seem, and others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "imagestore/manifest.h"

#define D     "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D2    "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CT    "application/vnd.oci.image.config.v1+json"
#define MT    "application/vnd.oci.image.manifest.v1+json"
#define DMT   "application/vnd.docker.distribution.manifest.v2+json"
#define IT    "application/vnd.oci.image.index.v1+json"
#define LT    "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONF  "\"config\":{\"mediaType\":\"" CT "\",\"digest\":\"" D "\",\"size\":3}"
#define LAYER "{\"mediaType\":\"" LT "\",\"digest\":\"" D "\",\"size\":3}"

static int parse(const char *text, const char *type, struct manifest *m, struct err *err)
{
    char *guests[] = {(char[]){"qemu"}, (char[]){"fc"}, NULL};
    *err = ERR_INIT;
    return manifest_parse(text, strlen(text), type, guests, m, err);
}

static void test_manifest(void **state)
{
    struct err err;
    automanifest m = {0};
    (void)state;
    assert_int_equal(parse("{\"schemaVersion\":2," CONF ",\"layers\":[" LAYER "," LAYER
                           "],\"annotations\":{\"a\":\"b\"}}",
                           MT, &m, &err),
                     0);
    assert_false(m.is_index);
    assert_int_equal(m.n_layers, 2);
    assert_int_equal(m.layers[1].size, 3);
    assert_string_equal(kvs_get(&m.annotations, "a"), "b");
}

static void test_platforms(void **state)
{
    struct err err;
    automanifest m = {0};
    (void)state;
#define E(d, p) "{\"mediaType\":\"" MT "\",\"digest\":\"" d "\",\"size\":1,\"platform\":{" p "}}"
    assert_int_equal(
        parse("{\"schemaVersion\":2,\"manifests\":[" E(
                  D, "\"os\":\"linux\",\"architecture\":"
                     "\"amd64\",\"variant\":\"v3\"") "," E(D2, "\"os\":\"linux\",\"architecture\":"
                                                               "\"amd64\"") "]}",
              IT, &m, &err),
        0);
    assert_true(m.is_index);
    assert_string_equal(m.chosen.digest, D2);
    automanifest none = {0};
    assert_int_equal(parse("{\"schemaVersion\":2,\"manifests\":[" E(
                               D, "\"os\":\"windows\",\"architecture\":\"amd64\"") "]}",
                           IT, &none, &err),
                     -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(parse("{\"schemaVersion\":2,\"manifests\":[]}", IT, &none, &err), -1);
    automanifest one = {0};
    assert_int_equal(parse("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" D
                           "\",\"size\":1}]}",
                           IT, &one, &err),
                     0);
}

/* KraftKit's indexes: hypervisors in the place of operating systems. */
static void test_guest_platforms(void **state)
{
    struct err err;
    automanifest fc = {0}, both = {0}, linux_first = {0}, none = {0};
    (void)state;
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define FC             E(D, "\"os\":\"fc\",\"architecture\":\"x86_64\"")
#define QEMU           E(D2, "\"os\":\"qemu\",\"architecture\":\"x86_64\",\"os.features\":[\"CONFIG_X=y\"]")
#define XEN            E(D, "\"os\":\"xen\",\"architecture\":\"x86_64\"")
#define ARM            E(D, "\"os\":\"qemu\",\"architecture\":\"arm64\"")
#define LINUX          E(D, "\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v4\"")
    assert_int_equal(parse(INDEX(XEN "," FC), IT, &fc, &err), 0);
    assert_string_equal(fc.chosen.digest, D);
    assert_int_equal(parse(INDEX(FC "," QEMU), IT, &both, &err), 0);
    assert_string_equal(both.chosen.digest, D2);
    assert_int_equal(parse(INDEX(QEMU "," LINUX), IT, &linux_first, &err), 0);
    assert_string_equal(linux_first.chosen.digest, D);
    assert_int_equal(parse(INDEX(XEN "," ARM), IT, &none, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "xen/x86_64, qemu/arm64"));
}

static void test_legacy_types(void **state)
{
    struct err err;
    automanifest m = {0};
    (void)state;
    assert_int_equal(
        parse(
            "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.unikraft.config.v1\","
            "\"digest\":\"" D "\",\"size\":3},\"layers\":[{\"mediaType\":"
            "\"application/vnd.unikraft.image.v1\",\"digest\":\"" D
            "\",\"size\":3},{\"mediaType\":\"application/vnd.unikraft.initrd.v1+gzip\","
            "\"digest\":\"" D "\",\"size\":3}]}",
            MT, &m, &err),
        0);
    assert_int_equal(m.n_layers, 2);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *type, *why;
    } v[] = {
        {"[]", "", "not an object"},
        {"{}", "", "schemaVersion"},
        {"{\"schemaVersion\":1}", "", "version 1"},
        {"{\"schemaVersion\":2," CONF ",\"layers\":[],\"manifests\":[]}", "",
         "index and of a manifest"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" IT "\"," CONF ",\"layers\":[]}", "",
         "does not fit"},
        {"{\"schemaVersion\":2," CONF ",\"layers\":[]}", IT, "does not fit"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" MT "\"," CONF ",\"layers\":[]}", DMT,
         "was sent as"},
        {"{\"schemaVersion\":2,\"layers\":[]}", MT, "no config"},
        {"{\"schemaVersion\":2," CONF "}", MT, "no config or no layers"},
        {"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CT
         "\",\"digest\":\"sha256:../../x\",\"size\":3},\"layers\":[]}",
         MT, "digest"},
        {"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CT "\",\"digest\":\"" D
         "\",\"size\":-3},\"layers\":[]}",
         MT, "negative"},
        {"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CT "\",\"digest\":\"" D
         "\"},\"layers\":[]}",
         MT, "no size"},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"" D "\",\"size\":3},\"layers\":[]}", MT,
         "neither a container image nor an artifact"},
        {"{\"schemaVersion\":2," CONF ",\"layers\":[{\"mediaType\":\"text/plain\",\"digest\":\"" D
         "\",\"size\":3}]}",
         MT, "not a container layer"},
        {"{\"schemaVersion\":2," CONF ",\"layers\":[3]}", MT, "not an object"},
        {"{\"schemaVersion\":2," CONF ",\"layers\":[]} x", MT, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        struct err err;
        automanifest m = {0};
        if (parse(v[i].text, v[i].type, &m, &err) == 0)
            fail_msg("accepted: %s", v[i].text);
        if (!strstr(err.msg, v[i].why))
            fail_msg("%zu: '%s' does not say '%s'", i, err.msg, v[i].why);
    }
}

static void test_config(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"rootfs\":{\"diff_ids\":[\"x\"]}}",
        "{\"rootfs\":{\"type\":\"x\",\"diff_ids\":[]}}",
        "{\"rootfs\":{\"diff_ids\":[3]}}",
        "{\"rootfs\":{},\"config\":{\"Env\":\"A\"}}",
        "{\"rootfs\":{},\"config\":{\"Cmd\":[\"a\\u0000b\"]}}",
        "{\"rootfs\":{},\"config\":{\"Labels\":[]}}",
    };
    struct err err = ERR_INIT;
    struct image_config c = {0};
    char **ids = NULL;
    static const char good[] =
        "{\"os\":\"linux\",\"config\":{\"Env\":null,\"WorkingDir\":\"/"
        "w\",\"User\":\"1:2\"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}}";
    (void)state;
    assert_int_equal(image_config_parse(good, sizeof(good) - 1, &c, &ids, &err), 0);
    assert_string_equal(c.working_dir, "/w");
    assert_string_equal(c.user, "1:2");
    assert_string_equal(c.stop_signal, "");
    assert_int_equal(strv_len(ids), 1);
    image_config_done(&c);
    strv_free(ids);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (image_config_parse(bad[i], strlen(bad[i]), &c, &ids, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_guest_platforms), cmocka_unit_test(test_legacy_types),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
