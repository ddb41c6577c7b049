/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_mounts - `mounts` of config.json: the standard set, the pod's files and the request's mounts,
 * parents before what lies below them. A request's mount replaces a standard one at the same place,
 * and one at /dev brings what lies below it along.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"

struct standard {
    const char *type, *source, *target, *options; /* options separated by commas */
};
static const struct standard standard[] = {
    {"proc", "proc", "/proc", "nosuid,noexec,nodev"},
    {"tmpfs", "tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k"},
    {"devpts", "devpts", "/dev/pts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"mqueue", "mqueue", "/dev/mqueue", "nosuid,noexec,nodev"},
};

static json_t *mount_json(const char *type, const char *source, const char *target,
                          const char *options)
{
    json_t *o = json_object(), *list = json_array();
    autofree char *copy = xstrdup(options);
    char *save = NULL;

    for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save))
        (void)json_array_append_new(list, json_string(t));
    json_put_string(o, "destination", target);
    json_put_string(o, "type", type);
    json_put_string(o, "source", source);
    json_put(o, "options", list);
    return o;
}

bool oci_same_path(const char *a, const char *b)
{
    for (;;) {
        while (a[0] == '/' && (a[1] == '/' || (a[1] == '\0' && b[0] == '\0')))
            a++;
        while (b[0] == '/' && (b[1] == '/' || (b[1] == '\0' && a[0] == '\0')))
            b++;
        if (*a != *b)
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

static bool requested(const struct container_spec *spec, const char *target)
{
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (oci_same_path(spec->mounts[i].container_path, target))
            return true;
    return false;
}

/* sysfs shows a network namespace, and may be mounted by who owns that: with the node's network and
 * users of its own a container gets the node's, read-only to the last mount. */
static json_t *sysfs_json(const struct oci_input *in, const char *options)
{
    if (*in->userns && !*in->netns)
        return mount_json("bind", "/sys", "/sys", "rbind,rslave,rro,nosuid,noexec,nodev");
    return mount_json("sysfs", "sysfs", "/sys", options);
}

static void add_standard(const struct oci_input *in, json_t *out)
{
    const char *rw = in->spec->privileged ? "" : ",ro";
    autofree char *options = xasprintf("nosuid,noexec,nodev%s", rw);
    autofree char *cgroup_options = xasprintf("nosuid,noexec,nodev,relatime%s", rw);
    bool dev = requested(in->spec, "/dev");

    for (size_t i = 0; i < ARRAY_SIZE(standard); i++)
        if (!requested(in->spec, standard[i].target) &&
            !(dev && str_has_prefix(standard[i].target, "/dev/")))
            (void)json_array_append_new(out, mount_json(standard[i].type, standard[i].source,
                                                        standard[i].target, standard[i].options));
    if (!requested(in->spec, "/sys"))
        (void)json_array_append_new(out, sysfs_json(in, options));
    if (!requested(in->spec, "/sys/fs/cgroup"))
        (void)json_array_append_new(
            out, mount_json("cgroup", "cgroup", "/sys/fs/cgroup", cgroup_options));
}

/* The pod's files; only a read-only root makes them read-only. */
static void add_pod_files(const struct oci_input *in, json_t *out)
{
    static const struct {
        const char *name, *target;
    } files[] = {{"hostname", "/etc/hostname"},
                 {"hosts", "/etc/hosts"},
                 {"resolv.conf", "/etc/resolv.conf"}};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        autofree char *path = path_join(in->pod_dir, files[i].name);

        if (!requested(in->spec, files[i].target))
            (void)json_array_append_new(
                out,
                mount_json("bind", path, files[i].target,
                           in->spec->readonly_rootfs ? "rbind,rprivate,ro" : "rbind,rprivate,rw"));
    }
    if (!requested(in->spec, "/dev/shm")) {
        autofree char *shm =
            in->pod->ns.ipc == NS_POD ? path_join(in->pod_dir, "shm") : xstrdup("/dev/shm");

        (void)json_array_append_new(
            out, mount_json("bind", shm, "/dev/shm", "rbind,rprivate,rw,nosuid,noexec,nodev"));
    }
}

/* ------------------------------------------------------------ requested mounts */

static void put_maps(json_t *o, const char *key, const struct id_map *maps, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *map = json_object();

        json_put(map, "containerID", json_integer(maps[i].container_id));
        json_put(map, "hostID", json_integer(maps[i].host_id));
        json_put(map, "size", json_integer(maps[i].length));
        (void)json_array_append_new(list, map);
    }
    if (n)
        json_put(o, key, list);
    else
        json_decref(list);
}

