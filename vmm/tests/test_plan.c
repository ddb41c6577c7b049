/* SPDX-License-Identifier: Apache-2.0 */
/* From a guest to a plan: the choice of a driver, devices, memory, arguments, jail; and what an end
 * means. */
#include <signal.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/vmm.h"

#define MIB (UINT64_C(1) << 20)
#define UID 2000000123u

static struct err err;
static struct vmm *vmm;
static struct vmm_config config;

static char empty[] = "";
static struct guest guest_of(const char *target)
{
    struct guest g = {.family = empty,
                      .version = empty,
                      .hypervisor = empty,
                      .binary = empty,
                      .cmdline = empty,
                      .initrd = empty,
                      .block = empty,
                      .block_mount = empty,
                      .solo5 = true};

    (void)snprintf(g.solo5_target, sizeof(g.solo5_target), "%s", target);
    return g;
}

static void add_device(struct guest *g, const char *name, enum guest_device_type type)
{
    (void)snprintf(g->devices[g->n_devices].name, sizeof(g->devices[0].name), "%s", name);
    g->devices[g->n_devices++].type = type;
}

static struct vmm_net some_net(void)
{
    return (struct vmm_net){.tap_fd = 11,
                            .tap = "tap0",
                            .mac = "02:00:00:00:00:07",
                            .mtu = 1450,
                            .ip = "10.88.0.12",
                            .gateway = "10.88.0.1",
                            .prefix = 16,
                            .ip6 = "",
                            .gateway6 = ""};
}

static int plan(const char *driver, const struct vmm_spec *spec, struct vmm_plan *ret)
{
    const struct vmm_handler *handler = vmm_handler_find(vmm, driver, spec->guest, &err);

    return handler ? vmm_plan(handler, spec, UID, ret, &err) : -1;
}

static char *joined(const struct vmm_plan *p)
{
    autostrbuf s = STRBUF_INIT;

    for (char **a = p->argv; *a; a++)
        strbuf_addf(&s, "%s%s", a == p->argv ? "" : "|", *a);
    return strbuf_detach(&s);
}

static void assert_argv(const struct vmm_plan *p, const char *expected)
{
    autofree char *s = joined(p);

    assert_string_equal(s, expected);
}

static void hello(void **state)
{
    struct guest g = guest_of("spt");
    char *args[] = {(char *)(uintptr_t) "a", (char *)(uintptr_t) "b c", NULL};
    struct vmm_spec spec = {.id = "id1",
                            .guest = &g,
                            .kernel_fd = 9,
                            .initrd_fd = -1,
                            .args = args,
                            .memory_limit = 64 * MIB + 5000};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan("auto", &spec, &p), err);
    assert_argv(&p, "unicri-tender|--backend=spt|--kernel-fd=3|--mem=67112960|--name=id1|--|a|b c");
    assert_int_equal(p.guest_memory,
                     64 * MIB + 4096); /* whole pages of exactly what was asked for */
    assert_int_equal(p.n_fds, 1);
    assert_int_equal(p.fds[0].from, 9);
    assert_int_equal(p.fds[0].to, 3);
    assert_int_equal(p.jail.uid, UID);
    assert_int_equal(p.jail.gid, UID);
    assert_int_equal(p.jail.memory_max, p.guest_memory + config.memory_overhead);
    assert_int_equal(p.jail.fsize, 0);
    assert_true(p.jail.new_pid_ns && p.jail.pids_max > 0 && p.jail.nofile > 0);
    assert_null(p.env[0]);
    assert_true(p.program_fd >= 0);
    vmm_plan_done(&p);
    vmm_plan_done(&p); /* twice is fine */
}

