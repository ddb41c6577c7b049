/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_dump - `runc checkpoint` below unicri-freeze, then the changed files while the
 * container still stands still. CRIU is found in PATH, as runc finds it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/child.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/checkpoint.h"
#include "sandbox/handlers.h"

#define CRIU_CHECK_TIMEOUT (20 * NSEC_PER_SEC)
#define OUTPUT_MAX_BYTES   (64 * 1024)
#define LOG_MAX_BYTES      (16 * 1024 * 1024)
#define THAW_TIMEOUT       (10 * NSEC_PER_SEC)
#define END_LOOK           (200 * NSEC_PER_MSEC)
#define RUNTIME_LOG        "runtime.log"

/* The first (or last) line that begins with "Error", or contains it after CRIU's time; without
 * control bytes. NULL when there is none. Owned. */
static char *error_line(char *text, bool last)
{
    const char *found = NULL;
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *at = strstr(line, "Error");

        if (at && (last || !found))
            found = at;
    }
    return found ? xasprintf("%.300s", found) : NULL;
}

int checkpoint_criu_check(deadline_t deadline, struct err *err)
{
    autofree char *program = program_find("criu"), *why = NULL;
    char *argv[] = {(char[]){"criu"}, (char[]){"check"}, NULL};
    struct child_spec spec = {.path = program, .argv = argv};
    autochild_output output = {0};
    struct child_status status;

    if (!*program)
        return err_set(err, ERR_UNSUPPORTED,
                       "criu is not in PATH on this node (Debian's package is 'criu')");
    if (child_run(&spec, NULL, 0, OUTPUT_MAX_BYTES,
                  deadline_min(deadline, deadline_in(CRIU_CHECK_TIMEOUT)), &output, &status,
                  err) < 0)
        return err_wrap(err, "criu check");
    if (status.exited && status.code == 0)
        return 0;
    why = error_line(output.errout, false);
    if (!why)
        why = error_line(output.out, false);
    return err_set(err, ERR_UNSUPPORTED, "criu cannot work on this node: criu check: %s",
                   why ? why : "it failed without a word");
}

/* ---------------------------------------------------------------------- guardian */

/* unicri-freeze with the runtime below it. */
struct guard {
    struct pidref child;
    int hold, told; /* our ends: its standard input, and output */
};

