/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu - the driver qemu: machines q35 and microvm, by KVM or by emulation. Everything that QEMU
 * opens is a descriptor or an entry of its jail; disks are raw whatever their bytes say; QMP comes
 * on a listening socket of the daemon. It starts stopped: the daemon's `cont` runs the guest.
 *
 * How the guest ended is told by the exit status and the record: qemu_end.c.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/private.h"
#include "vmm/qemu_debug.h"
#include "vmm/qemu_end.h"
#include "vmm/qemu_host.h"
#include "vmm/qmp.h"

#define FIRST_FD        3
#define MEMORY_MIN      (8 * MIB)
#define MEMORY_MAX      (UINT64_C(1) << 40)
#define CPUS_MAX        64
#define APPEND_MAX      2047 /* what Linux and most loaders take */
#define OVERHEAD_BASE   (48 * MIB)
#define OVERHEAD_CPU    (2 * MIB)
#define TB_EXTRA_MIB    32 /* what describes it */
#define TB_MIB          64 /* TCG's translation buffer */
#define RECORD_MAX      4096
#define MTU_MIN         68 /* virtio 1.1, 5.1.4 */
#define PIDS            64
#define NOFILE          128
#define NOFILE_SHARES   1024
#define BOOT_CODE_BYTES 440 /* of a boot sector */
#define SERIAL_MAX      20  /* virtio's */
#define SERIAL_CHARS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* microvm without ACPI: its places for virtio devices (hw/i386/microvm of QEMU 7.1 and later) */
#define MMIO_PLACES 8
#define MMIO_BASE   0xfeb00000U
#define MMIO_BYTES  512
#define MMIO_IRQ    5U

#define KERNELS (1U << KERNEL_MULTIBOOT | 1U << KERNEL_PVH | 1U << KERNEL_BZIMAGE)

static int accepts(const struct vmm_handler *handler, const struct guest *guest, struct err *err)
{
    (void)handler;
    if (*guest->hypervisor && !str_eq(guest->hypervisor, "qemu"))
        return err_set(err, ERR_UNSUPPORTED, "image: declares hypervisor '%s'", guest->hypervisor);
    if (kernel_fits(guest, KERNELS, "QEMU", err) < 0)
        return -1;
    return family_fits(guest, err);
}

/* ---------------------------------------------------------------- the plan */

struct making {
    const struct vmm_config *config;
    const struct vmm_spec *spec;
    struct vmm_plan *plan;
    struct qemu_choice is;
    int fd;          /* the next number in the VMM */
    unsigned virtio; /* devices so far */
};

static void arg2(struct making *m, const char *option, char *value)
{
    strv_push(&m->plan->argv, option);
    strv_take(&m->plan->argv, value);
}

/* virtio-KIND-{pci,device}OPTIONS; takes the options. On PCI QEMU makes devices that old drivers
 * know, too, by their old number. */
static void virtio(struct making *m, const char *kind, char *options)
{
    const struct family *family = family_row(vmm_guest_family(m->spec->guest));
    bool modern = !m->is.microvm && family && family->modern;

    arg2(m, "-device",
         xasprintf("virtio-%s-%s%s%s", kind, m->is.microvm ? "device" : "pci", options,
                   modern ? ",disable-legacy=on" : ""));
    free(options);
    m->virtio++;
}

static int next_fd(struct making *m, int from, struct err *err)
{
    return plan_fd(m->plan, from, m->fd, false, err) < 0 ? -1 : m->fd++;
}

/*
 * What QEMU takes beside the guest's memory. Measured (7.2, x86-64, private pages without the
 * guest's): 17 MiB with an idle guest of any size; 65 MiB when an emulated Linux has booted, by the
 * translated code and a copy of its kernel; page tables are 1/512 of the memory, KVM has as many
 * again. The rest is room for requests to disks and network. It is a bound, nothing is set aside.
 */
