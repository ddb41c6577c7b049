/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for QEMU: its command line, what its jail holds, the choice of a machine, and what an end
 * means. QEMU itself is a script that says its version. */
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/vmm.h"

#define MIB     (UINT64_C(1) << 20)
#define UID     2000000123u
#define VERSION "QEMU emulator version 9.2.0 (something)"

static struct err err;
static struct vmm *vmm;
static struct vmm_config config;
static char directory[] = "/tmp/unicri-test-qemu-XXXXXX";
static char program[PATH_MAX], kernel[PATH_MAX];

static char *words(const char *s)
{
    return (char *)(uintptr_t)s;
}

static struct guest guest_of(const char *family, enum guest_kernel kind)
{
    return (struct guest){.family = words(family),
                          .version = words(""),
                          .hypervisor = words(""),
                          .binary = words("/boot/kernel"),
                          .cmdline = words(""),
                          .initrd = words(""),
                          .block = words(""),
                          .block_mount = words(""),
                          .kernel = kind};
}

static const struct vmm_entry *entry(const struct vmm_plan *p, const char *path)
{
    for (size_t i = 0; i < p->n_entries; i++)
        if (str_eq(p->entries[i].path, path))
            return &p->entries[i];
    return NULL;
}

/* The option's n-th value, or "". */
static const char *option(const struct vmm_plan *p, const char *name, int n)
{
    for (char **a = p->argv; a[0] && a[1]; a++)
        if (str_eq(a[0], name) && n-- == 0)
            return a[1];
    return "";
}

static bool has_device(const struct vmm_plan *p, const char *device)
{
    for (int i = 0; *option(p, "-device", i); i++)
        if (str_eq(option(p, "-device", i), device))
            return true;
    return false;
}

static int plan(const struct vmm_spec *spec, struct vmm_plan *ret)
{
    const struct vmm_handler *handler = vmm_handler_find(vmm, "qemu", spec->guest, &err);

    return handler ? vmm_plan(handler, spec, UID, ret, &err) : -1;
}

static void say_version(const char *text)
{
    autofree char *script = xasprintf(
        "#!/bin/sh\nif [ \"$1\" = -L ]; then echo %s; echo /nonexistent; else echo '%s'; fi\n",
        directory, text);

    assert_ok(fs_replace_file(AT_FDCWD, program, script, strlen(script), 0755, false, &err), err);
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

static void with_net_and_disks(void **state)
{
    struct guest g = guest_of("generic", KERNEL_PVH);
    char *args[] = {words("-device"), words("x,y"), words("-append=z"), NULL};
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    struct vmm_net net = some_net();
    struct vmm_block blocks[] = {
        {.fd = fd, .serial = "data"},
        {.fd = fd, .readonly = true, .serial = "a,id=b"},
    };
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = fd,
                            .args = args,
                            .memory_limit = 64 * MIB + 5000,
                            .cpus = 2,
                            .nets = &net,
                            .n_nets = 1,
                            .blocks = blocks,
                            .n_blocks = 2,
                            .control_fd = 12,
                            .record_fd = 13};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan(&spec, &p), err);
    assert_string_equal(option(&p, "-append", 0), "-device x,y -append=z");
    assert_string_equal(option(&p, "-append", 1), "");
    assert_string_equal(option(&p, "-m", 0), "64M");
    assert_string_equal(option(&p, "-smp", 0), "2");
    assert_string_equal(option(&p, "-L", 0), directory);
    assert_string_equal(option(&p, "-L", 1), "");
    assert_string_equal(option(&p, "-netdev", 0), "tap,id=net0,fd=4");
    assert_true(
        has_device(&p, "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:07,host_mtu=1450,romfile="));
    assert_true(
        has_device(&p, "virtio-blk-pci,drive=disk0,serial=data,werror=report,rerror=report"));
    /* No way to put an option in. */
    assert_true(has_device(&p, "virtio-blk-pci,drive=disk1,werror=report,rerror=report"));
    assert_string_equal(option(&p, "-action", 0),
                        "reboot=shutdown,shutdown=poweroff,panic=exit-failure");
    assert_non_null(strstr(option(&p, "-blockdev", 0), "driver=raw,node-name=disk0,read-only=off"));
    assert_non_null(strstr(option(&p, "-blockdev", 1), "driver=raw,node-name=disk1,read-only=on"));
    assert_true(has_device(&p, "isa-debug-exit,iobase=0x501,iosize=2"));
    assert_string_equal(option(&p, "-object", 0), "");
    assert_int_equal(p.n_fds, 4);
    assert_true(p.fds[0].from == 12 && p.fds[0].to == 3 && p.fds[1].from == 11);
    assert_int_equal(entry(&p, "/kernel")->kind, VMM_BIND_RO);
    assert_int_equal(entry(&p, "/initrd")->kind, VMM_BIND_RO);
    assert_int_equal(entry(&p, "/end")->kind, VMM_BIND_RW);
    assert_int_equal(entry(&p, directory)->kind, VMM_BIND_RO);
    assert_null(entry(&p, "/dev/kvm"));
    assert_int_equal(p.guest_memory, 64 * MIB);
    assert_true(p.jail.memory_max >= 64 * MIB + 100 * MIB && p.jail.memory_max < 512 * MIB);
    assert_false(p.jail.pod_netns);
    vmm_plan_done(&p);
}

