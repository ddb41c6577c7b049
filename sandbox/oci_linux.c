/* SPDX-License-Identifier: Apache-2.0 */
/* oci_linux - `linux` of config.json: namespaces, devices, masked paths, seccomp; resources are in
 * oci_resources.c. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"

#define HOST_DEVICES_MAX 4096
#define DEV_DEPTH_MAX    8

static void add_ns(json_t *list, const char *type, const char *path)
{
    json_t *o = json_object();

    json_put_string(o, "type", type);
    json_put_string(o, "path", path);
    (void)json_array_append_new(list, o);
}

static json_t *namespaces(const struct oci_input *in)
{
    autofree char *ipc = path_join(in->pod_dir, "ipc"), *uts = path_join(in->pod_dir, "uts");
    json_t *list = json_array();

    add_ns(list, "mount", "");
    if (*in->userns)
        add_ns(list, "user", in->userns);
    if (*in->netns)
        add_ns(list, "network", in->netns);
    if (in->pod->ns.ipc == NS_POD)
        add_ns(list, "ipc", ipc);
    if (in->pod->ns.network != NS_NODE)
        add_ns(list, "uts", uts);
    if (*in->pidns)
        add_ns(list, "pid", in->pidns);
    else if (in->spec->ns.pid != NS_NODE &&
             !(in->spec->ns.pid == NS_POD && in->pod->ns.pid == NS_NODE))
        add_ns(list, "pid", "");
    if (in->cgroups->v2 && !in->spec->privileged)
        add_ns(list, "cgroup", "");
    return list;
}

/* --------------------------------------------------------------------- devices */

static void add_device(json_t *devices, json_t *rules, const char *path, const struct stat *st,
                       const char *access)
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
    (void)json_array_append_new(devices, d);
    json_put(r, "allow", json_true());
    json_put_string(r, "type", type);
    json_put(r, "major", json_integer(major(st->st_rdev)));
    json_put(r, "minor", json_integer(minor(st->st_rdev)));
    json_put_string(r, "access", access);
    (void)json_array_append_new(rules, r);
}

static int add_requested(const struct device_spec *d, json_t *devices, json_t *rules,
                         struct err *err)
{
    struct stat st;
    const char *access = *d->permissions ? d->permissions : "rwm";

    if (d->container_path[0] != '/' || strspn(access, "rwm") != strlen(access))
        return err_set(err, ERR_INVALID, "device '%s': bad path or permissions '%s'",
                       d->container_path, access);
    if (stat(d->host_path, &st) < 0)
        return err_sys(err, "device '%s'", d->host_path);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_set(err, ERR_INVALID, "device '%s': not a device", d->host_path);
    add_device(devices, rules, d->container_path, &st, access);
    return 0;
}

/* A privileged container sees the node's devices. What the standard mounts bring is left out. */
static void add_host_devices(const char *dir, int level, json_t *devices, json_t *ignored)
{
    static const char *const skip[] = {"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console",
                                       "/dev/fd"};
    autodir DIR *d = level < DEV_DEPTH_MAX ? opendir(dir) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d)) && json_array_size(devices) < HOST_DEVICES_MAX) {
        autofree char *path = path_join(dir, e->d_name);
        bool skipped = e->d_name[0] == '.';
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(skip); i++)
            skipped = skipped || str_eq(path, skip[i]);
        if (skipped || lstat(path, &st) < 0 || !str_is_utf8(path, strlen(path)))
            continue;
        if (S_ISDIR(st.st_mode))
            add_host_devices(path, level + 1, devices, ignored);
        else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
            add_device(devices, ignored, path, &st, "rwm");
    }
}

static int add_devices(const struct oci_input *in, json_t *devices, json_t *rules, struct err *err)
{
    json_t *all = json_object();
    autojson *ignored = json_array();

    json_put(all, "allow", in->spec->privileged ? json_true() : json_false());
    json_put_string(all, "access", "rwm");
    (void)json_array_append_new(rules, all);
    if (in->spec->privileged)
        add_host_devices("/dev", 0, devices, ignored);
    for (size_t i = 0; i < in->spec->n_devices; i++)
        if (add_requested(&in->spec->devices[i], devices, rules, err) < 0)
            return -1;
    return 0;
}

int oci_linux(const struct oci_input *in, bool shared, bool slave, json_t **ret, struct err *err)
{
    autojson *o = json_object(), *devices = json_array(), *rules = json_array();
    autojson *limits = oci_resources(in->cgroups, &in->spec->resources);

    if (add_devices(in, devices, rules, err) < 0)
        return -1;
    json_put(limits, "devices", json_incref(rules));
    json_put(o, "namespaces", namespaces(in));
    json_put(o, "devices", TAKE_PTR(devices));
    json_put(o, "resources", TAKE_PTR(limits));
    json_put_string(o, "cgroupsPath", in->cgroup);
    json_put_string(o, "mountLabel", in->selinux);
    if (shared || slave)
        json_put_string(o, "rootfsPropagation", shared ? "rshared" : "rslave");
    if (!in->spec->privileged) {
        json_put_strv(o, "maskedPaths", in->spec->masked_paths);
        json_put_strv(o, "readonlyPaths", in->spec->readonly_paths);
    }
    if (in->seccomp)
        json_put(o, "seccomp", json_incref(in->seccomp));
    *ret = TAKE_PTR(o);
    return 0;
}
