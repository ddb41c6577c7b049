/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel - what kind of kernel a file is, by its bytes: Solo5 notes, the multiboot header, the PVH
 * note, Linux' setup header, or a bare ELF file. In the order in which QEMU looks, so that what is
 * said here is what happens there: Linux' header, multiboot, PVH.
 *
 * Only the head of the file is read, and the notes by elf_kernel.c. The file is hostile.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define HEAD_BYTES 8192 /* multiboot's header lies within them (multiboot 0.6.96, 3.1.1) */

#define MULTIBOOT_MAGIC        0x1badb002u
#define MULTIBOOT_HEADER_BYTES 48
#define MULTIBOOT_ADDRESSES    0x10000u /* says itself where it is loaded to */

/* Linux' setup header (Documentation/arch/x86/boot.rst). */
#define SETUP_SECTS      0x1f1
#define SETUP_SYSSIZE    0x1f4
#define SETUP_BOOT_FLAG  0x1fe
#define SETUP_MAGIC      0x202
#define SETUP_VERSION    0x206
#define SETUP_LOADFLAGS  0x211
#define SETUP_XLOADFLAGS 0x236
#define SETUP_END        0x268
#define SETUP_INIT_SIZE  0x260
#define VERSION_MIN      0x20c /* the first that says whether it has a 64-bit entry */
#define LOADED_HIGH      0x01
#define XLF_KERNEL_64    0x01
#define SECTOR_BYTES     512u
#define ARM64_MAGIC_AT   56

#if defined(__aarch64__)
#define MACHINE      EM_AARCH64
#define MACHINE_NAME "aarch64"
#else
#define MACHINE      EM_X86_64
#define MACHINE_NAME "x86_64"
#endif

struct head {
    uint8_t b[HEAD_BYTES];
    size_t len;
    uint64_t size; /* of the file */
};

static uint32_t get16(const struct head *h, size_t at)
{
    return (uint32_t)h->b[at] | (uint32_t)h->b[at + 1] << 8;
}

static uint32_t get32(const struct head *h, size_t at)
{
    return get16(h, at) | get16(h, at + 2) << 16;
}

static int read_head(int fd, struct head *h, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_sys(err, "kernel: read its head");
    if (st.st_size < 0)
        return err_set(err, ERR_INVALID, "kernel: is not a file");
    *h = (struct head){.size = (uint64_t)st.st_size};
    while (h->len < sizeof(h->b)) {
        ssize_t n = pread(fd, h->b + h->len, sizeof(h->b) - h->len, (off_t)h->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "kernel: read its head");
        if (n == 0)
            break;
        h->len += (size_t)n;
    }
    return 0;
}

/* ---------------------------------------------------------------- the kinds */

static const char *machine_name(unsigned machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86_64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    case EM_PPC64:
        return "ppc64";
    default:
        return "another machine";
    }
}

static int wrong_machine(const char *what, const char *machine, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "kernel: %s for %s, but this node is %s: pull the image for this platform", what,
                   machine, MACHINE_NAME);
}

/* Where multiboot's header lies, or -1. */
static ssize_t multiboot_at(const struct head *h)
{
    for (size_t at = 0; at + MULTIBOOT_HEADER_BYTES <= h->len; at += 4)
        if (get32(h, at) == MULTIBOOT_MAGIC &&
            MULTIBOOT_MAGIC + get32(h, at + 4) + get32(h, at + 8) == 0)
            return (ssize_t)at;
    return -1;
}

/* The loader takes the addresses of the header when there are some, else those of an ELF file of 32
 * bits; QEMU refuses one of 64. */
static bool multiboot_loads(const struct head *h, const struct elf_kernel *elf)
{
    ssize_t at = multiboot_at(h);

    return at >= 0 &&
           ((get32(h, (size_t)at + 4) & MULTIBOOT_ADDRESSES) || (elf && elf->machine == EM_386));
}

