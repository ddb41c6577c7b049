/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_runtime - have an OCI runtime start the workload. The runtime is a child in a process group
 * of its own; it detaches the workload, which becomes a child of the monitor (a subreaper) when the
 * runtime ends, and leaves its pid in the run directory.
 *
 * What went wrong is read from the runtime's own log (`@log@`), because its stderr is the
 * workload's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define ARG_ROOM_BYTES 16384 /* of arguments with a placeholder */
#define LOG_TAIL_BYTES 8192

static char arg_room[ARG_ROOM_BYTES];

int process_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start_time)
{
    char path[32], content[1024], *s, *save = NULL;
    struct text t = TEXT(path);
    int field = 3;

    text_str(&t, "/proc/");
    text_num(&t, pid);
    text_str(&t, "/stat");
    if (read_small(AT_FDCWD, path, content, sizeof(content)) < 0)
        return -1;
    s = strrchr(content, ')'); /* the name may hold anything */
    if (!s)
        return -1;
    for (s = strtok_r(s + 1, " ", &save); s; s = strtok_r(NULL, " ", &save), field++) {
        int64_t n;

        if (field != 4 && field != 22)
            continue;
        if (!text_number(s, 0, INT64_MAX, &n))
            return -1;
        if (field == 22) {
            *ret_start_time = (uint64_t)n;
            return 0;
        }
        *ret_parent = (pid_t)n;
    }
    return -1;
}

/* The path of a file in the run directory as another process can use it, short enough for a socket
 * address. */
static void run_path(const char *name, struct text *t)
{
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/fd/5", dir, sizeof(dir));

    if (n > 0 && (size_t)n + 1 + strlen(name) < 100) {
        text_add(t, dir, (size_t)n);
    } else {
        text_str(t, "/proc/");
        text_num(t, getpid());
        text_str(t, "/fd/5");
    }
    text_str(t, "/");
    text_str(t, name);
}

/* Put paths in the place of "@console@" and "@log@"; arguments without them are left where they
 * are. */
static int replace_placeholders(struct monitor *m, struct fault *f)
{
    static const struct {
        const char *mark, *name;
    } marks[] = {{"@console@", MONITOR_CONSOLE_NAME}, {"@log@", MONITOR_RUNTIME_LOG_NAME}};
    struct text t = {.s = arg_room, .len = 0, .size = sizeof(arg_room)};

    for (char **arg = m->spec.argv; *arg; arg++) {
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
            const char *at = strstr(*arg, marks[i].mark);
            char *start = t.s + t.len;

            if (!at)
                continue;
            if (t.size - t.len < strlen(*arg) + PATH_MAX)
                return fault(f, E2BIG, "spec: too many placeholders in arguments", NULL);
            text_add(&t, *arg, (size_t)(at - *arg));
            run_path(marks[i].name, &t);
            text_str(&t, at + strlen(marks[i].mark));
            t.len++; /* keep the NUL */
            *arg = start;
            break;
        }
    }
    return 0;
}

/* A runtime must not outlive its monitor: it would go on to start a workload that nobody holds, in
 * a cgroup that has been removed meanwhile. */
static _Noreturn void child(const struct monitor *m, pid_t monitor)
{
    (void)setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != monitor)
        start_child_failed(m, "be bound to the monitor");
    if (stdio_child(m) < 0)
        start_child_failed(m, "set up standard streams");
    start_child_signals(m);
    execve(m->spec.program, m->spec.argv, m->spec.env);
    start_child_failed(m, "execute");
}

int start_runtime(struct monitor *m, struct fault *f)
{
    (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_PID_NAME, 0);
    (void)unlinkat(MONITOR_RUN_DIR_FD, MONITOR_RUNTIME_LOG_NAME, 0);
    if (replace_placeholders(m, f) < 0)
        return -1;
    pid_t self = getpid();

    m->starter = fork();
    if (m->starter < 0) {
        m->starter = 0;
        return fault(f, errno, "fork for", m->spec.program);
    }
    if (m->starter == 0)
        child(m, self);
    (void)setpgid(m->starter, m->starter); /* both sides do it: whoever comes first */
    return 0;
}

int start_runtime_result(struct monitor *m, struct fault *f)
{
    char content[32];
    int64_t pid;
    pid_t parent;
    long n = read_small(MONITOR_RUN_DIR_FD, MONITOR_PID_NAME, content, sizeof(content));

    if (n < 0)
        return fault(f, errno, "the runtime succeeded but left no pid file", MONITOR_PID_NAME);
    while (n > 0 && (content[n - 1] == '\n' || content[n - 1] == ' '))
        content[--n] = '\0';
    if (!text_number(content, 2, INT32_MAX, &pid))
        return fault(f, EINVAL, "the runtime's pid file holds no pid", content);
    if (process_stat((pid_t)pid, &parent, &m->start_time) < 0)
        return fault(f, ESRCH, "the process that the runtime named", content);
    if (parent != getpid())
        return fault(f, ECHILD, "the process that the runtime named is not its child", content);
    m->pid = (pid_t)pid;
    return 0;
}

/* Undo JSON's escapes in place, up to the closing quote. Returns: the length. */
static size_t unescape(char *s)
{
    size_t n = 0;

    for (size_t i = 0; s[i] && s[i] != '"'; i++) {
        char c = s[i];

        if (c == '\\' && s[i + 1]) {
            c = s[++i];
            if (c == 'n' || c == 't' || c == 'r')
                c = ' ';
            else if (c == 'u' && strnlen(s + i, 5) == 5) {
                c = '?';
                i += 4;
            }
        }
        s[n++] = c;
    }
    return n;
}

/* The last "msg" of the runtime's JSON log, or the last line when it is not JSON. */
static bool log_words(char *buf, size_t len, const char **ret, size_t *ret_len)
{
    static const char key[] = "\"msg\":\"";
    char *last = NULL;

    for (char *s = strstr(buf, key); s; s = strstr(s, key)) {
        s += sizeof(key) - 1;
        last = s;
    }
    if (last) {
        *ret = last;
        *ret_len = unescape(last);
        return *ret_len > 0;
    }
    while (len > 0 && buf[len - 1] == '\n')
        buf[--len] = '\0';
    last = strrchr(buf, '\n');
    *ret = last ? last + 1 : buf;
    *ret_len = strlen(*ret);
    return *ret_len > 0;
}

int start_runtime_words(struct monitor *m, int status, struct fault *f)
{
    static char buf[LOG_TAIL_BYTES];
    char what[64];
    struct text t = TEXT(what);
    const char *words = m->last_words;
    size_t len = m->last_words_len;
    int fd =
        openat(MONITOR_RUN_DIR_FD, MONITOR_RUNTIME_LOG_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0) {
        off_t size = lseek(fd, 0, SEEK_END);
        off_t from = size > (off_t)sizeof(buf) - 1 ? size - ((off_t)sizeof(buf) - 1) : 0;
        ssize_t n = pread(fd, buf, sizeof(buf) - 1, from);

        close(fd);
        if (n > 0) {
            buf[n] = '\0';
            (void)log_words(buf, (size_t)n, &words, &len);
        }
    }
    text_str(&t, "runtime ");
    text_str(&t, WIFSIGNALED(status) ? "killed by signal " : "failed with status ");
    text_num(&t, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (len == 0)
        return fault(f, 0, what, NULL);
    return fault_words(f, 0, what, words, len);
}
