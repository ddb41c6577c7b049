/* SPDX-License-Identifier: Apache-2.0 */
/* exits - see exits.h. */
#include "sandbox/exits.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_watch.h"
#include "sandbox/monitor/monitor.h"
#include "sandbox/monitor_client.h"
#include "sandbox/runtime.h"
#include "sandbox/start_phases.h"

#define EXIT_FILE_MAX_BYTES  4096
#define FIRST_FILE_MAX_BYTES 64
#define EXIT_CODE_UNKNOWN    255
#define MONITOR_END_TIMEOUT  NSEC_PER_SEC
#define CHILD_END_PAUSE      (200 * NSEC_PER_MSEC) /* ends that come together are looked at once */

/* A workload may end before its start has been recorded: its end is told after that. */
static void wait_started(struct container *c)
{
    struct engine *engine = c->engine;
    deadline_t deadline = deadline_in(engine->config->runtime_timeout + 30 * NSEC_PER_SEC);
    bool in_time = true;

    mutex_lock(&engine->lock);
    while (c->state == CONTAINER_STARTING && in_time)
        in_time = cond_wait(&engine->changed, &engine->lock, deadline);
    mutex_unlock(&engine->lock);
}

/* The reason first; of the console as much as a message has room for. Owned. */
static char *with_console(const char *message, const char *console)
{
    static const char between[] = "; the console ends:\n";
    size_t room = CONTAINER_MESSAGE_MAX - sizeof(between), len = strlen(console);

    if (!*console || strlen(message) > room / 2)
        return xstrdup(message);
    room -= strlen(message);
    if (len > room) {
        const char *line = strchr(console + len - room, '\n');

        console = line ? line + 1 : console + len - room;
    }
    return xasprintf("%s%s%s", message, *message ? between : between + 2, console);
}

/* @asked: somebody wanted it to end. */
static void tell(struct container *c, const struct exit_status *s, bool asked)
{
    int code = s->exited ? s->code : 128 + s->code;
    const char *reason = NULL, *message = NULL;

    c->runtime->explain(c, s->exited, s->code, &code, &reason, &message);
    if (s->helper && container_state(c) != CONTAINER_STOPPING)
        reason = "FileServerEnded";
    if (*s->message || !message)
        message = s->message;

    autofree char *core = guest_watch_ended(c);
    autofree char *both = core ? xasprintf("%s%s%s", message, *message ? "; " : "", core) : NULL;

    if (s->oom) {
        code = 128 + SIGKILL;
        reason = "OOMKilled";
        message = s->message;
    } else if (both) {
        message = both;
    }

    bool well = code == 0 && (!reason || str_eq(reason, "Completed"));
    autofree char *all = with_console(message, asked || well ? "" : s->console);

    container_set_exited(c, s->finished_at, code,
                         reason      ? reason
                         : code == 0 ? "Completed"
                                     : "Error",
                         all);
}

/* Nobody waits for the monitor's own end: closing what it holds may take the kernel a while. */
static void monitor_done(struct container *c)
{
    struct engine *engine = c->engine;
    struct process monitor;
    bool is_child;

    mutex_lock(&engine->lock);
    monitor = c->monitor;
    is_child = c->monitor_is_child;
    c->monitor_done = true;
    c->monitor = (struct process){0};
    c->monitor_is_child = false;
    mutex_unlock(&engine->lock);
    if (is_child)
        engine_reap_later(engine, &monitor);
}

bool exits_take(struct container *c)
{
    struct engine *engine = c->engine;
    autofree char *text = NULL;
    struct exit_status status;
    struct err err = ERR_INIT;

    if (fs_read_file(engine->exits_fd, c->id, EXIT_FILE_MAX_BYTES, &text, NULL, &err) < 0)
        return false;
    wait_started(c);

    enum container_state state = container_state(c);

    if ((state == CONTAINER_RUNNING || state == CONTAINER_STOPPING) && container_claim_end(c)) {
        if (exit_status_parse(text, &status, &err) == 0) {
            tell(c, &status, state == CONTAINER_STOPPING);
        } else {
            log_error("container %s: %s", c->id, err.msg);
            container_set_exited(c, clock_wall(), EXIT_CODE_UNKNOWN, "Unknown",
                                 "its exit status cannot be read");
        }
    }
    /* The row says EXITED now: the file has done its work. */
    monitor_done(c);
    if (container_state(c) == CONTAINER_EXITED && fs_remove(engine->exits_fd, c->id, &err) < 0)
        log_warn("container %s: remove its exit file: %s", c->id, err.msg);
    if (state == CONTAINER_RUNNING || state == CONTAINER_STOPPING)
        container_reap_later(c);
    return true;
}

int exits_forget(struct engine *engine, const char *id, struct err *err)
{
    autofree char *reserved = xasprintf(".%s.tmp", id);
    autofree char *first = xasprintf("%s" MONITOR_FIRST_SUFFIX, id);

    if (fs_remove(engine->exits_fd, reserved, err) < 0 ||
        fs_remove(engine->exits_fd, first, err) < 0)
        return -1;
    return fs_remove(engine->exits_fd, id, err);
}

/* Is it the name of a file that tells of a first byte of output? */
static bool is_first(const char *name)
{
    autofree char *id = xstrndup(name, strcspn(name, "."));

    return str_eq(name + strlen(id), MONITOR_FIRST_SUFFIX) && id_is_valid(id);
}

/*
 * One that is still being written is told again when it is closed, so that two workers may have it
 * at a time: the one that removes it counts.
 */
