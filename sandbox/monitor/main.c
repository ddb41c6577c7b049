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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define PAGE          4096
#define HIGH_FD       256  /* where no descriptor of a VMM is put */
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
static char kept_id[SPEC_ID_MAX_BYTES + 1], kept_cgroup_memory[PATH_MAX];

/* The spec and its pointers while the workload is being started. */
static struct {
    void *text, *pointers;
    size_t text_len, pointers_len;
} orders;

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
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

/* ------------------------------------------------------------------ setting up */

static int become_monitor(struct monitor *m, struct fault *f)
{
    static const int ignored[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                  SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP};
    sigset_t chld;

    (void)setsid(); /* fails for who is a leader already */
    umask(022);     /* what a runtime's container inherits */
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        (void)signal(ignored[i], SIG_IGN);
    sigemptyset(&m->old_mask);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    (void)signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &chld, NULL) < 0)
        return fault(f, errno, "block SIGCHLD", NULL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fault(f, errno, "become a subreaper", NULL);
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return fault(f, errno, "mark descriptors close-on-exec", NULL);
    return 0;
}

static int read_orders(struct monitor *m, struct fault *f)
{
    struct stat st;

    if (fstat(MONITOR_SPEC_FD, &st) < 0)
        return fault(f, errno, "spec", NULL);
    if (st.st_size <= 0 || st.st_size > MONITOR_SPEC_MAX_BYTES)
        return fault(f, EINVAL, "spec: empty or too long", NULL);
    orders.text_len = (size_t)st.st_size;
    orders.text =
        mmap(NULL, orders.text_len, PROT_READ | PROT_WRITE, MAP_PRIVATE, MONITOR_SPEC_FD, 0);
    if (orders.text == MAP_FAILED)
        return fault(f, errno, "map spec", NULL);
    orders.pointers_len = (spec_count(orders.text, orders.text_len) + 2) * sizeof(char *);
    orders.pointers =
        mmap(NULL, orders.pointers_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (orders.pointers == MAP_FAILED)
        return fault(f, errno, "allocate for spec", NULL);
    close(MONITOR_SPEC_FD);
    if (spec_parse(orders.text, orders.text_len, orders.pointers, &m->spec, f) < 0)
        return -1;
    strncpy(kept_id, m->spec.id, sizeof(kept_id) - 1);
    m->spec.id = kept_id;
    if (m->spec.cgroup_memory) {
        strncpy(kept_cgroup_memory, m->spec.cgroup_memory, sizeof(kept_cgroup_memory) - 1);
        m->spec.cgroup_memory = kept_cgroup_memory;
    }
    return 0;
}

/* Close what the caller left open by mistake: from MONITOR_FIRST_FD on only what the spec names is
 * ours. */
static void close_strangers(const struct monitor *m)
{
    unsigned next = MONITOR_FIRST_FD;

    for (;;) {
        unsigned lowest = ~0U;

        for (size_t i = 0; i < m->spec.n_fds + 2; i++) {
            unsigned fd = (unsigned)(i < m->spec.n_fds    ? m->spec.fds[i].from
                                     : i == m->spec.n_fds ? m->spec.program_fd
                                                          : m->spec.netns);

            if (fd >= next && fd < lowest)
                lowest = fd; /* -1 is ~0U: not given */
        }
        if (lowest > next)
            (void)syscall(SYS_close_range, next, lowest == ~0U ? ~0U : lowest - 1, 0);
        if (lowest == ~0U)
            return;
        next = lowest + 1;
    }
}

static int open_signals(struct monitor *m, struct fault *f)
{
    sigset_t chld;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    m->signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signal_fd < 0 ? fault(f, errno, "create signalfd", NULL) : 0;
}

/* The write end must survive the jail's moving of descriptors, so it lies above them. */
static int open_error_pipe(struct monitor *m, struct fault *f)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
        return fault(f, errno, "create pipe", NULL);
    m->error_fd = p[0];
    m->child_error_fd = fcntl(p[1], F_DUPFD_CLOEXEC, HIGH_FD);
    close(p[1]);
    return m->child_error_fd < 0 ? fault(f, errno, "create pipe", NULL) : 0;
}

static int set_up(struct monitor *m, struct fault *f)
{
    m->error_fd = m->child_error_fd = m->console_listener = m->listener = -1;
    m->in = m->child_in = m->child_out = m->child_err = -1;
    m->fd[STREAM_OUT] = m->fd[STREAM_ERR] = m->log.fd = -1;
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        m->clients[i].fd = -1;
    if (become_monitor(m, f) < 0 || read_orders(m, f) < 0)
        return -1;
    close_strangers(m);
    if (open_signals(m, f) < 0 || exitfile_reserve(m, f) < 0 ||
        log_open(&m->log, m->spec.log, m->spec.log_line_max, f) < 0)
        return -1;
    if (control_open(m, f) < 0 || stdio_open(m, f) < 0 || open_error_pipe(m, f) < 0)
        return -1;
    m->oom_before = oom_kills(m);
    m->start_deadline_ms = m->spec.timeout_ms > 0 ? now_ms() + m->spec.timeout_ms : 0;
    if ((m->spec.mode == MODE_VMM ? start_vmm(m, f) : start_runtime(m, f)) < 0)
        return -1;
    stdio_started(m);
    close(m->child_error_fd); /* so that its end is seen */
    return 0;
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
    m->spec.argv = m->spec.env = NULL;
    m->spec.n_cgroups = m->spec.n_cgroup_kill = 0;
    m->spec.log = m->spec.program = NULL;
    (void)munmap(orders.text, orders.text_len);
    (void)munmap(orders.pointers, orders.pointers_len);
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
        if (n == 0 && m->phase == PHASE_RUNNING && m->chunk_len == 0) {
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

    if (set_up(m, &f) < 0)
        start_failed(m, &f);
    loop(m);
    for (int i = 0; i < STREAMS; i++)
        log_end(&m->log, &m->streams[i]);
    if (exitfile_write(m) < 0)
        _exit(2);
    control_close(m);
    _exit(0);
}
