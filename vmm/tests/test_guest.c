/* SPDX-License-Identifier: Apache-2.0 */
/* What images declare: sources, precedence, encodings, and values that are not accepted. */
#include <sys/mman.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/vmm.h"

#define PREFIX "com.urunc.unikernel."

static struct err err;
static struct guest *guest;

static int no_file(void *arg, const char *path, struct err *e)
{
    (void)arg;
    return err_set(e, ERR_NOT_FOUND, "open '%s'", path);
}

static int denied_file(void *arg, const char *path, struct err *e)
{
    (void)arg;
    return err_set(e, ERR_DENIED, "open '%s'", path);
}

/* The argument is the content of urunc.json. */
static int some_file(void *arg, const char *path, struct err *e)
{
    int fd = memfd_create("urunc.json", MFD_CLOEXEC);

    (void)e;
    assert_string_equal(path, "/urunc.json");
    assert_int_equal(write(fd, arg, strlen(arg)), (ssize_t)strlen(arg));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void set(struct kvs *m, const char *key, const char *value)
{
    autofree char *full = xasprintf("%s%s", PREFIX, key);

    kvs_set(m, full, value);
}

static void set64(struct kvs *m, const char *key, const char *value)
{
    autofree char *encoded = base64_encode(value, strlen(value));

    set(m, key, encoded);
}

static int declared(const struct kvs *labels, const struct kvs *annotations, const struct kvs *pod)
{
    guest_free(guest);
    guest = NULL;

    const struct guest_image image = {
        .labels = labels, .annotations = annotations, .pod_annotations = pod, .open_file = no_file};

    return guest_declared(&image, &guest, &err);
}

static int in_file(const char *text, struct guest **ret)
{
    const struct guest_image image = {.open_file = some_file, .arg = (void *)(uintptr_t)text};

    return guest_declared(&image, ret, &err);
}

static void ordinary_image(void **state)
{
    struct kvs labels = {NULL, 0};

    (void)state;
    kvs_set(&labels, "maintainer", "somebody");
    assert_ok(declared(&labels, NULL, NULL), err);
    assert_null(guest);
    kvs_done(&labels);
}

static void plain_labels(void **state)
{
    struct kvs labels = {NULL, 0};

    (void)state;
    set(&labels, "unikernelType", "mirage");
    set(&labels, "hypervisor", "spt");
    set(&labels, "binary", "/unikernel/k"); /* valid base64 too */
    set(&labels, "cmdline", "--hello world");
    set(&labels, "mountRootfs", "false");
    set(&labels, "unknownKey", "\x01");
    assert_ok(declared(&labels, NULL, NULL), err);
    assert_string_equal(guest->family, "mirage");
    assert_string_equal(guest->hypervisor, "spt");
    assert_string_equal(guest->binary, "/unikernel/k");
    assert_string_equal(guest->cmdline, "--hello world");
    assert_string_equal(guest->initrd, "");
    assert_false(guest->mount_rootfs);
    kvs_done(&labels);
}

static void encoded_annotations(void **state)
{
    struct kvs annotations = {NULL, 0};

    (void)state;
    set64(&annotations, "unikernelType", "unikraft");
    set64(&annotations, "hypervisor", "qemu");
    set64(&annotations, "binary", "/.boot/kernel");
    set64(&annotations, "useDMBlock", "perhaps");
    assert_ok(declared(NULL, &annotations, NULL), err);
    assert_string_equal(guest->family, "unikraft");
    assert_string_equal(guest->binary, "/.boot/kernel");
    assert_true(guest->mount_rootfs); /* what does not read as "no" is a yes */
    kvs_done(&annotations);
}

/* Each source has its own encoding; a stronger source overrides single values. */
static void precedence(void **state)
{
    struct kvs labels = {NULL, 0}, annotations = {NULL, 0}, pod = {NULL, 0};

    (void)state;
    set(&labels, "unikernelType", "mirage");
    set(&labels, "binary", "/from-label");
    set(&labels, "cmdline", "label");
    set64(&annotations, "unikernelType", "mirage");
    set64(&annotations, "binary", "/from-annotation");
    set(&pod, "cmdline", "pod");
    assert_ok(declared(&labels, &annotations, &pod), err);
    assert_string_equal(guest->binary, "/from-annotation");
    assert_string_equal(guest->cmdline, "pod");
    kvs_done(&labels);
    kvs_done(&annotations);
    kvs_done(&pod);
}

static void urunc_json(void **state)
{
    static const char encoded[] =
        "{\"" PREFIX "unikernelType\":\"bWlyYWdl\",\"" PREFIX "hypervisor\":\"c3B0\",\"" PREFIX
        "binary\":\"L3VuaWtlcm5lbC9r\"}";
    static const char untyped[] =
        "{\"" PREFIX "binary\":\"L3VuaWtlcm5lbC9r\",\"" PREFIX "cmdline\":\"YSBi\"}";
    static const char plain[] = "{\"" PREFIX "hypervisor\":\"hvt\",\"" PREFIX "binary\":\"/k\"}";

    (void)state;
    guest_free(guest);
    assert_ok(in_file(encoded, &guest), err);
    assert_string_equal(guest->family, "mirage");
    assert_string_equal(guest->hypervisor, "spt");
    assert_string_equal(guest->binary, "/unikernel/k");
    guest_free(guest);
    assert_ok(in_file(plain, &guest), err);
    assert_string_equal(guest->family, "");
    assert_string_equal(guest->binary, "/k");
    guest_free(guest);
    assert_ok(in_file(untyped, &guest), err);
    assert_string_equal(guest->binary, "/unikernel/k");
    assert_string_equal(guest->cmdline, "a b");
}

static void bad_json(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "urunc.json"},
        {"[]", "urunc.json: is not an object"},
        {"{\"a\":1}", "urunc.json: 'a': is not a string"},
        {"{\"a\":\"b\\u0000c\"}", "urunc.json"},
        {"{\"a\":\"b\"} x", "urunc.json"},
        {"{\"" PREFIX "binary\":\"../../k\"}", "'../../k': has a '..' in it"},
        {"{\"" PREFIX "unikernelType\":\"windows\"}", "unikernelType 'windows': is not known"},
    };
    autofree char *huge = xmalloc(GUEST_JSON_MAX_BYTES + 2);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct guest *g = NULL;

        assert_err(in_file(cases[i].text, &g), err, ERR_INVALID, cases[i].words);
        assert_null(g);
    }
    memset(huge, ' ', GUEST_JSON_MAX_BYTES + 1);
    huge[GUEST_JSON_MAX_BYTES + 1] = '\0';
    assert_err(in_file(huge, &guest), err, ERR_EXHAUSTED, "urunc.json");

    const struct guest_image denied = {.open_file = denied_file};

    assert_err(guest_declared(&denied, &guest, &err), err, ERR_DENIED, "/urunc.json");
}

