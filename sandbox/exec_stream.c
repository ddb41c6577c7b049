/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_stream - Exec: a command in an ordinary container whose stdio a client holds, by pipes or a
 * terminal. As in runtime_exec.c it is `runc exec --detach` below unicri-exec, which ends with the
 * command alone, and the command has a cgroup of its own, so that all of it can be ended when its
 * client goes.
 *
 * Here is only the start and the end; bytes are moved by whoever called. A terminal comes over a
 * socket in the exec's directory, which is the runtime's working directory: so its name is short.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_debug.h"
#include "sandbox/handlers.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime.h"

#define CONFIG_MAX_BYTES  16777216
#define STATUS_MAX_BYTES  64
#define LOG_MAX_BYTES     65536
#define NAME_DIGITS       16
#define CONSOLE_NAME      "console"
#define DRAIN_DEADLINE    (10 * NSEC_PER_SEC) /* for what has been killed to be gone */
#define CLEAR_AWAY_CGROUP NSEC_PER_SEC

struct exec_stream {
    struct container *c; /* a reference */
    char name[sizeof("exec-") + NAME_DIGITS];
    char *dir, *process, *pid, *status, *log, *cgroup; /* owned */
    struct pidref child;                               /* unicri-exec */
    struct guest_debug *debug; /* of a unikernel, owned: then none of the others */
};

/* Descriptors of both sides while a command is being started. */
struct ends {
    int ours[3], theirs[3];
    int console; /* the listening socket, or -1 */
};

static void ends_done(struct ends *ends)
{
    for (size_t i = 0; i < ARRAY_SIZE(ends->ours); i++) {
        (void)close_fd(ends->ours[i]);
        (void)close_fd(ends->theirs[i]);
    }
    (void)close_fd(ends->console);
}

static struct exec_stream *exec_new(struct container *c)
{
    struct exec_stream *e = XNEW(struct exec_stream);
    char id[ID_LEN + 1];

    id_new(id);
    e->c = container_ref(c);
    (void)snprintf(e->name, sizeof(e->name), "exec-%.*s", NAME_DIGITS, id);
    e->dir = path_join(c->run_dir, e->name);
    e->process = path_join(e->dir, "process.json");
    e->pid = path_join(e->dir, "pid");
    e->status = path_join(e->dir, "status");
    e->log = path_join(e->dir, "log");
    e->cgroup = path_join(c->cgroup, e->name);
    e->child = PIDREF_NONE;
    return e;
}

static void exec_free(struct exec_stream *e)
{
    pidref_done(&e->child);
    container_unref(e->c);
    free(e->dir);
    free(e->process);
    free(e->pid);
    free(e->status);
    free(e->log);
    free(e->cgroup);
    free(e);
}

/* ----------------------------------------------------------------------- start */

static void add_term(json_t *process)
{
    json_t *env = json_object_get(process, "env"), *entry;
    size_t i;

    json_array_foreach (env, i, entry)
        if (str_has_prefix(json_string_value(entry), "TERM="))
            return;
    (void)json_array_append_new(env, json_string("TERM=xterm"));
}

/* The first process' description with other arguments: same user, groups, capabilities, profile. */
static int write_process(const struct exec_stream *e, char *const *argv, bool tty, struct err *err)
{
    autofree char *path = path_join(e->c->run_dir, "config.json"), *text = NULL, *out = NULL;
    size_t len;

    if (fs_read_file(AT_FDCWD, path, CONFIG_MAX_BYTES, &text, &len, err) < 0)
        return -1;

    autojson *config = json_parse(text, len, CONFIG_MAX_BYTES, "config.json", err);
    json_t *process = NULL;

    if (!config || json_opt_object(config, "process", &process, err) < 0)
        return -1;
    if (!process)
        return err_set(err, ERR_CORRUPT, "config.json of container '%s' has no process", e->c->id);
    if (oci_process_args(process, argv, err) < 0)
        return -1;
    json_put(process, "terminal", json_boolean(tty));
    if (tty)
        add_term(process);
    out = json_text(process);
    return fs_write_file(AT_FDCWD, e->process, out, strlen(out), 0600, err);
}

