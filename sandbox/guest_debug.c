/* SPDX-License-Identifier: Apache-2.0 */
/* guest_debug - see guest_debug.h. */
#include "sandbox/guest_debug.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "sandbox/guest_leftovers.h"
#include "sandbox/guest_run.h"
#include "sandbox/guest_session.h"
#include "sandbox/guest_watch.h"
#include "sandbox/handlers.h"
#include "sandbox/monitor_client.h"

#define PREFIX       "unicri:"
#define TAP_NAME     "tap0"
#define FIRST_FD     3
#define END_PATIENCE (3 * NSEC_PER_SEC) /* to take back what it has changed */
#define DUMP_TIMEOUT (120 * NSEC_PER_SEC)
#define SYNC_TIMEOUT (60 * NSEC_PER_SEC) /* where the client names none */

static const struct debug_kind {
    const char *name;
    unsigned bit;
    bool traces;  /* it needs the registers of the VMM's guest */
    bool binary;  /* its output is for a program */
    bool endless; /* it has no end that ExecSync could wait for */
} kinds[] = {
    {"console", DEBUG_CONSOLE, false, false, false}, {"regs", DEBUG_REGS, true, false, false},
    {"pcap", DEBUG_PCAP, false, true, false},        {"gdb", DEBUG_GDB, true, true, true},
    {"core", DEBUG_CORE, true, true, false},
};

static const struct debug_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_eq(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}

/* "unicri:console, unicri:regs" of those in `mask`. */
static char *names_of(unsigned mask)
{
    autostrbuf text = STRBUF_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].bit & mask)
            strbuf_addf(&text, "%s" PREFIX "%s", text.len ? ", " : "", kinds[i].name);
    return strbuf_detach(&text);
}

static int allow_one(const json_t *name, unsigned *mask, struct err *err)
{
    const struct debug_kind *kind = json_is_string(name) ? kind_of(json_string_value(name)) : NULL;
    autofree char *all = NULL;

    if (kind) {
        *mask |= kind->bit;
        return 0;
    }
    all = names_of(~0U);
    return err_set(err, ERR_INVALID, "debug: '%s' is none of %s (without the prefix)",
                   json_is_string(name) ? json_string_value(name) : "?", all);
}

int debug_allowed_parse(const json_t *value, unsigned *ret, struct err *err)
{
    const json_t *name;
    size_t i;

    *ret = 0;
    if (!value || json_is_false(value))
        return 0;
    if (json_is_true(value)) {
        for (i = 0; i < ARRAY_SIZE(kinds); i++)
            *ret |= kinds[i].bit;
        return 0;
    }
    if (!json_is_array(value))
        return err_set(err, ERR_INVALID, "debug: neither true nor false nor a list of commands");
    for (i = 0; i < json_array_size(value); i++) {
        name = json_array_get(value, i);
        if (allow_one(name, ret, err) < 0)
            return -1;
    }
    return 0;
}

/* ----------------------------------------------------------------------- check */

static int not_a_command(const struct container *c, struct err *err)
{
    autofree char *names = names_of(c->handler->debug);

    if (*names)
        return err_set(err, ERR_UNSUPPORTED,
                       "container '%s' is a unikernel: it has no processes to add one to; its "
                       "handler allows %s; or attach to its console, read its log, forward a port, "
                       "use a side container",
                       c->id, names);
    return err_set(err, ERR_UNSUPPORTED,
                   "container '%s' is a unikernel: it has no processes to add one to; attach to "
                   "its console, read its log, forward a port, probe it over the network, or use a "
                   "side container (the node's configuration can allow commands like " PREFIX
                   "regs: key debug of handler '%s')",
                   c->id, c->handler->name);
}

static bool is_tender(const struct container *c)
{
    return str_has_prefix(c->runtime_name, "tender-");
}

/* Does the guest's VMM let it be looked into? */
static bool served_by_vmm(const struct container *c)
{
    const struct vmm_driver *driver = guest_driver(c);

    return driver && driver->debug_begin && driver->debug_end && driver->dump;
}

