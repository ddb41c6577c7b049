/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_client - see monitor_client.h. */
#include "sandbox/monitor_client.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/strbuf.h"

#define CONSOLE_LINES_MAX  10
#define EXIT_FILE_TEXT_MAX 4096

void monitor_plan_done(struct monitor_plan *plan)
{
    strbuf_done(&plan->text);
    for (size_t i = 0; i < plan->n_fds; i++)
        if (plan->fds[i].own)
            (void)close_fd(plan->fds[i].fd);
    plan->n_fds = 0;
}

void monitor_field(struct monitor_plan *plan, const char *key, const char *value)
{
    strbuf_adds(&plan->text, key);
    strbuf_addc(&plan->text, '=');
    strbuf_add(&plan->text, value, strlen(value) + 1);
}

void monitor_field_int(struct monitor_plan *plan, const char *key, int64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    monitor_field(plan, key, text);
}

int monitor_fd(struct monitor_plan *plan, int fd, bool own, struct err *err)
{
    if (plan->n_fds == MONITOR_FDS_MAX) {
        if (own)
            (void)close_fd(fd);
        return err_set(err, ERR_EXHAUSTED, "more than %d descriptors for one workload",
                       MONITOR_FDS_MAX);
    }
    plan->fds[plan->n_fds].fd = fd;
    plan->fds[plan->n_fds].own = own;
    return MONITOR_FIRST_FD + (int)plan->n_fds++;
}

/* ---------------------------------------------------------------------- start */

static int text_fd(const struct strbuf *text, struct err *err)
{
    autofd int fd = memfd_create("monitor-spec", MFD_CLOEXEC);

    if (text->len > MONITOR_SPEC_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "arguments and environment are larger than %d bytes",
                       MONITOR_SPEC_MAX_BYTES);
    if (fd < 0)
        return err_sys(err, "make a memfd");
    if (fs_write_all(fd, text->s, text->len, err) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(err, "rewind a memfd");
    return TAKE_FD(fd);
}

int monitor_parse_ok(const char *text, struct process *ret, struct err *err)
{
    const char *p = text;
    unsigned long long start;
    int pid;

    if (!scan_int(&p, &pid) || pid < 2 || !scan_text(&p, " ") || !scan_u64(&p, UINT64_MAX, &start))
        return err_set(err, ERR_CORRUPT, "monitor: '%s' is not a process", text);
    *ret = (struct process){.pid = pid, .start_time = start};
    return 0;
}

static int parse_report(char *text, struct process *ret, struct err *err)
{
    const char *p = text;
    int code;

    text[strcspn(text, "\n")] = '\0';
    if (scan_text(&p, "ok "))
        return monitor_parse_ok(p, ret, err);
    if (!scan_text(&p, "error ") || !scan_int(&p, &code))
        return err_set(err, ERR_INTERNAL, "the monitor ended without a report");
    (void)scan_text(&p, " ");
    if (code == ETIMEDOUT)
        return err_set(err, ERR_DEADLINE, "%s", p);
    if (code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOSPC || code == EDQUOT)
        return err_set(err, ERR_EXHAUSTED, "%s", p);
    return err_set(err, ERR_INTERNAL, "%s", p);
}

static int read_report(int fd, deadline_t deadline, char *text, size_t size, struct err *err)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc = poll(&p, 1, deadline_poll_ms(deadline));

        if (rc < 0 && errno == EINTR)
            continue;
        if (rc == 0)
            return err_set(err, ERR_DEADLINE, "the workload did not start in time");

        ssize_t n = rc < 0 ? -1 : read(fd, text + len, size - 1 - len);

        if (n < 0)
            return err_sys(err, "read the monitor's report");
        len += (size_t)n;
        text[len] = '\0';
        if (n == 0 || strchr(text, '\n') || len == size - 1)
            return 0;
    }
}

