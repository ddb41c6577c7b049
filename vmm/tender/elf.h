/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a Solo5 guest's ELF file: which segments to load where, where to begin, and the two notes
 * that say which ABI it speaks and which devices it wants. Pure functions over a descriptor or a
 * buffer: nothing here touches guest memory, so the same code runs under a fuzzer.
 *
 * The file is hostile. After elf_read() succeeded every number in struct elf_image is consistent in
 * itself; elf_fits() then ties it to a memory size.
 */
#ifndef UNICRI_VMM_TENDER_ELF_H
#define UNICRI_VMM_TENDER_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/solo5_abi.h"

#define ELF_PAGE         4096u
#define ELF_PHDRS_MAX    64u         /* program headers in a file */
#define ELF_SEGMENTS_MAX 16u         /* of those, to be loaded */
#define ELF_NOTES_MAX    (64u << 10) /* bytes of one note segment */
#define ELF_MFT_MAX                                                                                \
    (sizeof(struct solo5_mft_head) + SOLO5_MFT_ENTRIES_MAX * sizeof(struct solo5_mft_entry))

/* Where the bytes come from: a descriptor (read by offset, never moved), or memory if buf is not
 * NULL. */
struct elf_file {
    int fd;
    const uint8_t *buf;
    uint64_t size; /* of buf */
};

struct elf_segment {
    uint64_t offset; /* in the file */
    uint64_t vaddr;
    uint64_t filesz;
    uint64_t memsz;
    uint64_t start; /* vaddr down to a page */
    uint64_t end;   /* vaddr + memsz up to a page */
    int prot;       /* PROT_READ | PROT_WRITE | PROT_EXEC, never both of the last */
};

struct elf_image {
    uint64_t entry;
    uint64_t end; /* above the highest byte of any segment, page aligned */
    unsigned segments;
    struct elf_segment segment[ELF_SEGMENTS_MAX];
    struct solo5_abi1 abi;
    size_t mft_size;                      /* bytes in mft */
    _Alignas(8) uint8_t mft[ELF_MFT_MAX]; /* as found; mft_parse() looks inside */
};

/**
 * elf_read_at() - read exactly @len bytes at @offset.
 * @what: named in the error.
 */
int elf_read_at(const struct elf_file *file, void *buf, size_t len, uint64_t offset,
                const char *what, struct fault *f) TENDER_MUST_CHECK;

/**
 * elf_read() - read headers and notes of a Solo5 guest.
 * @img: written; on failure its content is undefined.
 * Errors: STATUS_KERNEL for anything wrong with the file.
 */
int elf_read(const struct elf_file *file, struct elf_image *img, struct fault *f) TENDER_MUST_CHECK;

/**
 * elf_fits() - check that all segments lie in [SOLO5_GUEST_MIN_BASE, mem_size) and leave room for a
 * stack.
 */
int elf_fits(const struct elf_image *img, uint64_t mem_size, struct fault *f) TENDER_MUST_CHECK;

#endif
