/* SPDX-License-Identifier: Apache-2.0 */
/* census - see census.h, and engine_census() of the facade. Names are ids; anything else is not
 * ours and is left alone. */
#include "sandbox/census.h"

#include <dirent.h>
#include <string.h>
#include <sys/mount.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/container.h"
#include "sandbox/exits.h"
#include "sandbox/monitor_client.h"
#include "sandbox/network.h"
#include "sandbox/userns_probe.h"
#include "sandbox/volumes.h"

#define MOUNTINFO_MAX_BYTES (64 * 1024 * 1024)

static bool pod_known(struct engine *engine, const char *id)
{
    mutex_lock(&engine->lock);

    bool known = idmap_get(&engine->pods_by_id, id) != NULL;

    mutex_unlock(&engine->lock);
    return known;
}

static bool container_known(struct engine *engine, const char *id)
{
    mutex_lock(&engine->lock);

    bool known = idmap_get(&engine->containers_by_id, id) != NULL;

    mutex_unlock(&engine->lock);
    return known;
}

/* The ids in a directory that `known` does not know. */
static char **strangers(struct engine *engine, const char *dir,
                        bool (*known)(struct engine *engine, const char *id))
{
    autodir DIR *d = opendir(dir);
    const struct dirent *e;
    char **names = NULL;

    while (d && (e = readdir(d)))
        if (id_is_valid(e->d_name) && !known(engine, e->d_name))
            strv_push(&names, e->d_name);
    return names;
}

static void gone(const char *what, const char *id, int rc, const struct err *err)
{
    if (rc < 0)
        log_warn("clear away %s %s, which no row knows: %s", what, id, err->msg);
    else
        log_info("cleared away %s %s, which no row knows", what, id);
}

/* Pinned namespaces and tmpfs first: a tree with mounts in it cannot be removed. */
static int clear_pod_dir(struct engine *engine, const char *id, struct err *err)
{
    static const char *const mounts[] = {"ipc", "uts", "shm"};
    autofree char *dir = path_join(engine->pods_dir, id);

    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        autofree char *path = path_join(dir, mounts[i]);

        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            ;
    }
    return fs_remove_tree(AT_FDCWD, dir, err);
}

static int clear_netns(struct engine *engine, const char *id, struct err *err)
{
    autofree char *path = path_join(engine->netns_dir, id);

    return netns_remove(path, err);
}

static int clear_userns(struct engine *engine, const char *id, struct err *err)
{
    autofree char *path = path_join(engine->userns_dir, id);

    return userns_remove(path, err);
}

static int clear_rootfs(struct engine *engine, const char *id, struct err *err)
{
    autofree char *dir = path_join(engine->rootfs_dir, id);

    if (volumes_unmount(engine, dir, err) < 0 || rootfs_unmount(engine->images, dir, err) < 0)
        return -1;
    return fs_remove_tree(AT_FDCWD, dir, err);
}

static int clear_run(struct engine *engine, const char *id, struct err *err)
{
    autofree char *dir = path_join(engine->containers_dir, id);
    struct process monitor;

    if (monitor_find(id, &monitor))
        monitor_kill(&monitor, false, deadline_in(KILL_TIMEOUT));
    return fs_remove_tree(AT_FDCWD, dir, err);
}

static int clear_runc(struct engine *engine, const char *id, struct err *err)
{
    autofree char *dir = path_join(engine->runc_dir, id);

    return fs_remove_tree(AT_FDCWD, dir, err);
}

static int clear_exit(struct engine *engine, const char *id, struct err *err)
{
    return exits_forget(engine, id, err);
}

static int clear_cgroup(struct engine *engine, const char *id, struct err *err)
{
    autofree char *path = path_join(engine->cgroup_root, id);

    if (cgroup_kill(&engine->cgroups, path, deadline_in(KILL_TIMEOUT), err) < 0)
        return -1;
    return cgroup_remove(&engine->cgroups, path, deadline_in(CGROUP_REMOVE_TIMEOUT), err);
}

static void clear(struct engine *engine, const char *what, char **ids,
                  int (*f)(struct engine *engine, const char *id, struct err *err))
{
    for (char **id = ids; id && *id; id++) {
        struct err err = ERR_INIT;

        gone(what, *id, f(engine, *id, &err), &err);
    }
    strv_free(ids);
}

static char **stranger_cgroups(struct engine *engine)
{
    autostrv char **all = cgroup_children(&engine->cgroups, engine->cgroup_root);
    char **names = NULL;

    for (char **n = all; n && *n; n++)
        if (id_is_valid(*n) && !pod_known(engine, *n))
            strv_push(&names, *n);
    return names;
}