static uint64_t overhead(const struct making *m)
{
    uint64_t sum = OVERHEAD_BASE + m->spec->cpus * OVERHEAD_CPU + m->plan->guest_memory / 128;
    int files[] = {m->spec->kernel_fd, m->spec->initrd_fd};
    struct stat st;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (files[i] >= 0 && fstat(files[i], &st) == 0)
            sum += (uint64_t)st.st_size;
    /* of a multiboot kernel it keeps a copy as it is to lie in memory, with all that is zero */
    if (m->spec->guest->kernel == KERNEL_MULTIBOOT)
        sum += m->spec->guest->kernel_end;
    return m->is.kvm ? sum : sum + (TB_MIB + TB_EXTRA_MIB) * MIB;
}

static int plan_machine(struct making *m, struct err *err)
{
    if (plan_memory(m->plan, m->config, m->spec, "QEMU", MEMORY_MIN, MEMORY_MAX, err) < 0)
        return -1;
    if (m->spec->guest->kernel_end > m->plan->guest_memory)
        return err_set(err, ERR_INVALID,
                       "memory: the guest has %llu MiB, its kernel alone takes %llu: raise the "
                       "memory limit",
                       (unsigned long long)(m->plan->guest_memory / MIB),
                       (unsigned long long)(m->spec->guest->kernel_end / MIB + 1));
    if (m->spec->cpus > CPUS_MAX)
        return err_set(err, ERR_INVALID, "cpus: %u, at most %d", m->spec->cpus, CPUS_MAX);
    m->plan->overhead = overhead(m);
    /* With ACPI, Linux finds no clock in an emulated microvm; without, no power button. */
    arg2(m, "-machine",
         xasprintf(m->is.microvm ? "microvm,x-option-roms=on,auto-kernel-cmdline=off,acpi=%s"
                                 : "q35,vmport=off,acpi=%s",
                   m->is.microvm && !m->is.kvm ? "off" : "on"));
    arg2(m, "-accel", m->is.kvm ? xstrdup("kvm") : xasprintf("tcg,tb-size=%d", TB_MIB));
    arg2(m, "-cpu", xstrdup(m->is.kvm ? "host" : "max"));
    arg2(m, "-m", xasprintf("%lluM", (unsigned long long)(m->plan->guest_memory / MIB)));
    arg2(m, "-smp", xasprintf("%u", m->spec->cpus ? m->spec->cpus : 1));
    return 0;
}

/* Others have the processor's, and complain of a device that they have no driver for. */
static bool wants_rng(const struct guest *guest)
{
    const char *family = vmm_guest_family(guest);

    return str_eq(family, "linux") || str_eq(family, "osv") || str_eq(family, "nanos");
}

static void plan_frame(struct making *m)
{
    static const char *const fixed[] = {
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-S",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console"};

    struct family_port port = family_debug_port(vmm_guest_family(m->spec->guest));

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        strv_push(&m->plan->argv, fixed[i]);
    /* Held, it waits at its end until its memory has been looked at: see stands. */
    arg2(m, "-action",
         xstrdup(m->spec->hold_end ? "reboot=shutdown,shutdown=pause,panic=pause"
                                   : "reboot=shutdown,shutdown=poweroff,panic=exit-failure"));
    /* Where a guest says how it ends. */
    arg2(m, "-device", xasprintf("isa-debug-exit,iobase=0x%x,iosize=%u", port.base, port.bytes));
    arg2(m, "-device", xstrdup("pvpanic"));
    if (!wants_rng(m->spec->guest))
        return;
    arg2(m, "-object", xstrdup("rng-builtin,id=rng"));
    virtio(m, "rng", xstrdup(",rng=rng"));
}

static int plan_channels(struct making *m, struct err *err)
{
    int fd = next_fd(m, m->spec->control_fd, err);

    if (fd < 0)
        return -1;
    arg2(m, "-chardev", xasprintf("socket,id=qmp,fd=%d,server=on,wait=off", fd));
    arg2(m, "-mon", xstrdup("chardev=qmp,mode=control"));
    if (m->spec->record_fd < 0)
        return 0;
    arg2(m, "-trace", xstrdup("vm_state_notify"));
    arg2(m, "-trace", xstrdup("qemu_system_shutdown_request"));
    arg2(m, "-D", xstrdup("/end"));
    return plan_entry(m->plan, VMM_BIND_RW, "/end", m->spec->record_fd, false, NULL, err);
}