int monitor_spawn(struct engine *engine, const char *id, const char *run_dir,
                  const struct monitor_plan *plan, deadline_t deadline,
                  struct process *ret_workload, struct process *ret_monitor, struct err *err)
{
    autofd int text = text_fd(&plan->text, err);
    autofd int dir = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char report[MONITOR_REPORT_MAX_BYTES] = "";
    autopidref child = PIDREF_NONE;
    char *argv[] = {(char[]){"unicri-monitor"}, (char *)(uintptr_t)id, NULL};
    int ends[2];

    if (text < 0)
        return -1;
    if (dir < 0)
        return err_sys(err, "open '%s'", run_dir);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, "make a pipe");

    autofd int in = ends[0], out = ends[1];
    struct child_spec spec = {
        .path = engine->monitor_program,
        .argv = argv,
        .fds = {{STDERR_FILENO, STDERR_FILENO},
                {text, MONITOR_SPEC_FD},
                {out, MONITOR_REPORT_FD},
                {dir, MONITOR_RUN_DIR_FD},
                {engine->exits_fd, MONITOR_EXIT_DIR_FD}},
        .n_fds = 5,
        .new_session = true,
    };

    for (size_t i = 0; i < plan->n_fds; i++)
        spec.fds[spec.n_fds++] = (struct child_fd){plan->fds[i].fd, MONITOR_FIRST_FD + (int)i};
    if (child_spawn(&spec, &child, err) < 0)
        return -1;
    out = close_fd(out);
    *ret_monitor = (struct process){.pid = child.pid, .start_time = child.start_time};
    if (read_report(in, deadline, report, sizeof(report), err) < 0 ||
        parse_report(report, ret_workload, err) < 0) {
        child_kill_group(&child);
        monitor_kill(ret_monitor, true, deadline_in(KILL_TIMEOUT));
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------ end */

bool monitor_reap(const struct process *monitor, deadline_t deadline)
{
    nsec_t pause = NSEC_PER_MSEC / 4;
    int status;

    for (;;) {
        pid_t rc = waitpid(monitor->pid, &status, WNOHANG);

        if (rc == monitor->pid || (rc < 0 && errno == ECHILD))
            return true;
        if (deadline_passed(deadline))
            return false;
        clock_sleep_until(deadline_min(deadline, deadline_in(pause)));
        if (pause < 20 * NSEC_PER_MSEC)
            pause *= 2;
    }
}

bool monitor_ended(const struct process *monitor)
{
    siginfo_t info = {0};

    if (monitor->pid <= 0)
        return false;
    return waitid(P_PID, (id_t)monitor->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
           info.si_pid == monitor->pid;
}

void monitor_kill(const struct process *monitor, bool is_child, deadline_t deadline)
{
    autopidref p = PIDREF_NONE;
    struct err err = ERR_INIT;

    if (monitor->pid > 0 && pidref_open(monitor->pid, monitor->start_time, &p, &err) == 0) {
        if (pidref_kill(&p, SIGKILL, &err) == 0 && !is_child &&
            pidref_wait_gone(&p, deadline, &err) < 0)
            return;
    }
    if (is_child && monitor->pid > 0)
        (void)monitor_reap(monitor, deadline);
}

bool monitor_find(const char *id, struct process *ret)
{
    autodir DIR *proc = opendir("/proc");
    const struct dirent *e;

    while (proc && (e = readdir(proc))) {
        char path[300], *text = NULL;
        size_t len = 0;
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

        (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        if (pid < 2 || fs_read_file(AT_FDCWD, path, 64 * 1024, &text, &len, NULL) < 0)
            continue;

        size_t first = strlen(text) + 1;
        bool match =
            str_has_suffix(text, "unicri-monitor") && first < len && str_eq(text + first, id);

        free(text);
        if (match) {
            *ret = (struct process){.pid = pid, .start_time = pid_start_time(pid)};
            return ret->start_time != 0;
        }
    }
    return false;
}

/* -------------------------------------------------------------------- control */

static int connect_control(const char *run_dir, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    autofd int dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (dir < 0)
        return err_sys(err, "open '%s'", run_dir);
    /* Through the directory's descriptor: the path may be longer than a socket address holds. */
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" MONITOR_CONTROL_NAME,
                   dir);
    if (fd < 0)
        return err_sys(err, "make a socket");
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return errno == ENOENT ? err_sys(err, "the monitor's control socket")
                               : err_set(err, ERR_UNAVAILABLE, "the monitor does not answer: %s",
                                         strerror(errno));
    return TAKE_FD(fd);
}

static int ask(int fd, const char *message, deadline_t deadline, char *answer, size_t size,
               struct err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[MONITOR_REPORT_MAX_BYTES];
    int rc;

    if (send(fd, message, strlen(message), MSG_NOSIGNAL) < 0)
        return err_set(err, ERR_UNAVAILABLE, "the monitor does not answer: %s", strerror(errno));
    do
        rc = poll(&p, 1, deadline_poll_ms(deadline));
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return err_set(err, ERR_DEADLINE, "the monitor does not answer");

    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return err_set(err, ERR_UNAVAILABLE, "the monitor hung up");
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!str_has_prefix(text, "ok"))
        return err_set(err, ERR_INTERNAL, "%s", str_has_prefix(text, "error ") ? text + 6 : text);
    if (answer)
        (void)snprintf(answer, size, "%s", text[2] == ' ' ? text + 3 : "");
    return 0;
}

int monitor_ask(const char *run_dir, const char *message, deadline_t deadline, char *answer,
                size_t size, struct err *err)
{
    autofd int fd = connect_control(run_dir, err);

    return fd < 0 ? -1 : ask(fd, message, deadline, answer, size, err);
}

int monitor_attach(const char *run_dir, bool in, deadline_t deadline, struct err *err)
{
    autofd int fd = connect_control(run_dir, err);

    if (fd < 0 || ask(fd, in ? "attach 1" : "attach 0", deadline, NULL, 0, err) < 0)
        return -1;
    return TAKE_FD(fd);
}

/* ------------------------------------------------------------------ exit file */

/* The last lines, as they were; a first one that is cut, and blank ones at the end, are left out.
 */
static void read_console(const char *p, char *ret, size_t size)
{
    size_t len = strcspn(p, "\n"), lines = 0, from;

    while (len > 0 && (p[len - 1] == MONITOR_LINE_END || p[len - 1] == ' '))
        len--;
    for (from = len; from > 0 && len - from < size - 1; from--)
        if (p[from - 1] == MONITOR_LINE_END && ++lines == CONSOLE_LINES_MAX)
            break;
    (void)snprintf(ret, size, "%.*s", (int)(len - from), p + from);
    for (char *c = ret; *c; c++)
        if (*c == MONITOR_LINE_END)
            *c = '\n';
}

int exit_status_parse(const char *text, struct exit_status *ret, struct err *err)
{
    const char *p = text;
    unsigned long long finished;
    int code, sig, oom;

    *ret = (struct exit_status){0};
    if (strlen(text) > EXIT_FILE_TEXT_MAX || !scan_text(&p, "code ") || !scan_int(&p, &code) ||
        !scan_text(&p, "\nsignal ") || !scan_int(&p, &sig) || !scan_text(&p, "\nfinished ") ||
        !scan_u64(&p, INT64_MAX, &finished) || !scan_text(&p, "\noom ") || !scan_int(&p, &oom) ||
        !scan_text(&p, "\n"))
        return err_set(err, ERR_CORRUPT, "exit file: not one");
    if (code > 255 || sig > 64)
        return err_set(err, ERR_CORRUPT, "exit file: code %d, signal %d", code, sig);
    ret->exited = sig == 0;
    ret->code = sig ? sig : code;
    ret->finished_at = (int64_t)finished;
    ret->oom = oom == 1;
    ret->helper = scan_text(&p, "helper 1\n");
    if (scan_text(&p, "message ")) {
        (void)snprintf(ret->message, sizeof(ret->message), "%s", p);
        ret->message[strcspn(ret->message, "\n")] = '\0';
        p += strcspn(p, "\n");
    }
    if (scan_text(&p, "\nconsole "))
        read_console(p, ret->console, sizeof(ret->console));
    return 0;
}