int guest_exec_check(const struct container *c, char *const *argv, struct err *err)
{
    const char *name = argv && argv[0] ? argv[0] : "";
    const struct debug_kind *kind;

    if (!str_has_prefix(name, PREFIX))
        return not_a_command(c, err);
    kind = kind_of(name + strlen(PREFIX));
    if (!kind) {
        autofree char *all = names_of(~0U);

        return err_set(err, ERR_INVALID, "'%s': there are %s", name, all);
    }
    if (!(c->handler->debug & kind->bit))
        return err_set(err, ERR_DENIED,
                       "'%s' is not allowed: add \"%s\" to the key debug of handler '%s' in the "
                       "node's configuration",
                       name, kind->name, c->handler->name);
    if (kind->traces && !is_tender(c) && !served_by_vmm(c))
        return err_set(err, ERR_UNSUPPORTED, "'%s': not built for guests of driver '%s'", name,
                       c->runtime_name);
    return 0;
}

/* ----------------------------------------------------------------------- start */

/* Arguments and descriptors of a child that is being put together. */
struct plan {
    char **argv;
    struct child_spec spec;
    int own[4]; /* to be closed */
    size_t n_own;
    struct container *session; /* borrowed: its guest_gdb_begin() is to be ended; NULL */
};

static void plan_done(struct plan *p)
{
    if (p->session)
        guest_gdb_end(p->session);
    strv_free(p->argv);
    for (size_t i = 0; i < p->n_own; i++)
        (void)close_fd(p->own[i]);
}

/* A descriptor of the plan's own, as --KEY=NUMBER. */
static void put_fd(struct plan *p, const char *key, int fd)
{
    int to = FIRST_FD + (int)p->n_own;

    p->own[p->n_own++] = fd;
    p->spec.fds[p->spec.n_fds++] = (struct child_fd){.from = fd, .to = to};
    strv_take(&p->argv, xasprintf("--%s=%d", key, to));
}

static int open_kernel(struct container *c, struct err *err)
{
    const struct image *image = container_image(c, err);
    autoguest *guest = NULL;

    if (!image || runtime_guest(c, &guest, err) < 0)
        return -1;
    if (!guest)
        return err_set(err, ERR_STATE, "the image declares no unikernel any more");
    return image_open_file(c->engine->images, image, guest->binary, err);
}

static int put_guest(struct container *c, struct plan *p, struct err *err)
{
    struct engine *engine = c->engine;
    struct err why = ERR_INIT;
    struct process vmm;
    uint64_t memory;
    int kernel;

    mutex_lock(&engine->lock);
    vmm = c->workload;
    memory = c->guest_memory;
    mutex_unlock(&engine->lock);
    if (!vmm.pid || !memory)
        return err_set(err, ERR_STATE, "container '%s': its guest does not run", c->id);
    strv_take(&p->argv, xasprintf("--memory=%llu", (unsigned long long)memory));
    if (is_tender(c)) {
        strv_take(&p->argv, xasprintf("--pid=%d", vmm.pid));
        strv_take(&p->argv, xasprintf("--start=%llu", (unsigned long long)vmm.start_time));
        strv_take(&p->argv, xasprintf("--backend=%s", c->runtime_name + strlen("tender-")));
    }
    /* Without it there are no names, which is said. */
    kernel = open_kernel(c, &why);
    if (kernel >= 0)
        put_fd(p, "kernel-fd", kernel);
    return 0;
}

/* What its VMM has to say of it. */
static int put_vmm(struct container *c, const struct debug_kind *kind, struct plan *p,
                   struct err *err)
{
    bool core = kind->bit == DEBUG_CORE;
    int fd = core ? guest_core_begin(c, err) : guest_gdb_begin(c, err);

    if (fd < 0)
        return -1;
    if (!core)
        p->session = c;
    put_fd(p, core ? "core-fd" : "rsp-fd", fd);
    return 0;
}

