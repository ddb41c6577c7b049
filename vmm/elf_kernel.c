/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_kernel - the headers of a kernel that is an ELF file, 32 or 64 bits: which segments it loads
 * to where, and the segments of notes for elf_note.c.
 *
 * The file is hostile. Headers are read by offset into bounded buffers; every number is checked
 * before it is used: segments that end behind the file or wrap around, that are longer in the file
 * than in memory or lie on each other, and entries outside of them are refused here, before a VMM
 * sees them.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define PHDRS_MAX              64
#define NOTES_MAX              16 /* note segments in a file */
#define NOTE_SEGMENT_MAX_BYTES (64 << 10)

struct headers {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[PHDRS_MAX];
};

/* Read exactly len bytes, or say that the file is too short. */
static int read_at(int fd, void *buf, size_t len, uint64_t offset, const char *what,
                   struct err *err)
{
    size_t done = 0;

    if (offset > INT64_MAX - len)
        return err_set(err, ERR_INVALID, "kernel: %s lies beyond any file", what);
    while (done < len) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "kernel: read %s", what);
        if (n == 0)
            return err_set(err, ERR_INVALID, "kernel: file ends within %s", what);
        done += (size_t)n;
    }
    return 0;
}

static void widen_header(const Elf32_Ehdr *from, Elf64_Ehdr *to)
{
    memcpy(to->e_ident, from->e_ident, EI_NIDENT);
    to->e_type = from->e_type;
    to->e_machine = from->e_machine;
    to->e_entry = from->e_entry;
    to->e_phoff = from->e_phoff;
    to->e_phnum = from->e_phnum;
    to->e_phentsize = from->e_phentsize;
}

static void widen_segment(const Elf32_Phdr *from, Elf64_Phdr *to)
{
    to->p_type = from->p_type;
    to->p_offset = from->p_offset;
    to->p_vaddr = from->p_vaddr;
    to->p_paddr = from->p_paddr;
    to->p_filesz = from->p_filesz;
    to->p_memsz = from->p_memsz;
}

static int check_header(const Elf64_Ehdr *eh, size_t entry_size, struct err *err)
{
    if (eh->e_ident[EI_DATA] != ELFDATA2LSB)
        return err_set(err, ERR_UNSUPPORTED, "kernel: is built for a big-endian machine");
    if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
        return err_set(err, ERR_INVALID, "kernel: is an ELF file of type %u, not a program",
                       eh->e_type);
    if (eh->e_phnum > PHDRS_MAX || (eh->e_phnum > 0 && eh->e_phentsize != entry_size))
        return err_set(err, ERR_INVALID, "kernel: %u program headers of %u bytes", eh->e_phnum,
                       eh->e_phentsize);
    return 0;
}

static int read_headers64(int fd, struct headers *h, struct err *err)
{
    if (read_at(fd, &h->eh, sizeof(h->eh), 0, "the ELF header", err) < 0 ||
        check_header(&h->eh, sizeof(Elf64_Phdr), err) < 0)
        return -1;
    return read_at(fd, h->ph, h->eh.e_phnum * sizeof(h->ph[0]), h->eh.e_phoff,
                   "the program headers", err);
}

static int read_headers32(int fd, struct headers *h, struct err *err)
{
    Elf32_Ehdr eh;
    Elf32_Phdr ph[PHDRS_MAX] = {0};

    if (read_at(fd, &eh, sizeof(eh), 0, "the ELF header", err) < 0)
        return -1;
    widen_header(&eh, &h->eh);
    if (check_header(&h->eh, sizeof(Elf32_Phdr), err) < 0 ||
        read_at(fd, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff, "the program headers", err) < 0)
        return -1;
    for (unsigned i = 0; i < eh.e_phnum; i++)
        widen_segment(&ph[i], &h->ph[i]);
    return 0;
}

static int read_notes(struct guest *guest, int fd, const struct headers *h, struct elf_seen *seen,
                      struct err *err)
{
    size_t notes = 0;

    for (unsigned i = 0; i < h->eh.e_phnum; i++) {
        const Elf64_Phdr *ph = &h->ph[i];
        autofree uint8_t *buf = NULL;

        if (ph->p_type != PT_NOTE)
            continue;
        if (++notes > NOTES_MAX)
            return err_set(err, ERR_INVALID, "kernel: more than %d note segments", NOTES_MAX);
        if (ph->p_filesz > NOTE_SEGMENT_MAX_BYTES)
            return err_set(err, ERR_INVALID,
                           "kernel: note segment of %llu bytes, at most %d are read",
                           (unsigned long long)ph->p_filesz, NOTE_SEGMENT_MAX_BYTES);
        buf = xmalloc((size_t)ph->p_filesz + 1);
        if (read_at(fd, buf, (size_t)ph->p_filesz, ph->p_offset, "a note segment", err) < 0 ||
            elf_notes(guest, buf, (size_t)ph->p_filesz, seen, err) < 0)
            return -1;
    }
    return 0;
}

