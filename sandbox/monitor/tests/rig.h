/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - a real unicri-monitor under test: a directory with run and exits in it, a spec built field
 * by field, the report, the exit file, the log and the control socket. Every wait has a deadline.
 */
#ifndef UNICRI_SANDBOX_MONITOR_TESTS_RIG_H
#define UNICRI_SANDBOX_MONITOR_TESTS_RIG_H

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/monitor/monitor.h"

#define RIG_WAIT_MS 20000
#define RIG_FD      20 /* where descriptors for the spec begin */

struct rig {
    char *dir;
    struct strbuf spec;
    int fds[8]; /* handed over as RIG_FD + i */
    size_t n_fds;
    bool deaf; /* the daemon dies before it reads the report */
    pid_t monitor;
    char report[MONITOR_REPORT_MAX_BYTES];
    pid_t workload; /* from an "ok" report */
};

static inline const char *rig_path(const struct rig *rig, const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];

    (void)snprintf(p, 256, "%s/%s", rig->dir, name);
    return p;
}

static inline void rig_field(struct rig *rig, const char *key, const char *value)
{
    strbuf_addf(&rig->spec, "%s=%s", key, value);
    strbuf_addc(&rig->spec, '\0');
}

static inline void rig_open(struct rig *rig, void **state, const char *id, const char *mode)
{
    *rig = (struct rig){.dir = *state, .spec = STRBUF_INIT};
    (void)mkdir(rig_path(rig, "run"), 0700);
    (void)mkdir(rig_path(rig, "exits"), 0700);
    rig_field(rig, "id", id);
    rig_field(rig, "mode", mode);
    rig_field(rig, "timeout_ms", "10000");
    rig_field(rig, "log_dir", rig->dir);
    rig_field(rig, "log", "log");
}

static inline const char *rig_bin(void)
{
    const char *bin = getenv("UNICRI_BIN");

    return bin ? bin : "bin";
}

/* A shell script as the OCI runtime; $RUN is the run directory, `detach CMD` leaves the workload
 * behind, as a child of the monitor. */