/* "fd=4", or "fds=4:5": one for each queue. */
static int plan_queues(struct making *m, const struct vmm_net *net, struct strbuf *ret,
                       struct err *err)
{
    strbuf_adds(ret, net->n_more ? "fds=" : "fd=");
    for (size_t i = 0; i <= net->n_more; i++) {
        int fd = next_fd(m, i ? net->more_fds[i - 1] : net->tap_fd, err);

        if (fd < 0)
            return -1;
        strbuf_addf(ret, "%s%d", i ? ":" : "", fd);
    }
    return 0;
}

/* With PCI each queue has two interrupts; one is for changes, one for the device's commands. */
static char *queue_options(const struct making *m, const struct vmm_net *net)
{
    if (net->n_more == 0)
        return xstrdup("");
    return m->is.microvm ? xstrdup(",mq=on")
                         : xasprintf(",mq=on,vectors=%zu", 2 * (net->n_more + 1) + 2);
}

static int plan_nets(struct making *m, struct err *err)
{
    for (size_t i = 0; i < m->spec->n_nets; i++) {
        const struct vmm_net *net = &m->spec->nets[i];
        autofree char *queues = queue_options(m, net);
        autostrbuf fds = STRBUF_INIT;
        char mtu[24] = "";

        if (plan_queues(m, net, &fds, err) < 0)
            return -1;
        if (strlen(net->mac) != 17 || strspn(net->mac, "0123456789abcdefABCDEF:") != 17)
            return err_set(err, ERR_INVALID, "MAC address '%s'", net->mac);
        arg2(m, "-netdev", xasprintf("tap,id=net%zu,%s", i, fds.s));
        if (net->mtu >= MTU_MIN && net->mtu <= UINT16_MAX)
            (void)snprintf(mtu, sizeof(mtu), ",host_mtu=%d", net->mtu);
        virtio(m, "net",
               xasprintf(",netdev=net%zu,mac=%s%s%s%s", i, net->mac, mtu, queues,
                         m->is.microvm ? "" : ",romfile="));
    }
    return 0;
}

/* By what the guest may find the disk: as far as virtio takes it. Owned; "" none. */
static char *disk_serial(const struct vmm_block *block)
{
    const char *s = block->serial;

    if (!s || !*s || strspn(s, SERIAL_CHARS) != strlen(s))
        return xstrdup("");
    return xasprintf(",serial=%.*s", SERIAL_MAX, s);
}

/* Nanos makes its first page tables right below 1 MiB, where QEMU's machines have their firmware,
 * read-only: entered by PVH it dies at once. Booted by the firmware from its disk it runs. */
static bool boots_from_disk(const struct making *m)
{
    return str_eq(vmm_guest_family(m->spec->guest), "nanos");
}

static int check_boot_disk(const struct making *m, struct err *err)
{
    unsigned char sector[512] = {0};
    bool code = false;

    if (m->is.microvm)
        return err_set(err, ERR_UNSUPPORTED,
                       "guest: Nanos boots from its disk, which takes the machine q35");
    if (m->spec->n_blocks == 0)
        return err_set(err, ERR_INVALID, "guest: Nanos boots from its disk, and there is none");
    if (pread(m->spec->blocks[0].fd, sector, sizeof(sector), 0) < 0)
        return err_sys(err, "read the disk");
    for (size_t i = 0; i < BOOT_CODE_BYTES; i++)
        code = code || sector[i];
    if (!code || sector[510] != 0x55 || sector[511] != 0xaa)
        return err_set(err, ERR_INVALID,
                       "disk: has no boot sector; Nanos boots from its disk: make it with Nanos' "
                       "boot.img (mkfs -b)");
    return 0;
}

/* Always raw: what the first bytes of a disk say is the guest's business. So are its errors: QEMU
 * would stop a guest whose disk finds no room on the node. */
