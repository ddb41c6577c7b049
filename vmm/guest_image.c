/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_image - whether an image is a unikernel, by all conventions: the keys of guest.c, over what
 * KraftKit's layout says; and for an image that says nothing, whether what it would run is a
 * kernel.
 *
 * KraftKit names in the image's config the hypervisor where others have "linux", and annotates
 * kernel and initrd; both lie at the same places in all its images.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define KRAFT_KERNEL "/unikraft/bin/kernel"
#define KRAFT_INITRD "/unikraft/bin/initrd"

static const struct {
    const char *os, *hypervisor; /* NULL: not run here */
} kraft_platforms[] = {
    {"qemu", "qemu"},
    {"kvm", "qemu"},
    {"fc", "firecracker"},
    {"firecracker", "firecracker"},
    {"kraftcloud", "firecracker"},
    {"xen", NULL},
    {"linuxu", NULL},
};

static const char *annotation(const struct guest_image *image, const char *key)
{
    const char *value = image->annotations ? kvs_get(image->annotations, key) : NULL;

    return value && *value ? value : NULL;
}

static ssize_t kraft_platform(const struct guest_image *image)
{
    for (size_t i = 0; image->os && i < ARRAY_SIZE(kraft_platforms); i++)
        if (str_eq(image->os, kraft_platforms[i].os))
            return (ssize_t)i;
    return -1;
}

static bool is_kraft(const struct guest_image *image)
{
    return kraft_platform(image) >= 0 || annotation(image, "org.unikraft.kernel.image") ||
           annotation(image, "org.unikraft.image.name") || annotation(image, "sh.kraftkit.version");
}

static bool has_file(const struct guest_image *image, const char *path)
{
    autofd int fd = image->open_file ? image->open_file(image->arg, path, NULL) : -1;

    return fd >= 0;
}

static int kraft_path(const struct guest_image *image, const char *key, const char *otherwise,
                      char **ret, struct err *err)
{
    const char *path = annotation(image, key), *why;

    if (!path)
        path = otherwise;
    why = guest_path_fault(path);
    if (why)
        return err_set(err, ERR_INVALID, "manifest annotation: %s '%.200s': %s", key, path, why);
    *ret = xstrdup(path);
    return 0;
}

static int take_kraft(const struct guest_image *image, struct guest *guest, struct err *err)
{
    const char *version = annotation(image, "org.unikraft.kernel.version"), *why;
    ssize_t platform = kraft_platform(image);

    if (!version)
        version = image->os_version ? image->os_version : "";
    why = guest_word_fault(version);
    if (why)
        return err_set(err, ERR_INVALID, "image: version of its Unikraft '%.200s': %s", version,
                       why);
    guest->family = xstrdup("unikraft");
    guest->version = xstrdup(version);
    if (platform >= 0 && kraft_platforms[platform].hypervisor)
        guest->hypervisor = xstrdup(kraft_platforms[platform].hypervisor);
    if (kraft_path(image, "org.unikraft.kernel.image", KRAFT_KERNEL, &guest->binary, err) < 0)
        return -1;
    return kraft_path(image, "org.unikraft.kernel.initrd",
                      has_file(image, KRAFT_INITRD) ? KRAFT_INITRD : "", &guest->initrd, err);
}

/* Ordinary programs carry none of the marks that kernels have. A kernel without marks looks like
 * one, and so has to be wanted. */
static int bare_kernel(const struct guest_image *image, struct guest **ret, struct err *err)
{
    autoguest *guest = XNEW(struct guest);
    const char *path = image->argv && image->argv[0] ? image->argv[0] : "";
    struct err why = ERR_INIT;
    autofd int fd = -1;
    bool is_kernel = false;

    guest_fill_empty(guest);
    guest->bare = true;
    free(guest->binary);
    guest->binary = xstrdup(path);
    if (path[0] != '/' || guest_path_fault(path) || !image->open_file)
        (void)err_set(&why, ERR_INVALID, "is no path of a kernel in the image");
    else if ((fd = image->open_file(image->arg, path, &why)) >= 0)
        is_kernel = guest_probe_kernel(guest, fd, &why) == 0 &&
                    (image->wanted || guest->kernel != KERNEL_ELF64);
    if (!is_kernel && image->wanted)
        return err_set(err, ERR_INVALID,
                       "declares no unikernel, and its entrypoint '%.100s' is none: %s", path,
                       why.msg);
    *ret = is_kernel ? TAKE_PTR(guest) : NULL;
    return 0;
}

static int check_platform(const struct guest_image *image, const struct guest *guest,
                          struct err *err)
{
    ssize_t platform = kraft_platform(image);

    if (platform < 0 || kraft_platforms[platform].hypervisor || *guest->hypervisor)
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "image: is packaged for '%s', which is not run here: package it for qemu or fc",
                   image->os);
}

int guest_declared(const struct guest_image *image, struct guest **ret, struct err *err)
{
    autoguest *guest = XNEW(struct guest);
    bool found = is_kraft(image);

    if ((found && take_kraft(image, guest, err) < 0) ||
        guest_take_keys(image, guest, &found, err) < 0)
        return -1;
    if (!found)
        return bare_kernel(image, ret, err);
    guest_fill_empty(guest);
    if (!*guest->binary)
        return err_set(err, ERR_INVALID, "image: declares a unikernel, but no %sbinary",
                       GUEST_KEY_PREFIX);
    if (check_platform(image, guest, err) < 0)
        return -1;
    *ret = TAKE_PTR(guest);
    return 0;
}
