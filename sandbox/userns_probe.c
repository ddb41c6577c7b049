/* SPDX-License-Identifier: Apache-2.0 */
/* userns_probe - see userns_probe.h. */
#include "sandbox/userns_probe.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#define FAILURE_LASTS (60 * NSEC_PER_SEC)
#define PROBE_HOST_ID 65536
#define PROBE_IDS     65536

/* The users inside walk to their root filesystem and to the pod's files themselves. */
static int check_searchable(const char *dir, struct err *err)
{
    autofree char *path = xstrdup(dir);
    struct stat st;

    for (char *p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (stat(path, &st) < 0)
            return err_sys(err, "look at '%s'", path);
        if (!(st.st_mode & S_IXOTH))
            return err_set(err, ERR_UNSUPPORTED,
                           "directory '%s' is not searchable for others (chmod o+x)", path);
        if (c == '\0')
            return 0;
        *p = c;
    }
}

int userns_of_maps(struct engine *engine, const struct mount_spec *mount, int *ret, struct err *err)
{
    autons_holder holder = NS_HOLDER_NONE;

    if (ns_holder_start(engine, CLONE_NEWUSER, -1, &holder, err) < 0 ||
        userns_write_map(&holder, "uid_map", mount->uids, mount->n_uids, err) < 0 ||
        userns_write_map(&holder, "gid_map", mount->gids, mount->n_gids, err) < 0)
        return -1;

    autofree char *path = ns_holder_file(&holder, "ns/user");
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    *ret = TAKE_FD(fd);
    return 0;
}

static int try(struct engine *engine, struct err *err)
{
    struct id_map map = {.host_id = PROBE_HOST_ID, .length = PROBE_IDS};
    const struct mount_spec mount = {.uids = &map, .n_uids = 1, .gids = &map, .n_gids = 1};
    autofd int fd = -1;

    if (check_searchable(engine->rootfs_dir, err) < 0 ||
        check_searchable(engine->pods_dir, err) < 0 || userns_of_maps(engine, &mount, &fd, err) < 0)
        return -1;
    return rootfs_idmap_check(engine->images, fd, err);
}

int userns_probe(struct engine *engine, struct err *err)
{
    struct err why = ERR_INIT;
    bool known, works;

    mutex_lock(&engine->lock);
    works = engine->userns.works;
    known = works || (engine->userns.at && clock_mono() - engine->userns.at < FAILURE_LASTS);
    if (known)
        (void)snprintf(why.msg, sizeof(why.msg), "%s", engine->userns.why);
    mutex_unlock(&engine->lock);
    if (!known) {
        works = try(engine, &why) == 0;
        mutex_lock(&engine->lock);
        engine->userns.works = works;
        engine->userns.at = clock_mono();
        (void)snprintf(engine->userns.why, sizeof(engine->userns.why), "%s", why.msg);
        mutex_unlock(&engine->lock);
    }
    return works ? 0
                 : err_set(err, ERR_UNSUPPORTED, "user namespaces do not work on this node: %s",
                           why.msg);
}
