/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctls - the requests that the jail's seccomp filter lets a VMM make, in sets of which a driver
 * names those that its VMM needs; see struct vmm_driver. Whatever is on none of them fails, as if
 * the descriptor did not know it.
 *
 * KVM's are those of QEMU 7.2 to 10, Firecracker and Cloud Hypervisor without confidential guests,
 * Xen emulation and snapshots of memory; a VMM that has filters of its own narrows them further.
 * Debian 12's headers (6.1) lack the newest, which are spelt out.
 */
#include <assert.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "vmm/private.h"

#define KVM_NEW_SET_USER_MEMORY_REGION2 0x40a0ae49U
#define KVM_NEW_SET_MEMORY_ATTRIBUTES   0x4020aed2U
#define KVM_NEW_CREATE_GUEST_MEMFD      0xc040aed4U
#define KVM_NEW_PRE_FAULT_MEMORY        0xc040aed5U

/* Every program's: is it a terminal, how much is there to read, do not block. */
static const uint32_t common[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};

/* What runs a guest of one processor and no devices of KVM's: the tenders. */
static const uint32_t kvm_tender[] = {
    KVM_RUN,
    KVM_GET_API_VERSION,
    KVM_CREATE_VM,
    KVM_CHECK_EXTENSION,
    KVM_GET_VCPU_MMAP_SIZE,
    KVM_CREATE_VCPU,
    KVM_SET_USER_MEMORY_REGION,
    KVM_IOEVENTFD,
    KVM_SET_GUEST_DEBUG,
#if defined(__x86_64__)
    KVM_GET_SUPPORTED_CPUID,
    KVM_SET_CPUID2,
    KVM_GET_REGS,
    KVM_SET_REGS,
    KVM_GET_SREGS,
    KVM_SET_SREGS,
    KVM_GET_FPU,
    KVM_GET_TSC_KHZ,
    KVM_TRANSLATE,
#else
    KVM_GET_ONE_REG,
    KVM_SET_ONE_REG,
    KVM_ARM_PREFERRED_TARGET,
    KVM_ARM_VCPU_INIT,
#endif
};

static const uint32_t kvm[] = {
    KVM_RUN,
    KVM_IRQ_LINE_STATUS,
    KVM_IRQ_LINE,
    KVM_SIGNAL_MSI,
    KVM_INTERRUPT,
    KVM_GET_API_VERSION,
    KVM_CREATE_VM,
    KVM_CHECK_EXTENSION,
    KVM_GET_VCPU_MMAP_SIZE,
    KVM_CREATE_VCPU,
    KVM_SET_USER_MEMORY_REGION,
    KVM_NEW_SET_USER_MEMORY_REGION2,
    KVM_NEW_SET_MEMORY_ATTRIBUTES,
    KVM_NEW_CREATE_GUEST_MEMFD,
    KVM_NEW_PRE_FAULT_MEMORY,
    KVM_GET_DIRTY_LOG,
    KVM_CLEAR_DIRTY_LOG,
    KVM_RESET_DIRTY_RINGS,
    KVM_ENABLE_CAP,
    KVM_IRQFD,
    KVM_IOEVENTFD,
    KVM_SET_GSI_ROUTING,
    KVM_REGISTER_COALESCED_MMIO,
    KVM_UNREGISTER_COALESCED_MMIO,
    KVM_CREATE_DEVICE,
    KVM_SET_DEVICE_ATTR,
    KVM_GET_DEVICE_ATTR,
    KVM_HAS_DEVICE_ATTR,
    KVM_CREATE_IRQCHIP,
    KVM_SET_SIGNAL_MASK,
    KVM_SET_GUEST_DEBUG,
    KVM_GET_MP_STATE,
    KVM_SET_MP_STATE,
    KVM_GET_VCPU_EVENTS,
    KVM_SET_VCPU_EVENTS,
    KVM_GET_STATS_FD,
#if defined(__x86_64__)
    KVM_GET_MSR_INDEX_LIST,
    KVM_GET_MSR_FEATURE_INDEX_LIST,
    KVM_GET_SUPPORTED_CPUID,
    KVM_GET_EMULATED_CPUID,
    KVM_GET_SUPPORTED_HV_CPUID,
    KVM_GET_CPUID2,
    KVM_SET_CPUID2,
    KVM_SET_CPUID,
    KVM_SET_TSS_ADDR,
    KVM_SET_IDENTITY_MAP_ADDR,
    KVM_SET_BOOT_CPU_ID,
    KVM_GET_IRQCHIP,
    KVM_SET_IRQCHIP,
    KVM_CREATE_PIT2,
    KVM_GET_PIT2,
    KVM_SET_PIT2,
    KVM_REINJECT_CONTROL,
    KVM_GET_CLOCK,
    KVM_SET_CLOCK,
    KVM_KVMCLOCK_CTRL,
    KVM_GET_TSC_KHZ,
    KVM_SET_TSC_KHZ,
    KVM_GET_REGS,
    KVM_SET_REGS,
    KVM_GET_SREGS,
    KVM_SET_SREGS,
    KVM_GET_SREGS2,
    KVM_SET_SREGS2,
    KVM_GET_FPU,
    KVM_SET_FPU,
    KVM_GET_XSAVE,
    KVM_GET_XSAVE2,
    KVM_SET_XSAVE,
    KVM_GET_XCRS,
    KVM_SET_XCRS,
    KVM_GET_LAPIC,
    KVM_SET_LAPIC,
    KVM_GET_MSRS,
    KVM_SET_MSRS,
    KVM_X86_SET_MSR_FILTER,
    KVM_GET_DEBUGREGS,
    KVM_SET_DEBUGREGS,
    KVM_TPR_ACCESS_REPORTING,
    KVM_SET_VAPIC_ADDR,
    KVM_X86_SETUP_MCE,
    KVM_X86_GET_MCE_CAP_SUPPORTED,
    KVM_X86_SET_MCE,
    KVM_GET_NESTED_STATE,
    KVM_SET_NESTED_STATE,
    KVM_NMI,
    KVM_SMI,
    KVM_TRANSLATE,
#else
    KVM_GET_ONE_REG,
    KVM_SET_ONE_REG,
    KVM_GET_REG_LIST,
    KVM_ARM_PREFERRED_TARGET,
    KVM_ARM_VCPU_INIT,
    KVM_ARM_VCPU_FINALIZE,
    KVM_ARM_SET_DEVICE_ADDR,
#endif
};

