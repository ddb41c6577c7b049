/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvt on x86_64: a processor that starts in long mode, and hypercalls by a 32-bit `out` whose value
 * is the argument's address.
 *
 * Low memory, below the boot info: descriptor table and page tables. They are not mapped for the
 * guest; the boot info up to 1 MiB is mapped read-only; the rest one to one and writable, by 2 MiB
 * pages except for the first.
 *
 *     0x1000 GDT   0x2000 PML4   0x3000 PDPT   0x4000-0x7fff four PDs   0x8000 PT of the first 2
 * MiB
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GDT_AT  0x1000u
#define PML4_AT 0x2000u
#define PDPT_AT 0x3000u
#define PD_AT   0x4000u
#define PT_AT   0x8000u

#define PTE_PRESENT UINT64_C(0x1)
#define PTE_WRITE   UINT64_C(0x2)
#define PTE_LARGE   UINT64_C(0x80)

#define CR0_PE   (UINT64_C(1) << 0)
#define CR0_NE   (UINT64_C(1) << 5)
#define CR0_WP   (UINT64_C(1) << 16)
#define CR0_PG   (UINT64_C(1) << 31)
#define CR4_PAE  (UINT64_C(1) << 5)
#define CR4_FXSR (UINT64_C(1) << 9)
#define CR4_XMM  (UINT64_C(1) << 10)
#define EFER_LME (UINT64_C(1) << 8)
#define EFER_LMA (UINT64_C(1) << 10)

#define SEL_CODE 0x08
#define SEL_DATA 0x10
/* Flat segments with the accessed bit set: 64-bit code, execute only; data, read and write. */
#define GDT_CODE UINT64_C(0x00af99000000ffff)
#define GDT_DATA UINT64_C(0x00cf93000000ffff)

#define CPUID_ENTRIES_MAX 256

static void set_entry(const struct tender *t, uint64_t table, uint64_t index, uint64_t value)
{
    memcpy(mem_raw(&t->mem, table + index * 8), &value, sizeof(value));
}

static void make_tables(const struct tender *t)
{
    uint64_t const rw = PTE_PRESENT | PTE_WRITE;

    set_entry(t, GDT_AT, SEL_CODE / 8, GDT_CODE);
    set_entry(t, GDT_AT, SEL_DATA / 8, GDT_DATA);
    set_entry(t, PML4_AT, 0, PDPT_AT | rw);
    for (uint64_t i = 0; i < 4; i++)
        set_entry(t, PDPT_AT, i, (PD_AT + i * ELF_PAGE) | rw);
    set_entry(t, PD_AT, 0, PT_AT | rw);
    for (uint64_t at = SOLO5_HVT_BOOT_INFO; at < HVT_MEM_GRAIN; at += ELF_PAGE)
        set_entry(t, PT_AT, at / ELF_PAGE, at | (at < SOLO5_GUEST_MIN_BASE ? PTE_PRESENT : rw));
    /* The four directories lie one behind the other: the index simply runs on. */
    for (uint64_t at = HVT_MEM_GRAIN; at < t->mem.size; at += HVT_MEM_GRAIN)
        set_entry(t, PD_AT, at / HVT_MEM_GRAIN, at | rw | PTE_LARGE);
}

/* The guest may use whatever this host's KVM can virtualize. */
static int set_cpuid(const struct tender *t, int kvm_fd, struct fault *f)
{
    _Alignas(struct kvm_cpuid2) char
        room[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2)];
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)room;

    memset(room, 0, sizeof(room));
    cpuid->nent = CPUID_ENTRIES_MAX;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) != 0)
        return fault_sys(f, "KVM: get the supported CPUID");
    if (ioctl(t->cpu.vcpu_fd, KVM_SET_CPUID2, cpuid) != 0)
        return fault_sys(f, "KVM: set CPUID");
    return 0;
}