static inline void rig_runtime(struct rig *rig, const char *body)
{
    struct err err = ERR_INIT;
    autofree char *env = xasprintf("RUN=%s", rig_path(rig, "run"));
    autofree char *detach = path_join(rig_bin(), "fake-detach");
    autofree char *text = xasprintf("#!/bin/sh\n"
                                    "detach() { '%s' $RUN/pid \"$@\"; }\n%s\n",
                                    detach, body);

    assert_ok(fs_write_file(AT_FDCWD, rig_path(rig, "runtime"), text, strlen(text), 0755, &err),
              err);
    rig_field(rig, "program", rig_path(rig, "runtime"));
    rig_field(rig, "arg", "runtime");
    rig_field(rig, "env", env);
    rig_field(rig, "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
}

static inline int rig_add_fd(struct rig *rig, int fd)
{
    rig->fds[rig->n_fds] = fd;
    return RIG_FD + (int)rig->n_fds++;
}

/* posix_spawn with exact descriptors: everything is first copied high, so that no target hides a
 * source. */
static inline void rig_start(struct rig *rig)
{
    autofree char *program = path_join(rig_bin(), "unicri-monitor");
    char *argv[] = {(char *)(uintptr_t) "unicri-monitor", NULL};
    posix_spawn_file_actions_t actions;
    int report[2], source[16], n = 0, memfd = memfd_create("spec", MFD_CLOEXEC);
    int target[16];
    ssize_t len;

    assert_int_equal(write(memfd, rig->spec.s, rig->spec.len), (ssize_t)rig->spec.len);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    source[n] = memfd, target[n++] = MONITOR_SPEC_FD;
    source[n] = report[1], target[n++] = MONITOR_REPORT_FD;
    source[n] = open(rig_path(rig, "run"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    target[n++] = MONITOR_RUN_DIR_FD;
    source[n] = open(rig_path(rig, "exits"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    target[n++] = MONITOR_EXIT_DIR_FD;
    for (size_t i = 0; i < rig->n_fds; i++)
        source[n] = rig->fds[i], target[n++] = RIG_FD + (int)i;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0);
    for (int i = 0; i < n; i++) {
        int high = fcntl(source[i], F_DUPFD_CLOEXEC, 100);

        assert_true(high >= 100);
        if (i < 4)
            close(source[i]);
        source[i] = high;
        posix_spawn_file_actions_adddup2(&actions, high, target[i]);
    }
    assert_int_equal(posix_spawn(&rig->monitor, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < n; i++)
        close(source[i]);
    strbuf_done(&rig->spec);
    if (rig->deaf) {
        close(report[0]);
        return;
    }
    {
        struct pollfd p = {.fd = report[0], .events = POLLIN};

        assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
    }
    len = read(report[0], rig->report, sizeof(rig->report) - 1);
    close(report[0]);
    assert_true(len > 0);
    rig->report[len] = '\0';
    if (str_has_prefix(rig->report, "ok "))
        rig->workload = (pid_t)strtol(rig->report + 3, NULL, 10);
}

static inline void rig_start_ok(struct rig *rig)
{
    rig_start(rig);
    if (rig->workload <= 1)
        fail_msg("report: %s", rig->report);
}

static inline void rig_pause(void)
{
    const struct timespec ms = {.tv_nsec = 5000000};

    nanosleep(&ms, NULL);
}

/* Returns: the monitor's wait status. */
static inline int rig_wait(struct rig *rig)
{
    int status;

    for (int i = 0; i < RIG_WAIT_MS / 5; i++) {
        if (waitpid(rig->monitor, &status, WNOHANG) == rig->monitor)
            return status;
        rig_pause();
    }
    kill(rig->monitor, SIGKILL);
    waitpid(rig->monitor, &status, 0);
    fail_msg("the monitor did not end");
    return -1;
}

static inline char *rig_read(const struct rig *rig, const char *name)
{
    struct err err = ERR_INIT;
    char *text = NULL;

    if (fs_read_file(AT_FDCWD, rig_path(rig, name), 64 << 20, &text, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    return text;
}

static inline void assert_in_file(const struct rig *rig, const char *name, const char *part)
{
    autofree char *text = rig_read(rig, name);

    if (!strstr(text, part))
        fail_msg("'%s' is not in %s: %.2000s", part, name, text);
}

/* The monitor ends well, and the exit file has this beginning. */
static inline void rig_end(struct rig *rig, const char *id, const char *expected)
{
    autofree char *name = xasprintf("exits/%s", id);
    autofree char *text = NULL;

    assert_int_equal(rig_wait(rig), 0);
    text = rig_read(rig, name);
    if (!str_has_prefix(text, expected))
        fail_msg("exit file: %s", text);
    assert_int_equal(access(rig_path(rig, "run/" MONITOR_CONTROL_NAME), F_OK), -1);
}

/* The start fails with these words; neither exit file nor anything else stays. */
static inline void rig_start_fails(struct rig *rig, const char *id, const char *words)
{
    autofree char *exit_name = xasprintf("exits/%s", id);
    autofree char *tmp_name = xasprintf("exits/.%s.tmp", id);

    rig_start(rig);
    if (!str_has_prefix(rig->report, "error ") || !strstr(rig->report, words))
        fail_msg("report: %s", rig->report);
    assert_int_equal(WEXITSTATUS(rig_wait(rig)), 1);
    assert_int_equal(access(rig_path(rig, exit_name), F_OK), -1);
    assert_int_equal(access(rig_path(rig, tmp_name), F_OK), -1);
    assert_int_equal(access(rig_path(rig, "run/" MONITOR_CONTROL_NAME), F_OK), -1);
}

static inline int rig_connect(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                   rig_path(rig, "run/" MONITOR_CONTROL_NAME));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

static inline void assert_answer(int fd, const char *request, size_t len, const char *prefix)
{
    char answer[2048] = "";
    ssize_t n;

    assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), (ssize_t)len);
    n = recv(fd, answer, sizeof(answer) - 1, 0);
    assert_true(n > 0);
    answer[n] = '\0';
    if (!str_has_prefix(answer, prefix))
        fail_msg("answer: %s", answer);
}
#define assert_ask(fd, request, prefix) assert_answer(fd, request, strlen(request), prefix)

static inline bool process_lives(pid_t pid)
{
    char path[64], text[512] = "";
    const char *state;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    (void)!read(fd, text, sizeof(text) - 1);
    close(fd);
    state = strrchr(text, ')');
    return state && state[2] != 'Z' && state[2] != 'X';
}

static inline void assert_dies(pid_t pid)
{
    for (int i = 0; i < RIG_WAIT_MS / 5; i++) {
        if (!process_lives(pid))
            return;
        rig_pause();
    }
    fail_msg("process %d lives on", pid);
}

#endif