static void bad_values(void **state)
{
    static const struct {
        const char *key, *value, *words;
    } cases[] = {
        {"binary", "/a/../../etc/shadow", "has a '..' in it"},
        {"binary", "..", "has a '..' in it"},
        {"binary", "-rf", "begins with '-'"},
        {"binary", "/a b", "has characters other than"},
        {"binary", "/a\nb", "has characters other than"},
        {"binary", "/k,if=none", "has characters other than"},
        {"initrd", "/x/..", "has a '..' in it"},
        {"block", "/dev/$(reboot)", "has characters other than"},
        {"hypervisor", "/usr/bin/qemu", "is not known"},
        {"unikernelType", "", "binary"},
        {"unikernelVersion", "1 2", "has characters other than"},
        {"cmdline", "a\tb", "has control characters"},
        {"cmdline", "\xff", "is not UTF-8"},
        {"mountRootfs", "maybe", "is neither true nor false"},
        {"solo5NetDev", "a:b", "is not 1 to 67 letters and digits"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct kvs labels = {NULL, 0};

        if (i != 9) /* that one: an empty value is as none, and nothing else is declared */
            set(&labels, "binary", "/k");
        set(&labels, cases[i].key, cases[i].value);
        if (i == 9) {
            set(&labels, "hypervisor", "spt");
        }
        assert_err(declared(&labels, NULL, NULL), err, ERR_INVALID, cases[i].words);
        assert_null(guest);
        kvs_done(&labels);
    }
}

static void long_values(void **state)
{
    struct kvs labels = {NULL, 0};
    char path[3000];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    set(&labels, "binary", path);
    assert_err(declared(&labels, NULL, NULL), err, ERR_INVALID, "is too long");
    kvs_done(&labels);
}

static void mixed_encoding(void **state)
{
    struct kvs annotations = {NULL, 0};

    (void)state;
    set64(&annotations, "unikernelType", "mirage");
    set(&annotations, "binary", "/plain-path!");
    assert_err(declared(NULL, &annotations, NULL), err, ERR_INVALID,
               "is not base64 like the other values");
    kvs_done(&annotations);
}

static void kernel_of_the_host(void **state)
{
    static const char file[] =
        "{\"" PREFIX "bootKernel\":\"/boot/vmlinuz\",\"" PREFIX "unikernelType\":\"linux\"}";
    struct kvs labels = {NULL, 0}, pod = {NULL, 0};

    (void)state;
    set(&pod, "bootInitrd", "/boot/initrd");
    assert_err(declared(NULL, NULL, &pod), err, ERR_INVALID, "but no com.urunc.unikernel.boot");
    set(&pod, "bootKernel", "/boot/vmlinuz");
    assert_ok(declared(NULL, NULL, &pod), err);
    assert_string_equal(guest->binary, "host:/boot/vmlinuz");
    assert_string_equal(guest->initrd, "host:/boot/initrd");
    assert_string_equal(guest->family, "linux");
    assert_true(guest->mount_rootfs);
    set(&labels, "mountRootfs", "false");
    set(&labels, "unikernelType", "mirage");
    assert_ok(declared(&labels, NULL, &pod), err);
    assert_string_equal(guest->family, "mirage");
    assert_false(guest->mount_rootfs);
    set(&labels, "binary", "/k");
    assert_err(declared(&labels, NULL, &pod), err, ERR_INVALID, "declares both");
    set(&labels, "binary", "host:/etc/shadow");
    assert_err(declared(&labels, NULL, NULL), err, ERR_INVALID, "has characters other than");
    set(&pod, "bootKernel", "../vmlinuz");
    assert_err(declared(NULL, NULL, &pod), err, ERR_INVALID, "has a '..' in it");
    set(&pod, "bootKernel", "vmlinuz");
    assert_err(declared(NULL, NULL, &pod), err, ERR_INVALID, "is not an absolute path");
    assert_err(in_file(file, &guest), err, ERR_INVALID, "labels and annotations only");
    kvs_done(&labels);
    kvs_done(&pod);
}

static void refused_keys(void **state)
{
    struct kvs labels = {NULL, 0};

    (void)state;
    set(&labels, "binary", "/k");
    set(&labels, "vAccel", "vsock");
    assert_err(declared(&labels, NULL, NULL), err, ERR_UNSUPPORTED, "vAccel: there is no vAccel");
    kvs_done(&labels);
}

/* ---------------------------------------------------------------- KraftKit */

static int has_initrd(void *arg, const char *path, struct err *e)
{
    if (str_eq(path, "/unikraft/bin/initrd"))
        return memfd_create("initrd", MFD_CLOEXEC);
    return no_file(arg, path, e);
}

static void kraft(void **state)
{
    struct kvs annotations = {NULL, 0};
    struct guest_image image = {.annotations = &annotations,
                                .os = "qemu",
                                .os_version = "0.17.0~3bb5",
                                .open_file = has_initrd};

    (void)state;
    guest_free(guest);
    assert_ok(guest_declared(&image, &guest, &err), err); /* by its platform alone */
    assert_string_equal(guest->family, "unikraft");
    assert_string_equal(guest->hypervisor, "qemu");
    assert_string_equal(guest->version, "0.17.0~3bb5");
    assert_string_equal(guest->binary, "/unikraft/bin/kernel");
    assert_string_equal(guest->initrd, "/unikraft/bin/initrd");
    kvs_set(&annotations, "org.unikraft.kernel.image", "/other/kernel");
    kvs_set(&annotations, "org.unikraft.kernel.version", "0.15.0");
    image.os = "fc";
    image.open_file = no_file;
    guest_free(guest);
    assert_ok(guest_declared(&image, &guest, &err), err);
    assert_string_equal(guest->hypervisor, "firecracker");
    assert_string_equal(guest->version, "0.15.0");
    assert_string_equal(guest->binary, "/other/kernel");
    assert_string_equal(guest->initrd, "");
    image.os = "linux"; /* the annotation is enough */
    guest_free(guest);
    assert_ok(guest_declared(&image, &guest, &err), err);
    assert_string_equal(guest->hypervisor, "");
    guest_free(guest);
    guest = NULL;
    image.os = "xen";
    assert_err(guest_declared(&image, &guest, &err), err, ERR_UNSUPPORTED, "packaged for 'xen'");
    set(&annotations, "hypervisor", "qemu"); /* the other convention is stronger */
    assert_ok(guest_declared(&image, &guest, &err), err);
    assert_string_equal(guest->binary, "/other/kernel");
    guest_free(guest);
    guest = NULL;
    kvs_set(&annotations, "org.unikraft.kernel.image", "/a/../../b");
    assert_err(guest_declared(&image, &guest, &err), err, ERR_INVALID, "has a '..' in it");
    kvs_done(&annotations);
}

/* ---------------------------------------------------------------- bare kernels */

static int program(void *arg, const char *path, struct err *e)
{
    return str_eq(path, "/kernel") ? dup(*(int *)arg) : no_file(NULL, path, e);
}

static int memory_file(const void *content, size_t len)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_int_equal(write(fd, content, len), (ssize_t)len);
    return fd;
}