/* The addresses of a header that has them: header, load, load end, bss end, entry. */
static int check_multiboot(struct guest *guest, const struct head *h, struct err *err)
{
    size_t at = (size_t)multiboot_at(h);
    uint32_t header, load, load_end, bss_end, entry;

    if (!(get32(h, at + 4) & MULTIBOOT_ADDRESSES))
        return 0;
    header = get32(h, at + 12);
    load = get32(h, at + 16);
    load_end = get32(h, at + 20);
    bss_end = get32(h, at + 24);
    entry = get32(h, at + 28);
    if (load > header || header - load > at)
        return err_set(err, ERR_INVALID, "kernel: multiboot header: loads from before the file");
    if (load_end && (load_end < load || load_end - load > h->size))
        return err_set(err, ERR_INVALID, "kernel: multiboot header: loads from behind the file");
    if (bss_end && (bss_end < load || bss_end < load_end))
        return err_set(err, ERR_INVALID, "kernel: multiboot header: its memory ends too early");
    if (entry < load || (bss_end && entry >= bss_end))
        return err_set(err, ERR_INVALID,
                       "kernel: multiboot header: its entry lies outside of what is loaded");
    if (bss_end > guest->kernel_end)
        guest->kernel_end = bss_end;
    return 0;
}

static bool is_linux(const struct head *h)
{
    return h->len >= SETUP_END && memcmp(h->b + SETUP_MAGIC, "HdrS", 4) == 0;
}

static int check_linux(struct guest *guest, const struct head *h, struct err *err)
{
    uint64_t setup = ((uint64_t)(h->b[SETUP_SECTS] ? h->b[SETUP_SECTS] : 4) + 1) * SECTOR_BYTES;
    uint64_t code = (uint64_t)get32(h, SETUP_SYSSIZE) * 16;
    uint32_t version = get16(h, SETUP_VERSION);

    if (get16(h, SETUP_BOOT_FLAG) != 0xaa55)
        return err_set(err, ERR_INVALID, "kernel: bzImage: lacks its boot flag");
    if (version < VERSION_MIN)
        return err_set(err, ERR_UNSUPPORTED,
                       "kernel: bzImage: boot protocol %u.%02u is too old, 2.12 is needed",
                       version >> 8, version & 0xff);
    if (!(h->b[SETUP_LOADFLAGS] & LOADED_HIGH))
        return err_set(err, ERR_UNSUPPORTED, "kernel: is a zImage, which is not booted here");
    if (!(get16(h, SETUP_XLOADFLAGS) & XLF_KERNEL_64))
        return wrong_machine("is a Linux kernel", "i386", err);
    /* a signature may follow, and the last paragraph may be cut */
    if (setup > h->size || code > h->size - setup + 16)
        return err_set(err, ERR_INVALID,
                       "kernel: bzImage: claims %llu bytes, the file has %llu: is it cut off?",
                       (unsigned long long)(setup + code), (unsigned long long)h->size);
    if (MACHINE != EM_X86_64)
        return wrong_machine("is a Linux kernel", "x86_64", err);
    guest->kernel_end = (uint64_t)get32(h, SETUP_INIT_SIZE);
    return 0;
}

/* ---------------------------------------------------------------- choosing */

static int probe_elf(struct guest *guest, int fd, const struct head *h, struct err *err)
{
    struct elf_kernel elf;

    if (elf_kernel_read(guest, fd, h->size, &elf, err) < 0)
        return -1;
    if (elf.machine != MACHINE && !(MACHINE == EM_X86_64 && elf.machine == EM_386))
        return wrong_machine("is built", machine_name(elf.machine), err);
    if (guest->solo5 && !str_eq(guest->solo5_target, "virtio"))
        guest->kernel = KERNEL_SOLO5;
    else if (multiboot_loads(h, &elf))
        guest->kernel = KERNEL_MULTIBOOT;
    else if (elf.seen.pvh)
        guest->kernel = KERNEL_PVH;
    else if (elf.is64 && elf.machine == MACHINE)
        guest->kernel = KERNEL_ELF64;
    else
        return err_set(err, ERR_INVALID,
                       "kernel: is a 32-bit ELF file without a multiboot header or PVH note");
    return guest->kernel == KERNEL_MULTIBOOT ? check_multiboot(guest, h, err) : 0;
}