static bool overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
    return a->p_memsz > 0 && b->p_memsz > 0 && a->p_paddr < b->p_paddr + b->p_memsz &&
           b->p_paddr < a->p_paddr + a->p_memsz;
}

static int check_segment(const struct headers *h, unsigned i, uint64_t size, struct err *err)
{
    const Elf64_Phdr *ph = &h->ph[i];

    if (ph->p_filesz > size || ph->p_offset > size - ph->p_filesz)
        return err_set(err, ERR_INVALID, "kernel: segment %u ends behind the file", i);
    if (ph->p_filesz > ph->p_memsz)
        return err_set(err, ERR_INVALID, "kernel: segment %u is longer in the file than in memory",
                       i);
    if (ph->p_memsz > INT64_MAX || ph->p_paddr > INT64_MAX - ph->p_memsz ||
        ph->p_vaddr > UINT64_MAX - ph->p_memsz)
        return err_set(err, ERR_INVALID, "kernel: segment %u wraps around", i);
    for (unsigned j = 0; j < i; j++)
        if (h->ph[j].p_type == PT_LOAD && overlap(ph, &h->ph[j]))
            return err_set(err, ERR_INVALID, "kernel: segments %u and %u lie on each other", j, i);
    return 0;
}

static bool covers(const Elf64_Phdr *ph, uint64_t at)
{
    return ph->p_type == PT_LOAD && ((at >= ph->p_paddr && at - ph->p_paddr < ph->p_memsz) ||
                                     (at >= ph->p_vaddr && at - ph->p_vaddr < ph->p_memsz));
}

static int check_load(struct guest *guest, const struct headers *h, uint64_t size,
                      const struct elf_seen *seen, struct err *err)
{
    bool entry = false, pvh = !seen->pvh;
    unsigned loads = 0;

    for (unsigned i = 0; i < h->eh.e_phnum; i++) {
        const Elf64_Phdr *ph = &h->ph[i];

        if (ph->p_type != PT_LOAD)
            continue;
        loads++;
        if (check_segment(h, i, size, err) < 0)
            return -1;
        entry |= covers(ph, h->eh.e_entry);
        pvh |= covers(ph, seen->pvh_entry);
        if (ph->p_paddr + ph->p_memsz > guest->kernel_end)
            guest->kernel_end = ph->p_paddr + ph->p_memsz;
    }
    if (loads == 0)
        return err_set(err, ERR_INVALID, "kernel: has nothing to load");
    if (!entry || !pvh)
        return err_set(err, ERR_INVALID, "kernel: its %sentry lies outside of what is loaded",
                       entry ? "PVH " : "");
    return 0;
}

int elf_kernel_read(struct guest *guest, int fd, uint64_t size, struct elf_kernel *ret,
                    struct err *err)
{
    struct headers h = {0};
    unsigned char ident[EI_NIDENT];

    *ret = (struct elf_kernel){0};
    if (read_at(fd, ident, sizeof(ident), 0, "the ELF header", err) < 0)
        return -1;
    ret->is64 = ident[EI_CLASS] == ELFCLASS64;
    if (!ret->is64 && ident[EI_CLASS] != ELFCLASS32)
        return err_set(err, ERR_INVALID, "kernel: ELF class %u", ident[EI_CLASS]);
    if ((ret->is64 ? read_headers64(fd, &h, err) : read_headers32(fd, &h, err)) < 0)
        return -1;
    ret->machine = h.eh.e_machine;
    for (unsigned i = 0; i < h.eh.e_phnum; i++)
        ret->interpreter |= h.ph[i].p_type == PT_INTERP;
    if (read_notes(guest, fd, &h, &ret->seen, err) < 0)
        return -1;
    if (guest->solo5 != ret->seen.manifest)
        return err_set(err, ERR_INVALID, "kernel: has a Solo5 %s but no %s",
                       guest->solo5 ? "ABI note" : "manifest",
                       guest->solo5 ? "manifest" : "ABI note");
    /* What Solo5's tenders load they check by rules of their own. */
    return guest->solo5 && !str_eq(guest->solo5_target, "virtio")
               ? 0
               : check_load(guest, &h, size, &ret->seen, err);
}