static int plan_blocks(struct making *m, struct err *err)
{
    for (size_t i = 0; i < m->spec->n_blocks; i++) {
        const struct vmm_block *block = &m->spec->blocks[i];
        autofree char *serial = disk_serial(block);
        const char *mode = block->readonly ? "on" : "off";
        int fd = next_fd(m, block->fd, err);
        struct stat st;

        if (fd < 0)
            return -1;
        if (fstat(block->fd, &st) < 0)
            return err_sys(err, "look at disk %zu", i);
        if (!block->readonly && S_ISREG(st.st_mode) && (uint64_t)st.st_size > m->plan->jail.fsize)
            m->plan->jail.fsize = (uint64_t)st.st_size;
        arg2(m, "-add-fd", xasprintf("fd=%d,set=%zu", fd, i + 1));
        arg2(m, "-blockdev",
             xasprintf("driver=raw,node-name=disk%zu,read-only=%s,discard=unmap,file.driver=%s,"
                       "file.filename=/dev/fdset/%zu,file.locking=off,file.read-only=%s",
                       i, mode, S_ISBLK(st.st_mode) ? "host_device" : "file", i + 1, mode));
        virtio(m, "blk",
               xasprintf(",drive=disk%zu%s,werror=report,rerror=report%s", i, serial,
                         i == 0 && boots_from_disk(m) ? ",bootindex=0" : ""));
    }
    return 0;
}

/* Where the guest finds its devices without ACPI: the first one in the last place. QEMU would put
 * this at the end of the line, among the arguments of a guest's program. */
static int plan_places(struct making *m, struct strbuf *line, struct err *err)
{
    const char *family = vmm_guest_family(m->spec->guest);

    if (!m->is.microvm || m->is.kvm)
        return 0;
    if (m->virtio > MMIO_PLACES)
        return err_set(err, ERR_UNSUPPORTED,
                       "guest: %u virtio devices; an emulated microvm has room for %d", m->virtio,
                       MMIO_PLACES);
    if (!str_eq(family, "linux") && !str_eq(family, "hermit"))
        return 0;
    for (unsigned i = MMIO_PLACES; i-- > MMIO_PLACES - m->virtio;)
        strbuf_addf(line, "%svirtio_mmio.device=%d@0x%x:%u", line->len ? " " : "", MMIO_BYTES,
                    MMIO_BASE + i * MMIO_BYTES, MMIO_IRQ + i);
    return 0;
}

/* One server for the one share; the guest's memory is its own, too. */
static int plan_virtiofs(struct making *m, struct err *err)
{
    int fd = next_fd(m, m->spec->fs_socket, err);

    if (fd < 0 || virtiofsd_plan(m->config, m->spec, m->plan, err) < 0)
        return -1;
    arg2(m, "-object",
         xasprintf("memory-backend-memfd,id=ram,size=%lluM,share=on",
                   (unsigned long long)(m->plan->guest_memory / MIB)));
    arg2(m, "-machine", xstrdup("memory-backend=ram"));
    arg2(m, "-chardev", xasprintf("socket,id=fs,fd=%d", fd));
    arg2(m, "-device",
         xasprintf("vhost-user-fs-%s,chardev=fs,tag=%s", m->is.microvm ? "device" : "pci",
                   m->spec->shares[0].tag));
    m->virtio++;
    return 0;
}

static int plan_shares(struct making *m, struct err *err)
{
    bool writes = false;

    if (m->spec->n_shares == 0)
        return 0;
    if (m->spec->shares[0].virtiofs)
        return plan_virtiofs(m, err);
    for (size_t i = 0; i < m->spec->n_shares; i++) {
        const struct vmm_share *share = &m->spec->shares[i];
        autofree char *path = xasprintf("/shares/%zu", i);

        if (share->virtiofs || !share_tag_ok(share->tag))
            return err_set(err, ERR_INVALID, "share '%s': is given by 9p, with a short tag",
                           share->tag);
        if (share_put(m->plan, share, path, &writes, err) < 0)
            return -1;
        arg2(m, "-fsdev",
             xasprintf("local,id=share%zu,path=%s,security_model=none,multidevs=remap%s", i, path,
                       share->readonly ? ",readonly=on" : ""));
        virtio(m, "9p", xasprintf(",fsdev=share%zu,mount_tag=%s", i, share->tag));
        m->plan->jail.nofile = NOFILE_SHARES;
    }
    if (writes) {
        m->plan->jail.fsize = INT64_MAX; /* what may be written there is for others to bound */
        if (plan_entry(m->plan, VMM_PROC, "/proc", -1, false, NULL, err) < 0)
            return -1; /* QEMU changes modes by /proc/self/fd */
    }
    return share_groups(m->plan, m->spec, err);
}

