/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for Solo5's own tenders: the command line that they know, and what their jail holds. */
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/vmm.h"

#define MIB (UINT64_C(1) << 20)
#define UID 2000000123u

static struct err err;
static struct vmm *vmm;
static struct vmm_config config;
static char directory[] = "/tmp/unicri-test-solo5-XXXXXX";
static char program[PATH_MAX], kernel[PATH_MAX];

static char *words(const char *s)
{
    return (char *)(uintptr_t)s;
}

static struct guest guest_of(const char *target)
{
    struct guest g = {.family = words("mirage"),
                      .version = words(""),
                      .hypervisor = words(""),
                      .binary = words("/unikernel/kernel"),
                      .cmdline = words(""),
                      .initrd = words(""),
                      .block = words(""),
                      .block_mount = words(""),
                      .kernel = KERNEL_SOLO5,
                      .solo5 = true};

    (void)snprintf(g.solo5_target, sizeof(g.solo5_target), "%s", target);
    return g;
}

static void add_device(struct guest *g, const char *name, enum guest_device_type type)
{
    (void)snprintf(g->devices[g->n_devices].name, sizeof(g->devices[0].name), "%s", name);
    g->devices[g->n_devices++].type = type;
}

static const struct vmm_entry *entry(const struct vmm_plan *p, const char *path)
{
    for (size_t i = 0; i < p->n_entries; i++)
        if (str_eq(p->entries[i].path, path))
            return &p->entries[i];
    return NULL;
}

static int plan(const char *driver, const struct vmm_spec *spec, struct vmm_plan *ret)
{
    const struct vmm_handler *handler = vmm_handler_find(vmm, driver, spec->guest, &err);

    return handler ? vmm_plan(handler, spec, UID, ret, &err) : -1;
}

static void say_version(const char *text)
{
    autofree char *script = xasprintf("#!/bin/sh\necho '%s' >&2\n", text);

    assert_ok(fs_replace_file(AT_FDCWD, program, script, strlen(script), 0755, false, &err), err);
}

static void with_net_and_disk(void **state)
{
    struct guest g = guest_of("spt");
    char *args[] = {words("--hello=a b"), words("--mem=1"), NULL};
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    struct vmm_net net = {.tap_fd = 11,
                          .tap = "tap0",
                          .mac = "02:00:00:00:00:07",
                          .mtu = 1450,
                          .ip = "10.88.0.12",
                          .gateway = "10.88.0.1",
                          .prefix = 16,
                          .ip6 = "",
                          .gateway6 = ""};
    struct vmm_block block = {.device = "storage", .fd = fd};
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .args = args,
                            .memory_limit = 64 * MIB + 5000,
                            .nets = &net,
                            .n_nets = 1,
                            .blocks = &block,
                            .n_blocks = 1};
    autostrbuf line = STRBUF_INIT;
    struct vmm_plan p;

    (void)state;
    add_device(&g, "service", GUEST_NET);
    add_device(&g, "storage", GUEST_BLOCK);
    assert_ok(plan("solo5-spt", &spec, &p), err);
    for (char **a = p.argv; *a; a++)
        strbuf_addf(&line, "%s|", *a);
    /* Whatever the arguments look like, they stand behind `--` and the kernel. */
    assert_string_equal(line.s, "solo5-spt|--mem=64|--net:service=tap0|"
                                "--net-mac:service=02:00:00:00:00:07|--block:storage=/disk0|--|"
                                "/kernel|--ipv4=10.88.0.12/16|--ipv4-gateway=10.88.0.1|"
                                "--hello=\"a b\"|--mem=1|");
    assert_int_equal(p.n_fds, 0);
    assert_int_equal(entry(&p, "/kernel")->kind, VMM_BIND_RO);
    assert_int_equal(entry(&p, "/disk0")->kind, VMM_BIND_RW);
    assert_int_equal(entry(&p, "/dev/net/tun")->kind, VMM_BIND_DEVICE);
    assert_null(entry(&p, "/dev/kvm"));
    assert_true(p.jail.pod_netns && p.jail.interface_sockets);
    assert_int_equal(p.guest_memory, 64 * MIB);
    assert_int_equal(p.jail.uid, UID);
    vmm_plan_done(&p);
    block.readonly = true;
    assert_err(plan("solo5-spt", &spec, &p), err, ERR_UNSUPPORTED, "read-only");
}

