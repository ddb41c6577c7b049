/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF headers, segments and notes of a Solo5 guest. See elf.h.
 *
 * Rules of loading: ELF64, little endian, this machine's architecture, ET_EXEC. PT_LOAD segments
 * ascend, do not share a page, and are never writable and executable at once. A PT_INTERP is passed
 * over: Solo5 puts an interpreter that cannot exist into its guests to keep them from being run as
 * ordinary programs. A segment without file content is room for zeroes: it counts for the size, and
 * keeps the memory's default protection.
 */
#include "vmm/tender/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#else
#error "the tender has no backend for this architecture"
#endif

#define STACK_ROOM (64u << 10) /* bytes that must remain above the last segment */

static int bad(struct fault *f, const char *why)
{
    return fault_set(f, STATUS_KERNEL, "guest kernel: %s", why);
}

int elf_read_at(const struct elf_file *file, void *buf, size_t len, uint64_t offset,
                const char *what, struct fault *f)
{
    uint64_t end;
    size_t done = 0;

    if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX)
        return fault_set(f, STATUS_KERNEL, "guest kernel: %s: offset 0x%llx is out of range", what,
                         (unsigned long long)offset);
    if (file->buf != NULL) {
        if (end > file->size)
            return fault_set(f, STATUS_KERNEL, "guest kernel: %s: the file ends early", what);
        memcpy(buf, file->buf + offset, len);
        return 0;
    }
    while (done < len) {
        ssize_t n = pread(file->fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_sys(f, "guest kernel: read %s", what);
        if (n == 0)
            return fault_set(f, STATUS_KERNEL, "guest kernel: %s: the file ends early", what);
        done += (size_t)n;
    }
    return 0;
}

static int check_header(const Elf64_Ehdr *eh, struct fault *f)
{
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
        return bad(f, "not an ELF file");
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
        eh->e_ident[EI_VERSION] != EV_CURRENT || eh->e_version != EV_CURRENT)
        return bad(f, "not a 64-bit little endian ELF file");
    if (eh->e_machine != ELF_MACHINE)
        return fault_set(f, STATUS_KERNEL,
                         "guest kernel: built for another machine (ELF number %u)", eh->e_machine);
    if (eh->e_type != ET_EXEC)
        return fault_set(f, STATUS_KERNEL, "guest kernel: ELF type %u is not an executable",
                         eh->e_type);
    if (eh->e_ehsize != sizeof(Elf64_Ehdr) || eh->e_phentsize != sizeof(Elf64_Phdr))
        return bad(f, "ELF headers have a wrong size");
    if (eh->e_phnum == 0)
        return bad(f, "no program headers");
    if (eh->e_phnum > ELF_PHDRS_MAX)
        return fault_set(f, STATUS_KERNEL, "guest kernel: %u program headers, at most %u are taken",
                         eh->e_phnum, ELF_PHDRS_MAX);
    return 0;
}

static int segment_error(struct fault *f, unsigned i, const char *why)
{
    return fault_set(f, STATUS_KERNEL, "guest kernel: program header %u: %s", i, why);
}

static int prot_of(uint32_t flags)
{
    int prot = PROT_NONE;

    if (flags & PF_R)
        prot |= PROT_READ;
    if (flags & PF_W)
        prot |= PROT_WRITE;
    if (flags & PF_X)
        prot |= PROT_EXEC;
    return prot;
}

static int add_segment(struct elf_image *img, const Elf64_Phdr *ph, unsigned i, struct fault *f)
{
    struct elf_segment seg = {
        .offset = ph->p_offset, .vaddr = ph->p_vaddr, .filesz = ph->p_filesz, .memsz = ph->p_memsz};
    uint64_t end, file_end;

    if (seg.memsz == 0 && seg.filesz == 0)
        return 0;
    if (seg.filesz > seg.memsz)
        return segment_error(f, i, "holds more bytes in the file than in memory");
    if (ph->p_align & (ph->p_align - 1))
        return segment_error(f, i, "alignment is no power of two");
    if (seg.vaddr < SOLO5_GUEST_MIN_BASE)
        return segment_error(f, i, "lies below 0x100000");
    if (__builtin_add_overflow(seg.vaddr, seg.memsz, &end) ||
        __builtin_add_overflow(end, (uint64_t)ELF_PAGE - 1, &end))
        return segment_error(f, i, "wraps around the end of memory");
    if (__builtin_add_overflow(seg.offset, seg.filesz, &file_end) || file_end > INT64_MAX)
        return segment_error(f, i, "lies outside the file");
    seg.start = seg.vaddr & ~(uint64_t)(ELF_PAGE - 1);
    seg.end = end & ~(uint64_t)(ELF_PAGE - 1);
    seg.prot = prot_of(ph->p_flags);
    if (seg.filesz == 0) {
        if (seg.end > img->end)
            img->end = seg.end;
        return 0;
    }
    if (img->segments > 0 && seg.start < img->segment[img->segments - 1].end)
        return segment_error(f, i, "overlaps the one before or is not in ascending order");
    if ((seg.prot & PROT_WRITE) && (seg.prot & PROT_EXEC))
        return segment_error(f, i, "is writable and executable");
    if (img->segments == ELF_SEGMENTS_MAX)
        return segment_error(f, i, "too many segments to load");
    img->segment[img->segments++] = seg;
    if (seg.end > img->end)
        img->end = seg.end;
    return 0;
}

