/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_devices - devices of config.json and the rules of the device cgroup. A directory stands for
 * all devices in it. A privileged container sees all of the node's. With users of its own a
 * container has the node's device mounted, since nobody may make one there: oci_mounts.c does it.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"

#define DEVICES_MAX   4096 /* of one container, found in directories */
#define DEV_DEPTH_MAX 8

struct found {
    json_t *devices, *rules; /* borrowed */
    const char *access;
};

static void add_device(const struct found *f, const char *path, const struct stat *st)
{
    json_t *d = json_object(), *r = json_object();
    const char *type = S_ISBLK(st->st_mode) ? "b" : "c";

    json_put_string(d, "path", path);
    json_put_string(d, "type", type);
    json_put(d, "major", json_integer(major(st->st_rdev)));
    json_put(d, "minor", json_integer(minor(st->st_rdev)));
    json_put(d, "fileMode", json_integer(st->st_mode & 0777));
    json_put(d, "uid", json_integer(st->st_uid));
    json_put(d, "gid", json_integer(st->st_gid));
    (void)json_array_append_new(f->devices, d);
    json_put(r, "allow", json_true());
    json_put_string(r, "type", type);
    json_put(r, "major", json_integer(major(st->st_rdev)));
    json_put(r, "minor", json_integer(minor(st->st_rdev)));
    json_put_string(r, "access", f->access);
    (void)json_array_append_new(f->rules, r);
}

/* What the standard mounts bring is left out, where it is the node's /dev. */
static bool is_standard(const char *path)
{
    static const char *const skip[] = {"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console",
                                       "/dev/fd"};

    for (size_t i = 0; i < ARRAY_SIZE(skip); i++)
        if (str_eq(path, skip[i]))
            return true;
    return false;
}

/* All devices below `dir`, at the same places below `target`. Links are not followed, files are not
 * of interest. */
static void add_directory(const char *dir, const char *target, int level, const struct found *f)
{
    autodir DIR *d = level < DEV_DEPTH_MAX ? opendir(dir) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d)) && json_array_size(f->devices) < DEVICES_MAX) {
        autofree char *path = path_join(dir, e->d_name), *to = path_join(target, e->d_name);
        struct stat st;

        if (e->d_name[0] == '.' || is_standard(path) || lstat(path, &st) < 0 ||
            !str_is_utf8(path, strlen(path)))
            continue;
        if (S_ISDIR(st.st_mode))
            add_directory(path, to, level + 1, f);
        else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
            add_device(f, to, &st);
    }
}

static int add_requested(const struct device_spec *d, json_t *devices, json_t *rules,
                         struct err *err)
{
    const struct found f = {devices, rules, *d->permissions ? d->permissions : "rwm"};
    size_t before = json_array_size(devices);
    struct stat st;

    if (d->container_path[0] != '/' || strspn(f.access, "rwm") != strlen(f.access))
        return err_set(err, ERR_INVALID, "device '%s': bad path or permissions '%s'",
                       d->container_path, f.access);
    if (stat(d->host_path, &st) < 0)
        return err_sys(err, "device '%s'", d->host_path);
    if (S_ISDIR(st.st_mode)) {
        add_directory(d->host_path, d->container_path, 0, &f);
        return json_array_size(devices) > before
                   ? 0
                   : err_set(err, ERR_INVALID, "device '%s': a directory without devices",
                             d->host_path);
    }
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_set(err, ERR_INVALID, "device '%s': not a device", d->host_path);
    add_device(&f, d->container_path, &st);
    return 0;
}

int oci_devices(const struct oci_input *in, json_t *devices, json_t *rules, struct err *err)
{
    json_t *all = json_object();
    autojson *ignored = json_array(); /* everything is allowed already */
    autojson *mounted = json_array();

    json_put(all, "allow", in->spec->privileged ? json_true() : json_false());
    json_put_string(all, "access", "rwm");
    (void)json_array_append_new(rules, all);
    if (in->spec->privileged)
        add_directory("/dev", "/dev", 0, &(struct found){devices, ignored, "rwm"});
    for (size_t i = 0; i < in->spec->n_devices; i++)
        if (add_requested(&in->spec->devices[i], *in->userns ? mounted : devices, rules, err) < 0)
            return -1;
    return 0;
}
