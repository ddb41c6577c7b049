/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_note - what a kernel says of itself in its ELF notes: the Solo5 ABI it was linked for and the
 * devices it wants.
 *
 * The file is hostile. Headers and notes are read by offset into bounded buffers; every number is
 * checked before it is used. The tender checks the same file again before it runs it: this reading
 * only decides what to prepare.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/private.h"
#include "vmm/tender/solo5_abi.h"

#define PHDRS_MAX              64
#define NOTES_MAX              16 /* note segments in a file */
#define NOTE_SEGMENT_MAX_BYTES (64 << 10)

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

static const char *target_name(uint32_t target)
{
    switch (target) {
    case SOLO5_TARGET_HVT:
        return "hvt";
    case SOLO5_TARGET_SPT:
        return "spt";
    case SOLO5_TARGET_VIRTIO:
        return "virtio";
    case SOLO5_TARGET_MUEN:
        return "muen";
    case SOLO5_TARGET_GENODE:
        return "genode";
    case SOLO5_TARGET_XEN:
        return "xen";
    default:
        return NULL;
    }
}

static int take_abi(struct guest *guest, const uint8_t *desc, size_t len, struct err *err)
{
    struct solo5_abi1 abi;
    const char *name;

    if (len != sizeof(abi))
        return err_set(err, ERR_INVALID, "kernel: Solo5 ABI note has %zu bytes, not %zu", len,
                       sizeof(abi));
    memcpy(&abi, desc, sizeof(abi));
    name = target_name(abi.target);
    if (!name)
        return err_set(err, ERR_INVALID, "kernel: unknown Solo5 target %u", abi.target);
    if (guest->solo5)
        return err_set(err, ERR_INVALID, "kernel: more than one Solo5 ABI note");
    guest->solo5 = true;
    (void)snprintf(guest->solo5_target, sizeof(guest->solo5_target), "%s", name);
    return 0;
}

