/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_file - see core_file.h. First which pages there are, by what the kernel tells of the VMM's
 * mappings; then headers, one note with the registers, and the pages, read and written in pieces.
 * A page that cannot be read any more is written as zeroes.
 */
#include "sandbox/debug/core_file.h"

#include <elf.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "sandbox/debug/runs.h"
#include "sandbox/debug/symbols.h"

#define PAGE         UINT64_C(4096)
#define ENTRIES      512                 /* of the page map, read at once */
#define PAGE_PRESENT (UINT64_C(3) << 62) /* in memory or swapped out */
#define PIECE        65536
#define NOTE_OWNER   "CORE"

static struct runs runs = RUNS_INIT;
static unsigned char piece[PIECE];

static bool in_kernel(const struct code_ranges *kernel, uint64_t page)
{
    for (size_t i = 0; i < kernel->n; i++)
        if (page + PAGE > kernel->v[i].begin && page < kernel->v[i].end)
            return true;
    return false;
}

static int find_pages(const struct code_ranges *kernel, struct err *err)
{
    uint64_t map[ENTRIES];

    for (uint64_t at = GUEST_LOW; at < tracee.size; at += ENTRIES * PAGE) {
        uint64_t left = (tracee.size - at + PAGE - 1) / PAGE;
        size_t want = (left < ENTRIES ? (size_t)left : ENTRIES) * sizeof(map[0]);
        ssize_t n = pread(tracee.pagemap_fd, map, want,
                          (off_t)((tracee.host + at) / PAGE * sizeof(map[0])));

        if (n < 0)
            return err_sys(err, "look through the guest's memory");
        for (size_t i = 0; i < (size_t)n / sizeof(map[0]); i++) {
            uint64_t page = at + i * PAGE;

            if ((map[i] & PAGE_PRESENT) || in_kernel(kernel, page))
                runs_add(&runs, page, page + PAGE);
        }
    }
    return 0;
}

/* Both notes as they lie in the file: nothing of them is aligned to 8. */
#define NOTE_HEAD   (sizeof(Elf64_Nhdr) + 8)
#define NOTES_BYTES (2 * NOTE_HEAD + sizeof(struct elf_prstatus) + sizeof(struct elf_prpsinfo))
_Static_assert(sizeof(struct elf_prstatus) % 4 == 0 && sizeof(struct elf_prpsinfo) % 4 == 0,
               "notes need no padding");

struct notes {
    unsigned char bytes[NOTES_BYTES];
};

static unsigned char *put_note(unsigned char *at, uint32_t type, const void *data, size_t len)
{
    const Elf64_Nhdr head = {sizeof(NOTE_OWNER), (uint32_t)len, type};
    const char owner[8] = NOTE_OWNER;

    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), owner, sizeof(owner));
    memcpy(at + NOTE_HEAD, data, len);
    return at + NOTE_HEAD + len;
}

static int make_notes(const struct core_request *q, struct notes *n, struct err *err)
{
    struct elf_prpsinfo info = {.pr_pid = 1, .pr_fname = "guest", .pr_psargs = "guest"};
    struct elf_prstatus status = {.pr_pid = 1, .pr_cursig = (short)q->signal};
    struct user_regs_struct r;

    _Static_assert(sizeof(r) == sizeof(status.pr_reg), "a core's registers are ptrace's");
    if (tracee_registers(&r, err) < 0)
        return -1;
    status.pr_info.si_signo = q->signal;
    memcpy(&status.pr_reg, &r, sizeof(r));
    (void)put_note(put_note(n->bytes, NT_PRSTATUS, &status, sizeof(status)), NT_PRPSINFO, &info,
                   sizeof(info));
    return 0;
}

static int write_headers(const struct notes *notes, uint64_t data, struct err *err)
{
    Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(eh),
        .e_ehsize = sizeof(eh),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(runs.n + 1)};
    Elf64_Phdr ph = {.p_type = PT_NOTE,
                     .p_offset = sizeof(eh) + (runs.n + 1) * sizeof(ph),
                     .p_filesz = sizeof(*notes),
                     .p_align = 4};
    uint64_t at = ph.p_offset + sizeof(*notes);

    if (output_write(&eh, sizeof(eh), err) < 0 || output_write(&ph, sizeof(ph), err) < 0)
        return -1;
    for (size_t i = 0, offset = (size_t)data; i < runs.n; i++) {
        uint64_t size = runs.v[i].end - runs.v[i].begin;

        ph = (Elf64_Phdr){.p_type = PT_LOAD,
                          .p_flags = PF_R | PF_W | PF_X,
                          .p_offset = offset,
                          .p_vaddr = runs.v[i].begin,
                          .p_filesz = size,
                          .p_memsz = size,
                          .p_align = PAGE};
        offset += (size_t)size;
        if (output_write(&ph, sizeof(ph), err) < 0)
            return -1;
    }
    if (output_write(notes, sizeof(*notes), err) < 0)
        return -1;
    memset(piece, 0, PAGE);
    return output_write(piece, (size_t)(data - at), err);
}

static int write_run(uint64_t at, uint64_t end, struct err *err)
{
    struct err ignored = ERR_INIT;

    while (at < end) {
        size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;

        if (tracee_read(at, piece, len, &ignored) < 0) {
            memset(piece, 0, len);
            for (size_t i = 0; i + PAGE <= len; i += PAGE)
                if (tracee_read(at + i, piece + i, PAGE, &ignored) < 0)
                    memset(piece + i, 0, PAGE);
        }
        if (output_write(piece, len, err) < 0)
            return -1;
        at += len;
    }
    return 0;
}

int core_file_write(const struct core_request *q, uint64_t *ret_bytes, struct err *err)
{
    struct code_ranges kernel = {0};
    struct err ignored = ERR_INIT;
    struct notes notes;
    uint64_t data;

    if (q->kernel_fd >= 0 && symbols_segments(q->kernel_fd, &kernel, &ignored) < 0)
        kernel.n = 0;
    if (make_notes(q, &notes, err) < 0 || find_pages(&kernel, err) < 0)
        return -1;
    data = sizeof(Elf64_Ehdr) + (runs.n + 1) * sizeof(Elf64_Phdr) + sizeof(notes);
    data = (data + PAGE - 1) / PAGE * PAGE;
    *ret_bytes = data + runs_bytes(&runs);
    if (q->max_bytes && *ret_bytes > q->max_bytes)
        return err_set(err, ERR_EXHAUSTED, "the core file would have %llu bytes, allowed are %llu",
                       (unsigned long long)*ret_bytes, (unsigned long long)q->max_bytes);
    if (write_headers(&notes, data, err) < 0)
        return -1;
    for (size_t i = 0; i < runs.n; i++)
        if (write_run(runs.v[i].begin, runs.v[i].end, err) < 0)
            return -1;
    return 0;
}