static void mirage_with_net_and_disk(void **state)
{
    struct guest g = guest_of("spt");
    char *args[] = {(char *)(uintptr_t) "--hello=a \"b\" \\", (char *)(uintptr_t) "plain",
                    (char *)(uintptr_t) "two words", (char *)(uintptr_t) "", NULL};
    struct vmm_net net = some_net();
    char path[] = "/tmp/unicri-test-disk-XXXXXX";
    autofd int disk = mkstemp(path);
    struct vmm_block blocks[] = {{.device = "storage", .fd = disk},
                                 {.device = "rodata", .fd = disk, .readonly = true}};
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = 9,
                            .args = args,
                            .nets = &net,
                            .n_nets = 1,
                            .blocks = blocks,
                            .n_blocks = 2};
    struct vmm_plan p;

    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(disk, 8192), 0);
    g.family = (char *)(uintptr_t) "mirage";
    add_device(&g, "service", GUEST_NET);
    add_device(&g, "storage", GUEST_BLOCK);
    add_device(&g, "rodata", GUEST_BLOCK);
    assert_ok(plan("tender-spt", &spec, &p), err);
    assert_argv(&p,
                "unicri-tender|--backend=spt|--kernel-fd=3|--mem=268435456|--name=x|"
                "--net=service:5:02:00:00:00:00:07:1450|--block=storage:6|--block=rodata:7:ro|--|"
                "--ipv4=10.88.0.12/16|--ipv4-gateway=10.88.0.1|--hello=\"a \\\"b\\\" \\\\\"|plain|"
                "\"two words\"|\"\"");
    assert_int_equal(p.n_fds, 4);
    assert_int_equal(p.fds[1].from, 11);
    assert_int_equal(p.fds[1].to, 5);
    assert_int_equal(p.jail.fsize, 8192);
    vmm_plan_done(&p);
}

static void mirage_without_net_has_no_address(void **state)
{
    struct guest g = guest_of("spt");
    struct vmm_spec spec = {.id = "x", .guest = &g};
    struct vmm_plan p;

    (void)state;
    g.family = (char *)(uintptr_t) "mirage";
    g.cmdline = (char *)(uintptr_t) "--hello  world";
    assert_ok(plan("tender-spt", &spec, &p), err);
    assert_argv(
        &p, "unicri-tender|--backend=spt|--kernel-fd=3|--mem=268435456|--name=x|--|--hello|world");
    vmm_plan_done(&p);
}

static void mirage_with_ipv6(void **state)
{
    struct guest g = guest_of("spt");
    struct vmm_net net = some_net();
    struct vmm_spec spec = {.id = "x", .guest = &g, .nets = &net, .n_nets = 1};
    struct vmm_plan p;

    (void)state;
    g.family = (char *)(uintptr_t) "mirage";
    add_device(&g, "service", GUEST_NET);
    net.ip6 = "fd00::5", net.gateway6 = "fd00::1", net.prefix6 = 64;
    assert_ok(plan("tender-spt", &spec, &p), err);
    {
        autofree char *s = joined(&p);

        assert_non_null(strstr(s, "|--ipv6=fd00::5/64|--ipv6-gateway=fd00::1"));
    }
    vmm_plan_done(&p);
    net.ip = "10.0.0.1 --evil";
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "address '10.0.0.1 --evil': is not an address");
    net = some_net();
    net.prefix = 33;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID, "prefix length 33");
}

static void devices_must_match(void **state)
{
    struct guest g = guest_of("spt");
    struct vmm_net nets[2] = {some_net(), some_net()};
    struct vmm_block block = {.device = "disk", .fd = 12, .readonly = true};
    struct vmm_spec spec = {.id = "x", .guest = &g};
    struct vmm_plan p;

    (void)state;
    spec.nets = nets, spec.n_nets = 1;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "network device: the guest declares none");
    nets[0].device = "service";
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "network device 'service': the guest does not declare it");
    add_device(&g, "service", GUEST_NET);
    spec.n_nets = 2;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID, "device 'service': attached twice");
    spec.n_nets = 0;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "network device 'service': the guest declares it, but the pod has none");
    add_device(&g, "second", GUEST_NET);
    nets[0].device = NULL;
    spec.n_nets = 1;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "declares 2 network devices: which one");
    g.n_devices = 1;
    spec.blocks = &block, spec.n_blocks = 1;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "block device 'disk': the guest does not declare it");
    spec.n_blocks = 0;
    nets[0].mac = "02:00:00:00:00:0";
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "network device 'service': MAC address");
    nets[0].mac = "02:00:00:00:00:07:1500";
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID, "MAC address");
}