static void bare_kernel(void **state)
{
    static const uint32_t multiboot[64] = {0x1badb002, 0x10000,  0u - 0x1badb002u - 0x10000u,
                                           0x100000,   0x100000, 0,
                                           0x101000,   0x100040};
    autofd int kernel = memory_file(multiboot, sizeof(multiboot));
    autofd int script = memory_file("#!/bin/sh", 9);
    struct guest_image image = {.argv = (char *[]){(char[]){"/kernel"}, (char[]){"x"}, NULL},
                                .open_file = program,
                                .arg = &kernel};

    (void)state;
    guest_free(guest);
    assert_ok(guest_declared(&image, &guest, &err), err);
    assert_non_null(guest);
    assert_true(guest->bare);
    assert_string_equal(guest->binary, "/kernel");
    assert_int_equal(guest->kernel, KERNEL_MULTIBOOT);
    guest_free(guest);
    image.arg = &script;
    assert_ok(guest_declared(&image, &guest, &err), err);
    assert_null(guest);
    image.wanted = true;
    assert_err(guest_declared(&image, &guest, &err), err, ERR_INVALID,
               "entrypoint '/kernel' is none: kernel: is a script");
    image.argv = (char *[]){(char[]){"kernel"}, NULL};
    assert_err(guest_declared(&image, &guest, &err), err, ERR_INVALID,
               "entrypoint 'kernel' is none: is no path");
    image.argv = NULL;
    assert_err(guest_declared(&image, &guest, &err), err, ERR_INVALID, "entrypoint ''");
}

static int finish(void **state)
{
    (void)state;
    guest_free(guest);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_image),      cmocka_unit_test(plain_labels),
        cmocka_unit_test(encoded_annotations), cmocka_unit_test(precedence),
        cmocka_unit_test(urunc_json),          cmocka_unit_test(bad_json),
        cmocka_unit_test(bad_values),          cmocka_unit_test(long_values),
        cmocka_unit_test(mixed_encoding),      cmocka_unit_test(kernel_of_the_host),
        cmocka_unit_test(refused_keys),        cmocka_unit_test(kraft),
        cmocka_unit_test(bare_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, finish);
}
