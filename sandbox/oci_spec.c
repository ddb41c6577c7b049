/* SPDX-License-Identifier: Apache-2.0 */
/* oci_spec - see oci_spec.h: the frame of config.json and the checks of a request. */
#include "sandbox/oci_spec.h"

#include <string.h>

#include "base/strbuf.h"

static int check_mount(const struct mount_spec *m, struct err *err)
{
    if (m->container_path[0] != '/')
        return err_set(err, ERR_INVALID, "mount '%s': the path in the container is not absolute",
                       m->container_path);
    if (!*m->image && m->host_path[0] != '/')
        return err_set(err, ERR_INVALID, "mount '%s': host path '%s' is not absolute",
                       m->container_path, m->host_path);
    if ((m->n_uids == 0) != (m->n_gids == 0))
        return err_set(err, ERR_INVALID, "mount '%s': mappings of uids or of gids alone",
                       m->container_path);
    if (m->recursive_readonly && (!m->readonly || m->propagation != MOUNT_PRIVATE))
        return err_set(err, ERR_INVALID,
                       "mount '%s': recursive read-only needs readonly and private propagation",
                       m->container_path);
    for (char *const *o = m->options; o && *o; o++)
        if (!str_eq(*o, "noexec") && !str_eq(*o, "nodev") && !str_eq(*o, "nosuid"))
            return err_set(err, ERR_INVALID, "mount '%s': unknown option '%s'", m->container_path,
                           *o);
    return 0;
}

static bool same_user_namespace(const struct ns_options *a, const struct ns_options *b)
{
    return a->userns == b->userns && id_maps_equal(a->uids, a->n_uids, b->uids, b->n_uids) &&
           id_maps_equal(a->gids, a->n_gids, b->gids, b->n_gids);
}

static int check_namespaces(const struct pod_spec *pod, const struct container_spec *spec,
                            struct err *err)
{
    if (!same_user_namespace(&pod->ns, &spec->ns))
        return err_set(err, ERR_INVALID,
                       "user namespace: the container asks for another one than its pod has");
    if (spec->ns.pid == NS_TARGET && !*spec->ns.target_id)
        return err_set(err, ERR_INVALID, "PID namespace of a target container: none is named");
    return 0;
}

int oci_check(const struct pod_spec *pod, const struct container_spec *spec, struct err *err)
{
    if (check_namespaces(pod, spec, err) < 0)
        return -1;
    if (spec->privileged && !pod->privileged)
        return err_set(err, ERR_INVALID, "a privileged container needs a privileged pod sandbox");
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (check_mount(&spec->mounts[i], err) < 0)
            return -1;
    return 0;
}

int oci_spec_build(const struct oci_input *in, json_t **ret, struct err *err)
{
    autojson *process = NULL, *mounts = NULL, *linux_part = NULL;
    bool shared = false, slave = false;

    if (oci_process(in, &process, err) < 0 || oci_mounts(in, &mounts, &shared, &slave, err) < 0 ||
        oci_linux(in, shared, slave, &linux_part, err) < 0)
        return -1;

    json_t *o = json_object(), *root = json_object();

    json_put_string(o, "ociVersion", "1.0.2");
    json_put(o, "process", TAKE_PTR(process));
    json_put_string(root, "path", in->rootfs);
    json_put_bool(root, "readonly", in->spec->readonly_rootfs);
    json_put(o, "root", root);
    json_put(o, "mounts", TAKE_PTR(mounts));
    json_put(o, "linux", TAKE_PTR(linux_part));
    *ret = o;
    return 0;
}
