/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage - how a guest gets its root file system and its volumes: what the driver can give,
 * crossed with what the family can take. What fits neither is refused here, at CreateContainer,
 * with a sentence that says what to change; nothing is dropped silently.
 */
#include <string.h>

#include "vmm/private.h"

static enum vmm_root declared_root(const struct guest *guest)
{
    if (*guest->block)
        return VMM_ROOT_BLOCK;
    if (*guest->initrd)
        return VMM_ROOT_INITRD;
    return guest->mount_rootfs ? VMM_ROOT_DISK : VMM_ROOT_NONE;
}

static const char *root_name(enum vmm_root root)
{
    static const char *const names[] = {"no root", "an initrd", "a disk of the image",
                                        "its root file system as a disk",
                                        "its root file system as a share"};

    return names[root];
}

int vmm_storage_choose(const struct vmm_handler *handler, const struct guest *guest,
                       const struct vmm_volume *volumes, size_t n_volumes, bool rootfs_readonly,
                       struct vmm_storage *ret, struct err *err)
{
    const struct family *family = family_find(guest->family, err);
    enum vmm_root root = declared_root(guest);

    if (!family)
        return -1;
    if (!(family->roots & 1U << root))
        return err_set(err, ERR_UNSUPPORTED,
                       "image: declares %s, which unikernels of type '%s' cannot be given",
                       root_name(root), family->name);
    if (n_volumes > 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "volume '%s': unikernels of type '%s' take no volumes by '%s'; remove it "
                       "from the container",
                       volumes[0].path, family->name, handler->driver->name);
    *ret = (struct vmm_storage){.root = root, .root_readonly = rootfs_readonly};
    return 0;
}
