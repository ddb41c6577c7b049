/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hvt backend: a virtual machine of one processor under KVM. This file creates it and serves
 * its hypercalls; hvt_ARCH.c knows registers, tables and how a hypercall looks. A call's argument
 * is copied out of guest memory, served, and its results are written back; every address and length
 * in it is checked first.
 */
#include "vmm/tender/tender.h"

#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000u

static int map_run(struct tender *t, int kvm_fd, struct fault *f)
{
    int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (size < (int)sizeof(struct kvm_run))
        return fault_set(f, STATUS_SETUP, "KVM: impossible size %d of the vcpu mapping", size);
    t->cpu.run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, t->cpu.vcpu_fd, 0);
    if (t->cpu.run == MAP_FAILED)
        return fault_sys(f, "KVM: map the vcpu");
    return 0;
}

int hvt_open(struct tender *t, int kvm_fd, struct fault *f)
{
    struct kvm_userspace_memory_region region = {
        .memory_size = t->mem.size,
        .userspace_addr = t->mem.host,
    };
    int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

    if (version < 0)
        return fault_sys(f, "KVM: descriptor %d is not /dev/kvm", kvm_fd);
    if (version != KVM_API_VERSION)
        return fault_set(f, STATUS_SETUP, "KVM: API version %d, needed is %d", version,
                         KVM_API_VERSION);
    if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) <= 0)
        return fault_set(f, STATUS_SETUP, "KVM: capability USER_MEMORY is missing");
    t->cpu.vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
    if (t->cpu.vm_fd < 0)
        return fault_sys(f, "KVM: create a VM");
    t->cpu.vcpu_fd = ioctl(t->cpu.vm_fd, KVM_CREATE_VCPU, 0);
    if (t->cpu.vcpu_fd < 0)
        return fault_sys(f, "KVM: create a vcpu");
    if (map_run(t, kvm_fd, f) != 0)
        return -1;
    if (ioctl(t->cpu.vm_fd, KVM_SET_USER_MEMORY_REGION, &region) != 0)
        return fault_sys(f, "KVM: set %llu bytes of guest memory",
                         (unsigned long long)region.memory_size);
    return hvt_cpu_setup(t, kvm_fd, f);
}

static void put_boot_info(struct tender *t, const char *cmdline)
{
    struct solo5_hvt_boot_info bi = {
        .mem_size = t->mem.size,
        .kernel_end = t->image.end,
        .cycle_freq = t->cpu.cycle_freq,
    };

    mem_boot_strings(&t->mem, &t->mft, cmdline, SOLO5_HVT_BOOT_INFO + sizeof(bi), &bi.mft,
                     &bi.cmdline);
    memcpy(mem_raw(&t->mem, SOLO5_HVT_BOOT_INFO), &bi, sizeof(bi));
}

/* The program's own ELF header, from the linker. */
extern Elf64_Ehdr __ehdr_start;

/* The set-up is over: let go of its code and constants. What the loop needs comes back by a few
 * page faults. */
static void drop_code(void)
{
    char *base = (char *)&__ehdr_start;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);

    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
        uint64_t begin = ph[i].p_vaddr & ~(uint64_t)(ELF_PAGE - 1);
        if (ph[i].p_type == PT_LOAD && !(ph[i].p_flags & PF_W))
            (void)madvise(base + begin, ph[i].p_vaddr + ph[i].p_memsz - begin, MADV_DONTNEED);
    }
}

/* Nobody is there to see it. */
static void on_trap(int sig)
{
    (void)sig;
}

int hvt_run(struct tender *t, const char *cmdline, struct fault *f)
{
    struct sigaction trap = {.sa_handler = on_trap};

    put_boot_info(t, cmdline);
    if (signals_setup(f) != 0)
        return -1;
    if (sigaction(SIGTRAP, &trap, NULL) != 0)
        return fault_sys(f, "signals: set up");
    drop_code();
    if (jail_hvt(t, f) != 0)
        return -1;
    return hvt_cpu_run(t, f);
}

/* The console may be a pipe somebody made non-blocking: wait, a guest's line is never dropped. */
static void console_write(const char *data, uint64_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)ppoll(&pfd, 1, NULL, NULL);
        } else if (n < 0 && errno != EINTR) {
            return; /* nobody reads any more; the guest goes on */
        } else if (n > 0) {
            data += n;
            len -= (uint64_t)n;
        }
    }
}

static void serve_poll(struct tender *t, struct solo5_hvt_poll *c)
{
    struct pollfd pfd[SOLO5_MFT_ENTRIES_MAX];
    uint8_t handle[SOLO5_MFT_ENTRIES_MAX];
    nfds_t n = 0;
    int ready;
    struct timespec wait = {.tv_sec = (time_t)(c->timeout_nsecs / NSEC_PER_SEC),
                            .tv_nsec = (long)(c->timeout_nsecs % NSEC_PER_SEC)};

    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++) {
        if (t->dev[i].type != SOLO5_MFT_NET)
            continue;
        pfd[n] = (struct pollfd){.fd = t->dev[i].fd, .events = POLLIN};
        handle[n++] = (uint8_t)i;
    }
    ready = ppoll(pfd, n, &wait, NULL);
    c->ready_set = 0;
    c->ret = 0;
    for (nfds_t i = 0; ready > 0 && i < n; i++) {
        if (pfd[i].revents & POLLIN) {
            c->ready_set |= UINT64_C(1) << handle[i];
            c->ret++;
        } else if (pfd[i].revents != 0) {
            t->dev[handle[i]].type = 0; /* gone for ever (tap deleted): do not spin on it */
        }
    }
}

