/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imagestore - images: pulled from registries, unpacked by a confined child, kept as layer
 * directories keyed by diff_id, mounted as overlay root filesystems. Facade of the folder.
 *
 * An image exists completely or not at all: layers are synced, then renamed into place, then
 * recorded; the image row comes last. A pull is a job keyed by reference: callers that ask for the
 * same one wait for it, and a client that goes away neither cancels nor breaks it.
 *
 * Thread: any, everything here may block on network or disk unless it says "memory only".
 * Specs: OCI image-spec 1.1, OCI distribution-spec 1.1, Docker registry v2 schema 2.
 */
#ifndef UNICRI_IMAGESTORE_IMAGESTORE_H
#define UNICRI_IMAGESTORE_IMAGESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/options.h"

struct db;
struct imagestore;

struct imagestore_config {
    char *certs_dir;         /* certs.d of containerd's hosts.toml format */
    char **plain_http_hosts; /* "host:port" that are spoken to without TLS; loopback addresses are
                                by default */
    int64_t parallel_layers; /* downloads at once for one image */
    nsec_t connect_timeout, header_timeout, stall_timeout;
    nsec_t retry_wait; /* before a request is tried again, doubled each time; 0: 200 ms. No option:
                          for tests */
    uint64_t min_rate_bytes;         /* per second, averaged over the stall time */
    uint64_t max_image_bytes;        /* unpacked, all layers */
    int64_t max_layers, max_entries; /* entries: files of one layer */
    uint64_t min_free_bytes;         /* pulls leave so much of the disk free, an eighth at most */
    char **pinned;                   /* references or ids of images that stay */
    char **guest_platforms;          /* os names of index entries for monitors, best first */
    char *unpack_program;            /* unicri-unpack; "" = beside the daemon */
    int64_t unpack_uid;              /* 0 = stay root with few capabilities (needed to chown) */
    char *mkdisk_program;            /* unicri-mkdisk; "" = beside the daemon */
    uint64_t disk_free_bytes;        /* room for new files in a writable disk */
    nsec_t disk_timeout;             /* of building one */
};
extern const struct option imagestore_options[];
extern const size_t imagestore_options_n;
extern struct metric *const imagestore_metrics[];

/**
 * imagestore_open() - ROOT/images and ROOT/layers; throws away what was half made, checks that what
 * rows name is there (an image with a missing layer is dropped and logged: a re-pull heals it).
 * `config` is borrowed. Errors: INVALID (an entry of image.pinned is no image name) besides those
 * of files and rows.
 */
struct imagestore *imagestore_open(const struct imagestore_config *config, const char *root,
                                   struct db *db, struct err *err);
void imagestore_close(struct imagestore *store);

/* ------------------------------------------------------------ images */

/* What the config blob of an image says, checked and bounded. Strings owned by the image. */
struct image_config {
    char **entrypoint, **cmd, **env;        /* strv or NULL */
    char *working_dir, *user, *stop_signal; /* "" when unset */
    struct kvs labels;
    char *os, *architecture,
        *os_version; /* KraftKit: the hypervisor, as uname does, the kernel's */
};

/* An image as callers see it: immutable, reference counted. */
struct image {
    char *id;            /* "sha256:..."; of an artifact its manifest's digest, else its config's */
    char *artifact_type; /* "": a container image; else good for image volumes only */
    char **tags, **digests;
    uint64_t size;
    bool pinned; /* named by image.pinned */
    struct image_config config;
    struct kvs annotations; /* of the manifest; those of the index descriptor, and org.unikraft.* of
                               the layers, where the manifest has none */
    char **layers;          /* diff_ids, lowest first */
    char *config_json;      /* the blob, for verbose status */
};
struct image *image_ref(struct image *image);
void image_unref(struct image *image);
static inline void image_unref_cleanup(struct image **p)
{
    if (*p)
        image_unref(*p);
}
#define autoimage CLEANUP(image_unref_cleanup) struct image

/* Credentials as the CRI's AuthConfig has them; NULL or "" where absent. */
struct registry_auth {
    const char *username, *password;
    const char *auth; /* base64 of user:password */
    const char *server_address;
    const char *identity_token;
    const char *registry_token;
};

/**
 * imagestore_pull() - make `reference` present and up to date.
 * @reference: "busybox", "host:5000/a/b:tag", "host/a@sha256:...": normalised like Docker's names.
 * @deadline: of the caller's waiting; the job goes on without it (DEADLINE).
 * @cancelled: polled while waiting, may be NULL; returns true when the client has gone (CANCELLED).
 * Returns: the image, a reference owned by the caller. Errors: INVALID (bad name, unusable
 * manifest), NOT_FOUND, DENIED, UNKNOWN (the registry does not answer: the message begins with
 * "RegistryUnavailable", which a kubelet looks for), CORRUPT (digest, size, malformed layer),
 * EXHAUSTED (disk, limits), DEADLINE and CANCELLED of the caller's waiting.
 */
struct image *imagestore_pull(struct imagestore *store, const char *reference,
                              const struct registry_auth *auth, deadline_t deadline,
                              bool (*cancelled)(void *arg), void *arg, struct err *err);

/** imagestore_find() - by tag, digest reference, id, "sha256:...", or unique id prefix (at least 4
 * digits). Memory only. Returns: NULL with err NOT_FOUND, or a reference. */
struct image *imagestore_find(struct imagestore *store, const char *name, struct err *err);
/** imagestore_list() - all; memory only. Caller: image_list_free(). */
size_t imagestore_list(struct imagestore *store, struct image ***ret);
void image_list_free(struct image **list, size_t n);
/**
 * imagestore_remove() - the image with all its tags and digests, and layers nothing else uses.
 * Absent: success. An image that image.pinned names: DENIED. Layers that a mounted rootfs uses (see
 * rootfs_*) stay until it is gone.
 */