static int plan_kernel(struct making *m, struct err *err)
{
    autostrv char **arguments = NULL;
    autostrbuf line = STRBUF_INIT;

    if (boots_from_disk(m))
        return family_arguments(m->spec, &arguments, err) < 0 ? -1 : check_boot_disk(m, err);
    if (host_put_image_file(m->plan, m->spec->kernel_fd, m->spec->guest->binary, "/kernel", err) <
        0)
        return -1;
    arg2(m, "-kernel", xstrdup("/kernel"));
    if (m->spec->initrd_fd >= 0) {
        if (host_put_image_file(m->plan, m->spec->initrd_fd, "initrd", "/initrd", err) < 0)
            return -1;
        arg2(m, "-initrd", xstrdup("/initrd"));
    }
    if (family_arguments(m->spec, &arguments, err) < 0 || plan_places(m, &line, err) < 0)
        return -1;
    for (char **arg = arguments; arg && *arg; arg++)
        strbuf_addf(&line, "%s%s", line.len ? " " : "", *arg);
    if (line.len > APPEND_MAX)
        return err_set(err, ERR_INVALID, "arguments: %zu bytes, a guest of QEMU takes at most %d",
                       line.len, APPEND_MAX);
    if (line.len)
        arg2(m, "-append", xstrdup(line.s));
    return 0;
}

static int plan(const struct vmm_handler *handler, const struct vmm_spec *spec,
                struct vmm_plan *ret, struct err *err)
{
    const struct vmm_config *config = handler->vmm->config;
    struct making m = {.config = config, .spec = spec, .plan = ret, .fd = FIRST_FD};

    if (accepts(handler, spec->guest, err) < 0 ||
        qemu_host_choose(config, spec->machine, spec->accel, &m.is, err) < 0)
        return -1;
    ret->jail.pids_max = PIDS + spec->cpus;
    ret->jail.nofile = NOFILE;
    ret->jail.fsize = RECORD_MAX;
    strv_push(&ret->argv, QEMU_PROGRAM);
    arg2(&m, "-name", xstrdup(spec->id));
    if (qemu_host_put(config, ret, err) < 0 || (m.is.kvm && host_put_kvm(ret, err) < 0))
        return -1;
    plan_frame(&m);
    if (plan_machine(&m, err) < 0 || plan_channels(&m, err) < 0 || plan_nets(&m, err) < 0 ||
        plan_blocks(&m, err) < 0 || plan_shares(&m, err) < 0)
        return -1;
    return plan_kernel(&m, err);
}

/* ---------------------------------------------------------------- control */

static int ready(int fd, deadline_t deadline, struct err *err)
{
    return qmp_run(fd, "cont", true, deadline, err);
}

static int shut_down(int fd, deadline_t deadline, struct err *err)
{
    return qmp_run(fd, "system_powerdown", true, deadline, err);
}

static char *unavailable(const struct vmm_handler *handler)
{
    return qemu_host_unavailable(handler->vmm->config);
}

const struct vmm_driver vmm_qemu = {
    .name = "qemu",
    .unavailable = unavailable,
    .accepts = accepts,
    .plan = plan,
    .can = VMM_CAN_NET | VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_9P | VMM_CAN_VIRTIOFS |
           VMM_CAN_SMP | VMM_CAN_MANY_NETS | VMM_CAN_QUEUES,
    .ioctls = IOCTLS_KVM | IOCTLS_TAP | IOCTLS_DISK,
    .vnet_hdr = true,
    .stop = VMM_STOP_CONTROL,
    .control = VMM_CONTROL_LISTENER,
    .ready = ready,
    .shutdown = shut_down,
    .debug_begin = qemu_debug_begin,
    .debug_end = qemu_debug_end,
    .dump = qemu_dump,
    .record = true,
    .stands = qemu_stands,
    .explain = qemu_explain,
};