static int check_entry(const struct elf_image *img, struct fault *f)
{
    for (unsigned i = 0; i < img->segments; i++) {
        const struct elf_segment *s = &img->segment[i];
        if (img->entry >= s->vaddr && img->entry - s->vaddr < s->filesz && (s->prot & PROT_EXEC))
            return 0;
    }
    return fault_set(f, STATUS_KERNEL,
                     "guest kernel: entry point 0x%llx is in no executable segment",
                     (unsigned long long)img->entry);
}

/* What has been found while walking the notes. */
struct notes_seen {
    bool abi;
    bool mft;
};

/* @offset is where the descriptor of a Solo5 note begins in the file, @size its length. */
static int take_note(const struct elf_file *file, struct elf_image *img, uint32_t type,
                     uint64_t offset, uint32_t size, struct notes_seen *seen, struct fault *f)
{
    if (type == SOLO5_NOTE_ABI1) {
        if (seen->abi)
            return bad(f, "more than one Solo5 ABI note");
        if (size != sizeof(img->abi))
            return bad(f, "Solo5 ABI note has a wrong size");
        seen->abi = true;
        return elf_read_at(file, &img->abi, sizeof(img->abi), offset, "Solo5 ABI note", f);
    }
    if (type == SOLO5_NOTE_MFT1) {
        if (seen->mft)
            return bad(f, "more than one Solo5 manifest");
        if (size < SOLO5_NOTE_MFT1_PAD + sizeof(struct solo5_mft_head) ||
            size - SOLO5_NOTE_MFT1_PAD > sizeof(img->mft))
            return fault_set(f, STATUS_KERNEL, "guest kernel: Solo5 manifest of %u bytes", size);
        seen->mft = true;
        img->mft_size = size - SOLO5_NOTE_MFT1_PAD;
        return elf_read_at(file, img->mft, img->mft_size, offset + SOLO5_NOTE_MFT1_PAD,
                           "Solo5 manifest", f);
    }
    return 0;
}

static int walk_notes(const struct elf_file *file, struct elf_image *img, const Elf64_Phdr *ph,
                      struct notes_seen *seen, struct fault *f)
{
    uint64_t at = ph->p_offset, left = ph->p_filesz, end;

    if (__builtin_add_overflow(at, left, &end) || left > ELF_NOTES_MAX)
        return bad(f, "note segment has an impossible size");
    while (left >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr nh;
        char owner[8] = "";
        uint64_t name, desc, total;

        if (elf_read_at(file, &nh, sizeof(nh), at, "note header", f) != 0)
            return -1;
        /* 32-bit sizes summed in 64 bits cannot wrap. */
        name = ((uint64_t)nh.n_namesz + 3) & ~UINT64_C(3);
        desc = ((uint64_t)nh.n_descsz + 3) & ~UINT64_C(3);
        if (sizeof(nh) + name + nh.n_descsz > left)
            return bad(f, "note is longer than its segment");
        if (nh.n_namesz == sizeof(SOLO5_NOTE_OWNER)) {
            if (elf_read_at(file, owner, sizeof(SOLO5_NOTE_OWNER), at + sizeof(nh), "note", f) != 0)
                return -1;
            if (memcmp(owner, SOLO5_NOTE_OWNER, sizeof(SOLO5_NOTE_OWNER)) == 0 &&
                take_note(file, img, nh.n_type, at + SOLO5_NOTE_HEAD, nh.n_descsz, seen, f) != 0)
                return -1;
        }
        total = sizeof(nh) + name + desc;
        if (total >= left)
            break;
        at += total;
        left -= total;
    }
    return 0;
}

int elf_read(const struct elf_file *file, struct elf_image *img, struct fault *f)
{
    Elf64_Ehdr eh;
    Elf64_Phdr ph[ELF_PHDRS_MAX] = {0};
    struct notes_seen seen = {false, false};

    memset(img, 0, offsetof(struct elf_image, mft));
    if (elf_read_at(file, &eh, sizeof(eh), 0, "ELF header", f) != 0 || check_header(&eh, f) != 0)
        return -1;
    if (elf_read_at(file, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff, "program headers", f) != 0)
        return -1;
    img->entry = eh.e_entry;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && add_segment(img, &ph[i], i, f) != 0)
            return -1;
        if (ph[i].p_type == PT_NOTE && walk_notes(file, img, &ph[i], &seen, f) != 0)
            return -1;
    }
    if (!seen.abi)
        return bad(f, "no Solo5 ABI note: not a Solo5 unikernel");
    if (!seen.mft)
        return bad(f, "no Solo5 manifest");
    return check_entry(img, f);
}

int elf_fits(const struct elf_image *img, uint64_t mem_size, struct fault *f)
{
    uint64_t need;

    if (__builtin_add_overflow(img->end, (uint64_t)STACK_ROOM, &need) || need > mem_size)
        return fault_set(f, STATUS_KERNEL,
                         "guest kernel: reaches up to 0x%llx, guest memory is 0x%llx bytes",
                         (unsigned long long)img->end, (unsigned long long)mem_size);
    return 0;
}