static int spawn(const struct checkpoint *k, const struct cgroup_freezer *f, int in, int out,
                 struct pidref *ret, struct err *err)
{
    const struct engine *engine = k->c->engine;
    autofree char *images = path_join(k->work, CHECKPOINT_DIR);
    autofd int log = openat(k->work_fd, RUNTIME_LOG,
                            O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    const char *argv[] = {"unicri-freeze",
                          f->file,
                          f->freeze,
                          f->thaw,
                          f->state_file,
                          f->frozen,
                          k->c->handler->program,
                          "--root",
                          engine->runc_dir,
                          "checkpoint",
                          "--leave-running",
                          "--file-locks",
                          "--image-path",
                          images,
                          "--work-path",
                          k->work,
                          k->c->id,
                          NULL};
    struct child_spec spec = {.path = engine->freeze_program,
                              .argv = (char *const *)(uintptr_t)argv,
                              .fds = {{in, 0}, {out, 1}, {log, 2}},
                              .n_fds = 3};

    if (log < 0)
        return err_sys(err, "create '%s/" RUNTIME_LOG "'", k->work);
    return child_spawn(&spec, ret, err);
}

static int guard_start(const struct checkpoint *k, struct guard *g, struct err *err)
{
    CLEANUP(cgroup_freezer_done) struct cgroup_freezer f = {0};
    int hold[2], told[2];

    *g = (struct guard){.child = PIDREF_NONE, .hold = -1, .told = -1};
    if (cgroup_freezer(&k->c->engine->cgroups, k->c->cgroup, &f, err) < 0)
        return -1;
    if (pipe2(hold, O_CLOEXEC) < 0)
        return err_sys(err, "pipe");

    autofd int in = hold[0];

    g->hold = hold[1];
    if (pipe2(told, O_CLOEXEC) < 0)
        return err_sys(err, "pipe");

    autofd int out = told[1];

    g->told = told[0];
    return spawn(k, &f, in, out, &g->child, err);
}

/* What went wrong, in the words of whoever knows most: CRIU, the runtime, unicri-freeze. */
static int explain(const struct checkpoint *k, const char *how, struct err *err)
{
    autofree char *criu = NULL, *runtime = NULL, *line = NULL;
    size_t len = 0;

    if (fs_read_file(k->work_fd, CHECKPOINT_LOG, LOG_MAX_BYTES, &criu, &len, NULL) == 0)
        line = error_line(criu, true);
    if (!line && fs_read_file(k->work_fd, RUNTIME_LOG, LOG_MAX_BYTES, &runtime, NULL, NULL) == 0) {
        len = strcspn(runtime, "\n");
        line = xasprintf("%.*s", (int)(len < 300 ? len : 300), runtime);
    }
    return err_set(err, ERR_INTERNAL, "the runtime's checkpoint %s: %s", how,
                   line && *line ? line : "it says nothing more");
}

/* Killed, frozen or not: nothing is left to be dumped, whatever the runtime waits for. */
static bool has_ended(const struct checkpoint *k)
{
    return container_state(k->c) == CONTAINER_EXITED;
}

/* The one line that tells how the runtime ended; an end of file means that nothing was run. */
static int guard_wait(const struct checkpoint *k, const struct guard *g, struct err *err)
{
    char text[64] = "";
    size_t n = 0;

    while (n < sizeof(text) - 1 && !strchr(text, '\n')) {
        struct pollfd p = {.fd = g->told, .events = POLLIN};
        int ready = poll(&p, 1, deadline_poll_ms(deadline_min(k->deadline, deadline_in(END_LOOK))));
        ssize_t got;

        if (ready == 0 && deadline_passed(k->deadline))
            return err_set(err, ERR_DEADLINE, "the runtime's checkpoint was not done in time");
        if (ready == 0 && has_ended(k))
            return err_set(err, ERR_STATE, "the container has ended");
        if (ready == 0)
            continue;
        got = ready < 0 ? -1 : read(g->told, text + n, sizeof(text) - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return explain(k, "was not begun", err);
        n += (size_t)got;
    }
    text[strcspn(text, "\n")] = '\0';
    return str_eq(text, "exited 0") ? 0 : explain(k, text, err);
}

/* The container goes on. A guardian that does not end is killed, with all that it has started, and
 * its work is done here. */
static void guard_end(const struct checkpoint *k, struct guard *g)
{
    const bool hurry = deadline_passed(k->deadline) || has_ended(k);
    struct child_status status;
    struct err ignored = ERR_INIT;

    g->hold = close_fd(g->hold);
    if (g->child.pid &&
        child_wait(&g->child, hurry ? 0 : deadline_in(THAW_TIMEOUT), &status, &ignored) < 0) {
        child_kill_group(&g->child);
        (void)(child_wait(&g->child, deadline_in(THAW_TIMEOUT), &status, &ignored) < 0);
    }
    pidref_done(&g->child);
    g->told = close_fd(g->told);
    cgroup_thaw(&k->c->engine->cgroups, k->c->cgroup);
}

/* ------------------------------------------------------------------------- files */

static int write_diff(const struct checkpoint *k, struct err *err)
{
    autofree char *path = path_join(k->c->rootfs_dir, "upper");
    autofd int upper = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autofd int fd = openat(k->work_fd, CHECKPOINT_DIFF,
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct tar_out out = {.fd = fd, .deadline = k->deadline};

    if (upper < 0 || fd < 0)
        return err_sys(err, "the container's changed files");
    if (checkpoint_room(k, fd, &out.room, err) < 0 ||
        tar_out_tree(&out, "", upper, true, err) < 0 || tar_out_end(&out, err) < 0)
        return err_wrap(err, "the container's changed files");
    return 0;
}

static int while_frozen(const struct checkpoint *k, const struct guard *g, struct err *err)
{
    if (guard_wait(k, g, err) < 0)
        return -1;
    FAULT_POINT("container.checkpoint.frozen");
    return write_diff(k, err);
}

int checkpoint_dump(const struct checkpoint *k, struct err *err)
{
    struct guard g;
    int rc = guard_start(k, &g, err);

    if (rc == 0)
        rc = while_frozen(k, &g, err);
    guard_end(k, &g);
    return rc;
}