/* From its disk, which must be one to boot from. */
static void nanos(void **state)
{
    struct guest g = guest_of("nanos", KERNEL_PVH);
    autofree char *path = xasprintf("%s/nanos", directory);
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    autofd int disk = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct vmm_block block = {.fd = disk};
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .blocks = &block,
                            .n_blocks = 1,
                            .control_fd = 12,
                            .record_fd = 13};
    unsigned char sector[512] = {[510] = 0x55, [511] = 0xaa};
    struct vmm_plan p;

    (void)state;
    assert_int_equal(pwrite(disk, sector, sizeof(sector), 0), sizeof(sector));
    assert_err(plan(&spec, &p), err, ERR_INVALID, "disk: has no boot sector");
    vmm_plan_done(&p);
    sector[0] = 0xfa;
    assert_int_equal(pwrite(disk, sector, sizeof(sector), 0), sizeof(sector));
    assert_ok(plan(&spec, &p), err);
    assert_string_equal(option(&p, "-kernel", 0), "");
    assert_true(
        has_device(&p, "virtio-blk-pci,drive=disk0,werror=report,rerror=report,bootindex=0"));
    vmm_plan_done(&p);
    spec.machine = "microvm";
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "takes the machine q35");
    vmm_plan_done(&p);
    assert_int_equal(unlink(path), 0);
}

static void modern_devices(void **state)
{
    struct guest g = guest_of("mewz", KERNEL_MULTIBOOT);
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    struct vmm_net net = some_net();
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .nets = &net,
                            .n_nets = 1,
                            .control_fd = 12,
                            .record_fd = 13};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan(&spec, &p), err);
    assert_true(has_device(&p, "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:07,host_mtu=1450,"
                               "romfile=,disable-legacy=on"));
    vmm_plan_done(&p);
}

