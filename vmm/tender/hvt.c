/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hvt backend: a virtual machine of one processor under KVM. This file creates and boots it;
 * hvt_ARCH.c knows registers, tables and how a hypercall looks, hvt_calls.c serves hypercalls.
 */
#include "vmm/tender/tender.h"

#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

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

int hvt_run(struct tender *t, const char *cmdline, struct fault *f)
{
    put_boot_info(t, cmdline);
    drop_code();
    if (jail_hvt(t, f) != 0)
        return -1;
    return hvt_cpu_run(t, f);
}
