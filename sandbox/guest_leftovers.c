/* SPDX-License-Identifier: Apache-2.0 */
/* guest_leftovers - see guest_leftovers.h. */
#include "sandbox/guest_leftovers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/debug/leftovers.h"
#include "sandbox/guest_watch.h"

#define FILE_NAME     "leftovers"
#define LEAVE_TIMEOUT (2 * NSEC_PER_SEC) /* for a debugger to notice that its client has gone */
#define LEAVE_PAUSE   (5 * NSEC_PER_MSEC)

static int open_file(const struct container *c, int flags)
{
    autofree char *path = path_join(c->run_dir, FILE_NAME);

    return open(path, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int guest_leftovers_open(const struct container *c, struct err *err)
{
    autofd int fd = open_file(c, O_CREAT);

    if (fd < 0 || ftruncate(fd, sizeof(struct leftovers)) < 0)
        return err_sys(err, "container '%s': file of a debugger's changes", c->id);
    return TAKE_FD(fd);
}

static bool read_file(int fd, struct leftovers *ret)
{
    return fd >= 0 && pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) &&
           leftovers_any(ret);
}

static struct process vmm_of(const struct container *c, uint64_t *ret_memory)
{
    struct process vmm;

    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    *ret_memory = c->guest_memory;
    mutex_unlock(&c->engine->lock);
    return vmm;
}

void guest_leftovers_undo(const struct container *c)
{
    autofd int fd = open_file(c, 0);
    struct leftovers l;
    uint64_t memory;
    struct process vmm = vmm_of(c, &memory);

    if (!read_file(fd, &l) || !vmm.pid || guest_tracer(&vmm))
        return;

    autofree char *path = xasprintf("/proc/%d/mem", vmm.pid);
    autofd int mem = open(path, O_RDWR | O_CLOEXEC);

    if (!process_alive(&vmm)) /* and so was it when its memory was opened */
        return;
    if (mem < 0 || !leftovers_undo(&l, mem, memory) ||
        pwrite(fd, &l, sizeof(l), 0) != (ssize_t)sizeof(l))
        log_warn("container %s: a debugger's breakpoints are still in the guest", c->id);
    else
        log_info("container %s: a killed debugger's breakpoints are taken out", c->id);
}

/* Its client went with the daemon that served it. */
static void send_away(const struct container *c)
{
    deadline_t deadline = deadline_in(LEAVE_TIMEOUT);
    uint64_t memory;
    struct process vmm = vmm_of(c, &memory);
    struct err err = ERR_INIT;
    bool killed = false;
    pid_t tracer;

    while (vmm.pid && (tracer = guest_tracer(&vmm)) != 0) {
        autopidref p = PIDREF_NONE;
        bool late = deadline_passed(deadline);

        if (late && killed)
            return;
        /* Held before it is looked at: the number cannot come to mean another. */
        if (late && pidref_open(tracer, 0, &p, NULL) == 0 && guest_tracer_is(tracer, "gdb")) {
            if (pidref_kill(&p, SIGKILL, &err) < 0)
                log_warn("container %s: its debugger: %s", c->id, err.msg);
            deadline = deadline_in(LEAVE_TIMEOUT);
        }
        killed = late;
        clock_sleep_until(deadline_in(LEAVE_PAUSE));
    }
}

static void adopted_work(struct engine *engine, void *arg)
{
    autocontainer *c = arg;

    (void)engine;
    send_away(c);
    guest_leftovers_undo(c);
}

void guest_leftovers_adopted(struct container *c)
{
    autofd int fd = open_file(c, 0);
    struct leftovers l;

    if (!read_file(fd, &l))
        return;
    log_info("container %s: a debugger has outlived its daemon, or has been killed with it", c->id);
    if (!engine_background(c->engine, adopted_work, container_ref(c)))
        container_unref(c);
}
