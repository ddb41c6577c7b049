/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volumes - see volumes.h. Each volume is an overlay of its own, so that it goes with its container
 * and nobody counts users; its memory is some kilobytes. The image may be removed meanwhile: its
 * layers are held until the volume is unmounted.
 */
#include "sandbox/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/userns_probe.h"

static bool is_volume(const struct mount_spec *m)
{
    return *m->image != '\0';
}

static char *volume_dir(const struct container *c, size_t i)
{
    return xasprintf("%s/volumes/%zu", c->rootfs_dir, i);
}

int volumes_check(struct container *c, struct err *err)
{
    for (size_t i = 0; i < c->spec->n_mounts; i++) {
        const struct mount_spec *m = &c->spec->mounts[i];

        if (!is_volume(m))
            continue;
        if (!m->readonly)
            return err_set(err, ERR_INVALID, "mount '%s': an image volume must be read-only",
                           m->container_path);
        if (m->propagation != MOUNT_PRIVATE)
            return err_set(err, ERR_INVALID,
                           "mount '%s': an image volume cannot have mount propagation",
                           m->container_path);
        autoimage *image = imagestore_find(c->engine->images, m->image, err);

        if (!image)
            return err_wrap(err, "mount '%s'", m->container_path);
    }
    return 0;
}

/* The directory that is to be mounted: links lead nowhere but into the image. */
static char *resolve(const struct container *c, size_t i, struct err *err)
{
    const struct mount_spec *m = &c->spec->mounts[i];
    autofree char *dir = volume_dir(c, i), *root = path_join(dir, "rootfs");
    char real[PATH_MAX], self[64];
    struct stat st;

    if (!*m->image_sub_path)
        return TAKE_PTR(root);
    autofd int base = open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (base < 0) {
        (void)err_sys(err, "open '%s'", root);
        return NULL;
    }
    autofd int fd = fs_open_in_root(base, m->image_sub_path, O_PATH, 0, err);

    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)err_wrap(err, "image sub path '%s'", m->image_sub_path);
        return NULL;
    }
    if (!S_ISDIR(st.st_mode)) {
        (void)err_set(err, ERR_INVALID, "image sub path '%s': is not a directory of the image",
                      m->image_sub_path);
        return NULL;
    }
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, real, sizeof(real) - 1);

    if (n < 0 || (size_t)n >= sizeof(real) - 1 || !str_is_utf8(real, (size_t)n)) {
        (void)err_set(err, ERR_INVALID,
                      "image sub path '%s': its real name is too long or not UTF-8",
                      m->image_sub_path);
        return NULL;
    }
    real[n] = '\0';
    return xstrdup(real);
}

/* *ret: a user namespace with the mount's mapping, -1 for one without. An overlay cannot be mapped
 * afterwards as other mounts can, by the OCI runtime: the layers below it are. */
static int mapping_open(const struct container *c, const struct mount_spec *m, int *ret,
                        struct err *err)
{
    const struct ns_options *pod = &c->pod->spec->ns;

    *ret = -1;
    if (!m->n_uids)
        return 0;
    if (*c->pod->userns && id_maps_equal(m->uids, m->n_uids, pod->uids, pod->n_uids) &&
        id_maps_equal(m->gids, m->n_gids, pod->gids, pod->n_gids))
        return pod_userns_open(c->pod, ret, err);
    return userns_of_maps(c->engine, m, ret, err);
}

static int mount_one(struct container *c, size_t i, struct err *err)
{
    const struct mount_spec *m = &c->spec->mounts[i];
    autofree char *dir = volume_dir(c, i);
    autoimage *image = imagestore_find(c->engine->images, m->image, err);
    autofd int user = -1;

    if (!image || mapping_open(c, m, &user, err) < 0 ||
        rootfs_mount_readonly(c->engine->images, image, dir, user, err) < 0)
        return -1;
    autofree char *source = resolve(c, i, err);

    return source ? 0 : -1;
}

int volumes_mount(struct container *c, struct err *err)
{
    for (size_t i = 0; i < c->spec->n_mounts; i++)
        if (is_volume(&c->spec->mounts[i]) && mount_one(c, i, err) < 0) {
            c->volume_failed = true;
            return err_wrap(err, "mount '%s'", c->spec->mounts[i].container_path);
        }
    return 0;
}

int volumes_unmount(struct engine *engine, const char *rootfs_dir, struct err *err)
{
    autofree char *path = path_join(rootfs_dir, "volumes");
    autodir DIR *d = opendir(path);
    const struct dirent *e;

    if (!d)
        return errno == ENOENT ? 0 : err_sys(err, "open '%s'", path);
    while ((e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        autofree char *dir = path_join(path, e->d_name);

        if (rootfs_unmount(engine->images, dir, err) < 0)
            return -1;
    }
    return fs_remove_tree(AT_FDCWD, path, err);
}

char *volume_source(const struct container *c, size_t i, struct err *err)
{
    return resolve(c, i, err);
}

int volume_sources(const struct container *c, char ***ret, struct err *err)
{
    autostrv char **list = NULL;

    for (size_t i = 0; i < c->spec->n_mounts; i++) {
        char *source = is_volume(&c->spec->mounts[i]) ? volume_source(c, i, err) : xstrdup("");

        if (!source)
            return err_wrap(err, "mount '%s'", c->spec->mounts[i].container_path);
        strv_take(&list, source);
    }
    *ret = TAKE_PTR(list);
    return 0;
}
