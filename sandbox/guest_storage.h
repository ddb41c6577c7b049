/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_storage - what a guest has for root file system, volumes and disks: chosen by vmm/, made
 * here. Volumes as copies are guest_volumes.c, what is shared guest_share.c, disks and all the rest
 * guest_storage.c.
 *
 * Everything is made in the step "bundle", below the container's directories, and goes with them:
 * DIR/guest/block (a private disk), DIR/guest/initrd (the image's with volumes behind it). What has
 * secrets in it is made in the run directory, which is memory, as a kubelet keeps secrets. Only a
 * shared root is mounted in the step "link", when the guest has its uid; it goes with the
 * container's rootfs.
 * At launch all is opened; the same choice is made from the same spec then.
 */
#ifndef UNICRI_SANDBOX_GUEST_STORAGE_H
#define UNICRI_SANDBOX_GUEST_STORAGE_H

#include "sandbox/container.h"
#include "vmm/vmm.h"

#define GUEST_BLOCKS_MAX 16
#define GUEST_SHARES_MAX 16
#define GUEST_TAG_BYTES  16
#define GUEST_GROUPS_MAX 16
#define GUEST_MOUNTS_MAX 40 /* volumes in a shared root */

/* What the plan of a start needs. */
struct guest_storage {
    struct vmm_storage how;
    int initrd;                                /* owned; -1 none */
    struct vmm_block blocks[GUEST_BLOCKS_MAX]; /* descriptors owned */
    size_t n_blocks;
    struct vmm_share shares[GUEST_SHARES_MAX]; /* descriptors owned */
    char tags[GUEST_SHARES_MAX][GUEST_TAG_BYTES];
    char *paths[GUEST_SHARES_MAX]; /* owned */
    size_t n_shares;
    struct vmm_mount mounts[GUEST_MOUNTS_MAX]; /* of a shared root; descriptors owned */
    char *mount_paths[GUEST_MOUNTS_MAX];       /* owned */
    size_t n_mounts;
    int fs_listener, fs_socket; /* owned; -1: no virtiofs */
    uint32_t groups[GUEST_GROUPS_MAX];
    size_t n_groups;
};
#define GUEST_STORAGE_INIT                                                                         \
    ((struct guest_storage){.initrd = -1, .fs_listener = -1, .fs_socket = -1})
void guest_storage_done(struct guest_storage *s);
#define autoguest_storage CLEANUP(guest_storage_done) struct guest_storage

/** guest_storage_check() - all that can be told before anything is made; logs by name what the
 * guest is not given. Errors: UNSUPPORTED, INVALID, NOT_FOUND naming the volume, device or file. */
int guest_storage_check(struct container *c, struct err *err) MUST_CHECK;
/** guest_storage_make() - in the step "bundle"; again: anew. Errors: those of vmm_initrd_write()
 * and image_disk_*(). */
int guest_storage_make(struct container *c, struct err *err) MUST_CHECK;
/** guest_storage_open() - for a start; ended by guest_storage_done(). */
int guest_storage_open(struct container *c, struct guest_storage *ret, struct err *err) MUST_CHECK;

/** guest_storage_link() - in the step "link": mount a root that is shared; nothing otherwise. */
int guest_storage_link(struct container *c, struct err *err) MUST_CHECK;

/** guest_open_image() - a file of the container's image; `what` is for the message. Returns: fd or
 * -1. */
int guest_open_image(struct container *c, const char *what, const char *path, struct err *err);

/* guest_volumes.c: mounts of the request, and the pod's own files. */
struct guest_volumes {
    struct vmm_volume *v; /* owned */
    struct guest_volume_source {
        char *path; /* on the node; owned; NULL: image volume `mount` */
        size_t mount;
        bool pods; /* a file of the pod's: nothing in it is secret */
    } * from;      /* owned, one for each */
    size_t n;
};
void guest_volumes_done(struct guest_volumes *v);
#define autoguest_volumes CLEANUP(guest_volumes_done) struct guest_volumes

/** guest_volumes_list() - those that a guest may be given; what no guest can be given (a kubelet's
 * termination log) is left out. Errors: UNSUPPORTED. */
int guest_volumes_list(const struct container *c, struct guest_volumes *ret,
                       struct err *err) MUST_CHECK;
/** guest_volumes_write() - the initrd with copies of them. */
int guest_volumes_write(struct container *c, const struct guest_volumes *v,
                        struct err *err) MUST_CHECK;
/** guest_volume_open() - a volume's directory or file, made when it is missing. Returns: an O_PATH
 * descriptor or -1. */
int guest_volume_open(const struct container *c, const struct guest_volume_source *from,
                      struct err *err);
/** guest_volumes_open() - what guest_volumes_write() made. Returns: fd or -1. */
int guest_volumes_open(const struct container *c, struct err *err);
/** guest_volumes_log() - what the guest is not given, and what it has as a copy. */
void guest_volumes_log(const struct container *c, const struct guest_volumes *v,
                       enum vmm_volumes way);

/* guest_share.c */
/** guest_root_check() - can the root be shared? Errors: UNSUPPORTED. */
int guest_root_check(struct container *c, const struct guest_volumes *volumes,
                     struct err *err) MUST_CHECK;
/** guest_root_mount() - owned by c->jail_uid. Errors: those of rootfs_mount(). */
int guest_root_mount(struct container *c, struct err *err) MUST_CHECK;
/** guest_shares_open() - the shares of ret->how. */
int guest_shares_open(struct container *c, const struct guest_volumes *volumes,
                      struct guest_storage *ret, struct err *err) MUST_CHECK;
/** guest_fs_socket() - of the server of a virtiofs share, and the VMM's end: connected, or
 * `by_path` O_PATH of its file. */
int guest_fs_socket(const struct container *c, bool by_path, struct guest_storage *s,
                    struct err *err) MUST_CHECK;

#endif
