/* SPDX-License-Identifier: Apache-2.0 */
/* core_head - see core_head.h. */
#include "sandbox/debug/core_head.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#define LIES "the guest's VMM wrote no core file"

static bool within(size_t len, uint64_t at, uint64_t n, size_t size)
{
    return at <= len && n <= (len - at) / size;
}

static int reach(uint64_t offset, uint64_t size, uint64_t *end, struct err *err)
{
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return err_set(err, ERR_CORRUPT, LIES ": a part at %llu", (unsigned long long)offset);
    if (offset + size > *end)
        *end = offset + size;
    return 0;
}

int core_head_bytes(const unsigned char *head, size_t len, uint64_t *ret, struct err *err)
{
    uint64_t end = sizeof(Elf64_Ehdr);
    Elf64_Ehdr eh;

    if (len < sizeof(eh))
        return err_set(err, ERR_CORRUPT, LIES ": %zu bytes", len);
    memcpy(&eh, head, sizeof(eh));
    if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
        eh.e_type != ET_CORE)
        return err_set(err, ERR_CORRUPT, LIES);
    if (eh.e_phnum == 0 || eh.e_phentsize != sizeof(Elf64_Phdr) ||
        !within(len, eh.e_phoff, eh.e_phnum, sizeof(Elf64_Phdr)) ||
        (eh.e_shnum > 0 && (eh.e_shentsize != sizeof(Elf64_Shdr) ||
                            !within(len, eh.e_shoff, eh.e_shnum, sizeof(Elf64_Shdr)))))
        return err_set(err, ERR_CORRUPT, LIES ": its tables are too large or elsewhere");
    for (size_t i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr ph;

        memcpy(&ph, head + eh.e_phoff + i * sizeof(ph), sizeof(ph));
        if (reach(ph.p_offset, ph.p_filesz, &end, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < eh.e_shnum; i++) {
        Elf64_Shdr sh;

        memcpy(&sh, head + eh.e_shoff + i * sizeof(sh), sizeof(sh));
        if (sh.sh_type != SHT_NULL && sh.sh_type != SHT_NOBITS &&
            reach(sh.sh_offset, sh.sh_size, &end, err) < 0)
            return -1;
    }
    *ret = end;
    return 0;
}
