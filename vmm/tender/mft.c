/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the device manifest. See mft.h. Names are letters and digits, as the published tool that
 * makes manifests demands; that also keeps them harmless in messages and arguments.
 */
#include "vmm/tender/mft.h"

#include <string.h>

int mft_name_ok(const char *name, size_t len)
{
    if (len == 0 || len >= SOLO5_MFT_NAME_SIZE)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return 0;
    }
    return 1;
}

const char *mft_type_name(uint32_t type)
{
    if (type == SOLO5_MFT_NET)
        return "net";
    if (type == SOLO5_MFT_BLOCK)
        return "block";
    return "unknown";
}

size_t mft_size(const struct manifest *m)
{
    return sizeof(m->head) + m->head.entries * sizeof(m->entry[0]);
}

int mft_find(const struct manifest *m, const char *name, uint32_t type)
{
    for (uint32_t i = 0; i < m->head.entries; i++)
        if (m->entry[i].type == type && strcmp(m->entry[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int bad(struct fault *f, uint32_t i, const char *why)
{
    return fault_set(f, STATUS_KERNEL, "manifest: entry %u: %s", i, why);
}

static int check_entry(const struct manifest *m, uint32_t i, struct fault *f)
{
    const struct solo5_mft_entry *e = &m->entry[i];
    size_t len = strnlen(e->name, sizeof(e->name));

    if (len == sizeof(e->name))
        return bad(f, i, "name is not terminated");
    if (e->attached != 0)
        return bad(f, i, "claims to be attached already");
    if (i == 0) {
        if (e->type != SOLO5_MFT_RESERVED || len != 0)
            return bad(f, i, "is not the reserved one");
        return 0;
    }
    if (e->type != SOLO5_MFT_NET && e->type != SOLO5_MFT_BLOCK)
        return fault_set(f, STATUS_KERNEL, "manifest: entry %u: unknown device type 0x%x", i,
                         e->type);
    if (!mft_name_ok(e->name, len))
        return bad(f, i, "name is not made of letters and digits");
    for (uint32_t k = 1; k < i; k++)
        if (m->entry[k].type == e->type && strcmp(m->entry[k].name, e->name) == 0)
            return fault_set(f, STATUS_KERNEL, "manifest: %s device '%s' is declared twice",
                             mft_type_name(e->type), e->name);
    return 0;
}

int mft_parse(const void *raw, size_t size, struct manifest *m, struct fault *f)
{
    struct solo5_mft_head head;

    if (size < sizeof(head))
        return fault_set(f, STATUS_KERNEL, "manifest: only %zu bytes", size);
    memcpy(&head, raw, sizeof(head));
    if (head.version != SOLO5_MFT_VERSION)
        return fault_set(f, STATUS_KERNEL, "manifest: version %u is not supported", head.version);
    if (head.entries == 0 || head.entries > SOLO5_MFT_ENTRIES_MAX)
        return fault_set(f, STATUS_KERNEL, "manifest: %u entries, allowed are 1 to %u",
                         head.entries, SOLO5_MFT_ENTRIES_MAX);
    if (size != sizeof(head) + head.entries * sizeof(m->entry[0]))
        return fault_set(f, STATUS_KERNEL, "manifest: %u entries do not make %zu bytes",
                         head.entries, size);
    m->head = head;
    memcpy(m->entry, (const uint8_t *)raw + sizeof(head), head.entries * sizeof(m->entry[0]));
    for (uint32_t i = 0; i < head.entries; i++)
        if (check_entry(m, i, f) != 0)
            return -1;
    for (uint32_t i = 0; i < head.entries; i++) {
        struct solo5_mft_entry *e = &m->entry[i];
        size_t len = strlen(e->name);
        memset(e->name + len, 0, sizeof(e->name) - len);
        memset(&e->u, 0, sizeof(e->u));
        memset(&e->b, 0, sizeof(e->b));
        memset(e->pad, 0, sizeof(e->pad));
    }
    return 0;
}