static void too_many_devices(void **state)
{
    enum { MANY = VMM_FDS_MAX + 1 };
    struct guest g = guest_of("spt");
    struct vmm_block blocks[MANY];
    char names[MANY][16];
    struct vmm_spec spec = {.id = "x", .guest = &g, .blocks = blocks, .n_blocks = MANY};
    struct vmm_plan p;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "d%d", i);
        add_device(&g, names[i], GUEST_BLOCK);
        blocks[i] = (struct vmm_block){.device = names[i], .fd = 50 + i, .readonly = true};
    }
    assert_err(plan("tender-spt", &spec, &p), err, ERR_EXHAUSTED, "more than 40 descriptors");
}

static void memory(void **state)
{
    struct guest g = guest_of("spt");
    struct vmm_spec spec = {.id = "x", .guest = &g, .memory_limit = 2 * MIB - 1};
    struct vmm_plan p;

    (void)state;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "memory limit of 2097151 bytes: a Solo5 unikernel needs at least 2097152");
    spec.memory_limit = UINT64_MAX;
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "spt guests have at most 68719476736");
    spec.memory_limit = 2 * MIB;
    assert_ok(plan("tender-spt", &spec, &p), err);
    assert_int_equal(p.guest_memory, 2 * MIB);
    vmm_plan_done(&p);
}

static void arguments_that_do_not_fit(void **state)
{
    struct guest g = guest_of("spt");
    char *args[3] = {xmalloc(8300), NULL, NULL};
    struct vmm_spec spec = {.id = "x", .guest = &g, .args = args};
    struct vmm_plan p;

    (void)state;
    memset(args[0], 'a', 8299);
    args[0][8191] = '\0';
    assert_ok(plan("tender-spt", &spec, &p), err);
    vmm_plan_done(&p);
    args[0][8191] = 'a';
    args[0][8192] = '\0';
    assert_err(plan("tender-spt", &spec, &p), err, ERR_INVALID,
               "a Solo5 unikernel takes at most 8191");
    free(args[0]);
}

static void choices(void **state)
{
    struct guest g = guest_of("spt");
    struct vmm_spec spec = {.id = "x", .guest = &g, .cpus = 2};
    struct vmm_plan p;

    (void)state;
    assert_err(plan("xen", &spec, &p), err, ERR_NOT_FOUND, "driver 'xen'");
    assert_err(plan("tender-hvt", &spec, &p), err, ERR_UNSUPPORTED,
               "is built for Solo5 spt, not for hvt");
    spec.kernel_fd = STDIN_FILENO;                      /* one that is there */
    assert_int_equal(plan("tender-spt", &spec, &p), 0); /* of two CPUs it uses one */
    vmm_plan_done(&p);
    g.hypervisor = (char *)(uintptr_t) "xen";
    assert_err(plan("auto", &spec, &p), err, ERR_UNSUPPORTED, "declares hypervisor 'xen'");
    g.hypervisor = empty;
    g.family = (char *)(uintptr_t) "freebsd";
    assert_err(plan("auto", &spec, &p), err, ERR_UNSUPPORTED,
               "unikernel type 'freebsd': not supported by the drivers of this host");
    g.family = (char *)(uintptr_t) "unikraft";
    g.kernel = KERNEL_SOLO5;
    assert_err(plan("auto", &spec, &p), err, ERR_UNSUPPORTED, "is a Solo5 unikernel");
    g.family = empty;
    g.initrd = (char *)(uintptr_t) "/i";
    assert_err(plan("auto", &spec, &p), err, ERR_UNSUPPORTED, "initrd '/i'");
    g.initrd = empty;
    g.solo5 = false;
    assert_err(plan("auto", &spec, &p), err, ERR_UNSUPPORTED,
               "no VMM of this host can run the unikernel");
    g.solo5 = true;
    spec.cpus = 0;
    assert_string_equal(vmm_handler_driver(vmm_handler_find(vmm, "auto", &g, &err))->name,
                        vmm_driver_names()[0]);
    assert_err(vmm_plan(vmm_handler_find(vmm, "auto", &g, &err), &spec, 0, &p, &err), err,
               ERR_INVALID, "does not run as root");
}

