/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest gets its root and its volumes, by family and driver; and each refusal's words. */
#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/private.h"

static struct err err;
static const struct vmm_driver tender = {.name = "a-tender", .can = VMM_CAN_NET | VMM_CAN_BLOCK};
static const struct vmm_driver full = {.name = "full",
                                       .can = VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_9P};
static const struct vmm_driver plain = {.name = "plain", .can = VMM_CAN_INITRD | VMM_CAN_BLOCK};

/* What a kubelet adds to every container. */
static const struct vmm_volume hosts = {.path = "/etc/hosts", .readonly = false, .optional = true};
static const struct vmm_volume map = {.path = "/etc/map", .directory = true, .readonly = true};
static const struct vmm_volume scratch = {.path = "/cache", .directory = true, .scratch = true};
static const struct vmm_volume data = {.path = "/data", .directory = true};

static struct guest guest_of(const char *family, const char *initrd, const char *block,
                             bool mount_rootfs)
{
    return (struct guest){.family = (char *)(uintptr_t)family,
                          .binary = (char *)(uintptr_t) "",
                          .initrd = (char *)(uintptr_t)initrd,
                          .block = (char *)(uintptr_t)block,
                          .mount_rootfs = mount_rootfs};
}

static int choose(const struct vmm_driver *driver, const struct guest *guest,
                  const struct vmm_volume *volumes, size_t n, struct vmm_storage *ret)
{
    struct vmm_handler handler = {.driver = driver};

    return vmm_storage_choose(&handler, guest, volumes, n, false, "", ret, &err);
}

static void roots(void **state)
{
    static const struct {
        const char *family, *initrd, *block;
        bool mount_rootfs;
        const struct vmm_driver *driver;
        int root; /* -1: refused */
    } cases[] = {
        {"mirage", "", "", false, &tender, VMM_ROOT_NONE},
        {"mirage", "", "/disk", false, &tender, VMM_ROOT_BLOCK},
        {"mirage", "", "", true, &tender, -1},
        {"mirage", "/initrd", "", false, &tender, -1},
        {"linux", "/initrd", "", false, &full, VMM_ROOT_INITRD},
        {"linux", "", "", true, &full, VMM_ROOT_DISK},
        {"linux", "/initrd", "", true, &full, VMM_ROOT_DISK}, /* its drivers are in the initrd */
        {"linux", "/initrd", "/disk", false, &full, VMM_ROOT_BLOCK},
        {"unikraft", "/initrd", "", true, &full, VMM_ROOT_INITRD},
        {"rumprun", "", "", true, &tender, VMM_ROOT_DISK},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct guest g =
            guest_of(cases[i].family, cases[i].initrd, cases[i].block, cases[i].mount_rootfs);
        struct vmm_storage s;

        if (cases[i].root < 0) {
            assert_err(choose(cases[i].driver, &g, NULL, 0, &s), err, ERR_UNSUPPORTED, "declares");
            continue;
        }
        assert_ok(choose(cases[i].driver, &g, NULL, 0, &s), err);
        assert_int_equal(s.root, cases[i].root);
        assert_int_equal(s.volumes, VMM_VOLUMES_NONE);
        assert_int_equal(s.disk_kind != NULL, s.root == VMM_ROOT_DISK);
    }
}