static struct device *device_of(struct tender *t, uint64_t handle, uint32_t type)
{
    if (handle >= SOLO5_MFT_ENTRIES_MAX || t->dev[handle].type != type)
        return NULL;
    return &t->dev[handle];
}

static int bad_pointer(struct fault *f, uint32_t nr, uint64_t addr, uint64_t len)
{
    return fault_set(f, STATUS_GUEST_CALL,
                     "guest: hypercall %u: %llu bytes at 0x%llx are outside of its memory", nr,
                     (unsigned long long)len, (unsigned long long)addr);
}

static int serve_walltime(struct solo5_hvt_walltime *c)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    c->nsecs = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
    return 0;
}

static int serve_puts(struct tender *t, const struct solo5_hvt_puts *c, struct fault *f)
{
    const char *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, SOLO5_HVT_PUTS, c->data, c->len);
    console_write(data, c->len);
    return 0;
}

static int serve_block(struct tender *t, uint32_t nr, struct solo5_hvt_block *c, struct fault *f)
{
    struct device *d = device_of(t, c->handle, SOLO5_MFT_BLOCK);
    void *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, nr, c->data, c->len);
    if (d == NULL)
        c->ret = SOLO5_EINVAL;
    else if (nr == SOLO5_HVT_BLOCK_READ)
        c->ret = block_read(d, data, c->len, c->offset);
    else
        c->ret = block_write(d, data, c->len, c->offset);
    return 0;
}

static int serve_net(struct tender *t, uint32_t nr, struct solo5_hvt_net *c, struct fault *f)
{
    struct device *d = device_of(t, c->handle, SOLO5_MFT_NET);
    void *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, nr, c->data, c->len);
    if (d == NULL)
        c->ret = SOLO5_EINVAL;
    else if (nr == SOLO5_HVT_NET_READ)
        c->ret = net_read(d, data, &c->len);
    else
        c->ret = net_write(d, data, c->len);
    return 0;
}

/* Every call's argument, so that one copy in and one copy out serve them all. */
union call {
    struct solo5_hvt_walltime walltime;
    struct solo5_hvt_puts puts;
    struct solo5_hvt_poll poll;
    struct solo5_hvt_block block;
    struct solo5_hvt_net net;
    struct solo5_hvt_halt halt;
};

static const uint8_t call_size[SOLO5_HVT_CALLS] = {
    [SOLO5_HVT_WALLTIME] = sizeof(struct solo5_hvt_walltime),
    [SOLO5_HVT_PUTS] = sizeof(struct solo5_hvt_puts),
    [SOLO5_HVT_POLL] = sizeof(struct solo5_hvt_poll),
    [SOLO5_HVT_BLOCK_WRITE] = sizeof(struct solo5_hvt_block),
    [SOLO5_HVT_BLOCK_READ] = sizeof(struct solo5_hvt_block),
    [SOLO5_HVT_NET_WRITE] = sizeof(struct solo5_hvt_net),
    [SOLO5_HVT_NET_READ] = sizeof(struct solo5_hvt_net),
    [SOLO5_HVT_HALT] = sizeof(struct solo5_hvt_halt),
};

static int serve(struct tender *t, uint32_t nr, union call *c, struct fault *f)
{
    switch (nr) {
    case SOLO5_HVT_WALLTIME:
        return serve_walltime(&c->walltime);
    case SOLO5_HVT_PUTS:
        return serve_puts(t, &c->puts, f);
    case SOLO5_HVT_POLL:
        serve_poll(t, &c->poll);
        return 0;
    case SOLO5_HVT_BLOCK_READ:
    case SOLO5_HVT_BLOCK_WRITE:
        return serve_block(t, nr, &c->block, f);
    case SOLO5_HVT_NET_READ:
    case SOLO5_HVT_NET_WRITE:
        return serve_net(t, nr, &c->net, f);
    default: /* SOLO5_HVT_HALT */
        _exit(c->halt.exit_status & 0xff);
    }
}

int hvt_call(struct tender *t, uint32_t nr, uint64_t addr, struct fault *f)
{
    union call c = {0};
    void *arg;

    if (nr >= SOLO5_HVT_CALLS || call_size[nr] == 0)
        return fault_set(f, STATUS_GUEST_CALL, "guest: hypercall %u does not exist", nr);
    arg = mem_at(&t->mem, addr, call_size[nr]);
    if (arg == NULL)
        return bad_pointer(f, nr, addr, call_size[nr]);
    memcpy(&c, arg, call_size[nr]);
    if (serve(t, nr, &c, f) != 0)
        return -1;
    if (nr != SOLO5_HVT_PUTS)
        memcpy(arg, &c, call_size[nr]);
    return 0;
}
