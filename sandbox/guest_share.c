/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_share - directories that a guest shares with the node: volumes, a share each, or the
 * image's root file system with all volumes in their places. See guest_storage.h.
 *
 * A shared root is mounted with its owner's ids mapped to the guest's uid: who serves it is root of
 * a user namespace with that one uid. The volumes are as they are: there the guest is a user of its
 * own, in the groups that the container would be in.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/guest_storage.h"
#include "sandbox/runtime.h"
#include "sandbox/userns_probe.h"

#define ROOT_TAG  "fs0"
#define ROOT_DIR  "rootfs" /* where rootfs_mount() puts it */
#define FS_SOCKET "fs"

/* The guest's VMM is in the groups that the container would be, but never in root's. */
static int take_groups(const struct container *c, struct guest_storage *ret, struct err *err)
{
    for (size_t i = 0; i < c->spec->n_supplemental_groups; i++) {
        int64_t gid = c->spec->supplemental_groups[i];

        if (gid <= 0 || gid >= UINT32_MAX)
            continue;
        if (ret->n_groups == GUEST_GROUPS_MAX)
            return err_set(err, ERR_UNSUPPORTED, "more than %d supplemental groups",
                           GUEST_GROUPS_MAX);
        ret->groups[ret->n_groups++] = (uint32_t)gid;
    }
    return 0;
}

/* ------------------------------------------------------------------------ a share each */

static int open_each(struct container *c, const struct guest_volumes *volumes,
                     struct guest_storage *ret, struct err *err)
{
    for (size_t i = 0; i < volumes->n; i++) {
        const struct vmm_volume *v = &volumes->v[i];
        size_t n = ret->n_shares;
        int fd;

        if (!v->directory)
            continue;
        if (n == GUEST_SHARES_MAX)
            return err_set(err, ERR_UNSUPPORTED, "volume '%s': a unikernel has at most %d shares",
                           v->path, GUEST_SHARES_MAX);
        fd = guest_volume_open(c, &volumes->from[i], err);
        if (fd < 0)
            return err_wrap(err, "volume '%s'", v->path);
        (void)snprintf(ret->tags[n], sizeof(ret->tags[n]), "fs%zu", n + 1);
        ret->paths[n] = xstrdup(v->path);
        ret->shares[n] = (struct vmm_share){.tag = ret->tags[n],
                                            .fd = fd,
                                            .virtiofs = ret->how.virtiofs,
                                            .readonly = v->readonly,
                                            .mount_point = ret->paths[n]};
        ret->n_shares++;
    }
    return 0;
}

/* ------------------------------------------------------------------------ the root */

int guest_root_check(struct container *c, const struct guest_volumes *volumes, struct err *err)
{
    if (volumes->n > GUEST_MOUNTS_MAX)
        return err_set(err, ERR_UNSUPPORTED, "volume '%s': a unikernel is given at most %d",
                       volumes->v[GUEST_MOUNTS_MAX].path, GUEST_MOUNTS_MAX);
    if (userns_probe(c->engine, err) < 0)
        return err_wrap(err, "the guest's root is shared, for which its owners are mapped");
    return 0;
}

int guest_root_mount(struct container *c, struct err *err)
{
    struct id_map map = {.host_id = c->jail_uid, .length = 1};
    const struct mount_spec mount = {.uids = &map, .n_uids = 1, .gids = &map, .n_gids = 1};
    const struct image *image = container_image(c, err);
    autofd int userns = -1;

    if (!image || userns_of_maps(c->engine, &mount, &userns, err) < 0)
        return -1;
    return rootfs_mount(c->engine->images, image, c->rootfs_dir, userns, err);
}

static int open_mounts(struct container *c, const struct guest_volumes *volumes,
                       struct guest_storage *ret, struct err *err)
{
    for (size_t i = 0; i < volumes->n; i++) {
        int fd = guest_volume_open(c, &volumes->from[i], err);

        if (fd < 0)
            return err_wrap(err, "volume '%s'", volumes->v[i].path);
        ret->mount_paths[ret->n_mounts] = xstrdup(volumes->v[i].path);
        ret->mounts[ret->n_mounts] = (struct vmm_mount){
            .path = ret->mount_paths[ret->n_mounts], .fd = fd, .readonly = volumes->v[i].readonly};
        ret->n_mounts++;
    }
    return 0;
}

static int open_root(struct container *c, const struct guest_volumes *volumes,
                     struct guest_storage *ret, struct err *err)
{
    autofree char *path = path_join(c->rootfs_dir, ROOT_DIR);
    int fd;

    if (pod_files(c->pod, err) < 0 || guest_root_check(c, volumes, err) < 0)
        return -1;
    if (ret->how.volumes == VMM_VOLUMES_IN_ROOT && open_mounts(c, volumes, ret, err) < 0)
        return -1;
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    ret->shares[0] = (struct vmm_share){.tag = ROOT_TAG,
                                        .fd = fd,
                                        .virtiofs = ret->how.virtiofs,
                                        .readonly = ret->how.root_readonly,
                                        .mount_point = "/",
                                        .mounts = ret->mounts,
                                        .n_mounts = ret->n_mounts};
    ret->n_shares = 1;
    return 0;
}

int guest_shares_open(struct container *c, const struct guest_volumes *volumes,
                      struct guest_storage *ret, struct err *err)
{
    if (ret->how.root == VMM_ROOT_SHARE && open_root(c, volumes, ret, err) < 0)
        return -1;
    if (ret->how.volumes == VMM_VOLUMES_SHARE && open_each(c, volumes, ret, err) < 0)
        return -1;
    return ret->n_shares > 0 ? take_groups(c, ret, err) : 0;
}

/* ------------------------------------------------------------------------ the server's socket */

/* Connected before anybody listens in earnest: the kernel keeps it for the server's accept(). */
static int connect_to(const struct sockaddr_un *addr, struct err *err)
{
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
        return err_sys(err, "connect to the socket of the file server");
    return TAKE_FD(fd);
}

int guest_fs_socket(const struct container *c, bool by_path, struct guest_storage *s,
                    struct err *err)
{
    autofd int dir = open(c->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (dir < 0 || fd < 0)
        return err_sys(err, "make a socket in '%s'", c->run_dir);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" FS_SOCKET, dir);
    if (unlinkat(dir, FS_SOCKET, 0) < 0 && errno != ENOENT)
        return err_sys(err, "remove socket '%s'", FS_SOCKET);
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        fchmodat(dir, FS_SOCKET, 0600, 0) < 0 ||
        fchownat(dir, FS_SOCKET, c->jail_uid, c->jail_uid, AT_SYMLINK_NOFOLLOW) < 0 ||
        listen(fd, 1) < 0)
        return err_sys(err, "listen on socket '%s/%s'", c->run_dir, FS_SOCKET);
    s->fs_socket =
        by_path ? openat(dir, FS_SOCKET, O_PATH | O_NOFOLLOW | O_CLOEXEC) : connect_to(&addr, err);
    if (s->fs_socket < 0)
        return by_path ? err_sys(err, "open socket '%s'", FS_SOCKET) : -1;
    s->fs_listener = TAKE_FD(fd);
    return by_path || unlinkat(dir, FS_SOCKET, 0) == 0
               ? 0
               : err_sys(err, "remove socket '%s'", FS_SOCKET);
}
