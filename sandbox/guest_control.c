/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_control - the daemon's way to the API of a guest's VMM; see guest_run.h.
 *
 * A connection is made when one is needed and closed after: it works the same after a restart of
 * the daemon. Where the VMM makes the socket itself, its root is hostile ground: it is entered
 * through /proc/PID/root of the very process, no link is followed there, and what is found must be
 * a socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_run.h"
#include "sandbox/start_phases.h"

#define API_NAME         "api"
#define RECORD_NAME      "end"
#define RECORD_MAX_BYTES 4096
#define PATH_PAUSE       (5 * NSEC_PER_MSEC)
#define LAST_WORDS_WAIT  (2 * NSEC_PER_SEC)
#define SHUTDOWN_TIMEOUT (2 * NSEC_PER_SEC)
#define EXIT_FILE_MAX    4096

const struct vmm_driver *guest_driver(const struct container *c)
{
    return vmm_driver_find(c->runtime_name);
}

/* A directory's descriptor keeps the address short, whatever the path is. */
static void address_at(struct sockaddr_un *addr, int dir, const char *name)
{
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d%s%s", dir,
                   *name ? "/" : "", name);
}

static int open_run_dir(const struct container *c, struct err *err)
{
    int dir = open(c->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return dir < 0 ? err_sys(err, "open '%s'", c->run_dir) : dir;
}

int guest_listen(const struct container *c, struct err *err)
{
    autofd int dir = open_run_dir(c, err);
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr;

    if (dir < 0)
        return -1;
    if (fd < 0)
        return err_sys(err, "make a socket");
    if (unlinkat(dir, API_NAME, 0) < 0 && errno != ENOENT)
        return err_sys(err, "remove socket '%s'", API_NAME);
    address_at(&addr, dir, API_NAME);
    /* The directory is root's alone; nobody else can connect before the mode is set. */
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        fchmodat(dir, API_NAME, 0600, 0) < 0 || listen(fd, 1) < 0)
        return err_sys(err, "listen on socket '%s/%s'", c->run_dir, API_NAME);
    return TAKE_FD(fd);
}

int guest_record_open(const struct container *c, struct err *err)
{
    autofd int dir = open_run_dir(c, err);

    if (dir < 0)
        return -1;

    autofd int fd =
        openat(dir, RECORD_NAME, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 || fchown(fd, c->jail_uid, c->jail_uid) < 0)
        return err_sys(err, "create '%s/%s'", c->run_dir, RECORD_NAME);
    return TAKE_FD(fd);
}

void guest_record_add(const struct container *c, const char *line)
{
    autofree char *path = path_join(c->run_dir, RECORD_NAME);
    autofd int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && write(fd, line, strlen(line)) < 0)
        log_warn("container %s: note that its guest ended: %s", c->id, strerror(errno));
}

char *guest_record_read(const struct container *c)
{
    autofree char *path = path_join(c->run_dir, RECORD_NAME);
    autofd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    char *text = xcalloc(1, 2 * RECORD_MAX_BYTES + 1);
    ssize_t n = fd < 0 ? -1 : read(fd, text, RECORD_MAX_BYTES);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

    if (n < 0 || end < 0) {
        free(text);
        return NULL;
    }
    /* How a guest ended stands at the end, however much its VMM wrote before. */
    if (n == RECORD_MAX_BYTES && end > n)
        (void)!pread(fd, text + n, RECORD_MAX_BYTES,
                     end < 2 * RECORD_MAX_BYTES ? n : end - RECORD_MAX_BYTES);
    return text;
}

/* ------------------------------------------------------------------- connecting */

/* Returns: an O_PATH descriptor of the socket that the VMM made, or -1; *ret_absent: not yet. */
static int find_socket(const struct process *vmm, const char *path, bool *ret_absent,
                       struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                           .resolve =
                               RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    char proc[64];
    struct stat st;

    (void)snprintf(proc, sizeof(proc), "/proc/%d/root", vmm->pid);

    autofd int root = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);

    *ret_absent = false;
    if (root < 0 || !process_alive(vmm))
        return err_set(err, ERR_UNAVAILABLE, "the VMM has ended");

    autofd int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

    if (fd < 0) {
        *ret_absent = errno == ENOENT;
        return err_sys(err, "the VMM's socket '%s'", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CORRUPT, "the VMM's socket '%s': is none", path);
    return TAKE_FD(fd);
}

