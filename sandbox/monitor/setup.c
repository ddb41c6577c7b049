/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup - from the first instruction to the running child: become a subreaper, read the orders,
 * open everything that can fail while there is still somebody to tell, and start.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define HIGH_FD 256 /* where no descriptor of a VMM is put */

static char kept_id[SPEC_ID_MAX_BYTES + 1], kept_cgroup_memory[PATH_MAX];

/* The spec and its pointers while the workload is being started. */
static struct {
    void *text, *pointers;
    size_t text_len, pointers_len;
} orders;

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

/* `n`: pointers for both specs, then the room of each. */
static int parse_orders(struct monitor *m, size_t n, struct fault *f)
{
    char *text = orders.text, **pointers = orders.pointers;
    struct spec_room *room = (struct spec_room *)(pointers + n);
    size_t len = spec_helper(text, orders.text_len), skip = len + sizeof(SPEC_HELPER);

    if (spec_parse(text, len, pointers, room, &m->spec, f) < 0)
        return -1;
    if (len == orders.text_len)
        return 0;
    if (m->spec.mode != MODE_VMM)
        return fault(f, EINVAL, "spec: a helper beside no VMM", NULL);
    if (spec_parse(text + skip, orders.text_len - skip, pointers + spec_count(text, len) + 2,
                   room + 1, &m->helper, f) < 0)
        return -1;
    return m->helper.mode == MODE_VMM ? 0 : fault(f, EINVAL, "spec: mode of the helper", NULL);
}

static int read_orders(struct monitor *m, struct fault *f)
{
    struct stat st;
    size_t n;

    if (fstat(MONITOR_SPEC_FD, &st) < 0)
        return fault(f, errno, "spec", NULL);
    if (st.st_size <= 0 || st.st_size > MONITOR_SPEC_MAX_BYTES)
        return fault(f, EINVAL, "spec: empty or too long", NULL);
    orders.text_len = (size_t)st.st_size;
    orders.text =
        mmap(NULL, orders.text_len, PROT_READ | PROT_WRITE, MAP_PRIVATE, MONITOR_SPEC_FD, 0);
    if (orders.text == MAP_FAILED)
        return fault(f, errno, "map spec", NULL);
    n = spec_count(orders.text, orders.text_len) + 4;
    orders.pointers_len = n * sizeof(char *) + 2 * sizeof(struct spec_room);
    orders.pointers =
        mmap(NULL, orders.pointers_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (orders.pointers == MAP_FAILED)
        return fault(f, errno, "allocate for spec", NULL);
    close(MONITOR_SPEC_FD);
    if (parse_orders(m, n, f) < 0)
        return -1;
    strncpy(kept_id, m->spec.id, sizeof(kept_id) - 1);
    m->spec.id = kept_id;
    if (m->spec.cgroup_memory) {
        strncpy(kept_cgroup_memory, m->spec.cgroup_memory, sizeof(kept_cgroup_memory) - 1);
        m->spec.cgroup_memory = kept_cgroup_memory;
    }
    return 0;
}

static size_t named(const struct spec *spec)
{
    return spec->argv ? spec->n_fds + spec->n_entries + 2 : 0;
}

/* The i-th descriptor that the spec names; -1: not given. */
static int named_fd(const struct spec *spec, size_t i)
{
    if (i >= named(spec))
        return -1;
    if (i < spec->n_fds)
        return spec->fds[i].from;
    i -= spec->n_fds;
    if (i < spec->n_entries)
        return spec->entries[i].fd;
    return i == spec->n_entries ? spec->program_fd : spec->netns;
}

/* Close what the caller left open by mistake: from MONITOR_FIRST_FD on only what the spec names is
 * ours. */
static void close_strangers(const struct monitor *m)
{
    unsigned next = MONITOR_FIRST_FD;

    for (;;) {
        unsigned lowest = ~0U;

        for (size_t i = 0; i < named(&m->spec) + named(&m->helper); i++) {
            unsigned fd =
                (unsigned)(i < named(&m->spec) ? named_fd(&m->spec, i)
                                               : named_fd(&m->helper, i - named(&m->spec)));

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
    if (m->child_error_fd < 0 && errno == EINVAL)
        return fault(f, EMFILE, "the limit of open files (RLIMIT_NOFILE) is below 257", NULL);
    close(p[1]);
    return m->child_error_fd < 0 ? fault(f, errno, "create pipe", NULL) : 0;
}

int setup(struct monitor *m, struct fault *f)
{
    m->error_fd = m->child_error_fd = m->console_listener = m->listener = -1;
    m->in = m->child_in = m->child_out = m->child_err = -1;
    m->helper_words = m->child_words = -1;
    m->fd[STREAM_OUT] = m->fd[STREAM_ERR] = m->log.fd = -1;
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++)
        m->clients[i].fd = -1;
    if (become_monitor(m, f) < 0 || read_orders(m, f) < 0)
        return -1;
    close_strangers(m);
    if (open_signals(m, f) < 0 || exitfile_reserve(m, f) < 0 ||
        log_open(&m->log, m->spec.log_dir, m->spec.log, m->spec.log_line_max, f) < 0)
        return -1;
    if (control_open(m, f) < 0 || stdio_open(m, f) < 0 || helper_open(m, f) < 0 ||
        open_error_pipe(m, f) < 0)
        return -1;
    m->oom_before = oom_kills(m);
    m->start_deadline_ms = m->spec.timeout_ms > 0 ? now_ms() + m->spec.timeout_ms : 0;
    if ((m->spec.mode == MODE_VMM ? start_vmm(m, f) : start_runtime(m, f)) < 0)
        return -1;
    stdio_started(m);
    close(m->child_error_fd); /* so that its end is seen */
    return 0;
}

void setup_release(void)
{
    (void)munmap(orders.text, orders.text_len);
    (void)munmap(orders.pointers, orders.pointers_len);
}
