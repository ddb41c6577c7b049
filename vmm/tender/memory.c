/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one private anonymous mapping without reservation. Pages the guest never touches
 * cost nothing; huge pages are refused because one touched byte would then cost two megabytes.
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Guest addresses are numbers until here: the one place that makes pointers of them. */
void *mem_raw(const struct guest_mem *m, uint64_t addr)
{
    return (void *)(m->host + (uintptr_t)addr); /* NOLINT(performance-no-int-to-ptr) */
}

int mem_map(struct guest_mem *m, uint64_t size, bool fixed, struct fault *f)
{
    uint64_t low = fixed ? SOLO5_SPT_MEM_BASE : 0;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED_NOREPLACE : 0);
    void *want = mem_raw(&(struct guest_mem){0}, low); /* NULL: anywhere */
    void *at = mmap(want, size - low, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (at == MAP_FAILED)
        return fault_sys(f, "guest memory: map %llu bytes", (unsigned long long)size);
    if (fixed && at != want)
        return fault_set(f, STATUS_SETUP, "guest memory: the kernel did not map it at 0x%llx",
                         (unsigned long long)low);
    /* Both are savings, not needs. */
    (void)madvise(at, size - low, MADV_DONTDUMP);
    (void)madvise(at, size - low, MADV_NOHUGEPAGE);
    m->host = (uintptr_t)at - low;
    m->size = size;
    m->low = SOLO5_SPT_MEM_BASE; /* hvt's own tables lie below the same address */
    return 0;
}

void *mem_at(const struct guest_mem *m, uint64_t addr, uint64_t len)
{
    uint64_t end;

    if (addr < m->low || __builtin_add_overflow(addr, len, &end) || end > m->size)
        return NULL;
    return mem_raw(m, addr);
}

int mem_load(const struct guest_mem *m, const struct elf_file *file, const struct elf_image *img,
             bool executable, struct fault *f)
{
    for (unsigned i = 0; i < img->segments; i++) {
        const struct elf_segment *s = &img->segment[i];
        int prot = s->prot;
        void *data = mem_at(m, s->vaddr, s->filesz);
        void *pages = mem_at(m, s->start, s->end - s->start);

        if (data == NULL || pages == NULL)
            return fault_set(f, STATUS_KERNEL, "guest kernel: segment at 0x%llx is out of memory",
                             (unsigned long long)s->vaddr);
        if (elf_read_at(file, data, s->filesz, s->offset, "segment", f) != 0)
            return -1;
        if (!executable && (prot & PROT_EXEC))
            prot = (prot & ~PROT_EXEC) | PROT_READ;
        if (mprotect(pages, s->end - s->start, prot) != 0)
            return fault_sys(f, "guest kernel: protect segment at 0x%llx",
                             (unsigned long long)s->vaddr);
    }
    return 0;
}

void mem_boot_strings(const struct guest_mem *m, const struct manifest *mft, const char *cmdline,
                      uint64_t at, uint64_t *ret_mft, uint64_t *ret_cmdline)
{
    size_t size = mft_size(mft);
    uint64_t text = at + size;

    _Static_assert(SOLO5_SPT_BOOT_INFO + 256 + sizeof(struct manifest) + SOLO5_CMDLINE_SIZE <
                       SOLO5_GUEST_MIN_BASE,
                   "boot data fit below the guest");
    memcpy(mem_raw(m, at), mft, size);
    memcpy(mem_raw(m, text), cmdline, strlen(cmdline) + 1);
    *ret_mft = at;
    *ret_cmdline = text;
}