static int put_console(struct container *c, struct plan *p, const struct guest_debug_ends *ends,
                       deadline_t deadline, struct err *err)
{
    bool in = ends->in;
    int attach = -1, log;

    /* First the connection, then the log: what comes between them is not missed. */
    if (!ends->once && container_attach(c->engine, c->id, &in, deadline, &attach, err) < 0)
        return -1;
    if (attach >= 0)
        put_fd(p, "attach-fd", attach);
    if (attach >= 0 && in)
        strv_push(&p->argv, "--input");
    log = *c->log_path ? open(c->log_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (log >= 0)
        put_fd(p, "log-fd", log);
    return 0;
}

static int put_tap(struct container *c, struct plan *p, struct err *err)
{
    int fd;

    if (!c->wants_address)
        return err_set(err, ERR_STATE, "container '%s': its guest has no network", c->id);
    fd = open(c->pod->netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open network namespace '%s'", c->pod->netns);
    put_fd(p, "netns-fd", fd);
    strv_push(&p->argv, "--tap=" TAP_NAME);
    return 0;
}

static int put_leftovers(const struct container *c, struct plan *p, struct err *err)
{
    int fd = guest_leftovers_open(c, err);

    if (fd < 0)
        return -1;
    put_fd(p, "leftovers-fd", fd);
    return 0;
}

static int put_all(struct container *c, const struct debug_kind *kind, struct plan *p,
                   const struct guest_debug_ends *ends, deadline_t deadline, struct err *err)
{
    strv_push(&p->argv, "unicri-debug");
    strv_push(&p->argv, kind->name);
    if (ends->once)
        strv_push(&p->argv, "--once");
    if (kind->traces && put_guest(c, p, err) < 0)
        return -1;
    if (kind->traces && is_tender(c))
        guest_watch_stop(c);
    else if (kind->traces && put_vmm(c, kind, p, err) < 0)
        return -1;
    if (kind->bit == DEBUG_GDB && str_eq(c->runtime_name, "tender-spt") &&
        put_leftovers(c, p, err) < 0)
        return -1;
    if (kind->bit == DEBUG_CONSOLE && put_console(c, p, ends, deadline, err) < 0)
        return -1;
    return kind->bit == DEBUG_PCAP ? put_tap(c, p, err) : 0;
}

/* All but the end of it: with a user of its own, which the caller gives back. */
static int make_plan(struct container *c, char *const *argv, const struct guest_debug_ends *ends,
                     deadline_t deadline, struct plan *p, uint32_t *ret_uid, struct err *err)
{
    const struct debug_kind *kind;

    if (guest_exec_check(c, argv, err) < 0)
        return -1;
    kind = kind_of(argv[0] + strlen(PREFIX));
    if (!kind)
        return -1;
    if (kind->binary && ends->tty)
        return err_set(err, ERR_INVALID,
                       "'%s' writes bytes for a program, which a terminal would change: without "
                       "tty (kubectl exec without -t)",
                       argv[0]);
    if (kind->endless && ends->once)
        return err_set(err, ERR_UNSUPPORTED, "'%s' has no end to wait for: use a streaming exec",
                       argv[0]);
    p->spec.path = c->engine->debug_program;
    p->spec.new_session = ends->tty;
    for (int i = 0; i < 3; i++)
        if (ends->fds[i] >= 0)
            p->spec.fds[p->spec.n_fds++] = (struct child_fd){.from = ends->fds[i], .to = i};
    if (put_all(c, kind, p, ends, deadline, err) < 0 ||
        engine_uid_take(c->engine, ret_uid, err) < 0)
        return -1;
    strv_take(&p->argv, xasprintf("--uid=%u", *ret_uid));
    strv_push(&p->argv, "--");
    for (char *const *a = argv + 1; *a; a++)
        strv_push(&p->argv, *a);
    p->spec.argv = p->argv;
    return 0;
}

/* Was it a command that a watcher had to step aside for? */
static bool tracer_left(char *const *argv)
{
    const struct debug_kind *kind = kind_of(argv[0] + strlen(PREFIX));

    return kind && kind->traces;
}

int guest_debug_start(struct container *c, char *const *argv, const struct guest_debug_ends *ends,
                      deadline_t deadline, struct guest_debug *ret, struct err *err)
{
    CLEANUP(plan_done) struct plan p = {0};

    *ret = (struct guest_debug){.child = PIDREF_NONE};
    if (make_plan(c, argv, ends, deadline, &p, &ret->uid, err) < 0)
        return -1;
    ret->traces = tracer_left(argv);
    if (child_spawn(&p.spec, &ret->child, err) == 0) {
        ret->session = p.session != NULL;
        p.session = NULL;
        return 0;
    }
    engine_uid_give(c->engine, ret->uid);
    guest_watch_start(c);
    return -1;
}

int guest_debug_watch(struct container *c, int core, int why, struct process *ret, struct err *err)
{
    CLEANUP(plan_done) struct plan p = {0};
    struct pidref child = PIDREF_NONE;

    strv_push(&p.argv, "unicri-debug");
    strv_push(&p.argv, "watch");
    if (put_guest(c, &p, err) < 0)
        return -1;
    strv_take(&p.argv, xasprintf("--uid=%u", c->jail_uid));
    strv_take(&p.argv, xasprintf("--core-max=%llu",
                                 (unsigned long long)c->engine->config->crash_core_bytes));
    p.spec.path = c->engine->debug_program;
    p.spec.argv = p.argv;
    p.spec.fds[p.spec.n_fds++] = (struct child_fd){.from = core, .to = STDOUT_FILENO};
    p.spec.fds[p.spec.n_fds++] = (struct child_fd){.from = why, .to = STDERR_FILENO};
    if (child_spawn(&p.spec, &child, err) < 0)
        return -1;
    *ret = (struct process){.pid = child.pid, .start_time = child.start_time};
    pidref_done(&child);
    return 0;
}

int guest_debug_dump(struct container *c, int core, int why, struct err *err)
{
    CLEANUP(plan_done) struct plan p = {0};
    struct pidref child = PIDREF_NONE;
    struct child_status status;
    uint32_t uid = 0;
    int fd = guest_core_begin(c, err);
    int rc;

    if (fd < 0)
        return -1;
    strv_push(&p.argv, "unicri-debug");
    strv_push(&p.argv, "core");
    put_fd(&p, "core-fd", fd);
    if (engine_uid_take(c->engine, &uid, err) < 0)
        return -1;
    strv_take(&p.argv, xasprintf("--uid=%u", uid));
    strv_take(&p.argv, xasprintf("--core-max=%llu",
                                 (unsigned long long)c->engine->config->crash_core_bytes));
    p.spec.path = c->engine->debug_program;
    p.spec.argv = p.argv;
    p.spec.fds[p.spec.n_fds++] = (struct child_fd){.from = core, .to = STDOUT_FILENO};
    p.spec.fds[p.spec.n_fds++] = (struct child_fd){.from = why, .to = STDERR_FILENO};
    rc = child_spawn(&p.spec, &child, err);
    if (rc == 0) {
        rc = child_wait(&child, deadline_in(DUMP_TIMEOUT), &status, err);
        if (rc < 0) {
            child_kill_group(&child);
            (void)!child_wait(&child, deadline_in(KILL_TIMEOUT), &status, NULL);
        }
        pidref_done(&child);
    }
    engine_uid_give(c->engine, uid);
    return rc;
}

/* ------------------------------------------------------------------------- end */

int guest_debug_end(struct container *c, struct guest_debug *d, bool kill, int *ret_code,
                    struct err *err)
{
    struct child_status status;
    struct err why = ERR_INIT;
    int rc;

    if (kill && pidref_kill(&d->child, SIGTERM, &why) == 0 &&
        pidref_wait_gone(&d->child, deadline_in(END_PATIENCE), &why) < 0)
        child_kill_group(&d->child);
    rc = child_wait(&d->child, deadline_in(KILL_TIMEOUT), &status, err);
    if (rc == 0)
        *ret_code = status.exited ? status.code : 128 + status.code;
    pidref_done(&d->child);
    engine_uid_give(c->engine, d->uid);
    if (d->session)
        guest_gdb_end(c);
    guest_leftovers_undo(c);
    if (d->traces && container_state(c) == CONTAINER_RUNNING)
        guest_watch_start(c);
    return rc;
}

int guest_exec_sync(struct container *c, char *const *argv, nsec_t timeout,
                    const struct caller *caller, struct exec_result *ret, struct err *err)
{
    const struct guest_debug_ends ends = {.fds = {-1, -1, -1}, .once = true};
    deadline_t deadline = deadline_in(timeout > 0 ? timeout : SYNC_TIMEOUT);
    CLEANUP(plan_done) struct plan p = {0};
    autochild_output output = {0};
    struct child_status status;
    uint32_t uid = 0;
    int rc;

    (void)caller; /* the time is bounded, and a debugger takes back what it has done */
    if (make_plan(c, argv, &ends, deadline, &p, &uid, err) < 0)
        return -1;
    rc = child_run(&p.spec, NULL, 0, EXEC_OUTPUT_MAX_BYTES / 2, deadline, &output, &status, err);
    engine_uid_give(c->engine, uid);
    if (container_state(c) == CONTAINER_RUNNING && tracer_left(argv))
        guest_watch_start(c);
    if (rc < 0)
        return -1;
    if (output.truncated)
        return err_set(err, ERR_EXHAUSTED, "'%s': more than %d bytes: use a streaming exec",
                       argv[0], EXEC_OUTPUT_MAX_BYTES / 2);
    ret->exit_code = status.exited ? status.code : 128 + status.code;
    ret->out = TAKE_PTR(output.out);
    ret->out_len = output.out_len;
    ret->errout = TAKE_PTR(output.errout);
    ret->errout_len = output.errout_len;
    return 0;
}
