/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu - the driver qemu: machines q35 and microvm, by KVM or by emulation. Everything that QEMU
 * opens is a descriptor or an entry of its jail; disks are raw whatever their bytes say; QMP comes
 * on a listening socket of the daemon. It starts stopped: the daemon's `cont` runs the guest.
 *
 * How the guest ended is told by the exit status, the debug port, and two trace events that QEMU
 * writes to the record: that the guest ran, and who asked for the shutdown. A reset (triple fault,
 * panic=-1) is an end with status 0 without a request.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "vmm/kvm.h"
#include "vmm/private.h"
#include "vmm/qmp.h"

#define PROGRAM         "qemu-system-x86_64"
#define VERSION_TIMEOUT (10 * NSEC_PER_SEC)
#define FIRST_FD        3
#define MIB             (UINT64_C(1) << 20)
#define MEMORY_MIN      (8 * MIB)
#define MEMORY_MAX      (UINT64_C(1) << 40)
#define CPUS_MAX        64
#define APPEND_MAX      2047 /* what Linux and most loaders take */
#define TB_MIB          64   /* TCG's translation buffer */
#define OVERHEAD_KVM    (128 * MIB)
#define OVERHEAD_TCG    (OVERHEAD_KVM + TB_MIB * MIB)
#define RECORD_MAX      4096
#define PIDS            64
#define MODULES         "/usr/lib/x86_64-linux-gnu/qemu" /* not found by itself without /proc */
#define NOFILE          128
#define SERIAL_MAX      20 /* virtio's */
#define SERIAL_CHARS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* microvm without ACPI: its places for virtio devices (hw/i386/microvm of QEMU 7.1 and later) */
#define MMIO_PLACES 8
#define MMIO_BASE   0xfeb00000U
#define MMIO_BYTES  512
#define MMIO_IRQ    5U

#define KERNELS (1U << KERNEL_MULTIBOOT | 1U << KERNEL_PVH | 1U << KERNEL_BZIMAGE)

/* ---------------------------------------------------------------- can it run? */

/* Owned; "" when there is none. */
static char *find_program(const struct vmm_config *config)
{
    const char *dirs = "/usr/local/bin:/usr/bin:/usr/libexec:/bin";

    if (config->qemu_program && *config->qemu_program)
        return xstrdup(access(config->qemu_program, X_OK) == 0 ? config->qemu_program : "");
    for (const char *d = dirs; *d;) {
        size_t len = strcspn(d, ":");
        autofree char *path = xasprintf("%.*s/" PROGRAM, (int)len, d);

        if (access(path, X_OK) == 0)
            return TAKE_PTR(path);
        d += len + (d[len] == ':');
    }
    return xstrdup("");
}

/* "QEMU emulator version 7.2.22 ..." */
static char *check_version(const char *program)
{
    static const char head[] = "QEMU emulator version ";
    char *argv[] = {(char *)(uintptr_t)program, (char[]){"--version"}, NULL};
    struct child_spec spec = {.path = program, .argv = argv};
    struct child_status status;
    autochild_output out = {0};
    struct err err = ERR_INIT;
    int major = 0, minor = 0;
    const char *p;

    if (child_run(&spec, NULL, 0, 4096, deadline_in(VERSION_TIMEOUT), &out, &status, &err) < 0)
        return xasprintf("'%s' cannot be run: %s", program, err.msg);
    p = out.out && str_has_prefix(out.out, head) ? out.out + sizeof(head) - 1 : NULL;
    if (!p || !scan_int(&p, &major) || !scan_text(&p, ".") || !scan_int(&p, &minor))
        return xasprintf("'%s' does not say that it is QEMU", program);
    if (major < 7 || (major == 7 && minor < 1))
        return xasprintf("QEMU %d.%d is too old: version 7.1 is needed", major, minor);
    return NULL;
}

/* Asked for once a program and state of its file. */
static char *version_unfit(const char *program)
{
    static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER};
    static struct timespec seen;
    static ino_t inode;
    static char why[512];
    struct stat st;

    if (stat(program, &st) < 0)
        return xasprintf("'%s': %s", program, strerror(errno));
    mutex_lock(&lock);
    if (st.st_ino != inode || st.st_mtim.tv_sec != seen.tv_sec ||
        st.st_mtim.tv_nsec != seen.tv_nsec) {
        autofree char *found = check_version(program);

        (void)snprintf(why, sizeof(why), "%s", found ? found : "");
        inode = st.st_ino;
        seen = st.st_mtim;
    }

    char *ret = *why ? xstrdup(why) : NULL;

    mutex_unlock(&lock);
    return ret;
}

