/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint - see checkpoint.h: the request, the row, the file that gets its name last. */
#include "sandbox/checkpoint.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/runtime.h"

#define PARTIAL ".partial"

/* --------------------------------------------------------------------- location */

/* Returns: the directory; *ret_name points into `location`. */
static int open_parent(const char *location, const char **ret_name, struct err *err)
{
    const char *slash = strrchr(location, '/');
    struct stat st;

    if (location[0] != '/' || strlen(location) >= PATH_MAX - sizeof(PARTIAL) ||
        !name_is_safe(slash + 1) || strlen(slash) > NAME_MAX - sizeof(PARTIAL))
        return err_set(err, ERR_INVALID, "location '%.200s': not the absolute path of a file",
                       location);

    autofree char *parent = xstrndup(location, (size_t)(slash - location) + 1);
    autofd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_sys(err, "location '%s': directory", location);
    if (fstatat(dir, slash + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "location '%s': is there and not a file", location);
    *ret_name = slash + 1;
    return TAKE_FD(dir);
}

/* A file without a name where the filesystem can; else *ret_named and NAME.partial. */
static int create(int dir, const char *name, bool *ret_named, struct err *err)
{
    autofree char *partial = xasprintf("%s" PARTIAL, name);
    int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    *ret_named = fd < 0;
    if (fd >= 0)
        return fd;
    (void)unlinkat(dir, partial, 0);
    fd = openat(dir, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_sys(err, "create '%s'", partial) : fd;
}

static int publish(int dir, int fd, const char *name, bool named, struct err *err)
{
    autofree char *partial = xasprintf("%s" PARTIAL, name);
    char self[64];

    if (fsync(fd) < 0)
        return err_sys(err, "sync '%s'", name);
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (!named) {
        if (linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        if (errno != EEXIST)
            return err_sys(err, "name '%s'", name);
        (void)unlinkat(dir, partial, 0); /* of an attempt that was cut off */
        if (linkat(AT_FDCWD, self, dir, partial, AT_SYMLINK_FOLLOW) < 0)
            return err_sys(err, "name '%s'", name);
    }
    if (renameat(dir, partial, dir, name) == 0)
        return 0;
    (void)err_sys(err, "name '%s'", name);
    (void)unlinkat(dir, partial, 0);
    return -1;
}

static int write_file(const struct checkpoint *k, const char *location, struct err *err)
{
    const char *name = NULL;
    autofd int dir = open_parent(location, &name, err);
    bool named = false;
    uint64_t room = 0;

    if (dir < 0)
        return -1;

    autofd int fd = create(dir, name, &named, err);
    struct tar_out out = {.fd = fd, .deadline = k->deadline};

    if (fd < 0)
        return -1;
    if (checkpoint_room(k, fd, &room, err) == 0) {
        out.room = room;
        if (checkpoint_archive(k, &out, err) == 0)
            return publish(dir, fd, name, named, err);
    }
    if (named) {
        autofree char *partial = xasprintf("%s" PARTIAL, name);

        (void)unlinkat(dir, partial, 0);
    }
    return -1;
}

/* ------------------------------------------------------------------------- work */

int checkpoint_room(const struct checkpoint *k, int fd, uint64_t *ret, struct err *err)
{
    const uint64_t reserve = (uint64_t)k->c->engine->config->reserve_bytes;
    char self[64];
    uint64_t have;

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (fs_free_bytes(self, &have, err) < 0)
        return -1;
    *ret = have > reserve ? have - reserve : 0;
    return 0;
}

static int make(struct checkpoint *k, const char *location, struct err *err)
{
    autofree char *images = path_join(k->work, CHECKPOINT_DIR);

    if (fs_remove_tree(AT_FDCWD, k->work, err) < 0 || fs_mkdir(AT_FDCWD, k->work, 0700, err) < 0 ||
        fs_mkdir(AT_FDCWD, images, 0700, err) < 0)
        return -1;
    k->work_fd = open(k->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (k->work_fd < 0)
        return err_sys(err, "open '%s'", k->work);
    if (checkpoint_dump(k, err) < 0)
        return -1;
    FAULT_POINT("container.checkpoint.archive");
    return write_file(k, location, err);
}

static char *work_dir(const struct container *c)
{
    return path_join(c->rootfs_dir, CHECKPOINT_DIR);
}

/* The container's end says more than what it did to CRIU. */
static int explain(struct container *c, struct err *err)
{
    if (container_state(c) == CONTAINER_EXITED)
        return err_set(err, ERR_STATE, "container '%s' has ended", c->id);
    return err_wrap(err, "checkpoint container '%s'", c->spec->name);
}

static int set_row(struct container *c, bool checkpointing, struct err *err)
{
    c->checkpointing = checkpointing;
    return container_save_runtime(c, err);
}

static int work(struct container *c, const char *location, nsec_t timeout, struct err *err)
{
    autofree char *dir = work_dir(c);
    struct checkpoint k = {.c = c, .work = dir, .work_fd = -1, .deadline = deadline_in(timeout)};
    enum container_state state = container_state(c);
    struct err ignored = ERR_INIT;

    if (state != CONTAINER_RUNNING)
        return err_set(err, ERR_STATE, "container '%s' is %s, not RUNNING", c->id,
                       state_name(&container_states, state));
    if (checkpoint_criu_check(k.deadline, err) < 0 || set_row(c, true, err) < 0)
        return err_wrap(err, "checkpoint container '%s'", c->spec->name);

    int rc = make(&k, location, err);

    (void)close_fd(k.work_fd);
    if (fs_remove_tree(AT_FDCWD, dir, &ignored) < 0 || set_row(c, false, &ignored) < 0)
        log_warn("container %s: after its checkpoint: %s", c->id, ignored.msg);
    return rc < 0 ? explain(c, err) : 0;
}

int container_checkpoint(struct engine *engine, const char *id, const char *location,
                         nsec_t timeout, const struct caller *caller, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    autofree char *what = xasprintf("checkpoint %s", location);
    const char *name = NULL;
    struct job *job;

    if (!c || container_state(c) == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
    if (c->runtime != &runtime_runc)
        return err_set(err, ERR_UNSUPPORTED,
                       "container '%s' is a unikernel: CRIU cannot checkpoint what runs in a "
                       "virtual machine",
                       id);

    autofd int dir = open_parent(location, &name, err); /* before anything stands still for it */

    if (dir < 0)
        return -1;

    int rc = jobs_enter(engine->jobs, id, what, caller, &job, NULL, err);

    if (rc <= 0)
        return rc;
    rc = work(c, location, timeout > 0 ? timeout : engine->config->runtime_timeout, err);
    if (rc < 0)
        engine_out_of_space(engine, err);
    return jobs_leave(job, rc, NULL, err);
}

void checkpoint_forget(struct container *c)
{
    autofree char *dir = work_dir(c);
    struct err err = ERR_INIT;

    if (!c->checkpointing)
        return;
    cgroup_thaw(&c->engine->cgroups, c->cgroup);
    if (fs_remove_tree(AT_FDCWD, dir, &err) < 0 || set_row(c, false, &err) < 0)
        log_warn("container %s: a checkpoint of it was cut off: %s", c->id, err.msg);
}
