/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - child_spawn(), child_wait() and their kin of child.h; child_run() is in child_run.c.
 *
 * In the child the descriptors are laid out in three moves: every `from` is first copied (here, in
 * the parent) to a number above all `to`s, so that no dup2 can overwrite a `from` that is still
 * needed; then the copies are put in place; then all other numbers are closed.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/strbuf.h"

#define CHILD_TO_MAX     255 /* the highest number a descriptor may get in the child */
#define CHILD_PATH_STD   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define EXPLAIN_TAIL_MAX 300

struct layout {
    int copies[CHILD_FDS_MAX]; /* owned */
    size_t n;
    int max_to;
};

static void layout_done(struct layout *l)
{
    for (size_t i = 0; i < l->n; i++)
        (void)close_fd(l->copies[i]);
}

static bool is_target(const struct child_spec *spec, int fd)
{
    for (size_t i = 0; i < spec->n_fds; i++) {
        if (spec->fds[i].to == fd)
            return true;
    }
    return false;
}

static int layout_init(struct layout *l, const struct child_spec *spec, struct err *err)
{
    l->max_to = STDERR_FILENO;
    if (spec->n_fds > CHILD_FDS_MAX)
        return err_set(err, ERR_INVALID, "more than %d descriptors", CHILD_FDS_MAX);
    for (size_t i = 0; i < spec->n_fds; i++) {
        if (spec->fds[i].to < 0 || spec->fds[i].to > CHILD_TO_MAX)
            return err_set(err, ERR_INVALID, "descriptor %d: out of range", spec->fds[i].to);
        if (spec->fds[i].to > l->max_to)
            l->max_to = spec->fds[i].to;
    }
    for (size_t i = 0; i < spec->n_fds; i++) {
        int fd = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, l->max_to + 1);

        if (fd < 0)
            return err_sys(err, "duplicate descriptor %d", spec->fds[i].from);
        l->copies[l->n++] = fd;
    }
    return 0;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct layout *l,
                       const struct child_spec *spec)
{
    int r = posix_spawn_file_actions_addchdir_np(a, spec->cwd ? spec->cwd : "/");

    for (size_t i = 0; i < spec->n_fds && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(a, l->copies[i], spec->fds[i].to);
    for (int fd = 0; fd <= l->max_to && r == 0; fd++) {
        if (is_target(spec, fd))
            continue;
        if (fd <= STDERR_FILENO)
            r = posix_spawn_file_actions_addopen(a, fd, "/dev/null", O_RDWR, 0);
        else
            r = posix_spawn_file_actions_addclose(a, fd);
    }
    return r ? r : posix_spawn_file_actions_addclosefrom_np(a, l->max_to + 1);
}

static int set_attributes(posix_spawnattr_t *attr, const struct child_spec *spec)
{
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigset_t set;
    int r;

    flags |= spec->new_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
    (void)sigfillset(&set);
    r = posix_spawnattr_setsigdefault(attr, &set);
    (void)sigemptyset(&set);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attr, &set);
    if (r == 0)
        r = posix_spawnattr_setpgroup(attr, 0);
    return r ? r : posix_spawnattr_setflags(attr, flags);
}

/* Where execvp(3) would find it. Caller frees; NULL when nowhere. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/'))
        return xstrdup(name);
    for (const char *p = path && *path ? path : CHILD_PATH_STD; *p;) {
        size_t len = strcspn(p, ":");
        autofree char *file = xasprintf("%.*s/%s", (int)len, p, name);
        struct stat st;

        if (len > 0 && *p == '/' && access(file, X_OK) == 0 && stat(file, &st) == 0 &&
            S_ISREG(st.st_mode))
            return TAKE_PTR(file);
        p += len + (p[len] == ':');
    }
    return NULL;
}

static int explain_spawn(int r, const char *program, const struct child_spec *spec, struct err *err)
{
    const char *cwd = spec->cwd ? spec->cwd : "/";

    if (r == ENOENT && access(program, F_OK) == 0) {
        if (access(cwd, F_OK))
            return err_errno(err, r, "start '%s': working directory '%s'", program, cwd);
        return err_errno(err, r, "start '%s': its interpreter", program);
    }
    (void)err_errno(err, r, "start '%s'", program);
    if (r == EAGAIN && err) /* the limit of processes */
        err->code = ERR_EXHAUSTED;
    return -1;
}

