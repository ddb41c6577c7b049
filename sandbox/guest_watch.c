/* SPDX-License-Identifier: Apache-2.0 */
/* guest_watch - see guest_watch.h. */
#include "sandbox/guest_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_debug.h"
#include "sandbox/guest_run.h"
#include "sandbox/handlers.h"

#define CORE_NAME       "core"
#define WHY_NAME        "core.why"
#define WHY_MAX_BYTES   256
#define PROC_MAX_BYTES  4096
#define ASIDE_TIMEOUT   (3 * NSEC_PER_SEC)
#define ASIDE_PAUSE     (5 * NSEC_PER_MSEC)
#define ATTACH_TIMEOUT  (2 * NSEC_PER_SEC)
#define ATTACH_PAUSE    NSEC_PER_MSEC
#define MOVED_ASIDE_ARG "watch"

bool guest_watch_wanted(const struct container *c)
{
    return c->runtime == &runtime_unikernel && c->handler->crash_cores > 0 &&
           str_has_prefix(c->runtime_name, "tender-");
}

bool guest_watch_holds(const struct container *c)
{
    const struct vmm_driver *driver = guest_driver(c);

    return c->runtime == &runtime_unikernel && c->handler->crash_cores > 0 && driver &&
           driver->stands;
}

/* In either way. */
static bool wants_core(const struct container *c)
{
    return guest_watch_wanted(c) || guest_watch_holds(c);
}

static int create(const struct container *c, const char *name, struct err *err)
{
    autofree char *path = path_join(c->rootfs_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? err_sys(err, "create '%s'", path) : fd;
}

/* ------------------------------------------------------------- somebody traces */

pid_t guest_tracer(const struct process *vmm)
{
    autofree char *path = xasprintf("/proc/%d/status", vmm->pid), *text = NULL;
    const char *p;
    int n = 0;

    if (fs_read_file(AT_FDCWD, path, PROC_MAX_BYTES, &text, NULL, NULL) < 0)
        return 0;
    p = strstr(text, "\nTracerPid:\t");
    return p && (p += strlen("\nTracerPid:\t"), scan_int(&p, &n)) ? n : 0;
}

bool guest_tracer_is(pid_t pid, const char *command)
{
    autofree char *path = xasprintf("/proc/%d/cmdline", pid), *text = NULL;
    size_t len;

    return fs_read_file(AT_FDCWD, path, PROC_MAX_BYTES, &text, &len, NULL) == 0 &&
           str_eq(text, "unicri-debug") && len > sizeof("unicri-debug") &&
           str_eq(text + sizeof("unicri-debug"), command);
}

/* So that who has been told that the guest runs can count on it. */
static void wait_attached(const struct container *c, const struct process *watcher)
{
    deadline_t deadline = deadline_in(ATTACH_TIMEOUT);
    struct process vmm;

    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    mutex_unlock(&c->engine->lock);
    while (process_alive(watcher) && process_alive(&vmm) && guest_tracer(&vmm) != watcher->pid &&
           !deadline_passed(deadline))
        clock_sleep_until(deadline_in(ATTACH_PAUSE));
}

void guest_watch_start(struct container *c)
{
    struct err err = ERR_INIT;
    struct process watcher;

    if (!guest_watch_wanted(c))
        return;

    autofd int core = create(c, CORE_NAME, &err);
    autofd int why = core < 0 ? -1 : create(c, WHY_NAME, &err);

    if (why < 0 || guest_debug_watch(c, core, why, &watcher, &err) < 0) {
        log_warn("container %s: no core file if its guest crashes: %s", c->id, err.msg);
        return;
    }
    wait_attached(c, &watcher);
    engine_reap_at_its_end(c->engine, &watcher);
}

void guest_watch_stop(const struct container *c)
{
    deadline_t deadline = deadline_in(ASIDE_TIMEOUT);
    autopidref p = PIDREF_NONE;
    struct err err = ERR_INIT;
    struct process vmm;
    pid_t tracer;

    if (!guest_watch_wanted(c))
        return;
    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    mutex_unlock(&c->engine->lock);
    tracer = vmm.pid ? guest_tracer(&vmm) : 0;
    /* Held before it is looked at: the number cannot come to mean another. */
    if (!tracer || pidref_open(tracer, 0, &p, NULL) < 0 ||
        !guest_tracer_is(tracer, MOVED_ASIDE_ARG))
        return;
    if (pidref_kill(&p, SIGTERM, &err) < 0)
        log_warn("container %s: its watcher: %s", c->id, err.msg);
    while (guest_tracer(&vmm) == tracer && !deadline_passed(deadline))
        clock_sleep_until(deadline_in(ASIDE_PAUSE));
}

/* ------------------------------------------------------------ held by its VMM */

bool guest_watch_dump(struct container *c)
{
    struct err err = ERR_INIT;
    autofree char *path = path_join(c->rootfs_dir, CORE_NAME);
    autofd int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    autofd int why = fd < 0 ? -1 : create(c, WHY_NAME, &err);
    struct stat st;

    if (why < 0 || fstat(fd, &st) < 0) {
        log_warn("container %s: no core file of its guest: %s", c->id, err.msg);
        return true;
    }
    /* The lock is the writer's, too: one that a killed daemon has begun is waited for. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    if (st.st_size == 0 && guest_debug_dump(c, fd, why, &err) < 0) {
        log_warn("container %s: no core file of its guest: %s", c->id, err.msg);
        if (write(why, err.msg, strlen(err.msg)) < 0)
            log_debug("ignoring: say so: %s", strerror(errno));
    }
    return true;
}

/* ------------------------------------------------------------------- the files */

static int64_t core_bytes(const struct container *c, nsec_t *ret_time)
{
    autofree char *path = path_join(c->rootfs_dir, CORE_NAME);
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    *ret_time = (nsec_t)st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
    return st.st_size;
}

/* The oldest go until the handler's containers have as many as it keeps. */
static void keep_newest(struct engine *engine, const struct handler *handler)
{
    struct container **list;
    size_t n = containers_of(engine, NULL, &list);

    for (;;) {
        struct container *oldest = NULL;
        nsec_t oldest_time = 0, time;
        unsigned there = 0;

        for (size_t i = 0; i < n; i++) {
            if (list[i]->handler != handler || !wants_core(list[i]) || !core_bytes(list[i], &time))
                continue;
            there++;
            if (!oldest || time < oldest_time) {
                oldest = list[i];
                oldest_time = time;
            }
        }
        if (there <= handler->crash_cores || !oldest)
            break;

        autofree char *path = path_join(oldest->rootfs_dir, CORE_NAME);

        if (unlink(path) < 0)
            break;
        log_info("container %s: core file removed: there are newer ones", oldest->id);
    }
    containers_free(list, n);
}

char *guest_watch_ended(struct container *c)
{
    autofree char *path = path_join(c->rootfs_dir, CORE_NAME), *why = NULL;
    autofree char *why_path = path_join(c->rootfs_dir, WHY_NAME);
    nsec_t time;
    int64_t bytes;

    if (!wants_core(c))
        return NULL;
    bytes = core_bytes(c, &time);
    if (bytes > 0) {
        keep_newest(c->engine, c->handler);
        return xasprintf("core file (%lld bytes, until the container is removed): %s",
                         (long long)bytes, path);
    }
    if (fs_read_file(AT_FDCWD, why_path, WHY_MAX_BYTES, &why, NULL, NULL) < 0 || !*why)
        return NULL;
    why[strcspn(why, "\n")] = '\0';
    return xasprintf("no core file: %s", why);
}
