/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes small Solo5 ELF files for the tender's tests: a sound one, whose fields a test then spoils.
 * One code segment with file content, an ABI note and a manifest with a chosen number of entries.
 */
#ifndef UNICRI_VMM_TENDER_TESTS_GUEST_MAKER_H
#define UNICRI_VMM_TENDER_TESTS_GUEST_MAKER_H

#include <elf.h>
#include <string.h>

#include "vmm/tender/solo5_abi.h"

#define MADE_BASE    0x100000u
#define MADE_CODE    1024u /* bytes */
#define MADE_ENTRIES 4u

struct made_note_head {
    Elf64_Nhdr h;
    char owner[8];
};

struct made_guest {
    Elf64_Ehdr eh;
    Elf64_Phdr code;
    Elf64_Phdr abi_ph;
    Elf64_Phdr mft_ph;
    struct {
        struct made_note_head head;
        struct solo5_abi1 abi;
    } abi;
    uint32_t align; /* the manifest's note begins on 8 */
    struct {
        struct made_note_head head;
        uint32_t pad;
        struct solo5_mft_head mft;
        struct solo5_mft_entry entry[MADE_ENTRIES];
    } mft;
    uint8_t text[MADE_CODE];
};

/* A guest for @target with @entries manifest entries (1: no device), whose code is @code. */
static inline void make_guest(struct made_guest *g, uint32_t target, uint32_t entries,
                              const void *code, size_t code_len)
{
    size_t mft_size =
        sizeof(uint32_t) + sizeof(struct solo5_mft_head) + entries * sizeof(struct solo5_mft_entry);

    memset(g, 0, sizeof(*g));
    memcpy(g->eh.e_ident, ELFMAG, SELFMAG);
    g->eh.e_ident[EI_CLASS] = ELFCLASS64;
    g->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    g->eh.e_ident[EI_VERSION] = EV_CURRENT;
    g->eh.e_type = ET_EXEC;
    g->eh.e_machine = EM_X86_64;
    g->eh.e_version = EV_CURRENT;
    g->eh.e_entry = MADE_BASE;
    g->eh.e_phoff = offsetof(struct made_guest, code);
    g->eh.e_ehsize = sizeof(Elf64_Ehdr);
    g->eh.e_phentsize = sizeof(Elf64_Phdr);
    g->eh.e_phnum = 3;
    g->code = (Elf64_Phdr){.p_type = PT_LOAD,
                           .p_flags = PF_R | PF_X,
                           .p_offset = offsetof(struct made_guest, text),
                           .p_vaddr = MADE_BASE,
                           .p_filesz = MADE_CODE,
                           .p_memsz = MADE_CODE,
                           .p_align = 4096};
    g->abi_ph = (Elf64_Phdr){.p_type = PT_NOTE,
                             .p_offset = offsetof(struct made_guest, abi),
                             .p_filesz = sizeof(g->abi)};
    g->mft_ph = (Elf64_Phdr){.p_type = PT_NOTE,
                             .p_offset = offsetof(struct made_guest, mft),
                             .p_filesz = sizeof(struct made_note_head) + mft_size};
    g->abi.head.h = (Elf64_Nhdr){6, sizeof(struct solo5_abi1), SOLO5_NOTE_ABI1};
    g->mft.head.h = (Elf64_Nhdr){6, (Elf64_Word)mft_size, SOLO5_NOTE_MFT1};
    memcpy(g->abi.head.owner, "Solo5", 6);
    memcpy(g->mft.head.owner, "Solo5", 6);
    g->abi.abi = (struct solo5_abi1){target, SOLO5_ABI_VERSION, {0, 0}};
    g->mft.mft = (struct solo5_mft_head){SOLO5_MFT_VERSION, entries};
    g->mft.entry[0].type = SOLO5_MFT_RESERVED;
    for (uint32_t i = 1; i < entries && i < MADE_ENTRIES; i++) {
        g->mft.entry[i].type = i % 2 ? SOLO5_MFT_NET : SOLO5_MFT_BLOCK;
        memcpy(g->mft.entry[i].name, "dev", 3);
        g->mft.entry[i].name[3] = (char)('0' + i);
    }
    memset(g->text, 0x90, sizeof(g->text)); /* nop */
    memcpy(g->text, code, code_len);
}

#endif
