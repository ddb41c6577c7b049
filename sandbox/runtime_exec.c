/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_exec - ExecSync in an ordinary container: `runc exec --detach` by unicri-exec, which
 * waits for the command alone. The command gets a cgroup of its own below the container's, so that
 * a timeout ends all that it has started; what it leaves running when it ends in time lives on with
 * the container.
 */
#include <inttypes.h>
#include <string.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime.h"

#define CONFIG_MAX_BYTES 16777216
#define STATUS_MAX_BYTES 64
#define EXEC_NAME_DIGITS 16

/* One exec: its name, and the directory with its files. */
struct exec {
    struct container *c;
    char name[sizeof("exec-") + EXEC_NAME_DIGITS];
    char *dir, *process, *pid, *status, *cgroup; /* owned */
};

static void exec_init(struct exec *e, struct container *c)
{
    char id[ID_LEN + 1];

    id_new(id);
    e->c = c;
    (void)snprintf(e->name, sizeof(e->name), "exec-%.*s", EXEC_NAME_DIGITS, id);
    e->dir = path_join(c->run_dir, e->name);
    e->process = path_join(e->dir, "process.json");
    e->pid = path_join(e->dir, "pid");
    e->status = path_join(e->dir, "status");
    e->cgroup = path_join(c->cgroup, e->name);
}

static void exec_done(struct exec *e)
{
    free(e->dir);
    free(e->process);
    free(e->pid);
    free(e->status);
    free(e->cgroup);
}

/* The first process' description with other arguments: same user, groups, capabilities, profile. */
static int write_process(const struct exec *e, char *const *argv, struct err *err)
{
    autofree char *config_path = path_join(e->c->run_dir, "config.json"), *text = NULL, *out = NULL;
    size_t len;

    if (fs_read_file(AT_FDCWD, config_path, CONFIG_MAX_BYTES, &text, &len, err) < 0)
        return -1;

    autojson *config = json_parse(text, len, CONFIG_MAX_BYTES, "config.json", err);
    json_t *process = NULL;

    if (!config || json_opt_object(config, "process", &process, err) < 0)
        return -1;
    if (!process)
        return err_set(err, ERR_CORRUPT, "config.json of container '%s' has no process", e->c->id);
    if (oci_process_args(process, argv, err) < 0)
        return -1;
    json_put(process, "terminal", json_false());
    out = json_text(process);
    return fs_write_file(AT_FDCWD, e->process, out, strlen(out), 0600, err);
}

/* "exited N", "signal N" or "timeout"; without it the runtime has failed. */
static int read_status(const struct exec *e, const struct child_status *status,
                       const struct child_output *output, int *ret, struct err *err)
{
    autofree char *text = NULL;
    const char *p;
    int n;

    if (fs_read_file(AT_FDCWD, e->status, STATUS_MAX_BYTES, &text, NULL, NULL) < 0)
        return child_explain("exec", status, output, err);
    p = text;
    if (scan_text(&p, "exited ") && scan_int(&p, &n))
        *ret = n;
    else if (scan_text(&p, "signal ") && scan_int(&p, &n))
        *ret = 128 + n;
    else if (str_has_prefix(text, "timeout"))
        return err_set(err, ERR_DEADLINE, "exec");
    else
        return err_set(err, ERR_CORRUPT, "exec: status '%s'", text);
    return 0;
}

/* Both together have to fit into one message: when they do not, stderr keeps a quarter of it, since
 * that is where a command that floods says why. */
void exec_result_fit(struct exec_result *r, size_t max)
{
    if (r->out_len + r->errout_len <= max)
        return;

    size_t share = max - max / 4 > r->out_len ? max - r->out_len : max / 4;

    if (r->errout_len > share)
        r->errout_len = share;
    r->out_len = r->out_len < max - r->errout_len ? r->out_len : max - r->errout_len;
}

