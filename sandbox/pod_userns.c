/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_userns - the user namespace of a pod that asks for one. It is pinned at RUN/userns/ID as the
 * network namespace is, and owns what else the pod has: network, IPC, UTS and PID namespaces are
 * made inside it, so that root of its containers may mount what shows them (sysfs, mqueue, proc)
 * and rules them and nothing else. All containers of the pod join it by its path.
 *
 * Files need no change of owner: layers and volumes are seen through idmapped mounts. What the
 * engine itself makes for the pod (resolv.conf, /dev/shm, the root of the writable layer) belongs
 * to the container's root, see pod_root_ids().
 */
#include <errno.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/init_client.h"
#include "sandbox/pod.h"
#include "sandbox/userns_probe.h"

#define UNMOUNTS_MAX 16

void pod_root_ids(const struct pod_spec *spec, uid_t *ret_uid, gid_t *ret_gid)
{
    *ret_uid = spec->ns.userns ? spec->ns.uids[0].host_id : 0;
    *ret_gid = spec->ns.userns ? spec->ns.gids[0].host_id : 0;
}

int pod_userns_open(const struct pod *pod, int *ret, struct err *err)
{
    if (!*pod->userns) {
        *ret = -1;
        return 0;
    }

    autofd int fd = open(pod->userns, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return err_sys(err, "open user namespace '%s'", pod->userns);
    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWUSER)
        return err_set(err, ERR_NOT_FOUND, "'%s' is not a user namespace", pod->userns);
    *ret = TAKE_FD(fd);
    return 0;
}

/* One write is the whole map; the kernel takes no second one. */
int userns_write_map(const struct ns_holder *holder, const char *name, const struct id_map *maps,
                     size_t n, struct err *err)
{
    autofree char *path = ns_holder_file(holder, name);
    autostrbuf b = STRBUF_INIT;

    for (size_t i = 0; i < n; i++)
        strbuf_addf(&b, "%u %u %u\n", maps[i].container_id, maps[i].host_id, maps[i].length);
    return fs_write_file(AT_FDCWD, path, b.s, b.len, 0600, err);
}

static int pin(const struct pod *pod, const struct ns_holder *holder, struct err *err)
{
    autofree char *from = ns_holder_file(holder, "ns/user");
    autofd int fd = open(pod->userns, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);

    if (fd < 0)
        return err_sys(err, "create '%s'", pod->userns);
    if (mount(from, pod->userns, NULL, MS_BIND, NULL) < 0)
        return err_sys(err, "pin the user namespace at '%s'", pod->userns);
    return 0;
}

int pod_userns_up(struct pod *pod, struct err *err)
{
    const struct ns_options *ns = &pod->spec->ns;
    autons_holder holder = NS_HOLDER_NONE;
    autofd int there = -1;

    FAULT_POINT("userns.create");
    if (!*pod->userns || pod_userns_open(pod, &there, NULL) == 0)
        return 0;
    if (ns_holder_start(pod->engine, CLONE_NEWUSER, -1, &holder, err) < 0 ||
        userns_write_map(&holder, "uid_map", ns->uids, ns->n_uids, err) < 0 ||
        userns_write_map(&holder, "gid_map", ns->gids, ns->n_gids, err) < 0 ||
        pin(pod, &holder, err) < 0)
        return err_wrap(err, "make the user namespace");
    return 0;
}

int pod_userns_down(struct pod *pod, struct err *err)
{
    FAULT_POINT("userns.remove");
    return *pod->userns ? userns_remove(pod->userns, err) : 0;
}

int userns_remove(const char *path, struct err *err)
{
    for (int i = 0; i < UNMOUNTS_MAX; i++) {
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT)
            break;
        return err_sys(err, "unmount user namespace '%s'", path);
    }
    return fs_remove(AT_FDCWD, path, err);
}

int pod_userns_netns(struct pod *pod, struct err *err)
{
    autons_holder holder = NS_HOLDER_NONE;
    autofree char *from = NULL;
    autofd int user = -1, there = netns_open(pod->netns, NULL);

    if (there >= 0)
        return 0;
    if (pod_userns_open(pod, &user, err) < 0 ||
        ns_holder_start(pod->engine, CLONE_NEWNET, user, &holder, err) < 0)
        return err_wrap(err, "make the network namespace");
    from = ns_holder_file(&holder, "ns/net");
    return netns_adopt(pod->netns, from, err);
}

/* --------------------------------------------------------------------- checks */

static int check_map(const char *what, const struct id_map *maps, size_t n, struct err *err)
{
    if (n != 1)
        return err_set(err, ERR_INVALID,
                       "user namespace: %zu mappings of %s; exactly one is possible", n, what);
    if (maps[0].container_id != 0 || maps[0].length == 0)
        return err_set(err, ERR_INVALID, "user namespace: %s 0 of the containers is not mapped",
                       what);
    if ((uint64_t)maps[0].host_id + maps[0].length > UINT32_MAX)
        return err_set(err, ERR_INVALID, "user namespace: %s beyond the last one", what);
    return 0;
}

int pod_userns_check(struct engine *engine, const struct pod_spec *spec,
                     const struct handler *handler, struct err *err)
{
    const struct ns_options *ns = &spec->ns;
    struct runtime_features f;

    if (check_map("uid", ns->uids, ns->n_uids, err) < 0 ||
        check_map("gid", ns->gids, ns->n_gids, err) < 0)
        return -1;
    if (ns->ipc == NS_NODE || ns->pid == NS_NODE)
        return err_set(err, ERR_INVALID,
                       "user namespace: not together with the node's %s namespace",
                       ns->ipc == NS_NODE ? "IPC" : "PID");
    if (!handler_runs_oci(handler))
        return err_set(
            err, ERR_INVALID,
            "handler '%s': a unikernel has no user namespace, and side_containers = false "
            "allows nothing else",
            handler->name);
    handler_features(engine->handlers, handler, &f);
    if (!f.idmapped_mounts)
        return err_set(err, ERR_UNSUPPORTED,
                       "handler '%s': user namespaces: runtime '%s' %s lacks idmapped mounts (see "
                       "its `features`); runc 1.2 or later has them",
                       handler->name, handler->program, f.version);
    return userns_probe(engine, err);
}
