/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-exec - one ExecSync: start a command in a container by an OCI runtime and wait for that
 * command alone.
 *
 *     unicri-exec [--timeout-ms=N --procs=FILE] PID_FILE STATUS_FILE PROGRAM ARG...
 *
 * The runtime is told to detach, so the command has our stdio itself and becomes our child
 * (subreaper) when the runtime has gone. When the command ends we end, whoever still holds the
 * pipes: a runtime that stays would copy until the last background child closes them. STATUS_FILE
 * gets "exited N\n" or "signal N\n"; it is not written when the runtime failed: then our own end is
 * the runtime's. After the timeout everything in the command's control group (FILE is its
 * cgroup.procs) is killed and reaped here, by the parent, so that nothing of it is to be seen any
 * more when we end with "timeout\n". libc only; no thread, so fork() is fine here.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PID_TEXT_MAX 32
#define FAILED       125
/* Rounds of KILL_PAUSE_NS: a process that forks as fast as we kill is the daemon's matter then. */
#define KILL_ROUNDS   200
#define KILL_PAUSE_NS 5000000

static volatile sig_atomic_t timed_out;

static void on_alarm(int signo)
{
    (void)signo;
    timed_out = 1;
}

/* The first process is interrupted in its wait; without SA_RESTART. */
static int start_clock(unsigned long long ms)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    /* Again and again: the first may come just before a wait begins. */
    const struct itimerval clock = {
        .it_value = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)},
        .it_interval = {.tv_usec = 50000}};

    return sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &clock, NULL) < 0 ? -1
                                                                                             : 0;
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "unicri-exec: %s: %s\n", what, strerror(errno));
    return FAILED;
}

static pid_t read_pid(const char *path)
{
    char text[PID_TEXT_MAX] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    return n <= 0 ? -1 : (pid_t)strtol(text, NULL, 10);
}

/* Wait for one child; others that come to us meanwhile keep their status: a short command may end
 * before its runtime. Returns: -1 when there is no such child or the time is over. */
static int wait_for(pid_t pid, int *status)
{
    pid_t got;

    do
        got = waitpid(pid, status, 0);
    while (got < 0 && errno == EINTR && !timed_out);
    return got == pid ? 0 : -1;
}

static void kill_all(const char *procs)
{
    FILE *f = fopen(procs, "re");
    char line[32];

    while (f && fgets(line, sizeof(line), f)) {
        long pid = strtol(line, NULL, 10);

        if (pid > 0 && pid <= INT_MAX)
            (void)kill((pid_t)pid, SIGKILL);
    }
    if (f)
        (void)fclose(f);
}

/* Returns: the process' end, after "timeout" is written. */
static int end_all(pid_t runtime, const char *procs, const char *status_file)
{
    const struct timespec pause = {.tv_nsec = KILL_PAUSE_NS};
    const struct itimerval stop = {{0, 0}, {0, 0}};
    int fd;

    (void)setitimer(ITIMER_REAL, &stop, NULL);
    (void)kill(runtime, SIGKILL);
    for (int i = 0; i < KILL_ROUNDS; i++) {
        pid_t got;

        kill_all(procs);
        while ((got = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (got < 0)
            break; /* no child is left */
        (void)nanosleep(&pause, NULL);
    }
    fd = open(status_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, "timeout\n", 8) == 8 ? 0 : fail(status_file);
}

static int write_status(const char *path, int status)
{
    char text[PID_TEXT_MAX];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int n = WIFEXITED(status) ? snprintf(text, sizeof(text), "exited %d\n", WEXITSTATUS(status))
                              : snprintf(text, sizeof(text), "signal %d\n", WTERMSIG(status));

    return fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : fail(path);
}

struct options {
    unsigned long long timeout_ms; /* 0: none */
    const char *procs, *pid_file, *status_file;
    char **argv;
};

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"timeout-ms", required_argument, NULL, 't'},
                                          {"procs", required_argument, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
        if (c == 't')
            o->timeout_ms = strtoull(optarg, NULL, 10);
        else if (c == 'p')
            o->procs = optarg;
        else
            return -1;
    }
    if (argc - optind < 3 || (o->timeout_ms && !o->procs))
        return -1;
    o->pid_file = argv[optind];
    o->status_file = argv[optind + 1];
    o->argv = argv + optind + 2;
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    int status;

    if (parse(argc, argv, &o) < 0) {
        (void)fprintf(stderr,
                      "usage: unicri-exec [--timeout-ms=N --procs=FILE] PID_FILE STATUS_FILE "
                      "PROGRAM ARG...\n");
        return FAILED;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fail("become a subreaper");

    pid_t runtime = fork();

    if (runtime < 0)
        return fail("fork");
    if (runtime == 0) {
        execv(o.argv[0], o.argv);
        _exit(fail(o.argv[0]));
    }
    if (o.timeout_ms && start_clock(o.timeout_ms) < 0)
        return fail("start the clock");
    if (wait_for(runtime, &status) < 0)
        return timed_out ? end_all(runtime, o.procs, o.status_file) : fail("wait for the runtime");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

    pid_t pid = read_pid(o.pid_file);

    if (pid <= 0)
        return fail(o.pid_file);
    if (wait_for(pid, &status) < 0)
        return timed_out ? end_all(runtime, o.procs, o.status_file) : fail("wait for the command");
    return write_status(o.status_file, status);
}