static int spawn(const char *program, const struct child_spec *spec, const struct layout *l,
                 pid_t *ret, struct err *err)
{
    const char *path = getenv("PATH");
    autofree char *path_env = xasprintf("PATH=%s", path && *path ? path : CHILD_PATH_STD);
    char *const default_env[] = {path_env, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r;

    if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attr))
        abort(); /* fails for want of memory only */
    r = add_actions(&actions, l, spec);
    if (r == 0)
        r = set_attributes(&attr, spec);
    if (r == 0)
        r = posix_spawn(ret, program, &actions, &attr, spec->argv,
                        spec->env ? spec->env : default_env);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r ? explain_spawn(r, program, spec, err) : 0;
}

int child_spawn(const struct child_spec *spec, struct pidref *ret, struct err *err)
{
    autofree char *program = spec->path ? xstrdup(spec->path) : find_program(spec->argv[0]);
    struct layout l = {.n = 0};
    pid_t pid = 0;
    int r;

    FAULT_POINT("child.spawn");
    if (!program)
        return err_set(err, ERR_NOT_FOUND, "start '%s': not found in PATH", spec->argv[0]);
    r = layout_init(&l, spec, err);
    if (r)
        (void)err_wrap(err, "start '%s'", program);
    else
        r = spawn(program, spec, &l, &pid, err);
    layout_done(&l);
    if (r)
        return -1;
    if (pidref_open_child(pid, ret, err)) {
        /* No pidfd (descriptors used up): nobody could wait for it, so it must not run. */
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return err_wrap(err, "start '%s'", program);
    }
    return 0;
}

int child_wait(struct pidref *p, deadline_t deadline, struct child_status *ret, struct err *err)
{
    siginfo_t info = {.si_pid = 0};

    if (pidref_wait_gone(p, deadline, err))
        return -1;
    while (waitid(P_PIDFD, (id_t)p->fd, &info, WEXITED)) {
        if (errno != EINTR)
            return err_sys(err, "wait for process %d", (int)p->pid);
    }
    ret->exited = info.si_code == CLD_EXITED;
    ret->code = info.si_status;
    return 0;
}

void child_kill_group(const struct pidref *p)
{
    if (p->pid > 1)
        (void)kill(-p->pid, SIGKILL);
}

void child_output_done(struct child_output *o)
{
    free(o->out);
    free(o->errout);
    *o = (struct child_output){.out = NULL};
}

/* The last line that is not blank. */
static void last_line(const char *s, size_t len, const char **ret, size_t *ret_len)
{
    size_t start;

    while (len > 0 && strchr(" \t\r\n", s[len - 1]))
        len--;
    for (start = len; start > 0 && s[start - 1] != '\n'; start--)
        ;
    *ret = s + start;
    *ret_len = len - start;
}

int child_explain(const char *what, const struct child_status *status,
                  const struct child_output *output, struct err *err)
{
    const char *line = "";
    size_t len = 0;

    if (output && output->errout)
        last_line(output->errout, output->errout_len, &line, &len);
    if (len > EXPLAIN_TAIL_MAX)
        len = EXPLAIN_TAIL_MAX;
    if (status->exited)
        return err_set(err, ERR_INTERNAL, "%s: exit status %d%s%.*s", what, status->code,
                       len ? ": " : "", (int)len, line);
    return err_set(err, ERR_INTERNAL, "%s: killed by signal %d (SIG%s)%s%.*s", what, status->code,
                   sigabbrev_np(status->code) ? sigabbrev_np(status->code) : "?", len ? ": " : "",
                   (int)len, line);
}
