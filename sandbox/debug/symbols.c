/* SPDX-License-Identifier: Apache-2.0 */
/* symbols - see symbols.h. Tables are read in pieces that fit on the stack; nothing is allocated by
 * a size that the file tells. */
#include "sandbox/debug/symbols.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define PIECE 128 /* entries read at once */

static int read_at(int fd, void *buf, size_t len, uint64_t offset, struct err *err)
{
    if (offset > INT64_MAX - len || pread(fd, buf, len, (off_t)offset) != (ssize_t)len)
        return err_set(err, ERR_INVALID, "kernel: ends before what its headers tell");
    return 0;
}

static int read_header(int fd, Elf64_Ehdr *eh, struct err *err)
{
    if (read_at(fd, eh, sizeof(*eh), 0, err) < 0)
        return -1;
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
        eh->e_ident[EI_DATA] != ELFDATA2LSB)
        return err_set(err, ERR_INVALID, "kernel: not a little-endian ELF file of 64 bits");
    return 0;
}

static int segments(int fd, unsigned flags, struct code_ranges *ret, struct err *err)
{
    Elf64_Ehdr eh;

    *ret = (struct code_ranges){0};
    if (read_header(fd, &eh, err) < 0)
        return -1;
    if (eh.e_phnum > ELF_PHDRS_MAX || eh.e_phentsize != sizeof(Elf64_Phdr))
        return err_set(err, ERR_INVALID, "kernel: %u program headers", eh.e_phnum);
    for (unsigned i = 0; i < eh.e_phnum && ret->n < CODE_RANGES_MAX; i++) {
        Elf64_Phdr ph;

        if (eh.e_phoff > INT64_MAX / 2 ||
            read_at(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph), err) < 0)
            return -1;
        if (ph.p_type != PT_LOAD || (ph.p_flags & flags) != flags ||
            ph.p_memsz > UINT64_MAX - ph.p_vaddr)
            continue;
        ret->v[ret->n].begin = ph.p_vaddr;
        ret->v[ret->n++].end = ph.p_vaddr + ph.p_memsz;
    }
    return 0;
}

int symbols_code(int fd, struct code_ranges *ret, struct err *err)
{
    return segments(fd, PF_X, ret, err);
}

int symbols_segments(int fd, struct code_ranges *ret, struct err *err)
{
    return segments(fd, 0, ret, err);
}

bool code_has(const struct code_ranges *code, uint64_t addr)
{
    for (size_t i = 0; i < code->n; i++)
        if (addr >= code->v[i].begin && addr < code->v[i].end)
            return true;
    return false;
}

/* The best so far, while the table goes by. */
struct best {
    bool has_size;
    uint32_t name;
    uint64_t strings; /* offset of the table's names */
    uint64_t strings_size;
};

/* A function that covers the address is better than one that merely begins before it. */
static void consider(const Elf64_Sym *s, const Elf64_Shdr *names, struct symbol *v, size_t n,
                     struct best *best)
{
    unsigned type = ELF64_ST_TYPE(s->st_info);

    if ((type != STT_FUNC && type != STT_NOTYPE) || s->st_shndx == SHN_UNDEF || s->st_name == 0 ||
        s->st_shndx == SHN_ABS)
        return;
    for (size_t i = 0; i < n; i++) {
        bool covers;

        if (s->st_value > v[i].addr)
            continue;
        covers = v[i].addr - s->st_value < s->st_size;
        if (s->st_size > 0 && !covers)
            continue;
        if (v[i].found &&
            (best[i].has_size != covers ? best[i].has_size : v[i].start >= s->st_value))
            continue;
        v[i].found = true;
        v[i].start = s->st_value;
        best[i] = (struct best){.has_size = covers,
                                .name = s->st_name,
                                .strings = names->sh_offset,
                                .strings_size = names->sh_size};
    }
}

static int read_table(int fd, const Elf64_Shdr *table, const Elf64_Shdr *names, struct symbol *v,
                      size_t n, struct best *best, struct err *err)
{
    uint64_t count = table->sh_size / sizeof(Elf64_Sym);
    Elf64_Sym piece[PIECE];

    if (table->sh_offset > INT64_MAX / 2)
        return err_set(err, ERR_INVALID, "kernel: its symbols are nowhere");
    if (count > SYMBOLS_MAX)
        count = SYMBOLS_MAX;
    for (uint64_t at = 0; at < count; at += PIECE) {
        size_t some = count - at < PIECE ? (size_t)(count - at) : PIECE;

        if (read_at(fd, piece, some * sizeof(piece[0]), table->sh_offset + at * sizeof(piece[0]),
                    err) < 0)
            return -1;
        for (size_t i = 0; i < some; i++)
            consider(&piece[i], names, v, n, best);
    }
    return 0;
}

/* A name that is not there, or is not one, leaves the address without. */
static void read_name(int fd, struct symbol *s, const struct best *best)
{
    uint64_t left;
    ssize_t got;

    s->found = false;
    if (best->name >= best->strings_size || best->strings > INT64_MAX / 2 ||
        best->strings_size > INT64_MAX / 2)
        return;
    left = best->strings_size - best->name;
    got = pread(fd, s->name, left < SYMBOL_NAME_MAX ? (size_t)left : SYMBOL_NAME_MAX,
                (off_t)(best->strings + best->name));
    if (got <= 0)
        return;
    s->name[got] = '\0';
    for (char *p = s->name; *p; p++)
        if (*p <= ' ' || *p > '~')
            *p = '?';
    s->found = *s->name != '\0';
}

int symbols_find(int fd, struct symbol *v, size_t n, struct err *err)
{
    autofree struct best *best = xcalloc(n ? n : 1, sizeof(*best));
    unsigned tables = 0;
    Elf64_Ehdr eh;

    for (size_t i = 0; i < n; i++)
        v[i].found = false;
    if (read_header(fd, &eh, err) < 0)
        return -1;
    if (eh.e_shnum > ELF_SECTIONS_MAX || (eh.e_shnum && eh.e_shentsize != sizeof(Elf64_Shdr)) ||
        eh.e_shoff > INT64_MAX / 2)
        return err_set(err, ERR_INVALID, "kernel: %u sections", eh.e_shnum);
    for (unsigned i = 0; i < eh.e_shnum && tables < SYMBOL_TABLES; i++) {
        Elf64_Shdr table, names;

        if (read_at(fd, &table, sizeof(table), eh.e_shoff + i * sizeof(table), err) < 0)
            return -1;
        if (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM)
            continue;
        if (table.sh_entsize != sizeof(Elf64_Sym) || table.sh_link >= eh.e_shnum ||
            read_at(fd, &names, sizeof(names), eh.e_shoff + table.sh_link * sizeof(names), err) < 0)
            return err_set(err, ERR_INVALID, "kernel: section %u is no table of symbols", i);
        tables++;
        if (read_table(fd, &table, &names, v, n, best, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (v[i].found)
            read_name(fd, &v[i], &best[i]);
    return tables ? 0 : err_set(err, ERR_NOT_FOUND, "kernel: has no symbols (stripped)");
}
