/* SPDX-License-Identifier: Apache-2.0 */
/* kvm - see kvm.h. */
#include "vmm/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

#define PAGE       4096
#define CR4_OSFXSR 0x200

static const char *why;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *enter(int vcpu, const struct kvm_run *run)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rflags = 2};

    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        return "KVM tells no registers";
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    sregs.cr4 |= CR4_OSFXSR;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        return "KVM takes no registers";
    if (ioctl(vcpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_HLT)
        return "KVM cannot run a guest that uses SSE: it is emulated, or the machine's "
               "virtualization is incomplete";
    return NULL;
}

static const char *with_vm(int kvm, int vm, void *memory)
{
    static const unsigned char code[] = {0x0f, 0x57, 0xc0,       /* xorps xmm0, xmm0 */
                                         0x66, 0x0f, 0x6e, 0xc0, /* movd xmm0, eax */
                                         0xf4};                  /* hlt */
    struct kvm_userspace_memory_region region = {.memory_size = PAGE,
                                                 .userspace_addr = (uintptr_t)memory};
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    autofd int vcpu = -1;
    const char *ret;
    void *run;

    memcpy(memory, code, sizeof(code));
    if (size < PAGE || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ||
        (vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) < 0)
        return "KVM makes no processor";
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        return "KVM makes no processor";
    ret = enter(vcpu, run);
    (void)munmap(run, (size_t)size);
    return ret;
}

static void look(void)
{
    autofd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    autofd int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
    void *memory;

    if (kvm < 0) {
        why = "/dev/kvm cannot be opened: no hardware virtualization, or its module is not loaded";
        return;
    }
    if (vm < 0) {
        why = "KVM makes no virtual machine";
        return;
    }
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        why = "no memory to try KVM with";
        return;
    }
    why = with_vm(kvm, vm, memory);
    (void)munmap(memory, PAGE);
}

const char *kvm_unusable(void)
{
    (void)pthread_once(&once, look);
    return why;
}
