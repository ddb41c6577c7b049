/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage - how a guest gets its root file system and its volumes: what the driver can give,
 * crossed with what the family can take. What fits neither is refused here, at CreateContainer,
 * with a sentence that says what to change; nothing is dropped silently.
 *
 * Volumes go into the initrd where there can be one, as copies: so one that is written to, and
 * whose changes others need, must be a share or is refused.
 */
#include <string.h>

#include "vmm/private.h"

static enum vmm_root declared_root(const struct guest *guest, const struct family *family,
                                   const struct vmm_driver *driver)
{
    if (*guest->block)
        return VMM_ROOT_BLOCK;
    if (*guest->initrd && !(guest->mount_rootfs && family->roots & 1U << VMM_ROOT_DISK))
        return VMM_ROOT_INITRD;
    if (!guest->mount_rootfs)
        return VMM_ROOT_NONE;
    return family->roots & 1U << VMM_ROOT_SHARE &&
                   !(family->roots & 1U << VMM_ROOT_DISK && driver->can & VMM_CAN_BLOCK)
               ? VMM_ROOT_SHARE
               : VMM_ROOT_DISK;
}

static const char *root_name(enum vmm_root root)
{
    static const char *const names[] = {"no root", "an initrd", "a disk of the image",
                                        "its root file system as a disk",
                                        "its root file system as a share"};

    return names[root];
}

static bool can_share(const struct vmm_driver *driver)
{
    return driver->can & (VMM_CAN_9P | VMM_CAN_VIRTIOFS);
}

static bool can_give(const struct vmm_driver *driver, enum vmm_root root)
{
    switch (root) {
    case VMM_ROOT_NONE:
        return true;
    case VMM_ROOT_INITRD:
        return driver->can & VMM_CAN_INITRD;
    case VMM_ROOT_BLOCK:
    case VMM_ROOT_DISK:
        return driver->can & VMM_CAN_BLOCK;
    case VMM_ROOT_SHARE:
        return can_share(driver);
    }
    return false;
}

/* The way for all of them, or NONE. */
static enum vmm_volumes choose_way(const struct family *family, const struct vmm_driver *driver,
                                   enum vmm_root root, const struct vmm_volume *volumes, size_t n)
{
    /* A kernel may bring its own; Unikraft would have it covered by the volumes. */
    bool initrd = root == VMM_ROOT_INITRD || (root == VMM_ROOT_NONE && !family->one_segment);
    bool live = false, file = false, any = false;

    for (size_t i = 0; i < n; i++) {
        live = live || (!volumes[i].readonly && !volumes[i].scratch && !volumes[i].optional);
        file = file || (!volumes[i].directory && !volumes[i].optional);
        any = any || !volumes[i].optional;
    }
    if (family->volumes & 1U << VMM_VOLUMES_CPIO && driver->can & VMM_CAN_INITRD && initrd && !live)
        return VMM_VOLUMES_CPIO;
    if (family->volumes & 1U << VMM_VOLUMES_SHARE && can_share(driver) && any && !file)
        return VMM_VOLUMES_SHARE;
    return VMM_VOLUMES_NONE;
}

/* Of those that are needed the one that is in the way: where shares would do, a file; where copies
 * would, one that is written to. NULL: none is needed. */
static const struct vmm_volume *find_offending(const struct family *family,
                                               const struct vmm_driver *driver,
                                               const struct vmm_volume *volumes, size_t n)
{
    bool share = family->volumes & 1U << VMM_VOLUMES_SHARE && can_share(driver);
    const struct vmm_volume *first = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct vmm_volume *v = &volumes[i];

        if (v->optional)
            continue;
        if (share ? !v->directory : !v->readonly && !v->scratch)
            return v;
        first = first ? first : v;
    }
    return first;
}

static int refuse(const struct family *family, const struct vmm_driver *driver, enum vmm_root root,
                  const struct vmm_volume *volume, struct err *err)
{
    bool cpio = family->volumes & 1U << VMM_VOLUMES_CPIO && driver->can & VMM_CAN_INITRD;
    bool disk = root == VMM_ROOT_BLOCK || root == VMM_ROOT_DISK || root == VMM_ROOT_SHARE;

    if (family->volumes & 1U << VMM_VOLUMES_SHARE && can_share(driver) && !volume->directory)
        return err_set(err, ERR_UNSUPPORTED,
                       "volume '%s': is a single file, but unikernels of type '%s' get these "
                       "volumes as shares; mount the directory, without subPath",
                       volume->path, family->name);
    if (cpio && root == VMM_ROOT_NONE && family->one_segment)
        return err_set(
            err, ERR_UNSUPPORTED,
            "volume '%s': unikernels of type '%s' get volumes with their initrd, and this "
            "image has none; remove the volume, or make an image with an initrd",
            volume->path, family->name);
    if (cpio && !disk)
        return err_set(err, ERR_UNSUPPORTED,
                       "volume '%s': is writable, but unikernels of type '%s' get volumes by '%s' "
                       "as copies, and what they write would be lost; mount it with readOnly: true "
                       "or remove it",
                       volume->path, family->name, driver->name);
    if (cpio)
        return err_set(
            err, ERR_UNSUPPORTED,
            "volume '%s': unikernels of type '%s' get volumes with their initrd, but the "
            "root of this image is none; remove the volume, or make an image whose "
            "root is an initrd",
            volume->path, family->name);
    return err_set(err, ERR_UNSUPPORTED,
                   "volume '%s': unikernels of type '%s' take no volumes by '%s'; remove it from "
                   "the container, and put its files into the image or give them as a block device",
                   volume->path, family->name, driver->name);
}

int vmm_storage_choose(const struct vmm_handler *handler, const struct guest *guest,
                       const struct vmm_volume *volumes, size_t n_volumes, bool rootfs_readonly,
                       struct vmm_storage *ret, struct err *err)
{
    const struct family *family = family_find(guest->family, err);
    const struct vmm_driver *driver = handler->driver;
    enum vmm_volumes way;
    enum vmm_root root;

    if (!family)
        return -1;
    root = declared_root(guest, family, driver);
    if (!(family->roots & 1U << root))
        return err_set(err, ERR_UNSUPPORTED,
                       "image: declares %s, which unikernels of type '%s' cannot be given",
                       root_name(root), family->name);
    if (!can_give(driver, root))
        return err_set(err, ERR_UNSUPPORTED, "image: declares %s, which '%s' cannot give a guest",
                       root_name(root), driver->name);
    way = n_volumes ? choose_way(family, driver, root, volumes, n_volumes) : VMM_VOLUMES_NONE;
    if (way == VMM_VOLUMES_NONE) {
        const struct vmm_volume *offending = find_offending(family, driver, volumes, n_volumes);

        if (offending)
            return refuse(family, driver, root, offending, err);
    }
    *ret = (struct vmm_storage){
        .root = root,
        .disk_kind = root == VMM_ROOT_DISK ? family->disk_kind : NULL,
        .root_readonly = rootfs_readonly,
        .virtiofs = !(driver->can & VMM_CAN_9P) && driver->can & VMM_CAN_VIRTIOFS,
        .volumes = way,
    };
    return 0;
}