static void take_first(struct engine *engine, const char *name)
{
    autofree char *text = NULL, *id = xstrndup(name, strcspn(name, "."));
    autocontainer *c = container_find(engine, id);
    long long boot = -1;
    char *end;

    if (fs_read_file(engine->exits_fd, name, FIRST_FILE_MAX_BYTES, &text, NULL, NULL) < 0)
        return;

    long long took = strtoll(text, &end, 10);

    if (*end == ' ')
        boot = strtoll(end + 1, &end, 10);
    if (!str_eq(end, "\n") || took < 0)
        return;
    if (unlinkat(engine->exits_fd, name, 0) == 0) {
        metric_first_byte(took);
        if (c && boot >= 0)
            phase_boot(c, boot);
    } else if (errno != ENOENT) {
        log_debug("ignoring: remove '%s': %s", name, strerror(errno));
    }
}

struct exit_event {
    char name[ID_LEN + sizeof(MONITOR_FIRST_SUFFIX)];
};

static void take_one(struct engine *engine, void *arg)
{
    autofree struct exit_event *e = arg;
    autocontainer *c = container_find(engine, e->name);

    if (c)
        (void)exits_take(c);
    else if (is_first(e->name))
        take_first(engine, e->name);
}

static void scan_work(struct engine *engine, void *arg)
{
    (void)arg;
    exits_scan(engine);
}

/* On the loop: hand over at once. */
static void on_event(void *arg, const char *name)
{
    struct engine *engine = arg;

    if (!name) {
        (void)engine_background(engine, scan_work, NULL);
        return;
    }
    if (!id_is_valid(name) && !is_first(name))
        return;

    struct exit_event *e = XNEW(struct exit_event);

    (void)snprintf(e->name, sizeof(e->name), "%s", name);
    if (!engine_background(engine, take_one, e))
        free(e);
}

int exits_watch(struct engine *engine, struct err *err)
{
    return loop_watch_dir(engine->loop, engine->exits_dir, on_event, engine, err);
}

void exits_scan(struct engine *engine)
{
    autodir DIR *d = opendir(engine->exits_dir);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        autocontainer *c = id_is_valid(e->d_name) ? container_find(engine, e->d_name) : NULL;

        if (c)
            (void)exits_take(c);
        else if (is_first(e->d_name))
            take_first(engine, e->d_name);
    }
}

/* ------------------------------------------------------------------ reconcile */

static void lost(struct container *c, bool killed, const char *message)
{
    struct engine *engine = c->engine;
    struct err err = ERR_INIT;
    bool lived;

    /* Another thread has found it too, or its exit file, which has been removed since. */
    if (!container_claim_end(c))
        return;
    lived = cgroup_populated(&engine->cgroups, c->cgroup);
    metric_lost_monitors();
    log_warn("container %s: %s%s", c->id, message, lived ? "; killing what is left of it" : "");
    if (cgroup_kill(&engine->cgroups, c->cgroup, deadline_in(KILL_TIMEOUT), &err) < 0)
        log_error("container %s: %s", c->id, err.msg);
    container_set_exited(c, clock_wall(), killed || lived ? 128 + SIGKILL : EXIT_CODE_UNKNOWN,
                         "Unknown", message);
    monitor_done(c);
    container_reap_later(c);
}

void exits_lost(struct container *c, const char *message)
{
    lost(c, false, message);
}

/* A stopped process dies of SIGKILL too. It may have written the file at the last moment. */
void exits_deaf(struct container *c)
{
    struct engine *engine = c->engine;
    autopidref p = PIDREF_NONE;
    struct process monitor;
    struct err err = ERR_INIT;

    mutex_lock(&engine->lock);
    monitor = c->monitor;
    mutex_unlock(&engine->lock);
    if (monitor.pid && pidref_open(monitor.pid, monitor.start_time, &p, &err) == 0 &&
        (pidref_kill(&p, SIGKILL, &err) < 0 ||
         pidref_wait_gone(&p, deadline_in(MONITOR_END_TIMEOUT), &err) < 0))
        log_warn("container %s: end its monitor: %s", c->id, err.msg);
    if (!exits_take(c))
        lost(c, true,
             "it was killed, and its monitor, which did not answer, had to be too: the "
             "exit status is lost");
}

/* Dead monitor first, exit file second: the file is written before the end. */
static void reconcile_one(struct container *c)
{
    struct engine *engine = c->engine;
    struct process monitor;
    enum container_state state;

    mutex_lock(&engine->lock);
    monitor = c->monitor;
    state = (enum container_state)c->state;
    mutex_unlock(&engine->lock);
    if (state != CONTAINER_RUNNING && state != CONTAINER_STOPPING)
        return;
    if (process_alive(&monitor) || exits_take(c))
        return;
    exits_lost(c, "its monitor ended without an exit status");
}

static void child_work(struct engine *engine, void *arg)
{
    (void)arg;
    exits_reconcile(engine);
}

/* On the loop: most ends are of other children, or of monitors that have left their files. */
static void child_timer(void *arg)
{
    struct engine *engine = arg;
    struct container *c;
    bool ended = false;

    atomic_store(&engine->child_ended, false);
    mutex_lock(&engine->lock);
    TAILQ_FOREACH (c, &engine->containers, link)
        ended = ended || (c->monitor_is_child &&
                          (c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING) &&
                          monitor_ended(&c->monitor));
    mutex_unlock(&engine->lock);
    if (ended)
        (void)engine_background(engine, child_work, NULL);
}

void exits_child_ended(struct engine *engine)
{
    if (!atomic_exchange(&engine->child_ended, true))
        loop_every(engine->loop, CHILD_END_PAUSE, 0, child_timer, engine);
}

void exits_reconcile(struct engine *engine)
{
    struct container **list;
    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++)
        reconcile_one(list[i]);
    containers_free(list, n);
}
