/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_storage - see guest_storage.h: root disks, raw block volumes, and what is opened at launch.
 *
 * Raw block volumes are the request's devices. A Solo5 guest has block devices with names: a volume
 * goes to the one that its path ends with, the image's own disk to the one that is left. Other
 * guests see their root first, then the volumes in the request's order, the last part of each path
 * as its serial.
 */
#include "sandbox/guest_storage.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/runtime.h"

#define GUEST_DIR    "guest"
#define BLOCK_FILE   "block"
#define DISK_TIMEOUT (240 * NSEC_PER_SEC)

void guest_storage_done(struct guest_storage *s)
{
    s->initrd = close_fd(s->initrd);
    for (size_t i = 0; i < s->n_blocks; i++)
        (void)close_fd(s->blocks[i].fd);
    for (size_t i = 0; i < s->n_shares; i++) {
        (void)close_fd(s->shares[i].fd);
        free(s->paths[i]);
    }
    for (size_t i = 0; i < s->n_mounts; i++) {
        (void)close_fd(s->mounts[i].fd);
        free(s->mount_paths[i]);
    }
    s->fs_listener = close_fd(s->fs_listener);
    s->fs_socket = close_fd(s->fs_socket);
    s->n_blocks = s->n_shares = s->n_mounts = 0;
}

int guest_open_image(struct container *c, const char *what, const char *path, struct err *err)
{
    int fd = runtime_open_file(c, path, err);

    return fd < 0 ? err_wrap(err, "%s '%s' of image '%s'", what, path, c->image_ref) : fd;
}

/* ------------------------------------------------------------------------ what goes where */

/* One disk of the guest. */
struct disk {
    const struct device_spec *volume; /* NULL: the root, or what the image has for a disk */
    const char *name;                 /* a Solo5 guest's device, else NULL */
};
struct disks {
    struct disk v[GUEST_BLOCKS_MAX];
    size_t n;
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_writable(const struct device_spec *d)
{
    return strchr(d->permissions, 'w') != NULL;
}

static int check_volume(const struct device_spec *d, struct err *err)
{
    struct stat st;

    if (stat(d->host_path, &st) < 0)
        return err_sys(err, "device '%s': '%s'", d->container_path, d->host_path);
    if (!S_ISBLK(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED,
                       "device '%s': a unikernel can be given block devices of the node only, and "
                       "'%s' is none",
                       d->container_path, d->host_path);
    return 0;
}

static const struct device_spec *volume_for(const struct container_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_devices; i++)
        if (str_eq(last_part(spec->devices[i].container_path), name))
            return &spec->devices[i];
    return NULL;
}

static bool is_declared(const struct guest *guest, const char *name)
{
    for (size_t i = 0; i < guest->n_devices; i++)
        if (guest->devices[i].type == GUEST_BLOCK && str_eq(guest->devices[i].name, name))
            return true;
    return false;
}

/* Each block device of the manifest must have something, and there is nothing else. */
static int assign_by_name(const struct container *c, bool root, struct disks *ret, struct err *err)
{
    const struct guest *guest = c->guest;
    const struct container_spec *spec = c->spec;

    for (size_t i = 0; i < spec->n_devices; i++)
        if (!is_declared(guest, last_part(spec->devices[i].container_path)))
            return err_set(err, ERR_INVALID,
                           "device '%s': the guest declares no block device '%s'; devicePath must "
                           "end with the name of one",
                           spec->devices[i].container_path,
                           last_part(spec->devices[i].container_path));
    for (size_t i = 0; i < guest->n_devices; i++) {
        const char *name = guest->devices[i].name;
        const struct device_spec *volume = volume_for(spec, name);

        if (guest->devices[i].type != GUEST_BLOCK)
            continue;
        if (!volume && !root)
            return err_set(err, ERR_INVALID,
                           "the guest declares block device '%s', but the image names no file for "
                           "it and the container has no raw block volume with devicePath '/dev/%s'",
                           name, name);
        if (ret->n == GUEST_BLOCKS_MAX)
            return err_set(err, ERR_UNSUPPORTED, "more than %d block devices", GUEST_BLOCKS_MAX);
        ret->v[ret->n++] = (struct disk){volume, name};
        root = root && volume;
    }
    return 0;
}

static int assign_in_order(const struct container *c, bool root, struct disks *ret, struct err *err)
{
    if (c->spec->n_devices + root > GUEST_BLOCKS_MAX)
        return err_set(err, ERR_UNSUPPORTED, "more than %d block devices", GUEST_BLOCKS_MAX);
    if (root)
        ret->v[ret->n++] = (struct disk){NULL, NULL};
    for (size_t i = 0; i < c->spec->n_devices; i++)
        ret->v[ret->n++] = (struct disk){&c->spec->devices[i], NULL};
    return 0;
}

static int assign(const struct container *c, const struct vmm_storage *how, struct disks *ret,
                  struct err *err)
{
    const struct vmm_driver *driver = vmm_driver_find(c->runtime_name);
    bool root = how->root == VMM_ROOT_BLOCK || how->root == VMM_ROOT_DISK;