/* Ids of exit files, and of those that monitors have only reserved: ".ID.tmp". */
static char **stranger_exits(struct engine *engine)
{
    autodir DIR *d = opendir(engine->exits_dir);
    const struct dirent *e;
    char **ids = NULL;

    while (d && (e = readdir(d))) {
        const char *name = e->d_name + (e->d_name[0] == '.');
        autofree char *id = xstrndup(name, strcspn(name, "."));

        if (id_is_valid(id) && !container_known(engine, id) && !strv_contains(ids, id))
            strv_push(&ids, id);
    }
    return ids;
}

/* What runs first, then what it held. */
void census_clean(struct engine *engine)
{
    clear(engine, "cgroup", stranger_cgroups(engine), clear_cgroup);
    clear(engine, "container directory", strangers(engine, engine->containers_dir, container_known),
          clear_run);
    clear(engine, "runtime state", strangers(engine, engine->runc_dir, container_known),
          clear_runc);
    clear(engine, "root filesystem", strangers(engine, engine->rootfs_dir, container_known),
          clear_rootfs);
    clear(engine, "pod directory", strangers(engine, engine->pods_dir, pod_known), clear_pod_dir);
    clear(engine, "network namespace", strangers(engine, engine->netns_dir, pod_known),
          clear_netns);
    clear(engine, "user namespace", strangers(engine, engine->userns_dir, pod_known), clear_userns);
    clear(engine, "exit file", stranger_exits(engine), clear_exit);
}

/* ------------------------------------------------------------------------ count */

static size_t count_ids(const char *dir)
{
    autodir DIR *d = opendir(dir);
    const struct dirent *e;
    size_t n = 0;

    while (d && (e = readdir(d)))
        n += id_is_valid(e->d_name);
    return n;
}

static size_t count_cgroups(struct engine *engine)
{
    autostrv char **names = cgroup_children(&engine->cgroups, engine->cgroup_root);
    size_t n = 0;

    for (char **p = names; p && *p; p++)
        n += id_is_valid(*p);
    return n;
}

/* Mounts at or below our own directories. */
static size_t count_mounts(struct engine *engine)
{
    autofree char *text = NULL, *run = xasprintf(" %s/", engine->config->run_dir),
                  *root = xasprintf(" %s/", engine->rootfs_dir);
    char *save = NULL;
    size_t n = 0;

    if (fs_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, NULL, NULL) < 0)
        return 0;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        const char *dash = strstr(l, " - ");
        const char *a = strstr(l, run), *b = strstr(l, root);

        n += (a && a < dash) || (b && b < dash);
    }
    return n;
}

char *engine_census(struct engine *engine)
{
    autojson *o = json_object();
    struct container *c;
    size_t monitors = 0, taps = 0, pods, containers;

    mutex_lock(&engine->lock);
    pods = engine->pods_by_id.live;
    containers = engine->containers_by_id.live;
    TAILQ_FOREACH (c, &engine->containers, link) {
        monitors += c->monitor.pid != 0;
        taps += c->pod->guest == c;
    }
    mutex_unlock(&engine->lock);
    json_put(o, "pods", json_integer((json_int_t)pods));
    json_put(o, "containers", json_integer((json_int_t)containers));
    json_put(o, "cgroups", json_integer((json_int_t)count_cgroups(engine)));
    json_put(o, "netns", json_integer((json_int_t)count_ids(engine->netns_dir)));
    json_put(o, "userns", json_integer((json_int_t)count_ids(engine->userns_dir)));
    json_put(o, "mounts", json_integer((json_int_t)count_mounts(engine)));
    json_put(o, "pod_dirs", json_integer((json_int_t)count_ids(engine->pods_dir)));
    json_put(o, "container_dirs", json_integer((json_int_t)count_ids(engine->containers_dir)));
    json_put(o, "rootfs_dirs", json_integer((json_int_t)count_ids(engine->rootfs_dir)));
    json_put(o, "runtime_states", json_integer((json_int_t)count_ids(engine->runc_dir)));
    json_put(o, "exit_files", json_integer((json_int_t)count_ids(engine->exits_dir)));
    json_put(o, "taps", json_integer((json_int_t)taps));
    json_put(o, "monitors", json_integer((json_int_t)monitors));
    json_put(o, "owed_dels", json_integer((json_int_t)debts_count(engine)));
    json_put(o, "jobs", json_integer((json_int_t)jobs_running(engine->jobs)));
    return json_text(o);
}

bool engine_cgroup_v2(const struct engine *engine)
{
    return engine->cgroups.v2;
}
