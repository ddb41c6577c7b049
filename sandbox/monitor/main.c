/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-monitor: the process that holds one running container. What it is told and what it tells
 * stands in monitor.h; what it knows, in state.h. Its story: read the spec, open everything that
 * can fail, start the workload, report, then sit in one poll() until the workload ends; read the
 * rest of its output, write the exit file, end.
 *
 * Signals: SIGTERM, SIGINT, SIGHUP and their like are ignored. Whoever wants the container to end
 * kills the workload, and the monitor ends by itself with a true exit file. Only SIGKILL ends a
 * monitor early; the workload lives on without a log.
 *
 * Memory: static buffers only. What starting touched (the spec, the program's pages) is given back
 * before the first long sleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define PAGE          4096
#define DRAIN_HARD_MS 2000 /* for somebody else who goes on writing to the workload's streams */

enum slot {
    SLOT_SIGNAL,
    SLOT_ERROR,
    SLOT_CONSOLE,
    SLOT_OUT,
    SLOT_ERR,
    SLOT_IN,
    SLOT_LISTENER,
    SLOT_CLIENTS
};
#define SLOTS (SLOT_CLIENTS + MONITOR_CLIENTS_MAX)

static struct monitor monitor;

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

/* ------------------------------------------------------------------ the report */

static void report(const char *s, size_t len)
{
    (void)!write(MONITOR_REPORT_FD, s, len);
    close(MONITOR_REPORT_FD);
}

static void report_ok(const struct monitor *m)
{
    char buf[64];
    struct text t = TEXT(buf);

    text_str(&t, "ok ");
    text_num(&t, m->pid);
    text_str(&t, " ");
    text_num(&t, (int64_t)m->start_time);
    text_str(&t, "\n");
    report(buf, t.len);
}

static void report_error(const struct fault *f)
{
    char buf[MONITOR_REPORT_MAX_BYTES];
    struct text t = TEXT(buf);

    text_str(&t, "error ");
    text_num(&t, f->code);
    text_str(&t, " ");
    text_str(&t, f->text);
    text_str(&t, "\n");
    report(buf, t.len);
}

/* ------------------------------------------------------------------ started, or not */

static void start_done(struct monitor *m)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

    if (null >= 0) {
        (void)dup2(null, 2);
        close(null);
    }
    m->phase = PHASE_RUNNING;
    m->spec.argv = m->spec.env = m->helper.argv = m->helper.env = NULL;
    m->spec.n_cgroups = m->spec.n_cgroup_kill = 0;
    m->spec.log_dir = m->spec.log = m->spec.program = NULL;
    setup_release();
    report_ok(m);
}

static _Noreturn void start_failed(struct monitor *m, const struct fault *f)
{
    if (m->starter > 0 || m->spec.mode == MODE_VMM || m->spec.kill_on_start_failure)
        reap_kill_all(m);
    if (m->listener >= 0)
        control_close(m);
    if (m->console_listener >= 0)
        (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_CONSOLE_NAME, 0);
    if (m->spec.id)
        exitfile_discard(m);
    report_error(f);
    _exit(1);
}

/* What the child says on its pipe: nothing until exec closes it, or why it did not come that far.
 */
static void on_error_pipe(struct monitor *m)
{
    struct start_error e;
    struct fault f;
    ssize_t n = read(m->error_fd, &e, sizeof(e));

    if (n < 0)
        return;
    close(m->error_fd);
    m->error_fd = -1;
    m->exec_done = n == 0;
    m->exec_ns = now_ns();
    if (n == 0)
        return;
    e.step[sizeof(e.step) - 1] = '\0';
    fault(&f, e.code, e.step, m->spec.mode == MODE_RUNTIME ? m->spec.program : NULL);
    start_failed(m, &f);
}

static void vmm_started(struct monitor *m)
{
    struct fault f;
    pid_t parent;

    if (process_stat(m->pid, &parent, &m->start_time) < 0) {
        fault(&f, ESRCH, "look at the new VMM process", NULL);
        start_failed(m, &f);
    }
    m->starter = 0;
    start_done(m);
}

static void runtime_ended(struct monitor *m, int status)
{
    struct fault f;

    if (m->error_fd >= 0)
        on_error_pipe(m);
    while (m->fd[STREAM_ERR] >= 0 && m->chunk_len == 0 && stdio_read(m, STREAM_ERR))
        ; /* its last words may still lie in the pipe */
    if (status != 0) {
        start_runtime_words(m, status, &f);
        start_failed(m, &f);
    }
    if (m->console_listener >= 0)
        stdio_console(m);
    if (m->console_listener >= 0) {
        fault(&f, EPROTO, "the runtime sent no terminal", NULL);
        start_failed(m, &f);
    }
    if (start_runtime_result(m, &f) < 0)
        start_failed(m, &f);
    start_done(m);
}

static void start_timed_out(struct monitor *m)
{
    char what[96];
    struct text t = TEXT(what);
    struct fault f;

    text_str(&t, "start took longer than ");
    text_num(&t, m->spec.timeout_ms);
    text_str(&t, " ms");
    fault(&f, ETIMEDOUT, what, NULL);
    start_failed(m, &f);
}

/* ------------------------------------------------------------------ the loop */