static void without_devices(void **state)
{
    struct guest g = guest_of("spt");
    autofd int fd = open(kernel, O_RDONLY | O_CLOEXEC);
    struct vmm_spec spec = {.id = "x", .guest = &g, .kernel_fd = fd, .initrd_fd = -1};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan("solo5-spt", &spec, &p), err);
    assert_null(entry(&p, "/dev/net/tun"));
    assert_false(p.jail.pod_netns || p.jail.interface_sockets);
    vmm_plan_done(&p);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_err(plan("solo5-spt", &spec, &p), err, ERR_UNSUPPORTED, "readable for all");
    assert_int_equal(fchmod(fd, 0755), 0);
    add_device(&g, "service", GUEST_NET);
    assert_err(plan("solo5-spt", &spec, &p), err, ERR_INVALID, "has none to attach");
    g = guest_of("hvt");
    assert_err(plan("solo5-spt", &spec, &p), err, ERR_UNSUPPORTED, "not for spt");
}

static void versions(void **state)
{
    static const struct {
        const char *says, *why; /* NULL: it will do */
    } cases[] = {
        {"solo5-spt tender, version v0.12.1", NULL},
        {"solo5-spt tender, version v1.0", NULL},
        {"solo5-spt tender, version v0.7.5", "is needed"},
        {"something else v0.9", "does not say"},
        {"", "does not say"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *why = NULL;

        say_version(cases[i].says);
        why = vmm_driver_unavailable(vmm, "solo5-spt");
        if (cases[i].why)
            assert_non_null(strstr(why ? why : "", cases[i].why));
        else
            assert_null(why);
    }
    assert_int_equal(unlink(program), 0);

    autofree char *why = vmm_driver_unavailable(vmm, "solo5-spt");

    assert_non_null(strstr(why, "is not installed"));
    say_version("solo5-spt tender, version v0.12.1");
}

static void ends(void **state)
{
    static const struct {
        const char *driver;
        struct vmm_ending end;
        int code;
        const char *reason;
    } cases[] = {
        {"solo5-spt", {.exited = true, .code = 0}, 0, "Completed"},
        {"solo5-spt", {.exited = true, .code = 42}, 42, "Error"},
        {"solo5-spt", {.exited = false, .code = 11}, 139, "GuestCrashed"},
        {"solo5-spt", {.exited = false, .code = 9}, 137, "Error"},
        {"solo5-hvt", {.exited = true, .code = 1}, 1, "Error"},
        {"solo5-hvt", {.exited = false, .code = 11}, 139, "Error"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmm_verdict v;

        vmm_driver_find(cases[i].driver)->explain(&cases[i].end, &v);
        assert_int_equal(v.exit_code, cases[i].code);
        assert_string_equal(v.reason, cases[i].reason);
    }
}

/* A program that could not be asked once, for a reason that its file does not show, is asked again.
 */
static void failures_are_not_remembered(void **state)
{
    autofree char *interpreter = path_join(directory, "interpreter");
    autofree char *text = xasprintf("#!%s\n", interpreter), *why = NULL, *then = NULL;
    const char *says = "#!/bin/sh\necho 'solo5-spt tender, version v0.12.1' >&2; exit 3\n";

    (void)state;
    assert_ok(fs_write_file(AT_FDCWD, program, text, strlen(text), 0755, &err), err);
    why = vmm_driver_unavailable(vmm, "solo5-spt");
    assert_non_null(strstr(why ? why : "", "cannot be run"));
    assert_ok(fs_write_file(AT_FDCWD, interpreter, says, strlen(says), 0755, &err), err);
    then = vmm_driver_unavailable(vmm, "solo5-spt");
    assert_null(then);
    say_version("solo5-spt tender, version v0.12.1");
}

static int set_up(void **state)
{
    const struct option_table table = {vmm_options, vmm_options_n, &config};

    (void)state;
    if (options_defaults(&table, 1, &err) < 0 || !mkdtemp(directory))
        return -1;
    (void)snprintf(program, sizeof(program), "%s/solo5-spt", directory);
    (void)snprintf(kernel, sizeof(kernel), "%s/kernel", directory);
    if (fs_write_file(AT_FDCWD, kernel, "kernel", 6, 0755, &err) < 0)
        return -1;
    say_version("solo5-spt tender, version v0.12.1");
    free(config.tender_program);
    config.tender_program = xstrdup("/bin/true");
    free(config.solo5_spt_program);
    config.solo5_spt_program = xstrdup(program);
    vmm = vmm_open(&config, &err);
    return vmm ? 0 : -1;
}

static int tear_down(void **state)
{
    const struct option_table table = {vmm_options, vmm_options_n, &config};

    (void)state;
    vmm_close(vmm);
    options_done(&table, 1);
    return fs_remove_tree(AT_FDCWD, directory, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_net_and_disk),
        cmocka_unit_test(without_devices),
        cmocka_unit_test(versions),
        cmocka_unit_test(failures_are_not_remembered),
        cmocka_unit_test(ends),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
