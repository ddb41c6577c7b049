/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs the devices of the command line with those of the manifest. Every device declared must be
 * given and every device given must be declared: a guest without its disk would fail later and less
 * clearly.
 */
#include "vmm/tender/tender.h"

#include <string.h>

static int attach_one(const struct device *given, struct tender *t, struct fault *f)
{
    int handle = mft_find(&t->mft, given->name, given->type);
    struct solo5_mft_entry *e;
    struct device *d;

    if (handle < 0)
        return fault_set(f, STATUS_KERNEL, "%s device '%s': not declared in the guest's manifest",
                         mft_type_name(given->type), given->name);
    d = &t->dev[handle];
    *d = *given;
    if (d->type == SOLO5_MFT_NET ? net_attach(d, f) : block_attach(d, f))
        return -1;
    e = &t->mft.entry[handle];
    if (d->type == SOLO5_MFT_NET) {
        memcpy(e->u.net.mac, d->mac, sizeof(d->mac));
        e->u.net.mtu = d->mtu;
    } else {
        e->u.block.capacity = d->capacity;
        e->u.block.block_size = (uint16_t)d->sector_size;
    }
    e->attached = 1;
    return 0;
}

int devices_attach(const struct options *o, struct tender *t, struct fault *f)
{
    for (unsigned i = 0; i < o->devices; i++)
        if (attach_one(&o->device[i], t, f) != 0)
            return -1;
    for (uint32_t i = 1; i < t->mft.head.entries; i++)
        if (!t->mft.entry[i].attached)
            return fault_set(f, STATUS_KERNEL,
                             "%s device '%s': declared in the guest's manifest but not attached",
                             mft_type_name(t->mft.entry[i].type), t->mft.entry[i].name);
    return 0;
}
