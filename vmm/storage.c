/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage - how a guest gets its root file system and its volumes: what the driver can give,
 * crossed with what the family can take. What fits neither is refused here, at CreateContainer,
 * with a sentence that says what to change; nothing is dropped silently.
 *
 * Volumes go into the initrd where there can be one, as copies: so one that is written to, and
 * whose changes others need, must be a share or is refused. Where the root is made of the image's
 * files it is shared as soon as there are volumes: then they lie in it, in their places.
 */
#include <string.h>

#include "vmm/private.h"

/* What the choice is made of. */
struct choice {
    const struct guest *guest;
    const struct family *family;
    const struct vmm_driver *driver;
    const struct vmm_volume *volumes;
    size_t n;
    unsigned share;   /* VMM_CAN_9P or VMM_CAN_VIRTIOFS; 0: no directories can be shared */
    char why[256];    /* then */
    bool wants_share; /* the handler says how to share */
};

/* ---------------------------------------------------------------- by what to share */

static bool has_virtiofs(struct choice *c, const struct vmm_handler *handler)
{
    autofree char *missing = NULL;

    if (!(c->driver->can & c->family->shares & VMM_CAN_VIRTIOFS))
        return false;
    missing = handler->vmm ? virtiofsd_missing(handler->vmm->config) : xstrdup("no configuration");
    if (missing)
        (void)snprintf(c->why, sizeof(c->why), "virtiofs: %s", missing);
    return !missing;
}

static void choose_share(struct choice *c, const struct vmm_handler *handler, const char *share)
{
    bool any = !share || !*share || str_eq(share, "auto");

    c->wants_share = !any && !str_eq(share, "none");
    (void)snprintf(c->why, sizeof(c->why), "unikernels of type '%s' by '%s' have no way to share%s",
                   c->family->name, c->driver->name, any ? "" : " as the handler says");
    if ((any || str_eq(share, "virtiofs")) && has_virtiofs(c, handler))
        c->share = VMM_CAN_VIRTIOFS;
    else if (any || str_eq(share, "9p"))
        c->share = c->driver->can & c->family->shares & VMM_CAN_9P;
}

/* ---------------------------------------------------------------- the root */

static bool needs_volumes(const struct choice *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->volumes[i].optional)
            return true;
    return false;
}

/* A disk is quicker, and more kernels can mount one; a shared root has volumes in their places. */
static enum vmm_root root_of_files(const struct choice *c)
{
    bool disk = c->family->roots & 1U << VMM_ROOT_DISK && c->driver->can & VMM_CAN_BLOCK;
    bool share = c->family->roots & 1U << VMM_ROOT_SHARE && c->share;

    if (share && (!disk || c->wants_share || needs_volumes(c)))
        return VMM_ROOT_SHARE;
    return !disk && c->family->roots & 1U << VMM_ROOT_SHARE ? VMM_ROOT_SHARE : VMM_ROOT_DISK;
}

static enum vmm_root declared_root(const struct choice *c)
{
    const struct guest *guest = c->guest;

    if (*guest->block)
        return VMM_ROOT_BLOCK;
    if (*guest->initrd && !(guest->mount_rootfs && c->family->roots & 1U << VMM_ROOT_DISK))
        return VMM_ROOT_INITRD;
    return guest->mount_rootfs ? root_of_files(c) : VMM_ROOT_NONE;
}

static const char *root_name(enum vmm_root root)
{
    static const char *const names[] = {"no root", "an initrd", "a disk of the image",
                                        "its root file system as a disk",
                                        "its root file system as a share"};

    return names[root];
}

static bool can_give(const struct choice *c, enum vmm_root root)
{
    switch (root) {
    case VMM_ROOT_NONE:
        return true;
    case VMM_ROOT_INITRD:
        return c->driver->can & VMM_CAN_INITRD;
    case VMM_ROOT_BLOCK:
    case VMM_ROOT_DISK:
        return c->driver->can & VMM_CAN_BLOCK;
    case VMM_ROOT_SHARE:
        return c->share;
    }
    return false;
}

/* ---------------------------------------------------------------- the volumes */

/* The way for all of them, or NONE. */
static enum vmm_volumes choose_way(const struct choice *c, enum vmm_root root)
{
    const struct family *family = c->family;
    /* A kernel may bring its own; Unikraft would have it covered by the volumes. */
    bool initrd = root == VMM_ROOT_INITRD || (root == VMM_ROOT_NONE && !family->one_segment);
    bool live = false, file = false;

