/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - writes small ELF files with Solo5 notes, good ones and such that lie, into a memfd. */
#ifndef UNICRI_VMM_TESTS_KERNEL_H
#define UNICRI_VMM_TESTS_KERNEL_H

#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/tender/solo5_abi.h"

struct kernel {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[3]; /* two of notes; the third is for what is loaded */
    struct {
        Elf64_Nhdr head;
        char owner[8];
        struct solo5_abi1 abi;
    } abi;
    struct {
        Elf64_Nhdr head;
        char owner[8];
        uint8_t pad[SOLO5_NOTE_MFT1_PAD];
        struct solo5_mft_head mft;
        struct solo5_mft_entry entry[4];
    } __attribute__((packed)) mft;
};

/* A guest for `target` with the network device "service" and the block device "storage". */
static inline void kernel_make(struct kernel *k, uint32_t target)
{
    memset(k, 0, sizeof(*k));
    memcpy(k->eh.e_ident, ELFMAG, SELFMAG);
    k->eh.e_ident[EI_CLASS] = ELFCLASS64;
    k->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    k->eh.e_type = ET_EXEC;
    k->eh.e_machine = EM_X86_64;
    k->eh.e_phoff = offsetof(struct kernel, ph);
    k->eh.e_phentsize = sizeof(Elf64_Phdr);
    k->eh.e_phnum = 2;
    k->ph[0] = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = offsetof(struct kernel, abi), .p_filesz = sizeof(k->abi)};
    k->ph[1] = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = offsetof(struct kernel, mft), .p_filesz = sizeof(k->mft)};
    k->abi.head = (Elf64_Nhdr){sizeof(SOLO5_NOTE_OWNER), sizeof(k->abi.abi), SOLO5_NOTE_ABI1};
    memcpy(k->abi.owner, SOLO5_NOTE_OWNER, sizeof(SOLO5_NOTE_OWNER));
    k->abi.abi = (struct solo5_abi1){.target = target, .version = SOLO5_ABI_VERSION};
    k->mft.head = (Elf64_Nhdr){sizeof(SOLO5_NOTE_OWNER),
                               sizeof(k->mft) - offsetof(__typeof__(k->mft), pad), SOLO5_NOTE_MFT1};
    memcpy(k->mft.owner, SOLO5_NOTE_OWNER, sizeof(SOLO5_NOTE_OWNER));
    k->mft.mft = (struct solo5_mft_head){.version = SOLO5_MFT_VERSION, .entries = 3};
    k->mft.entry[0].type = SOLO5_MFT_RESERVED;
    memcpy(k->mft.entry[1].name, "service", 8);
    k->mft.entry[1].type = SOLO5_MFT_NET;
    memcpy(k->mft.entry[2].name, "storage", 8);
    k->mft.entry[2].type = SOLO5_MFT_BLOCK;
}

static inline int kernel_open(const void *data, size_t len)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    return write(fd, data, len) == (ssize_t)len ? fd : -1;
}

#endif