static int make_pipe(struct ends *ends, int n, struct err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");
    ends->ours[n] = p[n == 0 ? 1 : 0];
    ends->theirs[n] = p[n == 0 ? 0 : 1];
    return 0;
}

static int make_console(const struct exec_stream *e, struct ends *ends, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    autofd int dir = open(e->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_sys(err, "open '%s'", e->dir);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" CONSOLE_NAME, dir);
    ends->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ends->console < 0 ||
        bind(ends->console, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(ends->console, 1) < 0)
        return err_sys(err, "make a socket for the terminal");
    return 0;
}

static int make_ends(const struct exec_stream *e, const struct exec_streams *want,
                     struct ends *ends, struct err *err)
{
    if (want->tty)
        return make_console(e, ends, err);
    if ((want->in && make_pipe(ends, 0, err) < 0) || (want->out && make_pipe(ends, 1, err) < 0))
        return -1;
    return want->errout ? make_pipe(ends, 2, err) : 0;
}

static int spawn(struct exec_stream *e, const struct ends *ends, struct err *err)
{
    const struct engine *engine = e->c->engine;
    /* What runc calls the group: a name in the unified hierarchy, "pids:NAME" in version 1. */
    autofree char *group = engine->cgroups.v2 ? xstrdup(e->name) : xasprintf("pids:%s", e->name);
    const char *const args[] = {
        "unicri-exec",  e->pid,           e->status,  e->c->handler->program,
        "--root",       engine->runc_dir, "--log",    e->log,
        "--log-format", "json",           "exec",     "--detach",
        "--pid-file",   e->pid,           "--cgroup", group,
        "--process",    e->process,
    };
    autostrv char **argv = NULL;
    struct child_spec spec = {.path = engine->exec_program, .cwd = e->dir};

    for (size_t i = 0; i < ARRAY_SIZE(args); i++)
        strv_push(&argv, args[i]);
    if (ends->console >= 0) {
        strv_push(&argv, "--console-socket");
        strv_push(&argv, CONSOLE_NAME);
    }
    strv_push(&argv, e->c->id);
    spec.argv = argv;
    for (int i = 0; i < 3; i++)
        if (ends->theirs[i] >= 0)
            spec.fds[spec.n_fds++] = (struct child_fd){.from = ends->theirs[i], .to = i};
    return child_spawn(&spec, &e->child, err);
}

static int receive_terminal(int connection, struct err *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char name[256];
    struct iovec data = {.iov_base = name, .iov_len = sizeof(name)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int fd;

    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) <= 0)
        return err_sys(err, "receive the terminal");

    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof(int)))
        return err_set(err, ERR_INTERNAL, "the runtime sent no terminal");
    memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

/* Until the runtime has sent it, or has ended without. */
static int wait_terminal(const struct exec_stream *e, const struct ends *ends, deadline_t deadline,
                         int *ret, struct err *err)
{
    const struct timeval patience = {.tv_sec = 2};
    struct pollfd p[2] = {{.fd = ends->console, .events = POLLIN},
                          {.fd = e->child.fd, .events = POLLIN}};
    int n;

    do
        n = poll(p, 2, deadline_poll_ms(deadline));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return err_set(err, ERR_DEADLINE, "the runtime sent no terminal in time");
    if (!(p[0].revents & POLLIN))
        return err_set(err, ERR_INTERNAL, "the runtime ended without sending a terminal");

    autofd int connection = accept4(ends->console, NULL, NULL, SOCK_CLOEXEC);

    if (connection < 0)
        return err_sys(err, "receive the terminal");
    (void)setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));

    int fd = receive_terminal(connection, err);

    if (fd < 0)
        return -1;
    if (!isatty(fd)) {
        (void)close_fd(fd);
        return err_set(err, ERR_INTERNAL, "the runtime sent something else than a terminal");
    }
    *ret = fd;
    return 0;
}