static const char *setting(const char *value)
{
    return value && *value ? value : "auto";
}

int qemu_check_choice(const char *machine, const char *accel, struct err *err)
{
    const char *m = setting(machine), *a = setting(accel);

    if (!str_eq(m, "auto") && !str_eq(m, "q35") && !str_eq(m, "microvm"))
        return err_set(err, ERR_INVALID, "machine '%s': neither 'auto' nor 'q35' nor 'microvm'", m);
    if (!str_eq(a, "auto") && !str_eq(a, "kvm") && !str_eq(a, "tcg"))
        return err_set(err, ERR_INVALID, "accelerator '%s': neither 'auto' nor 'kvm' nor 'tcg'", a);
    return 0;
}

static char *unavailable(const struct vmm_handler *handler)
{
    const struct vmm_config *config = handler->vmm->config;
    autofree char *program = find_program(config);
    struct err err = ERR_INIT;

    if (!*program)
        return xasprintf("'%s' is not installed", config->qemu_program && *config->qemu_program
                                                      ? config->qemu_program
                                                      : PROGRAM);
    if (qemu_check_choice(config->qemu_machine, config->qemu_accel, &err) < 0)
        return xasprintf("vmm.qemu_machine, vmm.qemu_accel: %s", err.msg);
    if (str_eq(setting(config->qemu_accel), "kvm") && kvm_unusable())
        return xstrdup(kvm_unusable());
    return version_unfit(program);
}

static int accepts(const struct vmm_handler *handler, const struct guest *guest, struct err *err)
{
    (void)handler;
    if (*guest->hypervisor && !str_eq(guest->hypervisor, "qemu"))
        return err_set(err, ERR_UNSUPPORTED, "image: declares hypervisor '%s'", guest->hypervisor);
    if (kernel_fits(guest, KERNELS, "QEMU", err) < 0)
        return -1;
    return family_find(guest->family, err) ? 0 : -1;
}

/* ---------------------------------------------------------------- the plan */

struct making {
    const struct vmm_config *config;
    const struct vmm_spec *spec;
    struct vmm_plan *plan;
    bool kvm, microvm;
    int fd;          /* the next number in the VMM */
    unsigned virtio; /* devices so far */
};

static void arg2(struct making *m, const char *option, char *value)
{
    strv_push(&m->plan->argv, option);
    strv_take(&m->plan->argv, value);
}

/* virtio-KIND-{pci,device}OPTIONS; takes the options. */
static void virtio(struct making *m, const char *kind, char *options)
{
    arg2(m, "-device", xasprintf("virtio-%s-%s%s", kind, m->microvm ? "device" : "pci", options));
    free(options);
    m->virtio++;
}

static int next_fd(struct making *m, int from, struct err *err)
{
    return plan_fd(m->plan, from, m->fd, false, err) < 0 ? -1 : m->fd++;
}