/* @volume: the source of an image volume, else NULL. */
static int add_requested(const struct mount_spec *m, const char *volume, json_t *out,
                         struct err *err)
{
    static const char *const propagation[] = {"rprivate", "rslave", "rshared"};
    autofree char *source = volume ? xstrdup(volume) : mount_source(m, err);
    autostrbuf options = STRBUF_INIT;

    if (!source)
        return -1;
    strbuf_addf(&options, "rbind,%s,%s", propagation[m->propagation],
                m->recursive_readonly ? "rro"
                : m->readonly         ? "ro"
                                      : "rw");
    for (char *const *o = m->options; o && *o; o++)
        strbuf_addf(&options, ",%s", *o);
    if (m->n_uids && !volume)
        strbuf_adds(&options, ",idmap");

    json_t *mount = mount_json("bind", source, m->container_path, options.s);

    if (!volume) { /* a volume has the mapping of its layers: volumes_mount() */
        put_maps(mount, "uidMappings", m->uids, m->n_uids);
        put_maps(mount, "gidMappings", m->gids, m->n_gids);
    }
    (void)json_array_append_new(out, mount);
    return 0;
}

static size_t depth(const char *path)
{
    size_t n = 0;

    for (const char *p = path; *p; p++)
        n += p[0] == '/' && p[1] && p[1] != '/';
    return n;
}

void oci_mounts_sort(const json_t *list, json_t *out)
{
    size_t left = json_array_size(list), i;
    json_t *m;

    for (size_t d = 0; left && d < PATH_MAX; d++)
        json_array_foreach (list, i, m) {
            if (depth(json_string_value(json_object_get(m, "destination"))) != d)
                continue;
            (void)json_array_append(out, m);
            left--;
        }
}

/* An OCI runtime knows no source of a device: where it cannot make one it takes the node's of the
 * same name, which need not be the one that is asked for. */
static int add_devices(const struct oci_input *in, json_t *out, struct err *err)
{
    for (size_t i = 0; *in->userns && i < in->spec->n_devices; i++) {
        const struct device_spec *d = &in->spec->devices[i];
        char real[PATH_MAX];

        if (!realpath(d->host_path, real))
            return err_sys(err, "device '%s'", d->host_path);
        if (!str_is_utf8(real, strlen(real)))
            return err_set(err, ERR_INVALID, "device '%s': its path is not UTF-8", d->host_path);
        (void)json_array_append_new(
            out, mount_json("bind", real, d->container_path, "rbind,rprivate,rw,nosuid,noexec"));
    }
    return 0;
}

int oci_mounts(const struct oci_input *in, json_t **ret, bool *ret_shared, bool *ret_slave,
               struct err *err)
{
    autojson *out = json_array(), *list = json_array();

    add_standard(in, list);
    add_pod_files(in, list);
    for (size_t i = 0; i < in->spec->n_mounts; i++) {
        const struct mount_spec *m = &in->spec->mounts[i];

        const char *volume = in->volumes && *m->image ? in->volumes[i] : NULL;

        if (add_requested(m, volume, list, err) < 0)
            return -1;
        *ret_shared = *ret_shared || m->propagation == MOUNT_BIDIRECTIONAL;
        *ret_slave = *ret_slave || m->propagation == MOUNT_HOST_TO_CONTAINER;
    }
    if (add_devices(in, list, err) < 0)
        return -1;
    oci_mounts_sort(list, out);
    *ret = TAKE_PTR(out);
    return 0;
}