static bool begins_with(const struct head *h, const char *magic, size_t len)
{
    return h->len >= len && memcmp(h->b, magic, len) == 0;
}

static int not_a_kernel(const struct head *h, struct err *err)
{
    if (h->size == 0)
        return err_set(err, ERR_INVALID, "kernel: is an empty file");
    if (begins_with(h, "\x1f\x8b", 2) || begins_with(h, "\x28\xb5\x2f\xfd", 4) ||
        begins_with(h,
                    "\xfd"
                    "7zXZ",
                    5))
        return err_set(err, ERR_INVALID,
                       "kernel: is compressed: put it into the image uncompressed");
    if (begins_with(h, "#!", 2))
        return err_set(err, ERR_INVALID, "kernel: is a script, not an ELF file or another kernel");
    if (begins_with(h, "QFI\xfb", 4))
        return err_set(err, ERR_INVALID, "kernel: is a disk image");
    if (h->len >= ARM64_MAGIC_AT + 4 && memcmp(h->b + ARM64_MAGIC_AT, "ARM\x64", 4) == 0)
        return wrong_machine("is a Linux kernel", "aarch64", err);
    return err_set(err, ERR_INVALID,
                   "kernel: is no ELF file, no bzImage and has no multiboot header");
}

static int check_named(const struct guest *guest, const char *key, const char *name,
                       enum guest_device_type type, struct err *err)
{
    autostrbuf has = STRBUF_INIT;

    if (!name || !*name)
        return 0;
    for (size_t i = 0; i < guest->n_devices; i++) {
        if (guest->devices[i].type != type)
            continue;
        if (str_eq(guest->devices[i].name, name))
            return 0;
        strbuf_addf(&has, "%s'%s'", has.len ? ", " : "", guest->devices[i].name);
    }
    return err_set(err, ERR_INVALID,
                   "image: declares " GUEST_KEY_PREFIX
                   "%s '%s', but its kernel has no such device: it has %s",
                   key, name, has.len ? has.s : "none of the kind");
}

static int probe(struct guest *guest, int kernel_fd, struct err *err)
{
    autofree struct head *h = XNEW(struct head);

    guest->kernel = KERNEL_UNKNOWN;
    guest->kernel_end = 0;
    guest->solo5 = false;
    guest->solo5_target[0] = '\0';
    guest->n_devices = 0;
    if (read_head(kernel_fd, h, err) < 0)
        return -1;
    if (begins_with(h, ELFMAG, SELFMAG))
        return probe_elf(guest, kernel_fd, h, err);
    if (is_linux(h)) {
        guest->kernel = KERNEL_BZIMAGE;
        return check_linux(guest, h, err);
    }
    if (multiboot_loads(h, NULL)) {
        guest->kernel = KERNEL_MULTIBOOT;
        return check_multiboot(guest, h, err);
    }
    return not_a_kernel(h, err);
}

int guest_probe_kernel(struct guest *guest, int kernel_fd, struct err *err)
{
    if (probe(guest, kernel_fd, err) < 0 ||
        check_named(guest, "solo5NetDev", guest->net_device, GUEST_NET, err) < 0)
        return -1;
    return check_named(guest, "solo5BlkDev", guest->block_device, GUEST_BLOCK, err);
}

const char *kernel_kind_name(const struct guest *guest)
{
    static const char *const names[] = {
        [KERNEL_UNKNOWN] = "of no known kind",
        [KERNEL_SOLO5] = "a Solo5 unikernel",
        [KERNEL_MULTIBOOT] = "a multiboot kernel",
        [KERNEL_PVH] = "a PVH kernel",
        [KERNEL_BZIMAGE] = "a Linux bzImage",
        [KERNEL_ELF64] = "an ELF file for Firecracker's entry, without a PVH note",
    };

    return names[guest->kernel];
}

int kernel_fits(const struct guest *guest, unsigned kinds, const char *vmm, struct err *err)
{
    if (kinds & 1U << guest->kernel)
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "kernel '%s': is %s, %s cannot boot it", guest->binary,
                   kernel_kind_name(guest), vmm);
}