/* Returns: fd, or -1; *ret_absent: nobody listens yet. */
static int connect_once(const struct container *c, const struct vmm_driver *driver,
                        const struct process *vmm, bool *ret_absent, struct err *err)
{
    bool listener = driver->control == VMM_CONTROL_LISTENER;
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un addr;

    *ret_absent = false;

    autofd int at =
        listener ? open_run_dir(c, err) : find_socket(vmm, driver->control_path, ret_absent, err);

    if (at < 0)
        return -1;
    if (fd < 0)
        return err_sys(err, "make a socket");
    address_at(&addr, at, listener ? API_NAME : "");
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        /* Another client waits there already; or it is made, but the VMM does not listen yet. */
        *ret_absent = errno == EAGAIN || (!listener && errno == ECONNREFUSED);
        return err_set(err, ERR_UNAVAILABLE, "the VMM's API does not answer: %s", strerror(errno));
    }
    return TAKE_FD(fd);
}

static int connect_api(const struct container *c, const struct vmm_driver *driver,
                       deadline_t deadline, struct err *err)
{
    struct process vmm;

    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    mutex_unlock(&c->engine->lock);
    for (;;) {
        struct err why = ERR_INIT;
        bool absent;
        int fd = connect_once(c, driver, &vmm, &absent, &why);

        if (fd >= 0)
            return fd;
        if (!absent || deadline_passed(deadline)) {
            if (absent)
                return err_set(err, ERR_DEADLINE, "the VMM opened no API in time: %s", why.msg);
            *err = why;
            return -1;
        }
        clock_sleep_until(deadline_min(deadline, deadline_in(PATH_PAUSE)));
    }
}

/* --------------------------------------------------------------- start and stop */

/* One that has ended and is not reaped yet has a start time, but no root any more. */
static bool is_running(const struct process *vmm)
{
    char proc[64];

    (void)snprintf(proc, sizeof(proc), "/proc/%d/root", vmm->pid);

    autofd int root = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return root >= 0 && process_alive(vmm);
}

/* The VMM has ended: its own words are better than a connection that broke. One that ended well has
 * run its guest to the end before anybody asked. Returns: false when it has not ended. */
static bool last_words(struct container *c, bool *ret_well, struct err *err)
{
    deadline_t deadline = deadline_in(LAST_WORDS_WAIT);
    struct exit_status status;
    struct process vmm;

    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    mutex_unlock(&c->engine->lock);
    for (;;) {
        autofree char *text = NULL;

        if (fs_read_file(c->engine->exits_fd, c->id, EXIT_FILE_MAX, &text, NULL, NULL) == 0 &&
            exit_status_parse(text, &status, NULL) == 0)
            break;
        if (is_running(&vmm) || deadline_passed(deadline))
            return false;
        clock_sleep_until(deadline_in(PATH_PAUSE));
    }
    *ret_well = status.exited && status.code == 0;
    err_set(err, ERR_UNAVAILABLE, "the VMM ended before its guest ran, with %s %d%s%s",
            status.exited ? "status" : "signal", status.code, *status.message ? ": " : "",
            status.message);
    return true;
}

int guest_connect(const struct container *c, deadline_t deadline, struct err *err)
{
    const struct vmm_driver *driver = guest_driver(c);

    if (!driver || driver->control == VMM_CONTROL_NONE)
        return err_set(err, ERR_UNSUPPORTED, "the guest's VMM has no API");
    return connect_api(c, driver, deadline, err);
}

bool guest_lives(const struct container *c)
{
    struct process vmm;

    mutex_lock(&c->engine->lock);
    vmm = c->workload;
    mutex_unlock(&c->engine->lock);
    return vmm.pid && is_running(&vmm);
}

int guest_started(struct container *c, struct err *err)
{
    const struct vmm_driver *driver = guest_driver(c);
    deadline_t deadline = deadline_in(vmm_ready_timeout(c->engine->vmm));
    nsec_t began = clock_mono();
    struct err why = ERR_INIT;

    if (!driver || driver->control == VMM_CONTROL_NONE || !driver->ready)
        return 0;

    autofd int fd = connect_api(c, driver, deadline, &why);

    if (fd >= 0 && driver->ready(fd, deadline, &why) == 0) {
        phase_over(c, PHASE_API, began);
        return 0;
    }

    bool well = false;

    if (!last_words(c, &well, err) && err)
        *err = why;
    if (well)
        return 0;
    return err_wrap(err, "VMM '%s'", driver->name);
}

void guest_stop(struct container *c, deadline_t deadline, struct err *err)
{
    const struct vmm_driver *driver = guest_driver(c);
    deadline_t soon = deadline_min(deadline, deadline_in(SHUTDOWN_TIMEOUT));
    autofd int fd = connect_api(c, driver, soon, err);

    if (fd < 0 || driver->shutdown(fd, soon, err) < 0)
        err_wrap(err, "ask VMM '%s' to shut its guest down", driver->name);
}