int imagestore_remove(struct imagestore *store, const char *name, struct err *err) MUST_CHECK;

struct image_fs_info {
    nsec_t timestamp;
    char *mountpoint; /* owned: the store's root */
    uint64_t used_bytes, used_inodes;
};
void image_fs_info_done(struct image_fs_info *info);
/** imagestore_fs_info() - from rows; memory only. */
int imagestore_fs_info(struct imagestore *store, struct image_fs_info *ret,
                       struct err *err) MUST_CHECK;

/* ------------------------------------------------- root filesystems */

/**
 * rootfs_mount() - overlay of the image's layers at DIR/rootfs with a writable layer in DIR/upper
 * and DIR/work, all made here.
 * @dir: absolute. The file ROOT/images/holds/SHA256-OF-DIR holds the layers until rootfs_unmount()
 * or until DIR is gone.
 * @userns_fd: the image's owners are seen through the mapping of this user namespace; -1: as they
 * are.
 * As many layers as image.max_layers allows, on older kernels too. Idempotent: an existing mount of
 * the same image is kept. Errors: NOT_FOUND (layer), EXISTS (another image is mounted there),
 * EXHAUSTED, UNSUPPORTED (mappings; rootfs_idmap_check() tells before), INTERNAL with the kernel's
 * own words.
 */
int rootfs_mount(struct imagestore *store, const struct image *image, const char *dir,
                 int userns_fd, struct err *err) MUST_CHECK;
/** rootfs_idmap_check() - can ids be mapped on this node? Errors: UNSUPPORTED saying what lacks. */
int rootfs_idmap_check(struct imagestore *store, int userns_fd, struct err *err) MUST_CHECK;
/** rootfs_unmount() - unmount and remove DIR/{rootfs,upper,work}; absent or half made: success. */
int rootfs_unmount(struct imagestore *store, const char *dir, struct err *err) MUST_CHECK;
/** rootfs_hold() - as rootfs_mount() but without a mount: only keeps the image's layers from
 * removal until rootfs_unmount() or until DIR is gone. */
int rootfs_hold(struct imagestore *store, const struct image *image, const char *dir,
                struct err *err) MUST_CHECK;
/**
 * rootfs_mount_readonly() - as rootfs_mount() without a writable layer: DIR/rootfs is the image as
 * it is, read-only and nodev, for image volumes. rootfs_unmount() undoes it.
 */
int rootfs_mount_readonly(struct imagestore *store, const struct image *image, const char *dir,
                          int userns_fd, struct err *err) MUST_CHECK;

/* ------------------------------------------------------------ disks */

/* An image's root filesystem as a file that a guest can have as a disk. */
enum image_disk_kind {
    IMAGE_DISK_EROFS,    /* read-only, compact; Linux 5.4 and newer */
    IMAGE_DISK_SQUASHFS, /* read-only, compressed; any Linux */
    IMAGE_DISK_EXT4,     /* without journal; with room for image.disk_free_bytes */
    IMAGE_DISK_EXT2,     /* for guests that know nothing newer; room as ext4 */
};
/** image_disk_kind_name() - "erofs" and so on, the name that Linux mounts it by; static. */
const char *image_disk_kind_name(enum image_disk_kind kind);

/**
 * image_disk_open() - the image's merged root filesystem as a disk, built by the first that asks
 * and shared by all: one file for an image, a kind and a directory, with a row, counted in
 * imagestore_fs_info(). It lives as long as the image or a hold of it (rootfs_*): so hold the image
 * first.
 * @directory: of the image that becomes the disk's root, links resolved inside the image only; ""
 * or "/": all of it.
 * @deadline: of the caller; image.disk_timeout holds besides.
 * Owners, modes, hard links, user.* attributes and file capabilities are as in a mounted rootfs;
 * devices are in no layer and so in no disk.
 * Returns: a descriptor that can only be read, or -1. Errors: NOT_FOUND (no such directory),
 * UNSUPPORTED (a program is missing on this node; the message names its package), EXHAUSTED (disk,
 * image.max_image_bytes), DEADLINE, INTERNAL with the program's own words.
 */
int image_disk_open(struct imagestore *store, const struct image *image, enum image_disk_kind kind,
                    const char *directory, deadline_t deadline, struct err *err);
/**
 * image_disk_copy() - a private, writable copy of an open disk or of any other regular file
 * (image_open_file()): a clone where the filesystem can, else what is not a hole is copied.
 * @path: of the new file, absolute, mode 0600; an older one is replaced. Removing it is the
 * caller's. Not synced: it is worth nothing after a power cut.
 * Returns: a descriptor for reading and writing, or -1. Errors: EXHAUSTED (a copy leaves
 * image.min_free_bytes free), INTERNAL.
 */
int image_disk_copy(struct imagestore *store, int from, const char *path, struct err *err);
/**
 * image_disk_scratch() - an empty ext4 filesystem without journal in a new sparse file of `size`
 * bytes (1 MiB and more) at `path`: as image_disk_copy(). Errors: as image_disk_open().
 */
int image_disk_scratch(struct imagestore *store, const char *path, uint64_t size,
                       deadline_t deadline, struct err *err);

/* ------------------------------------------------------------ files */

/**
 * image_open_file() - open a regular file of the image read-only, straight from the layers, without
 * any mount: topmost layer first, whiteouts and opaque directories honoured, links resolved inside
 * the image only.
 * @path: as in the image, absolute or relative to its root.
 * Returns: fd, or -1. Errors: NOT_FOUND, INVALID (not a regular file, escapes the root, too many
 * links).
 */
int image_open_file(struct imagestore *store, const struct image *image, const char *path,
                    struct err *err);

#endif