/* Of a tap that it was given: nothing that makes it another one or somebody else's. */
static const uint32_t tap[] = {TUNGETIFF,       TUNGETFEATURES, TUNSETOFFLOAD, TUNSETVNETHDRSZ,
                               TUNGETVNETHDRSZ, TUNSETVNETLE,   TUNGETVNETLE,  TUNSETVNETBE,
                               TUNGETVNETBE,    TUNSETSNDBUF,   TUNGETSNDBUF,  TUNSETQUEUE};

/* Of one that it opens by name in the pod's network, and looking at interfaces. Without any
 * capability it can attach to what its uid owns only. */
static const uint32_t tap_name[] = {TUNSETIFF, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFMTU,
                                    SIOCGIFINDEX};

static const uint32_t disk[] = {BLKSSZGET,        BLKPBSZGET,        BLKGETSIZE,       BLKGETSIZE64,
                                BLKIOMIN,         BLKIOOPT,          BLKALIGNOFF,      BLKDISCARD,
                                BLKZEROOUT,       BLKROTATIONAL,     BLKSECTGET,       BLKROGET,
                                BLKDISCARDZEROES, FS_IOC_GETVERSION, FS_IOC_FSGETXATTR};

static const struct {
    unsigned set;
    const uint32_t *requests;
    size_t n;
} sets[] = {
    {IOCTLS_KVM_TENDER, kvm_tender, ARRAY_SIZE(kvm_tender)}, /* KVM_RUN first */
    {IOCTLS_KVM, kvm, ARRAY_SIZE(kvm)},
    {IOCTLS_COMMON, common, ARRAY_SIZE(common)},
    {IOCTLS_TAP, tap, ARRAY_SIZE(tap)},
    {IOCTLS_TAP_NAME, tap_name, ARRAY_SIZE(tap_name)},
    {IOCTLS_DISK, disk, ARRAY_SIZE(disk)},
};

void jail_ioctls(unsigned wanted, struct vmm_jail *jail)
{
    wanted |= IOCTLS_COMMON;
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        for (size_t j = 0; wanted & sets[i].set && j < sets[i].n; j++) {
            assert(jail->n_ioctls < VMM_IOCTLS_MAX);
            jail->ioctls[jail->n_ioctls++] = sets[i].requests[j];
        }
}
