/* SPDX-License-Identifier: Apache-2.0 */
/* guest_session - see guest_session.h. */
#include "sandbox/guest_session.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_run.h"

#define MARK_NAME     "debugged"
#define BEGIN_TIMEOUT (5 * NSEC_PER_SEC)
#define END_TIMEOUT   (5 * NSEC_PER_SEC)

static int mark(const struct container *c, struct err *err)
{
    autofree char *path = path_join(c->run_dir, MARK_NAME);
    autofd int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? err_sys(err, "create '%s'", path) : 0;
}

static bool is_marked(const struct container *c)
{
    autofree char *path = path_join(c->run_dir, MARK_NAME);

    return access(path, F_OK) == 0;
}

static int take(struct container *c, struct err *err)
{
    bool taken;

    mutex_lock(&c->engine->lock);
    taken = c->has_debugger;
    c->has_debugger = true;
    mutex_unlock(&c->engine->lock);
    return taken
               ? err_set(err, ERR_STATE, "container '%s': another debugger is at its guest", c->id)
               : 0;
}

static void give_back(struct container *c)
{
    mutex_lock(&c->engine->lock);
    c->has_debugger = false;
    mutex_unlock(&c->engine->lock);
}

static int ask_begin(struct container *c, int gdb_fd, struct err *err)
{
    deadline_t deadline = deadline_in(BEGIN_TIMEOUT);
    autofd int api = guest_connect(c, deadline, err);

    return api < 0 ? -1 : guest_driver(c)->debug_begin(api, gdb_fd, deadline, err);
}

int guest_gdb_begin(struct container *c, struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(err, "make a socket");

    autofd int ours = ends[0];
    autofd int theirs = ends[1];

    if (take(c, err) < 0)
        return -1;
    if (mark(c, err) < 0) {
        give_back(c);
        return -1;
    }
    if (ask_begin(c, theirs, err) < 0) {
        err_wrap(err, "container '%s': its VMM", c->id);
        guest_gdb_end(c);
        return -1;
    }
    return TAKE_FD(ours);
}

void guest_gdb_end(struct container *c)
{
    deadline_t deadline = deadline_in(END_TIMEOUT);
    autofree char *path = path_join(c->run_dir, MARK_NAME);
    struct err err = ERR_INIT;
    autofd int api = guest_connect(c, deadline, &err);
    char line[VMM_RECORD_LINE] = "";
    bool ended = api >= 0 && guest_driver(c)->debug_end(api, deadline, line, &err) == 0;

    if (!ended && guest_lives(c))
        log_warn("container %s: end a debugger's session: %s", c->id, err.msg);
    else
        (void)unlink(path);
    if (*line)
        guest_record_add(c, line);
    give_back(c);
}

int guest_core_begin(struct container *c, struct err *err)
{
    deadline_t deadline = deadline_in(BEGIN_TIMEOUT);
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");

    autofd int out = ends[0];
    autofd int in = ends[1];
    autofd int api = guest_connect(c, deadline, err);

    if (api < 0 || guest_driver(c)->dump(api, in, deadline, err) < 0)
        return err_wrap(err, "container '%s': its VMM", c->id);
    return TAKE_FD(out);
}

static void adopted_work(struct engine *engine, void *arg)
{
    autocontainer *c = arg;

    (void)engine;
    log_info("container %s: a debugger's session outlived its daemon: it ends", c->id);
    guest_gdb_end(c);
}

void guest_gdb_adopted(struct container *c)
{
    const struct vmm_driver *driver = guest_driver(c);
    struct err ignored = ERR_INIT;

    if (!driver || !driver->debug_end || !is_marked(c) || take(c, &ignored) < 0)
        return;
    if (!engine_background(c->engine, adopted_work, container_ref(c))) {
        give_back(c);
        container_unref(c);
    }
}
