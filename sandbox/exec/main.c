/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-exec - one ExecSync: start a command in a container by an OCI runtime and wait for that
 * command alone.
 *
 *     unicri-exec PID_FILE STATUS_FILE PROGRAM ARG...
 *
 * The runtime is told to detach, so the command has our stdio itself and becomes our child
 * (subreaper) when the runtime has gone. When the command ends we end, whoever still holds the
 * pipes: a runtime that stays would copy until the last background child closes them. STATUS_FILE
 * gets "exited N\n" or "signal N\n"; it is not written when the runtime failed: then our own end is
 * the runtime's. libc only; no thread, so fork() is fine here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PID_TEXT_MAX 32
#define FAILED       125

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

/* Reap whatever comes until it is `pid`. */
static int wait_for(pid_t pid, int *status)
{
    pid_t got;

    do
        got = wait(status);
    while (got != pid && (got > 0 || errno == EINTR));
    return got == pid ? 0 : -1;
}

static int write_status(const char *path, int status)
{
    char text[PID_TEXT_MAX];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int n = WIFEXITED(status) ? snprintf(text, sizeof(text), "exited %d\n", WEXITSTATUS(status))
                              : snprintf(text, sizeof(text), "signal %d\n", WTERMSIG(status));

    return fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : fail(path);
}

int main(int argc, char **argv)
{
    int status;

    if (argc < 4) {
        (void)fprintf(stderr, "usage: unicri-exec PID_FILE STATUS_FILE PROGRAM ARG...\n");
        return FAILED;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fail("become a subreaper");

    pid_t runtime = fork();

    if (runtime < 0)
        return fail("fork");
    if (runtime == 0) {
        execv(argv[3], argv + 3);
        _exit(fail(argv[3]));
    }
    if (waitpid(runtime, &status, 0) != runtime)
        return fail("wait for the runtime");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

    pid_t pid = read_pid(argv[1]);

    if (pid <= 0)
        return fail(argv[1]);
    if (wait_for(pid, &status) < 0)
        return fail("wait for the command");
    return write_status(argv[2], status);
}