static int bind_path(struct making *m, enum vmm_entry_kind kind, const char *host, const char *path,
                     struct err *err)
{
    int fd = open(host, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", host);
    return plan_entry(m->plan, kind, path, fd, true, NULL, err);
}

/* Loader, libraries and firmware, where the program looks for them by itself. */
static int plan_files(struct making *m, struct err *err)
{
    static const char *const dirs[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/share/qemu",
                                       "/usr/share/seabios"};
    static const char *const roots[] = {"/lib", "/lib64"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        if (access(dirs[i], F_OK) == 0 && bind_path(m, VMM_BIND_RO, dirs[i], dirs[i], err) < 0)
            return -1;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        char target[16] = "";

        if (readlink(roots[i], target, sizeof(target) - 1) > 0) {
            if (plan_entry(m->plan, VMM_SYMLINK, roots[i], -1, false, target, err) < 0)
                return -1;
        } else if (access(roots[i], F_OK) == 0 &&
                   bind_path(m, VMM_BIND_RO, roots[i], roots[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* QEMU opens these by name: they are bound, and must be readable for its uid. */
static int plan_readable(struct making *m, int fd, const char *name, const char *path,
                         struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_sys(err, "look at '%s'", name);
    if (!(st.st_mode & S_IROTH))
        return err_set(err, ERR_UNSUPPORTED,
                       "'%s': its mode %04o lets not everybody read it; make it readable for all "
                       "in the image",
                       name, st.st_mode & 07777);
    return plan_entry(m->plan, VMM_BIND_RO, path, fd, false, NULL, err);
}

static int plan_kvm(struct making *m, struct err *err)
{
    struct stat st;

    if (!m->kvm)
        return 0;
    if (stat("/dev/kvm", &st) < 0)
        return err_sys(err, "look at '/dev/kvm'");
    if (st.st_gid)
        m->plan->jail.groups[m->plan->jail.n_groups++] = st.st_gid;
    return bind_path(m, VMM_BIND_DEVICE, "/dev/kvm", "/dev/kvm", err);
}

static int plan_machine(struct making *m, struct err *err)
{
    uint64_t wanted = m->spec->memory_limit > 0 ? m->spec->memory_limit : m->config->default_memory;
    uint64_t size = wanted / MIB * MIB;

    if (size < MEMORY_MIN || size > MEMORY_MAX)
        return err_set(err, ERR_INVALID, "memory limit of %llu bytes: QEMU takes %llu to %llu",
                       (unsigned long long)wanted, (unsigned long long)MEMORY_MIN,
                       (unsigned long long)MEMORY_MAX);
    if (m->spec->cpus > CPUS_MAX)
        return err_set(err, ERR_INVALID, "cpus: %u, at most %d", m->spec->cpus, CPUS_MAX);
    m->plan->guest_memory = size;
    m->plan->overhead = m->kvm ? OVERHEAD_KVM : OVERHEAD_TCG;
    /* With ACPI, Linux finds no clock in an emulated microvm; without, no power button. */
    arg2(m, "-machine",
         xasprintf(m->microvm ? "microvm,x-option-roms=on,auto-kernel-cmdline=off,acpi=%s"
                              : "q35,vmport=off,acpi=%s",
                   m->microvm && !m->kvm ? "off" : "on"));
    arg2(m, "-accel", m->kvm ? xstrdup("kvm") : xasprintf("tcg,tb-size=%d", TB_MIB));
    arg2(m, "-cpu", xstrdup(m->kvm ? "host" : "max"));
    arg2(m, "-m", xasprintf("%lluM", (unsigned long long)(size / MIB)));
    arg2(m, "-smp", xasprintf("%u", m->spec->cpus ? m->spec->cpus : 1));
    return 0;
}

static void plan_frame(struct making *m)
{
    static const char *const fixed[] = {
        "-L",
        "/usr/share/seabios",
        "-L",
        "/usr/share/qemu",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-S",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-action",
        "reboot=shutdown,shutdown=poweroff,panic=exit-failure",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console"};

    struct family_port port = family_debug_port(vmm_guest_family(m->spec->guest));

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        strv_push(&m->plan->argv, fixed[i]);
    /* Where a guest says how it ends. */
    arg2(m, "-device", xasprintf("isa-debug-exit,iobase=0x%x,iosize=%u", port.base, port.bytes));
    arg2(m, "-device", xstrdup("pvpanic"));
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

static int plan_nets(struct making *m, struct err *err)
{
    for (size_t i = 0; i < m->spec->n_nets; i++) {
        const struct vmm_net *net = &m->spec->nets[i];
        int fd = next_fd(m, net->tap_fd, err);

        if (fd < 0)
            return -1;
        if (strlen(net->mac) != 17 || strspn(net->mac, "0123456789abcdefABCDEF:") != 17)
            return err_set(err, ERR_INVALID, "MAC address '%s'", net->mac);
        arg2(m, "-netdev", xasprintf("tap,id=net%zu,fd=%d", i, fd));
        virtio(m, "net",
               xasprintf(",netdev=net%zu,mac=%s%s", i, net->mac, m->microvm ? "" : ",romfile="));
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

/* Always raw: what the first bytes of a disk say is the guest's business. */
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
        virtio(m, "blk", xasprintf(",drive=disk%zu%s", i, serial));
    }
    return 0;
}

/* Where the guest finds its devices without ACPI: the first one in the last place. QEMU would put
 * this at the end of the line, among the arguments of a guest's program. */
static int plan_places(struct making *m, struct strbuf *line, struct err *err)
{
    const char *family = vmm_guest_family(m->spec->guest);

    if (!m->microvm || m->kvm)
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

static int plan_kernel(struct making *m, struct err *err)
{
    autostrv char **arguments = NULL;
    autostrbuf line = STRBUF_INIT;

    if (plan_readable(m, m->spec->kernel_fd, m->spec->guest->binary, "/kernel", err) < 0)
        return -1;
    arg2(m, "-kernel", xstrdup("/kernel"));
    if (m->spec->initrd_fd >= 0) {
        if (plan_readable(m, m->spec->initrd_fd, m->spec->guest->initrd, "/initrd", err) < 0)
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

/* What the handler asks for, else the configuration. */
static int choose(struct making *m, struct err *err)
{
    const struct vmm_spec *spec = m->spec;
    const char *accel = setting(spec->accel), *machine = setting(spec->machine);

    if (str_eq(accel, "auto"))
        accel = setting(m->config->qemu_accel);
    if (str_eq(machine, "auto"))
        machine = setting(m->config->qemu_machine);
    if (qemu_check_choice(machine, accel, err) < 0)
        return -1;
    if (str_eq(accel, "kvm") && kvm_unusable())
        return err_set(err, ERR_UNSUPPORTED, "accelerator 'kvm': %s", kvm_unusable());
    m->kvm = str_eq(accel, "kvm") || (str_eq(accel, "auto") && !kvm_unusable());
    m->microvm = str_eq(machine, "microvm");
    return 0;
}

static int plan(const struct vmm_handler *handler, const struct vmm_spec *spec,
                struct vmm_plan *ret, struct err *err)
{
    const struct vmm_config *config = handler->vmm->config;
    autofree char *program = find_program(config);
    struct making m = {.config = config, .spec = spec, .plan = ret, .fd = FIRST_FD};

    if (accepts(handler, spec->guest, err) < 0 || choose(&m, err) < 0)
        return -1;
    (void)close_fd(ret->program_fd);
    ret->program_fd = open(program, O_PATH | O_CLOEXEC);
    if (ret->program_fd < 0)
        return err_sys(err, "open QEMU's program '%s'", program);
    ret->jail.pids_max = PIDS + spec->cpus;
    ret->jail.nofile = NOFILE;
    ret->jail.fsize = RECORD_MAX;
    strv_push(&ret->env, "QEMU_MODULE_DIR=" MODULES);
    strv_push(&ret->argv, PROGRAM);
    arg2(&m, "-name", xstrdup(spec->id));
    plan_frame(&m);
    if (plan_machine(&m, err) < 0 || plan_files(&m, err) < 0 || plan_kvm(&m, err) < 0 ||
        plan_channels(&m, err) < 0 || plan_nets(&m, err) < 0 || plan_blocks(&m, err) < 0)
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

/* ---------------------------------------------------------------- what an end means */

/* isa-debug-exit ends QEMU with status 2 * value + 1; so 1 is a value of 0 only if nothing else was
 * an error: errors of QEMU itself come before the guest runs. */
static void explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    bool ran = strstr(end->record, "vm_state_notify running 1") != NULL;
    bool panic = strstr(end->record, "qemu_system_shutdown_request reason=8") != NULL;
    bool asked = strstr(end->record, "qemu_system_shutdown_request reason=") != NULL;

    *ret = (struct vmm_verdict){
        .exit_code = end->exited ? end->code : 128 + end->code, .reason = "Error", .message = ""};
    if (!end->exited) {
        if (end->code != SIGKILL && end->code != SIGTERM)
            *ret = (struct vmm_verdict){128 + end->code, "VmmCrashed", "QEMU itself crashed"};
    } else if (!ran) {
        *ret = (struct vmm_verdict){end->code ? end->code : 1, "StartError",
                                    "QEMU could not set the guest up"};
    } else if (panic) {
        family_end(end->family, VMM_END_PANIC, -1, ret);
    } else if (end->code == 0) {
        family_end(end->family, asked ? VMM_END_SHUTDOWN : VMM_END_RESET, -1, ret);
    } else if (end->code % 2 == 1) {
        family_end(end->family, VMM_END_SHUTDOWN, end->code >> 1, ret);
    }
}

const struct vmm_driver vmm_qemu = {
    .name = "qemu",
    .unavailable = unavailable,
    .accepts = accepts,
    .plan = plan,
    .can = VMM_CAN_NET | VMM_CAN_INITRD | VMM_CAN_BLOCK | VMM_CAN_SMP | VMM_CAN_MANY_NETS,
    .vnet_hdr = true,
    .stop = VMM_STOP_CONTROL,
    .control = VMM_CONTROL_LISTENER,
    .ready = ready,
    .shutdown = shut_down,
    .record = true,
    .explain = explain,
};