static void fill(const struct monitor *m, struct pollfd *p)
{
    bool flowing = m->chunk_len == 0;

    p[SLOT_SIGNAL] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
    p[SLOT_ERROR] = (struct pollfd){.fd = m->error_fd, .events = POLLIN};
    p[SLOT_CONSOLE] = (struct pollfd){.fd = m->console_listener, .events = POLLIN};
    p[SLOT_OUT] = (struct pollfd){.fd = flowing ? m->fd[STREAM_OUT] : -1, .events = POLLIN};
    p[SLOT_ERR] = (struct pollfd){.fd = flowing ? m->fd[STREAM_ERR] : -1, .events = POLLIN};
    p[SLOT_IN] = (struct pollfd){.fd = m->in_used > 0 ? m->in : -1, .events = POLLOUT};
    p[SLOT_LISTENER] = (struct pollfd){.fd = m->listener, .events = POLLIN};
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++) {
        const struct client *c = &m->clients[i];
        bool wait = c->attached && c->input && m->in_used > 0;
        short events = (short)((wait ? 0 : POLLIN) | (c->behind ? POLLOUT : 0));

        p[SLOT_CLIENTS + i] = (struct pollfd){.fd = events ? c->fd : -1, .events = events};
    }
}

/* How long poll() may sleep: -1 unless something has a deadline, which is the exception. */
static int patience(const struct monitor *m, int64_t drain_deadline_ms)
{
    int64_t due = INT64_MAX, now = now_ms();

    if (m->phase == PHASE_STARTING && m->start_deadline_ms > 0)
        due = m->start_deadline_ms;
    if (m->phase == PHASE_DRAINING)
        due = drain_deadline_ms;
    else if (m->helper_deadline_ms > 0)
        due = m->helper_deadline_ms;
    if (m->chunk_len > 0 && m->stall_deadline_ms < due)
        due = m->stall_deadline_ms;
    if (due == INT64_MAX)
        return m->phase == PHASE_RUNNING ? QUIET_MS : -1; /* then comes nap(), without end */
    return due <= now ? 0 : (int)(due - now < INT32_MAX ? due - now : INT32_MAX);
}

static void serve_clients(struct monitor *m, const struct pollfd *p)
{
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++) {
        struct client *c = &m->clients[i];

        if (c->fd == p[SLOT_CLIENTS + i].fd && c->fd >= 0 &&
            p[SLOT_CLIENTS + i].revents & (POLLIN | POLLHUP | POLLERR))
            control_read(m, c);
    }
    if (p[SLOT_LISTENER].revents) /* after those that have left made room */
        control_accept(m);
    if (m->chunk_len > 0)
        stdio_deliver(m);
}

/* Returns: whether anything was read from the workload. */
static bool serve_streams(struct monitor *m, const struct pollfd *p)
{
    bool some = false;

    if (p[SLOT_CONSOLE].revents)
        stdio_console(m);
    if (p[SLOT_OUT].revents && m->chunk_len == 0 && m->fd[STREAM_OUT] >= 0)
        some = stdio_read(m, STREAM_OUT);
    if (p[SLOT_ERR].revents && m->chunk_len == 0 && m->fd[STREAM_ERR] >= 0)
        some = stdio_read(m, STREAM_ERR) || some;
    if (p[SLOT_IN].revents && m->in_used > 0)
        stdio_input_flush(m);
    return some;
}

static void serve_start(struct monitor *m, const struct pollfd *p)
{
    int status;

    if (p[SLOT_ERROR].revents)
        on_error_pipe(m);
    if (m->exec_done && m->spec.mode == MODE_VMM)
        vmm_started(m);
    else if (reap(m, &status))
        runtime_ended(m, status);
    else if (m->start_deadline_ms > 0 && now_ms() >= m->start_deadline_ms)
        start_timed_out(m);
}

static void loop(struct monitor *m)
{
    int64_t drain_deadline_ms = 0;

    for (;;) {
        struct pollfd p[SLOTS];
        struct signalfd_siginfo info;
        bool some;
        int n;

        fill(m, p);
        n = poll(p, SLOTS, patience(m, drain_deadline_ms));
        if (n < 0)
            continue; /* EINTR: revents are not set */
        helper_check(m);
        if (n == 0 && m->phase == PHASE_RUNNING && m->chunk_len == 0 &&
            m->helper_deadline_ms == 0) {
            stdio_release(m);
            nap(p, SLOTS); /* until something happens */
        }
        if (p[SLOT_SIGNAL].revents)
            while (read(m->signal_fd, &info, sizeof(info)) > 0)
                ;
        some = serve_streams(m, p);
        serve_clients(m, p);
        if (m->phase == PHASE_STARTING)
            serve_start(m, p);
        if (m->phase != PHASE_STARTING && m->first_ns && !m->first_told)
            exitfile_first(m);
        if (m->phase == PHASE_RUNNING)
            (void)reap(m, NULL);
        if (m->phase != PHASE_DRAINING)
            continue;
        if (drain_deadline_ms == 0)
            drain_deadline_ms = now_ms() + DRAIN_MS;
        if (m->chunk_len == 0 && stdio_ended(m))
            return;
        if (m->chunk_len == 0 && !some && now_ms() >= drain_deadline_ms)
            return;
        if (now_ms() >= drain_deadline_ms - DRAIN_MS + DRAIN_HARD_MS)
            return;
    }
}

int main(void)
{
    struct monitor *m = &monitor;
    struct fault f;

    m->began_ns = now_ns();
    if (setup(m, &f) < 0)
        start_failed(m, &f);
    loop(m);
    for (int i = 0; i < STREAMS; i++)
        log_end(&m->log, &m->streams[i]);
    helper_end(m);
    if (exitfile_write(m) < 0)
        _exit(2);
    control_close(m);
    _exit(0);
}