static void hvt(void **state)
{
    struct guest g = guest_of("hvt");
    struct vmm_spec spec = {.id = "x", .guest = &g, .kernel_fd = 9, .memory_limit = 17 * MIB};
    autofree char *missing = vmm_driver_unavailable(vmm, "tender-hvt");
    struct vmm_plan p;

    (void)state;
    if (missing) {
        assert_non_null(strstr(missing, "/dev/kvm"));
        assert_err(plan("tender-hvt", &spec, &p), err, ERR_UNSUPPORTED, "/dev/kvm");
        return;
    }
    assert_ok(plan("auto", &spec, &p), err);
    assert_argv(&p,
                "unicri-tender|--backend=hvt|--kernel-fd=3|--mem=16777216|--name=x|--kvm-fd=4|--");
    assert_int_equal(p.n_fds, 2);
    assert_true(p.fds[1].own && p.fds[1].to == 4 && p.fds[1].from >= 0);
    vmm_plan_done(&p);
    spec.memory_limit = 5 * 1024 * MIB;
    assert_err(plan("auto", &spec, &p), err, ERR_INVALID, "hvt guests have at most 4294967296");
}

static void ends(void **state)
{
    static const struct {
        const char *driver;
        int exited, code, exit_code;
        const char *reason, *words;
    } cases[] = {
        {"tender-spt", 1, 0, 0, "Completed", ""},
        {"tender-spt", 1, 7, 7, "Error", ""},
        {"tender-spt", 1, 125, 125, "StartError", "could not set the guest up"},
        {"tender-spt", 1, 126, 126, "StartError", "refused the guest's kernel"},
        {"tender-spt", 1, 255, 255, "Error", "aborted"},
        {"tender-spt", 1, 139, 139, "Error", ""}, /* the guest's own choice */
        {"tender-spt", 0, SIGSEGV, 139, "GuestCrashed", "memory"},
        {"tender-spt", 0, SIGSYS, 159, "GuestCrashed", "system call"},
        {"tender-spt", 0, SIGKILL, 137, "Error", ""},
        {"tender-hvt", 1, 139, 139, "GuestCrashed", "triple fault"},
        {"tender-hvt", 1, 134, 134, "GuestCrashed", "KVM"},
        {"tender-hvt", 1, 143, 143, "Error", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is_hvt = str_eq(cases[i].driver, "tender-hvt");
        struct guest g = guest_of(is_hvt ? "hvt" : "spt");
        const struct vmm_handler *h = vmm_handler_find(vmm, cases[i].driver, &g, &err);
        const struct vmm_ending end = {
            .family = "mirage", .exited = cases[i].exited, .code = cases[i].code, .record = ""};
        struct vmm_verdict v;

        if (!h && is_hvt)
            continue; /* a host without KVM */
        vmm_handler_driver(h)->explain(&end, &v);
        assert_int_equal(v.exit_code, cases[i].exit_code);
        assert_string_equal(v.reason, cases[i].reason);
        assert_non_null(strstr(v.message, cases[i].words));
        assert_int_equal(*cases[i].words == '\0', *v.message == '\0');
    }
}

static void tender_that_is_not_there(void **state)
{
    struct vmm_config other = config;

    (void)state;
    other.tender_program = (char *)(uintptr_t) "/nonexistent/tender";
    assert_null(vmm_open(&other, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "'/nonexistent/tender'"));
}

static int set_up(void **state)
{
    const struct option_table table = {vmm_options, vmm_options_n, &config};
    uint32_t first, count;

    (void)state;
    if (options_defaults(&table, 1, &err) < 0)
        return -1;
    free(config.tender_program);
    config.tender_program = xstrdup("/bin/true");
    vmm = vmm_open(&config, &err);
    if (!vmm)
        return -1;
    vmm_jail_uids(vmm, &first, &count);
    return first == config.uid_first && count == config.uid_count ? 0 : -1;
}

static int tear_down(void **state)
{
    const struct option_table table = {vmm_options, vmm_options_n, &config};

    (void)state;
    vmm_close(vmm);
    options_done(&table, 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello),
        cmocka_unit_test(mirage_with_net_and_disk),
        cmocka_unit_test(mirage_without_net_has_no_address),
        cmocka_unit_test(mirage_with_ipv6),
        cmocka_unit_test(devices_must_match),
        cmocka_unit_test(too_many_devices),
        cmocka_unit_test(memory),
        cmocka_unit_test(arguments_that_do_not_fit),
        cmocka_unit_test(choices),
        cmocka_unit_test(hvt),
        cmocka_unit_test(ends),
        cmocka_unit_test(tender_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