static void queues(void **state)
{
    struct guest g = guest_of("linux", KERNEL_BZIMAGE);
    char *args[] = {words("/init"), NULL};
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    const struct vmm_driver *qemu = vmm_driver_find("qemu");
    const int more[] = {21, 22};
    struct vmm_net net = some_net();
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .args = args,
                            .cpus = 3,
                            .nets = &net,
                            .n_nets = 1,
                            .control_fd = 12,
                            .record_fd = -1};
    struct vmm_plan p;

    (void)state;
    net.more_fds = more;
    net.n_more = ARRAY_SIZE(more);
    assert_ok(plan(&spec, &p), err);
    assert_string_equal(option(&p, "-netdev", 0), "tap,id=net0,fds=4:5:6");
    assert_true(has_device(&p, "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:07,host_mtu=1450,"
                               "mq=on,vectors=8,romfile="));
    assert_int_equal(p.fds[3].from, 22);
    vmm_plan_done(&p);
    spec.machine = "microvm";
    assert_ok(plan(&spec, &p), err);
    assert_true(
        has_device(&p, "virtio-net-device,netdev=net0,mac=02:00:00:00:00:07,host_mtu=1450,mq=on"));
    vmm_plan_done(&p);
    assert_int_equal(vmm_net_queues(vmm, qemu, 0), 1);
    assert_int_equal(vmm_net_queues(vmm, qemu, 3), 3);
    assert_int_equal(vmm_net_queues(vmm, qemu, 64), 4);
    assert_int_equal(vmm_net_queues(vmm, vmm_driver_find("tender-spt"), 3), 1);
}

static void microvm(void **state)
{
    struct guest g = guest_of("linux", KERNEL_BZIMAGE);
    char *args[] = {words("/init"), words("word"), NULL};
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    struct vmm_net net = some_net();
    struct vmm_block blocks[9] = {{.fd = fd}};
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .args = args,
                            .nets = &net,
                            .n_nets = 1,
                            .blocks = blocks,
                            .control_fd = 12,
                            .record_fd = -1,
                            .machine = "microvm",
                            .hold_end = true};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan(&spec, &p), err);
    assert_non_null(strstr(option(&p, "-machine", 0), "microvm,"));
    assert_string_equal(option(&p, "-action", 0), "reboot=shutdown,shutdown=pause,panic=pause");
    assert_true(has_device(&p, "virtio-rng-device,rng=rng"));
    assert_true(
        has_device(&p, "virtio-net-device,netdev=net0,mac=02:00:00:00:00:07,host_mtu=1450"));
    /* Before `--`: the first device in the last place. */
    assert_true(str_has_prefix(option(&p, "-append", 0),
                               "virtio_mmio.device=512@0xfeb00e00:12 "
                               "virtio_mmio.device=512@0xfeb00c00:11 console="));
    assert_null(entry(&p, "/end"));
    vmm_plan_done(&p);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        blocks[i].fd = fd;
    spec.n_blocks = 7;
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "room for 8");
    spec.machine = "q35";
    assert_ok(plan(&spec, &p), err);
    assert_true(str_has_prefix(option(&p, "-append", 0), "console="));
    vmm_plan_done(&p);
}

static void refusals(void **state)
{
    struct guest g = guest_of("generic", KERNEL_PVH);
    autofd int fd = open(kernel, O_RDWR | O_CLOEXEC);
    struct vmm_net net = some_net();
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .control_fd = 12,
                            .record_fd = -1,
                            .memory_limit = 7 * MIB};
    struct vmm_plan p;

    (void)state;
    assert_err(plan(&spec, &p), err, ERR_INVALID, "QEMU takes 8388608 to");
    spec.memory_limit = 0;
    spec.cpus = 65;
    assert_err(plan(&spec, &p), err, ERR_INVALID, "at most 64");
    vmm_plan_done(&p);
    spec.cpus = 1;
    g.kernel_end = 300 * MIB;
    spec.memory_limit = 256 * MIB;
    assert_err(plan(&spec, &p), err, ERR_INVALID, "its kernel alone takes 301: raise");
    g.kernel_end = 0;
    spec.cpus = 0;
    spec.machine = "pc,x=y";
    assert_err(plan(&spec, &p), err, ERR_INVALID, "neither 'auto' nor 'q35' nor 'microvm'");
    spec.machine = "";
    spec.accel = "xen";
    assert_err(plan(&spec, &p), err, ERR_INVALID, "accelerator 'xen'");
    spec.accel = NULL;
    spec.nets = &net;
    spec.n_nets = 1;
    net.mac = "02:00:00:00:00:7,x=y";
    assert_err(plan(&spec, &p), err, ERR_INVALID, "MAC address");
    spec.n_nets = 0;
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "readable for all");
    assert_int_equal(fchmod(fd, 0644), 0);
    g.kernel = KERNEL_ELF64;
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "QEMU");
    g = guest_of("generic", KERNEL_PVH);
    g.hypervisor = words("firecracker");
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "hypervisor 'firecracker'");
    assert_err(vmm_check_choice("tender-spt", "q35", "", &err), err, ERR_INVALID, "tender-spt");
    assert_err(vmm_check_choice("qemu", "isapc", "", &err), err, ERR_INVALID, "isapc");
    assert_ok(vmm_check_choice("auto", "microvm", "tcg", &err), err);
    assert_ok(vmm_check_choice("runc", "", "", &err), err);
}

