/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-tender: the built-in VMM for Solo5 unikernels. One process runs one guest. It is executed
 * by descriptor in an empty root directory, without capabilities, with its own uid, and opens no
 * path: everything comes as descriptors. vmm/ writes the command line and reads the exit status;
 * both are a contract.
 *
 *   unicri-tender --backend=spt|hvt --kernel-fd=N [--kvm-fd=N] --mem=BYTES
 *                 [--net=NAME:FD:MAC[:MTU]]... [--block=NAME:FD[:SECTOR_SIZE][:ro]]... [--name=ID]
 *                 [--debug] [--wait-tracer=MS] -- GUEST_ARG...
 *
 *   --backend   spt: the guest is part of this process, jailed by seccomp; hvt: a KVM virtual
 * machine.
 *   --kernel-fd the guest's ELF file, read by offset.
 *   --kvm-fd    /dev/kvm, opened; needed by hvt, refused with spt.
 *   --mem       guest memory in bytes, rounded down: spt to 4 KiB, 64 GiB at most; hvt to 2 MiB, 4
 * GiB at most.
 *   --net       a tap (IFF_TAP | IFF_NO_PI) or a datagram or seqpacket socket; MTU 1500 unless
 * given.
 *   --block     a file or block device; sectors of 512 bytes unless given.
 *   --name      shown in ps, not used.
 *   --debug     who traces this process may change the guest, not only look at it.
 *   --wait-tracer  the guest begins when somebody traces this process, or that many milliseconds
 * later.
 *   GUEST_ARG   joined by blanks, at most 8191 bytes.
 *   All descriptors are 3 or higher and different. Others are closed. Descriptor 1 is the guest's
 * console (if it is non-blocking an spt guest may lose output), descriptor 2 gets one line
 * `unicri-tender: WHAT: WHY` when the tender itself ends the run.
 *
 * Exit status (the message on descriptor 2 tells a tender's status from a guest that chose the same
 * number): the guest's own exit code modulo 256; 255 is Solo5's abort 125  arguments, descriptors,
 * memory, KVM or the jail: the guest did not run 126  the kernel file, its notes or its manifest
 * was refused, or devices do not match: the guest did not run 134  hvt: KVM could not go on
 * (internal error, failed entry) 139  hvt: the guest crashed (triple fault, access outside of its
 * memory); message 159  hvt: the guest used a port, hypercall or pointer that does not exist;
 * message 143, 130  SIGTERM, SIGINT Death by signal: spt guests that crash die by SIGSEGV, SIGILL,
 * SIGFPE or SIGBUS, those that make a forbidden system call by SIGSYS.
 */
#include "vmm/tender/tender.h"

#include <unistd.h>

/* Large, and mostly untouched: pages that are never written cost nothing. */
static struct options options;
static struct tender tender;

static int check_abi(const struct elf_image *img, enum backend backend, struct fault *f)
{
    static const char *const names[] = {"unknown", "hvt", "spt", "virtio", "muen", "genode", "xen"};
    uint32_t want = backend == BACKEND_HVT ? SOLO5_TARGET_HVT : SOLO5_TARGET_SPT;
    uint32_t target = img->abi.target;

    if (target != want)
        return fault_set(f, STATUS_KERNEL, "guest kernel: built for Solo5 target %s, not for %s",
                         names[target <= SOLO5_TARGET_XEN ? target : 0], names[want]);
    if (img->abi.version != SOLO5_ABI_VERSION)
        return fault_set(f, STATUS_KERNEL, "guest kernel: Solo5 ABI version %u, supported is %u",
                         img->abi.version, SOLO5_ABI_VERSION);
    return 0;
}

static int round_memory(const struct options *o, uint64_t *size, struct fault *f)
{
    uint64_t grain = o->backend == BACKEND_HVT ? HVT_MEM_GRAIN : ELF_PAGE;
    uint64_t max = o->backend == BACKEND_HVT ? HVT_MEM_MAX : SPT_MEM_MAX;

    *size = o->mem_size & ~(grain - 1);
    if (*size > max)
        return fault_set(f, STATUS_SETUP, "argument --mem: %llu bytes, at most %llu are possible",
                         (unsigned long long)o->mem_size, (unsigned long long)max);
    if (*size < HVT_MEM_GRAIN / 2 + ELF_PAGE)
        return fault_set(f, STATUS_SETUP, "argument --mem: %llu bytes are too few",
                         (unsigned long long)o->mem_size);
    return 0;
}

static int run(struct options *o, struct tender *t, struct fault *f)
{
    struct elf_file kernel = {.fd = o->kernel_fd};
    bool const spt = o->backend == BACKEND_SPT;
    uint64_t size;

    t->debuggable = o->debuggable;
    if (elf_read(&kernel, &t->image, f) != 0 || check_abi(&t->image, o->backend, f) != 0 ||
        mft_parse(t->image.mft, t->image.mft_size, &t->mft, f) != 0)
        return -1;
    if (round_memory(o, &size, f) != 0 || elf_fits(&t->image, size, f) != 0 ||
        devices_attach(o, t, f) != 0 || jail_prepare(t, o, f) != 0)
        return -1;
    if (mem_map(&t->mem, size, spt, f) != 0 || mem_load(&t->mem, &kernel, &t->image, spt, f) != 0)
        return -1;
    (void)close(o->kernel_fd);
    if (!spt && hvt_open(t, o->kvm_fd, f) != 0)
        return -1;
    if (signals_setup(f) != 0 || trap_setup(f) != 0)
        return -1;
    if (o->wait_tracer > 0)
        trap_wait(o->wait_tracer);
    if (spt)
        return spt_run(t, o->cmdline, f);
    (void)close(o->kvm_fd);
    return hvt_run(t, o->cmdline, f);
}

int main(int argc, char **argv)
{
    struct fault f = {.status = STATUS_SETUP};

    (void)argc;
    if (options_parse(argv, &options, &f) == 0)
        (void)run(&options, &tender, &f);
    fault_exit(&f);
}