static bool device_name_ok(const char *name)
{
    size_t len = strnlen(name, SOLO5_MFT_NAME_SIZE);

    if (len == 0 || len == SOLO5_MFT_NAME_SIZE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9')))
            return false;
    return true;
}

static int take_device(struct guest *guest, const struct solo5_mft_entry *entry, struct err *err)
{
    struct guest_device *device = &guest->devices[guest->n_devices];

    if (!device_name_ok(entry->name))
        return err_set(err, ERR_INVALID,
                       "kernel: Solo5 manifest: a device name is not 1 to 67 letters and digits");
    if (entry->type != SOLO5_MFT_NET && entry->type != SOLO5_MFT_BLOCK)
        return err_set(err, ERR_INVALID, "kernel: Solo5 manifest: device '%s' has unknown type %u",
                       entry->name, entry->type);
    for (size_t i = 0; i < guest->n_devices; i++)
        if (str_eq(guest->devices[i].name, entry->name))
            return err_set(err, ERR_INVALID, "kernel: Solo5 manifest: device '%s' is there twice",
                           entry->name);
    (void)snprintf(device->name, sizeof(device->name), "%s", entry->name);
    device->type = entry->type == SOLO5_MFT_NET ? GUEST_NET : GUEST_BLOCK;
    guest->n_devices++;
    return 0;
}

/* The first entry is a placeholder, so that no device has handle 0. */
static int take_manifest(struct guest *guest, const uint8_t *desc, size_t len, struct err *err)
{
    struct solo5_mft_head head;
    struct solo5_mft_entry entry;

    if (len < SOLO5_NOTE_MFT1_PAD + sizeof(head))
        return err_set(err, ERR_INVALID, "kernel: Solo5 manifest is too short");
    desc += SOLO5_NOTE_MFT1_PAD;
    len -= SOLO5_NOTE_MFT1_PAD;
    memcpy(&head, desc, sizeof(head));
    if (head.version != SOLO5_MFT_VERSION)
        return err_set(err, ERR_INVALID, "kernel: Solo5 manifest has version %u", head.version);
    if (head.entries == 0 || head.entries > SOLO5_MFT_ENTRIES_MAX ||
        len < sizeof(head) + head.entries * sizeof(entry))
        return err_set(err, ERR_INVALID, "kernel: Solo5 manifest of %zu bytes claims %u entries",
                       len, head.entries);
    for (uint32_t i = 0; i < head.entries; i++) {
        memcpy(&entry, desc + sizeof(head) + i * sizeof(entry), sizeof(entry));
        if (i == 0 && entry.type != SOLO5_MFT_RESERVED)
            return err_set(err, ERR_INVALID, "kernel: Solo5 manifest lacks its first entry");
        if (i > 0 && take_device(guest, &entry, err) < 0)
            return -1;
    }
    return 0;
}

struct seen {
    bool manifest;
};

/* Walk one note segment that lies whole in buf. */
static int walk(struct guest *guest, const uint8_t *buf, size_t len, struct seen *seen,
                struct err *err)
{
    size_t at = 0;

    while (len - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        size_t name_at, desc_at, end;
        bool ours;

        memcpy(&note, buf + at, sizeof(note));
        name_at = at + sizeof(note);
        if (note.n_namesz > len || note.n_descsz > len)
            return err_set(err, ERR_INVALID, "kernel: a note is longer than its segment");
        desc_at = name_at + ((note.n_namesz + 3u) & ~3u);
        end = desc_at + note.n_descsz;
        if (end > len)
            return err_set(err, ERR_INVALID, "kernel: a note is longer than its segment");
        ours = note.n_namesz == sizeof(SOLO5_NOTE_OWNER) &&
               memcmp(buf + name_at, SOLO5_NOTE_OWNER, sizeof(SOLO5_NOTE_OWNER)) == 0;
        if (ours && note.n_type == SOLO5_NOTE_ABI1 &&
            take_abi(guest, buf + desc_at, note.n_descsz, err) < 0)
            return -1;
        if (ours && note.n_type == SOLO5_NOTE_MFT1) {
            if (seen->manifest)
                return err_set(err, ERR_INVALID, "kernel: more than one Solo5 manifest");
            seen->manifest = true;
            if (take_manifest(guest, buf + desc_at, note.n_descsz, err) < 0)
                return -1;
        }
        at = (end + 3u) & ~(size_t)3u;
        if (at > len)
            break;
    }
    return 0;
}

static int read_note_segment(struct guest *guest, int fd, const Elf64_Phdr *ph, struct seen *seen,
                             struct err *err)
{
    autofree uint8_t *buf = NULL;

    if (ph->p_filesz > NOTE_SEGMENT_MAX_BYTES)
        return err_set(err, ERR_INVALID, "kernel: note segment of %llu bytes, at most %d are read",
                       (unsigned long long)ph->p_filesz, NOTE_SEGMENT_MAX_BYTES);
    buf = xmalloc((size_t)ph->p_filesz + 1);
    if (read_at(fd, buf, (size_t)ph->p_filesz, ph->p_offset, "a note segment", err) < 0)
        return -1;
    return walk(guest, buf, (size_t)ph->p_filesz, seen, err);
}

/* Returns: 1 for an ELF64 file of which notes can be read, 0 for another kind of kernel. */
static int read_header(int fd, Elf64_Ehdr *eh, struct err *err)
{
    if (read_at(fd, eh, sizeof(*eh), 0, "the ELF header", err) < 0)
        return -1;
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
        eh->e_ident[EI_DATA] != ELFDATA2LSB)
        return 0;
    if (eh->e_phnum > PHDRS_MAX || (eh->e_phnum > 0 && eh->e_phentsize != sizeof(Elf64_Phdr)))
        return err_set(err, ERR_INVALID, "kernel: %u program headers of %u bytes", eh->e_phnum,
                       eh->e_phentsize);
    return 1;
}

int guest_probe_kernel(struct guest *guest, int kernel_fd, struct err *err)
{
    Elf64_Phdr ph[PHDRS_MAX] = {0};
    Elf64_Ehdr eh;
    struct seen seen = {false};
    size_t notes = 0;
    int r;

    guest->solo5 = false;
    guest->solo5_target[0] = '\0';
    guest->n_devices = 0;
    r = read_header(kernel_fd, &eh, err);
    if (r <= 0)
        return r;
    if (read_at(kernel_fd, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff, "the program headers", err) <
        0)
        return -1;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type != PT_NOTE)
            continue;
        if (++notes > NOTES_MAX)
            return err_set(err, ERR_INVALID, "kernel: more than %d note segments", NOTES_MAX);
        if (read_note_segment(guest, kernel_fd, &ph[i], &seen, err) < 0)
            return -1;
    }
    if (guest->solo5 != seen.manifest)
        return err_set(err, ERR_INVALID, "kernel: has a Solo5 %s but no %s",
                       guest->solo5 ? "ABI note" : "manifest",
                       guest->solo5 ? "manifest" : "ABI note");
    return 0;
}
