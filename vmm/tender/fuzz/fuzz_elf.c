/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's ELF file; what is accepted must keep the promises of elf.h. */
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/tender/elf.h"
#include "vmm/tender/mft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct elf_image img;
    static struct manifest m;
    struct elf_file file = {.fd = -1, .buf = data, .size = size};
    struct fault f;
    uint64_t const mem_size = 64 << 20;

    if (elf_read(&file, &img, &f) != 0 || elf_fits(&img, mem_size, &f) != 0)
        return 0;
    for (unsigned i = 0; i < img.segments; i++) {
        const struct elf_segment *s = &img.segment[i];
        if (s->start < SOLO5_GUEST_MIN_BASE || s->end > mem_size || s->filesz > s->memsz ||
            s->vaddr + s->memsz > s->end || ((s->prot & PROT_WRITE) && (s->prot & PROT_EXEC)) ||
            (i > 0 && s->start < img.segment[i - 1].end))
            abort();
    }
    if (mft_parse(img.mft, img.mft_size, &m, &f) == 0 && m.head.entries > SOLO5_MFT_ENTRIES_MAX)
        abort();
    return 0;
}