static int set_registers(const struct tender *t, struct fault *f)
{
    struct kvm_segment const code = {
        .limit = ~0u, .selector = SEL_CODE, .type = 9, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment const data = {
        .limit = ~0u, .selector = SEL_DATA, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_sregs const sregs = {
        .cs = code,
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .ss = data,
        .tr = {.type = 11, .present = 1},
        .ldt = {.unusable = 1},
        .gdt = {.base = GDT_AT, .limit = 3 * 8 - 1},
        .cr0 = CR0_PE | CR0_NE | CR0_WP | CR0_PG,
        .cr3 = PML4_AT,
        .cr4 = CR4_PAE | CR4_FXSR | CR4_XMM,
        .efer = EFER_LME | EFER_LMA,
    };
    struct kvm_regs const regs = {
        .rip = t->image.entry,
        .rflags = 2,
        .rsp = t->mem.size - 8, /* as if the entry point had been called */
        .rdi = SOLO5_HVT_BOOT_INFO,
    };

    if (ioctl(t->cpu.vcpu_fd, KVM_SET_SREGS, &sregs) != 0)
        return fault_sys(f, "KVM: set the system registers");
    if (ioctl(t->cpu.vcpu_fd, KVM_SET_REGS, &regs) != 0)
        return fault_sys(f, "KVM: set the registers");
    return 0;
}

int hvt_cpu_setup(struct tender *t, int kvm_fd, struct fault *f)
{
    int khz;

    if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ) <= 0)
        return fault_set(f, STATUS_SETUP, "KVM: capability GET_TSC_KHZ is missing");
    khz = ioctl(t->cpu.vcpu_fd, KVM_GET_TSC_KHZ, 0);
    if (khz < 0)
        return fault_sys(f, "KVM: the host's time stamp counter is unstable");
    if (khz == 0)
        return fault_set(f, STATUS_SETUP, "KVM: reports a time stamp counter of 0 kHz");
    t->cpu.cycle_freq = (uint64_t)khz * 1000;
    make_tables(t);
    if (set_cpuid(t, kvm_fd, f) != 0)
        return -1;
    return set_registers(t, f);
}

static unsigned long long rip_of(const struct tender *t)
{
    struct kvm_regs regs = {0};

    (void)ioctl(t->cpu.vcpu_fd, KVM_GET_REGS, &regs);
    return regs.rip;
}

static int serve_io(struct tender *t, const struct kvm_run *run, struct fault *f)
{
    uint32_t arg;

    if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != sizeof(arg) || run->io.count != 1 ||
        run->io.port < SOLO5_HVT_PIO_BASE || run->io.port >= SOLO5_HVT_PIO_BASE + SOLO5_HVT_CALLS)
        return fault_set(f, STATUS_GUEST_CALL, "guest: forbidden port 0x%x at rip 0x%llx",
                         run->io.port, rip_of(t));
    memcpy(&arg, (const char *)run + run->io.data_offset, sizeof(arg));
    return hvt_call(t, run->io.port - SOLO5_HVT_PIO_BASE, arg, f);
}

static int explain_exit(const struct tender *t, const struct kvm_run *run, struct fault *f)
{
    unsigned long long rip = rip_of(t);

    switch (run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        return fault_set(f, STATUS_GUEST_FAULT, "guest: triple fault at rip 0x%llx", rip);
    case KVM_EXIT_MMIO:
        return fault_set(f, STATUS_GUEST_FAULT, "guest: forbidden access to 0x%llx at rip 0x%llx",
                         (unsigned long long)run->mmio.phys_addr, rip);
    case KVM_EXIT_HLT:
        return fault_set(f, STATUS_GUEST_FAULT, "guest: stopped its processor at rip 0x%llx", rip);
    case KVM_EXIT_FAIL_ENTRY:
        return fault_set(f, STATUS_KVM, "KVM: entry failed, hardware reason 0x%llx",
                         (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR:
        return fault_set(f, STATUS_KVM, "KVM: internal error %u at rip 0x%llx",
                         run->internal.suberror, rip);
    default:
        return fault_set(f, STATUS_KVM, "KVM: unknown exit %u at rip 0x%llx", run->exit_reason,
                         rip);
    }
}

/* A step or breakpoint of a debugger that was killed: neither is the guest's affair. */
static void debugger_gone(const struct tender *t)
{
    struct kvm_guest_debug const off = {.control = 0};

    (void)ioctl(t->cpu.vcpu_fd, KVM_SET_GUEST_DEBUG, &off);
}

static int run_until_end(struct tender *t, struct fault *f)
{
    struct kvm_run *run = t->cpu.run;

    for (;;) {
        if (ioctl(t->cpu.vcpu_fd, KVM_RUN, 0) != 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            if (errno == EFAULT)
                return fault_set(f, STATUS_GUEST_FAULT,
                                 "guest: forbidden memory access at rip 0x%llx", rip_of(t));
            (void)fault_sys(f, "KVM: run");
            f->status = STATUS_KVM;
            return -1;
        }
        if (run->exit_reason == KVM_EXIT_INTR)
            continue;
        if (run->exit_reason == KVM_EXIT_DEBUG && t->debuggable) {
            if (!trap_tell(TENDER_TRAP_DEBUG))
                debugger_gone(t);
            continue;
        }
        if (run->exit_reason != KVM_EXIT_IO)
            return explain_exit(t, run, f);
        switch (serve_io(t, run, f)) {
        case 0:
            break;
        case HVT_HALTED:
            _exit(t->exit_status);
        default:
            return -1;
        }
    }
}

int hvt_cpu_run(struct tender *t, struct fault *f)
{
    (void)run_until_end(t, f);
    /* The guest has crashed. A debugger that traces this process gets a last look at it. */
    (void)trap_tell(TENDER_TRAP_CRASH);
    return -1;
}