static void a_kubelets_own_never_hinder(void **state)
{
    struct guest g = guest_of("mirage", "", "", false);
    struct vmm_storage s;

    (void)state;
    assert_ok(choose(&tender, &g, &hosts, 1, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_NONE);
    g = guest_of("linux", "", "", true);
    assert_ok(choose(&full, &g, &hosts, 1, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_NONE);
    g = guest_of("linux", "/initrd", "", false);
    assert_ok(choose(&full, &g, &hosts, 1, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_CPIO);
}

static void copies_and_shares(void **state)
{
    const struct vmm_volume list[] = {hosts, map, scratch, data};
    struct guest g = guest_of("linux", "/initrd", "", false);
    struct vmm_storage s;

    (void)state;
    assert_ok(choose(&plain, &g, list, 3, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_CPIO);
    g = guest_of("unikraft", "/initrd", "", false);
    assert_ok(choose(&full, &g, list, 3, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_CPIO);
    assert_ok(choose(&full, &g, list, 4, &s), err); /* what others need to see is shared */
    assert_int_equal(s.volumes, VMM_VOLUMES_SHARE);
    assert_false(s.virtiofs);
    g = guest_of("unikraft", "", "", false);
    assert_ok(choose(&full, &g, list, 2, &s), err);
    assert_int_equal(s.volumes, VMM_VOLUMES_SHARE);
    assert_ok(choose(&full, &g, &hosts, 1, &s), err); /* for a kubelet's own alone there are none */
    assert_int_equal(s.volumes, VMM_VOLUMES_NONE);
}

/* A program that says what virtiofsd does of itself, or nothing. */
static char *program(void **state, const char *name, const char *help)
{
    autofree char *text = xasprintf("#!/bin/sh\necho '%s'\n", help);
    char *path = path_join(*state, name);

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0755, &err), err);
    return path;
}

static int choose_shared(const char *virtiofsd, const char *share, const struct vmm_volume *volumes,
                         size_t n, struct vmm_storage *ret)
{
    static const struct vmm_driver both = {
        .name = "both", .can = VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_9P | VMM_CAN_VIRTIOFS};
    struct vmm_config config = {.virtiofsd_program = (char *)(uintptr_t)virtiofsd};
    struct vmm vmm = {.config = &config};
    struct vmm_handler handler = {.driver = &both, .vmm = &vmm};
    struct guest g = guest_of("linux", "/initrd", "", true);

    return vmm_storage_choose(&handler, &g, volumes, n, false, share, ret, &err);
}

static void shared_roots(void **state)
{
    const struct vmm_volume list[] = {hosts, map, {.path = "/etc/one", .readonly = true}, data};
    autofree char *rust = program(state, "rust", "--shared-dir <DIR> --fd <FD>");
    autofree char *qemu = program(state, "qemu", "--fd=FDNUM -o sandbox=namespace|chroot");
    autofree char *other = program(state, "other", "usage");
    struct vmm_storage s;

    assert_ok(choose_shared(qemu, "", &hosts, 1, &s), err); /* not for a kubelet's own */
    assert_int_equal(s.root, VMM_ROOT_DISK);
    assert_int_equal(s.volumes, VMM_VOLUMES_NONE);
    for (int i = 0; i < 2; i++) {
        assert_ok(choose_shared(i ? qemu : rust, i ? "auto" : "virtiofs", list, 4, &s), err);
        assert_int_equal(s.root, VMM_ROOT_SHARE);
        assert_int_equal(s.volumes, VMM_VOLUMES_IN_ROOT);
        assert_true(s.virtiofs);
        assert_null(s.disk_kind);
    }
    assert_ok(choose_shared(qemu, "virtiofs", &hosts, 1, &s), err); /* the handler wants it */
    assert_int_equal(s.root, VMM_ROOT_SHARE);
    assert_int_equal(s.volumes, VMM_VOLUMES_IN_ROOT);
    assert_ok(choose_shared(qemu, "9p", list, 4, &s), err);
    assert_int_equal(s.root, VMM_ROOT_SHARE);
    assert_false(s.virtiofs);
    assert_ok(choose_shared("/none", "", list, 4, &s), err);
    assert_int_equal(s.root, VMM_ROOT_SHARE);
    assert_false(s.virtiofs);
    assert_err(choose_shared("/none", "virtiofs", list, 4, &s), err, ERR_UNSUPPORTED,
               "(virtiofs: '/none' is not installed)");
    assert_err(choose_shared(other, "virtiofs", list, 4, &s), err, ERR_UNSUPPORTED,
               "is no virtiofsd whose options are known");
    assert_err(choose_shared(qemu, "none", list, 4, &s), err, ERR_UNSUPPORTED,
               "have no way to share as the handler says");
    assert_ok(choose_shared(qemu, "none", NULL, 0, &s), err);
    assert_int_equal(s.root, VMM_ROOT_DISK);
}

static void refusals(void **state)
{
    const struct vmm_volume list[] = {hosts, map, data};
    const struct vmm_volume single[] = {data, {.path = "/etc/one", .readonly = true}};
    struct guest g = guest_of("mirage", "", "", false);
    struct vmm_storage s;

    (void)state;
    assert_err(choose(&tender, &g, list, 2, &s), err, ERR_UNSUPPORTED,
               "volume '/etc/map': unikernels of type 'mirage' take no volumes by 'a-tender'; "
               "remove it");
    g = guest_of("linux", "/initrd", "", false);
    assert_err(choose(&full, &g, &data, 1, &s), err, ERR_UNSUPPORTED, "readOnly: true");
    g = guest_of("linux", "", "", true);
    assert_err(
        choose(&plain, &g, list, 2, &s), err, ERR_UNSUPPORTED,
        "volume '/etc/map': a guest whose root is made of its image's files gets volumes with "
        "a root that is shared, which is not possible here (unikernels of type 'linux' by "
        "'plain' have no way to share)");
    g = guest_of("linux", "", "/disk", false);
    assert_err(choose(&full, &g, list, 2, &s), err, ERR_UNSUPPORTED, "declare mountRootfs instead");
    g = guest_of("unikraft", "", "", false);
    assert_err(choose(&plain, &g, &map, 1, &s), err, ERR_UNSUPPORTED, "this image has none");
    g = guest_of("unikraft", "/initrd", "", false);
    assert_err(choose(&plain, &g, &data, 1, &s), err, ERR_UNSUPPORTED, "readOnly: true");
    assert_err(choose(&full, &g, single, 2, &s), err, ERR_UNSUPPORTED,
               "volume '/etc/one': is a single file");
    g = guest_of("no-such", "", "", false);
    assert_err(choose(&plain, &g, NULL, 0, &s), err, ERR_UNSUPPORTED, "no-such");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots),
        cmocka_unit_test(a_kubelets_own_never_hinder),
        cmocka_unit_test(copies_and_shares),
        in_dir(shared_roots),
        cmocka_unit_test(refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
