/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_note - what a kernel says of itself in its ELF notes: the Solo5 ABI it was linked for, the
 * devices it wants, and whether it can be entered by PVH. The segments come from elf_kernel.c.
 *
 * The notes are hostile: every number is checked before it is used. The tender checks the same file
 * again before it runs it: this reading only decides what to prepare.
 */
#include <elf.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"
#include "vmm/tender/solo5_abi.h"

#define XEN_NOTE_OWNER "Xen"
#define XEN_NOTE_PVH   18 /* PHYS32_ENTRY: where PVH enters the kernel */

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

static int take_pvh(struct elf_seen *seen, const uint8_t *desc, size_t len, struct err *err)
{
    if (len != sizeof(uint32_t) && len != sizeof(uint64_t))
        return err_set(err, ERR_INVALID, "kernel: PVH note has %zu bytes", len);
    seen->pvh_entry = 0;
    memcpy(&seen->pvh_entry, desc, len);
    seen->pvh = true;
    return 0;
}

static bool owned_by(const Elf64_Nhdr *note, const uint8_t *name, const char *owner)
{
    size_t size = strlen(owner) + 1;

    return note->n_namesz == size && memcmp(name, owner, size) == 0;
}

static int take_note(struct guest *guest, const Elf64_Nhdr *note, const uint8_t *name,
                     const uint8_t *desc, struct elf_seen *seen, struct err *err)
{
    if (owned_by(note, name, XEN_NOTE_OWNER) && note->n_type == XEN_NOTE_PVH)
        return take_pvh(seen, desc, note->n_descsz, err);
    if (!owned_by(note, name, SOLO5_NOTE_OWNER))
        return 0;
    if (note->n_type == SOLO5_NOTE_ABI1)
        return take_abi(guest, desc, note->n_descsz, err);
    if (note->n_type != SOLO5_NOTE_MFT1)
        return 0;
    if (seen->manifest)
        return err_set(err, ERR_INVALID, "kernel: more than one Solo5 manifest");
    seen->manifest = true;
    return take_manifest(guest, desc, note->n_descsz, err);
}

int elf_notes(struct guest *guest, const uint8_t *buf, size_t len, struct elf_seen *seen,
              struct err *err)
{
    size_t at = 0;

    while (len - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        size_t name_at, desc_at, end;

        memcpy(&note, buf + at, sizeof(note));
        name_at = at + sizeof(note);
        if (note.n_namesz > len || note.n_descsz > len)
            return err_set(err, ERR_INVALID, "kernel: a note is longer than its segment");
        desc_at = name_at + ((note.n_namesz + 3u) & ~3u);
        end = desc_at + note.n_descsz;
        if (end > len)
            return err_set(err, ERR_INVALID, "kernel: a note is longer than its segment");
        if (take_note(guest, &note, buf + name_at, buf + desc_at, seen, err) < 0)
            return -1;
        at = (end + 3u) & ~(size_t)3u;
        if (at > len)
            break;
    }
    return 0;
}