static int start(struct exec_stream *e, char *const *argv, const struct exec_streams *want,
                 deadline_t deadline, struct exec_run *ret, struct err *err)
{
    CLEANUP(ends_done) struct ends ends = {{-1, -1, -1}, {-1, -1, -1}, -1};
    int terminal = -1;

    if (fs_mkdir(AT_FDCWD, e->dir, 0700, err) < 0 || write_process(e, argv, want->tty, err) < 0 ||
        cgroup_create_in(&e->c->engine->cgroups, "pids", e->cgroup, err) < 0 ||
        make_ends(e, want, &ends, err) < 0 || spawn(e, &ends, err) < 0)
        return -1;
    if (want->tty && wait_terminal(e, &ends, deadline, &terminal, err) < 0)
        return -1;
    *ret = (struct exec_run){.in = want->tty ? terminal : TAKE_FD(ends.ours[0]),
                             .out = want->tty ? terminal : TAKE_FD(ends.ours[1]),
                             .errout = TAKE_FD(ends.ours[2]),
                             .ended = e->child.fd,
                             .exec = e};
    return 0;
}

/* --------------------------------------------------------------- a unikernel's */

static int make_terminal(struct ends *ends, int *ret, struct err *err)
{
    autofd int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];

    if (ours < 0 || grantpt(ours) < 0 || unlockpt(ours) < 0 ||
        ptsname_r(ours, name, sizeof(name)) != 0 ||
        (ends->theirs[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return err_sys(err, "make a terminal");
    *ret = TAKE_FD(ours);
    return 0;
}

static int debug_start(struct container *c, char *const *argv, const struct exec_streams *want,
                       deadline_t deadline, struct exec_run *ret, struct err *err)
{
    CLEANUP(ends_done) struct ends ends = {{-1, -1, -1}, {-1, -1, -1}, -1};
    struct guest_debug_ends fds = {.tty = want->tty, .in = want->in};
    autofree struct guest_debug *debug = XNEW(struct guest_debug);
    autofd int terminal = -1;

    if (want->tty ? make_terminal(&ends, &terminal, err) < 0
                  : (want->in && make_pipe(&ends, 0, err) < 0) ||
                        (want->out && make_pipe(&ends, 1, err) < 0) ||
                        (want->errout && make_pipe(&ends, 2, err) < 0))
        return -1;
    for (int i = 0; i < 3; i++)
        fds.fds[i] = ends.theirs[want->tty ? 0 : i];
    if (guest_debug_start(c, argv, &fds, deadline, debug, err) < 0)
        return -1;

    struct exec_stream *e = XNEW(struct exec_stream);

    e->c = container_ref(c);
    e->debug = TAKE_PTR(debug);
    *ret = (struct exec_run){.in = terminal >= 0 ? terminal : TAKE_FD(ends.ours[0]),
                             .out = terminal >= 0 ? terminal : TAKE_FD(ends.ours[1]),
                             .errout = TAKE_FD(ends.ours[2]),
                             .ended = e->debug->child.fd,
                             .exec = e};
    (void)TAKE_FD(terminal);
    return 0;
}

static int debug_end(struct exec_stream *e, bool kill, int *ret_code, struct err *err)
{
    int rc = guest_debug_end(e->c, e->debug, kill, ret_code, err);

    container_unref(e->c);
    free(e->debug);
    free(e);
    return rc;
}

/* ------------------------------------------------------------------------- end */

/* The last message in the runtime's log. */
static int explain(const struct exec_stream *e, const struct child_status *status, struct err *err)
{
    autofree char *text = NULL;
    const char *why = NULL;
    size_t len;

    if (fs_read_file(AT_FDCWD, e->log, LOG_MAX_BYTES, &text, &len, NULL) == 0) {
        while (len > 0 && text[len - 1] == '\n')
            text[--len] = '\0';

        const char *line = strrchr(text, '\n');

        line = line ? line + 1 : text;

        autojson *entry = json_parse(line, strlen(line), LOG_MAX_BYTES, "log", NULL);

        if (entry && json_opt_string(entry, "msg", &why, NULL) == 0 && why && *why)
            return err_set(err, ERR_INTERNAL, "%s", why);
    }
    return err_set(err, ERR_INTERNAL, "the runtime ended with %s %d and started no command",
                   status->exited ? "exit status" : "signal", status->code);
}

/* "exited N" or "signal N"; without it the runtime has failed. */
static int read_status(const struct exec_stream *e, const struct child_status *status, int *ret,
                       struct err *err)
{
    autofree char *text = NULL;
    const char *p;
    int n;

    if (fs_read_file(AT_FDCWD, e->status, STATUS_MAX_BYTES, &text, NULL, NULL) < 0)
        return explain(e, status, err);
    p = text;
    if (scan_text(&p, "exited ") && scan_int(&p, &n))
        *ret = n;
    else if (scan_text(&p, "signal ") && scan_int(&p, &n))
        *ret = 128 + n;
    else
        return err_set(err, ERR_CORRUPT, "exec: status '%s'", text);
    return 0;
}

/* What cannot be cleared away now goes with the container. */
static void clear_away(const struct exec_stream *e)
{
    const struct cgroups *cgroups = &e->c->engine->cgroups;
    struct err err = ERR_INIT;

    if (!cgroup_populated(cgroups, e->cgroup) &&
        cgroup_remove(cgroups, e->cgroup, deadline_in(CLEAR_AWAY_CGROUP), &err) < 0)
        log_debug("ignoring: %s", err.msg);
    if (fs_remove_tree(AT_FDCWD, e->dir, &err) < 0)
        log_debug("ignoring: %s", err.msg);
}

static void kill_all(const struct exec_stream *e)
{
    struct err err = ERR_INIT;

    /* The runtime first: it could still be on its way into the cgroup. */
    if (e->child.pid)
        child_kill_group(&e->child);
    if (cgroup_kill(&e->c->engine->cgroups, e->cgroup, deadline_in(KILL_TIMEOUT), &err) < 0)
        log_warn("container %s: end an exec: %s", e->c->id, err.msg);
}

int container_exec_end(struct exec_stream *e, bool kill, int *ret_code, struct err *err)
{
    struct child_status status;
    int rc;

    if (e->debug)
        return debug_end(e, kill, ret_code, err);
    if (kill)
        kill_all(e);
    rc = child_wait(&e->child, deadline_in(DRAIN_DEADLINE), &status, err);
    if (rc == 0)
        rc = read_status(e, &status, ret_code, err);
    clear_away(e);
    exec_free(e);
    return rc;
}

/* ------------------------------------------------------------------ the facade */

int container_exec_check(struct engine *engine, const char *id, char *const *argv, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    enum container_state state = c ? container_state(c) : CONTAINER_CREATING;

    if (state == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
    if (c->runtime == &runtime_unikernel && guest_exec_check(c, argv, err) < 0)
        return -1;
    if (state != CONTAINER_RUNNING && state != CONTAINER_STOPPING)
        return err_set(err, ERR_STATE, "container '%s' is %s, not RUNNING", id,
                       state_name(&container_states, state));
    return 0;
}

int container_exec_start(struct engine *engine, const char *id, char *const *argv,
                         const struct exec_streams *streams, deadline_t deadline,
                         struct exec_run *ret, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    struct err why = ERR_INIT, more = ERR_INIT;
    int code;

    if (container_exec_check(engine, id, argv, err) < 0)
        return -1;
    if (!c || !argv || !argv[0])
        return err_set(err, ERR_INVALID, "exec in container '%s': no command", id);
    if (c->runtime == &runtime_unikernel)
        return debug_start(c, argv, streams, deadline, ret, err);

    struct exec_stream *e = exec_new(c);

    if (start(e, argv, streams, deadline, ret, &why) == 0)
        return 0;
    if (!e->child.pid) {
        clear_away(e);
        exec_free(e);
    } else if (container_exec_end(e, true, &code, &more) < 0 && more.code == ERR_INTERNAL &&
               why.code != ERR_DEADLINE) {
        why = more; /* the runtime's own words say more */
    }
    if (err)
        *err = why;
    return -1;
}