static void versions(void **state)
{
    static const struct {
        const char *says, *why; /* NULL: it will do */
    } cases[] = {
        {VERSION, NULL},
        {"QEMU emulator version 7.1.0", NULL},
        {"QEMU emulator version 7.0.50", "is needed"},
        {"QEMU emulator version 6.2.0", "is needed"},
        {"QEMU emulator version nine", "does not say"},
        {"", "does not say"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *why = NULL;

        say_version(cases[i].says);
        why = vmm_driver_unavailable(vmm, "qemu");
        if (cases[i].why)
            assert_non_null(strstr(why ? why : "", cases[i].why));
        else
            assert_null(why);
    }
    assert_int_equal(unlink(program), 0);

    autofree char *why = vmm_driver_unavailable(vmm, "qemu");

    assert_non_null(strstr(why, "is not installed"));
    say_version(VERSION);
}

#define RAN    "vm_state_notify running 1 reason 9 (running)\n"
#define STANDS "vm_state_notify running 0 reason "
#define ASKED  "qemu_system_shutdown_request reason="

static void ends(void **state)
{
    static const struct {
        struct vmm_ending end;
        int code;
        const char *reason;
    } cases[] = {
        {{"generic", true, 0, RAN ASKED "6\n"}, 0, "Completed"},
        {{"generic", true, 0, RAN}, 1, "GuestReset"},
        {{"generic", true, 1, RAN ASKED "8\n"}, 1, "GuestPanicked"},
        {{"generic", true, 1, RAN}, 0, "Completed"},
        {{"generic", true, 2 * 42 + 1, RAN}, 42, "Error"},
        {{"hermit", true, 3, RAN}, 0, "Completed"},
        {{"hermit", true, 1, RAN}, 1, "Error"},
        {{"generic", true, 1, ""}, 1, "StartError"},
        {{"generic", true, 0, ""}, 1, "StartError"},
        {{"generic", false, 9, RAN}, 137, "Error"},
        {{"generic", false, 11, RAN}, 139, "VmmCrashed"},
        {{"generic", false, 31, ""}, 159, "VmmCrashed"},
        {{"generic", false, 9, RAN STANDS "11 (shutdown)\n"}, 1, "GuestReset"},
        {{"nanos", false, 9, RAN ASKED "6\n" STANDS "11 (shutdown)\n"}, 0, "Completed"},
        {{"generic", false, 9, RAN STANDS "14 (guest-panicked)\n"}, 1, "GuestPanicked"},
        {{"generic", false, 9, RAN STANDS "3 (internal-error)\n"}, 1, "VmmFailed"},
        {{"generic", false, 9, RAN STANDS "4 (io-error)"}, 1, "DiskError"},
        {{"generic", false, 9, RAN STANDS "12 (watchdog)\n"}, 1, "GuestHung"},
        {{"generic", false, 9, RAN STANDS "0 (debug)\n" RAN}, 137, "Error"},
        {{"generic", false, 9, RAN STANDS "11 (shutdown)\n" RAN}, 137, "Error"},
        {{"generic", false, 11, RAN STANDS "11 (shutdown)\n"}, 139, "VmmCrashed"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmm_verdict v;

        vmm_driver_find("qemu")->explain(&cases[i].end, &v);
        if (cases[i].end.code == 9)
            assert_int_equal(vmm_driver_find("qemu")->stands(cases[i].end.record),
                             cases[i].code != 137);
        if (v.exit_code != cases[i].code || !str_eq(v.reason, cases[i].reason))
            fail_msg("case %zu: %d %s", i, v.exit_code, v.reason);
    }
}

static int set_up(void **state)
{
    const struct option_table table = {vmm_options, vmm_options_n, &config};

    (void)state;
    if (options_defaults(&table, 1, &err) < 0 || !mkdtemp(directory))
        return -1;
    (void)snprintf(program, sizeof(program), "%s/qemu", directory);
    (void)snprintf(kernel, sizeof(kernel), "%s/kernel", directory);
    if (fs_write_file(AT_FDCWD, kernel, "kernel", 6, 0644, &err) < 0)
        return -1;
    say_version(VERSION);
    free(config.tender_program);
    config.tender_program = xstrdup("/bin/true");
    free(config.qemu_program);
    config.qemu_program = xstrdup(program);
    free(config.qemu_accel);
    config.qemu_accel = xstrdup("tcg");
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

static void shares(void **state)
{
    struct guest g = guest_of("unikraft", KERNEL_PVH);
    autofd int fd = open(kernel, O_RDONLY | O_CLOEXEC);
    struct vmm_share list[] = {
        {.tag = "fs1", .fd = 21, .readonly = true, .mount_point = "/etc/config"},
        {.tag = "fs2", .fd = 22, .mount_point = "/data"},
    };
    uint32_t groups[] = {4711, 5, 6, 7, 8};
    struct vmm_spec spec = {.id = "x",
                            .guest = &g,
                            .kernel_fd = fd,
                            .initrd_fd = -1,
                            .shares = list,
                            .n_shares = 1,
                            .groups = groups,
                            .n_groups = 2,
                            .control_fd = 12,
                            .record_fd = 13};
    struct vmm_plan p;

    (void)state;
    assert_ok(plan(&spec, &p), err);
    assert_string_equal(
        option(&p, "-fsdev", 0),
        "local,id=share0,path=/shares/0,security_model=none,multidevs=remap,readonly=on");
    assert_true(has_device(&p, "virtio-9p-pci,fsdev=share0,mount_tag=fs1"));
    assert_int_equal(entry(&p, "/shares/0")->kind, VMM_BIND_RO);
    assert_int_equal(entry(&p, "/shares/0")->fd, 21);
    assert_null(entry(&p, "/proc"));
    assert_int_equal(p.jail.groups[p.jail.n_groups - 2], 4711);
    assert_non_null(strstr(option(&p, "-append", 0), "\"fs1:/etc/config:9pfs:::\""));
    vmm_plan_done(&p);

    spec.n_shares = 2;
    assert_ok(plan(&spec, &p), err);
    assert_int_equal(entry(&p, "/shares/1")->kind, VMM_BIND_RW);
    assert_int_equal(entry(&p, "/proc")->kind, VMM_PROC);
    vmm_plan_done(&p);

    spec.n_groups = 5;
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "more groups");
    spec.n_groups = 0;
    list[1].tag = "fs2,readonly=on";
    assert_err(plan(&spec, &p), err, ERR_INVALID, "tag");
    list[1].tag = "fs2";
    list[1].mount_point = "/a:b";
    assert_err(plan(&spec, &p), err, ERR_UNSUPPORTED, "volume '/a:b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_net_and_disks),
        cmocka_unit_test(nanos),
        cmocka_unit_test(modern_devices),
        cmocka_unit_test(microvm),
        cmocka_unit_test(queues),
        cmocka_unit_test(refusals),
        cmocka_unit_test(versions),
        cmocka_unit_test(ends),
        cmocka_unit_test(shares),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