    for (size_t i = 0; i < c->n; i++) {
        const struct vmm_volume *v = &c->volumes[i];

        live = live || (!v->readonly && !v->scratch && !v->optional);
        file = file || (!v->directory && !v->optional);
    }
    if (root == VMM_ROOT_SHARE)
        return family->volumes & 1U << VMM_VOLUMES_IN_ROOT ? VMM_VOLUMES_IN_ROOT : VMM_VOLUMES_NONE;
    if (family->volumes & 1U << VMM_VOLUMES_CPIO && c->driver->can & VMM_CAN_INITRD && initrd &&
        !live)
        return VMM_VOLUMES_CPIO;
    if (family->volumes & 1U << VMM_VOLUMES_SHARE && c->share && needs_volumes(c) && !file)
        return VMM_VOLUMES_SHARE;
    return VMM_VOLUMES_NONE;
}

/* Of those that are needed the one that is in the way: where shares would do, a file; where copies
 * would, one that is written to. NULL: none is needed. */
static const struct vmm_volume *find_offending(const struct choice *c)
{
    bool share = c->family->volumes & 1U << VMM_VOLUMES_SHARE && c->share;
    const struct vmm_volume *first = NULL;

    for (size_t i = 0; i < c->n; i++) {
        const struct vmm_volume *v = &c->volumes[i];

        if (v->optional)
            continue;
        if (share ? !v->directory : !v->readonly && !v->scratch)
            return v;
        first = first ? first : v;
    }
    return first;
}

/* Where a shared root would do. */
static int refuse_disk(const struct choice *c, enum vmm_root root, const struct vmm_volume *volume,
                       struct err *err)
{
    if (root == VMM_ROOT_BLOCK)
        return err_set(err, ERR_UNSUPPORTED,
                       "volume '%s': the root of this image is a disk of its own, into which no "
                       "volume can be put; declare mountRootfs instead, or make an image whose "
                       "root is an initrd",
                       volume->path);
    return err_set(err, ERR_UNSUPPORTED,
                   "volume '%s': a guest whose root is made of its image's files gets volumes with "
                   "a root that is shared, which is not possible here (%s); remove the volume, or "
                   "make an image whose root is an initrd",
                   volume->path, c->why);
}

static int refuse(const struct choice *c, enum vmm_root root, const struct vmm_volume *volume,
                  struct err *err)
{
    const struct family *family = c->family;
    const char *driver = c->driver->name;
    bool cpio = family->volumes & 1U << VMM_VOLUMES_CPIO && c->driver->can & VMM_CAN_INITRD;

    if ((root == VMM_ROOT_DISK || root == VMM_ROOT_BLOCK) &&
        family->volumes & 1U << VMM_VOLUMES_IN_ROOT)
        return refuse_disk(c, root, volume, err);
    if (family->volumes & 1U << VMM_VOLUMES_SHARE && c->share && !volume->directory)
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
    if (cpio)
        return err_set(err, ERR_UNSUPPORTED,
                       "volume '%s': is writable, but unikernels of type '%s' get volumes by '%s' "
                       "as copies, and what they write would be lost; mount it with readOnly: true "
                       "or remove it",
                       volume->path, family->name, driver);
    return err_set(err, ERR_UNSUPPORTED,
                   "volume '%s': unikernels of type '%s' take no volumes by '%s'; remove it from "
                   "the container, and put its files into the image or give them as a block device",
                   volume->path, family->name, driver);
}

int vmm_storage_choose(const struct vmm_handler *handler, const struct guest *guest,
                       const struct vmm_volume *volumes, size_t n_volumes, bool rootfs_readonly,
                       const char *share, struct vmm_storage *ret, struct err *err)
{
    struct choice c = {.guest = guest,
                       .family = family_find(guest->family, err),
                       .driver = handler->driver,
                       .volumes = volumes,
                       .n = n_volumes};
    enum vmm_volumes way;
    enum vmm_root root;

    if (!c.family)
        return -1;
    choose_share(&c, handler, share);
    root = declared_root(&c);
    if (!(c.family->roots & 1U << root))
        return err_set(err, ERR_UNSUPPORTED,
                       "image: declares %s, which unikernels of type '%s' cannot be given",
                       root_name(root), c.family->name);
    if (!can_give(&c, root))
        return err_set(err, ERR_UNSUPPORTED,
                       "image: declares %s, which '%s' cannot give a guest%s%s", root_name(root),
                       c.driver->name, root == VMM_ROOT_SHARE ? ": " : "",
                       root == VMM_ROOT_SHARE ? c.why : "");
    way = n_volumes ? choose_way(&c, root) : VMM_VOLUMES_NONE;
    if (way == VMM_VOLUMES_NONE) {
        const struct vmm_volume *offending = find_offending(&c);

        if (offending)
            return refuse(&c, root, offending, err);
    }
    *ret = (struct vmm_storage){
        .root = root,
        .disk_kind = root == VMM_ROOT_DISK ? c.family->disk_kind : NULL,
        .root_readonly = rootfs_readonly,
        .virtiofs = c.share == VMM_CAN_VIRTIOFS,
        .volumes = way,
    };
    return 0;
}