static int run(const struct exec *e, nsec_t timeout, const struct caller *caller,
               struct exec_result *ret, struct err *err)
{
    const struct engine *engine = e->c->engine;
    /* unicri-exec keeps the time; that it fails to is provided for. */
    deadline_t deadline = timeout > 0 ? deadline_in(timeout + KILL_TIMEOUT) : DEADLINE_NEVER;
    autofree char *dir = cgroup_dir(&engine->cgroups, engine->cgroups.v2 ? "" : "pids", e->cgroup);
    autofree char *procs = xasprintf("--procs=%s/cgroup.procs", dir ? dir : "");
    autofree char *clock =
        xasprintf("--timeout-ms=%" PRId64, (timeout + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
    /* What runc calls the group: a name in the unified hierarchy, "pids:NAME" in version 1. */
    autofree char *group = engine->cgroups.v2 ? xstrdup(e->name) : xasprintf("pids:%s", e->name);
    char *argv[] = {(char[]){"unicri-exec"},
                    clock,
                    procs,
                    e->pid,
                    e->status,
                    e->c->handler->program,
                    (char[]){"--root"},
                    engine->runc_dir,
                    (char[]){"exec"},
                    (char[]){"--detach"},
                    (char[]){"--pid-file"},
                    e->pid,
                    (char[]){"--cgroup"},
                    group,
                    (char[]){"--process"},
                    e->process,
                    e->c->id,
                    NULL};
    struct child_spec spec = {.path = engine->exec_program,
                              .argv = argv,
                              .given_up = caller ? caller->cancelled : NULL,
                              .given_up_arg = caller ? caller->arg : NULL};
    autochild_output output = {0};
    struct child_status status;

    if (child_run(&spec, NULL, 0, EXEC_OUTPUT_MAX_BYTES, deadline, &output, &status, err) < 0 ||
        read_status(e, &status, &output, &ret->exit_code, err) < 0)
        return -1;
    ret->out = TAKE_PTR(output.out);
    ret->out_len = output.out_len;
    ret->errout = TAKE_PTR(output.errout);
    ret->errout_len = output.errout_len;
    exec_result_fit(ret, EXEC_OUTPUT_MAX_BYTES);
    return 0;
}

/* What cannot be cleared away now goes with the container. */
static void clear_away(const struct exec *e, bool failed)
{
    const struct cgroups *cgroups = &e->c->engine->cgroups;
    struct err err = ERR_INIT;

    if (failed && cgroup_kill(cgroups, e->cgroup, deadline_in(KILL_TIMEOUT), &err) < 0)
        log_warn("container %s: end an exec: %s", e->c->id, err.msg);
    if (!cgroup_populated(cgroups, e->cgroup) &&
        cgroup_remove(cgroups, e->cgroup, deadline_in(NSEC_PER_SEC), &err) < 0)
        log_debug("ignoring: %s", err.msg);
    if (fs_remove_tree(AT_FDCWD, e->dir, &err) < 0)
        log_debug("ignoring: %s", err.msg);
}

int runc_exec(struct container *c, char *const *argv, nsec_t timeout, const struct caller *caller,
              struct exec_result *ret, struct err *err)
{
    struct exec e;
    struct err why = ERR_INIT;
    int rc = -1;

    exec_init(&e, c);
    if (fs_mkdir(AT_FDCWD, e.dir, 0700, &why) == 0 && write_process(&e, argv, &why) == 0 &&
        cgroup_create_in(&c->engine->cgroups, "pids", e.cgroup, &why) == 0)
        rc = run(&e, timeout, caller, ret, &why);
    clear_away(&e, rc < 0);
    exec_done(&e);
    if (rc < 0 && why.code == ERR_DEADLINE)
        return err_set(err, ERR_DEADLINE, "exec of '%s': not ended within %.3f s; killed", argv[0],
                       (double)timeout / 1e9);
    if (rc < 0 && err)
        *err = why;
    return rc;
}