    ret->n = 0;
    for (size_t i = 0; i < c->spec->n_devices; i++)
        if (check_volume(&c->spec->devices[i], err) < 0)
            return -1;
    if (c->spec->n_devices && (!driver || !(driver->can & VMM_CAN_BLOCK)))
        return err_set(err, ERR_UNSUPPORTED, "device '%s': '%s' cannot give a guest block devices",
                       c->spec->devices[0].container_path, c->runtime_name);
    return c->guest->solo5 ? assign_by_name(c, root, ret, err) : assign_in_order(c, root, ret, err);
}

/* The same answer each time it is asked for. */
static int choose(struct container *c, struct guest_volumes *volumes, struct vmm_storage *how,
                  struct disks *disks, struct err *err)
{
    const struct vmm_handler *h = vmm_handler_find(c->engine->vmm, c->runtime_name, c->guest, err);

    if (!h || guest_volumes_list(c, volumes, err) < 0)
        return -1;
    if (vmm_storage_choose(h, c->guest, volumes->v, volumes->n, c->spec->readonly_rootfs,
                           c->handler->share, how, err) < 0)
        return -1;
    return assign(c, how, disks, err);
}

int guest_storage_check(struct container *c, struct err *err)
{
    autoguest_volumes volumes = {.n = 0};
    struct vmm_storage how;
    struct disks disks;

    if (choose(c, &volumes, &how, &disks, err) < 0)
        return -1;
    if (how.root == VMM_ROOT_BLOCK) {
        autofd int fd = guest_open_image(c, "block device", c->guest->block, err);

        if (fd < 0)
            return -1;
    }
    if (*c->guest->initrd) {
        autofd int fd = guest_open_image(c, "initrd", c->guest->initrd, err);

        if (fd < 0)
            return -1;
    }
    if (how.root == VMM_ROOT_SHARE && guest_root_check(c, &volumes, err) < 0)
        return -1;
    guest_volumes_log(c, &volumes, how.volumes);
    return 0;
}

/* ------------------------------------------------------------------------ the root */

static int find_kind(const char *name, enum image_disk_kind *ret, struct err *err)
{
    static const enum image_disk_kind kinds[] = {IMAGE_DISK_EROFS, IMAGE_DISK_SQUASHFS,
                                                 IMAGE_DISK_EXT4, IMAGE_DISK_EXT2};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (name && str_eq(image_disk_kind_name(kinds[i]), name)) {
            *ret = kinds[i];
            return 0;
        }
    return err_set(err, ERR_UNSUPPORTED, "file system '%s': no disks of it are made",
                   name ? name : "");
}

/* What all containers of the image share: its own disk, or one made of its files. */
static int open_shared(struct container *c, const struct vmm_storage *how, struct err *err)
{
    const struct image *image = container_image(c, err);
    enum image_disk_kind kind = IMAGE_DISK_EROFS;

    if (!image)
        return -1;
    if (how->root == VMM_ROOT_BLOCK)
        return guest_open_image(c, "block device", c->guest->block, err);
    if (find_kind(how->disk_kind, &kind, err) < 0)
        return -1;
    return image_disk_open(c->engine->images, image, kind, "", deadline_in(DISK_TIMEOUT), err);
}

static char *private_path(const struct container *c)
{
    autofree char *dir = path_join(c->rootfs_dir, GUEST_DIR);

    return path_join(dir, BLOCK_FILE);
}

static bool has_root(const struct disks *disks)
{
    for (size_t i = 0; i < disks->n; i++)
        if (!disks->v[i].volume)
            return true;
    return false;
}

/* A private copy, shared with the original where the file system can. One that is only read needs
 * none; but it is made here, once, and not while the guest is started. */
static int make_root(struct container *c, const struct vmm_storage *how, struct err *err)
{
    autofree char *dir = path_join(c->rootfs_dir, GUEST_DIR), *path = private_path(c);
    autofd int from = open_shared(c, how, err), copy = -1;

    if (from < 0)
        return -1;
    if (how->root_readonly)
        return 0;
    if (fs_mkdir(AT_FDCWD, dir, 0700, err) < 0)
        return -1;
    copy = image_disk_copy(c->engine->images, from, path, err);
    return copy < 0 ? err_wrap(err, "disk of image '%s'", c->image_ref) : 0;
}

int guest_storage_make(struct container *c, struct err *err)
{
    autoguest_volumes volumes = {.n = 0};
    struct vmm_storage how;
    struct disks disks;

    if (choose(c, &volumes, &how, &disks, err) < 0 ||
        (has_root(&disks) && make_root(c, &how, err) < 0))
        return -1;
    return how.volumes == VMM_VOLUMES_CPIO ? guest_volumes_write(c, &volumes, err) : 0;
}

/* ------------------------------------------------------------------------ at launch */

int guest_storage_link(struct container *c, struct err *err)
{
    autoguest_volumes volumes = {.n = 0};
    struct vmm_storage how;
    struct disks disks;

    if (choose(c, &volumes, &how, &disks, err) < 0)
        return -1;
    return how.root == VMM_ROOT_SHARE ? guest_root_mount(c, err) : 0;
}

static int open_root(struct container *c, const struct vmm_storage *how, struct err *err)
{
    autofree char *path = private_path(c);
    int fd;

    if (how->root_readonly)
        return open_shared(c, how, err);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    /* A VMM that opens its disks by name does so as its own user. */
    if (fchown(fd, c->jail_uid, c->jail_uid) < 0) {
        err_sys(err, "give '%s' to user %u", path, c->jail_uid);
        return close_fd(fd);
    }
    return fd;
}

/* What it leads to now must still be a block device. */
static int open_volume(const struct device_spec *d, struct err *err)
{
    int flags = is_writable(d) ? O_RDWR : O_RDONLY;
    autofd int fd = open(d->host_path, flags | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "device '%s': open '%s'", d->container_path, d->host_path);
    if (!S_ISBLK(st.st_mode))
        return err_set(err, ERR_INVALID, "device '%s': '%s' is no block device", d->container_path,
                       d->host_path);
    return TAKE_FD(fd);
}

static int open_disk(struct container *c, const struct vmm_storage *how, const struct disk *d,
                     struct vmm_block *ret, struct err *err)
{
    *ret = (struct vmm_block){.device = d->name};
    if (d->volume) {
        ret->readonly = !is_writable(d->volume);
        ret->serial = last_part(d->volume->container_path);
        ret->fd = open_volume(d->volume, err);
    } else {
        ret->readonly = how->root_readonly;
        ret->mount_point = c->guest->block_mount;
        ret->fstype = how->disk_kind;
        ret->fd = open_root(c, how, err);
    }
    return ret->fd < 0 ? -1 : 0;
}

int guest_storage_open(struct container *c, struct guest_storage *ret, struct err *err)
{
    autoguest_volumes volumes = {.n = 0};
    struct disks disks;

    *ret = GUEST_STORAGE_INIT;
    if (choose(c, &volumes, &ret->how, &disks, err) < 0)
        return -1;
    for (size_t i = 0; i < disks.n; i++) {
        if (open_disk(c, &ret->how, &disks.v[i], &ret->blocks[i], err) < 0)
            return -1;
        ret->n_blocks++;
    }
    if (guest_shares_open(c, &volumes, ret, err) < 0)
        return -1;
    if (ret->how.volumes == VMM_VOLUMES_CPIO)
        ret->initrd = guest_volumes_open(c, err);
    else if (*c->guest->initrd)
        ret->initrd = guest_open_image(c, "initrd", c->guest->initrd, err);
    else
        return 0;
    return ret->initrd < 0 ? -1 : 0;
}
