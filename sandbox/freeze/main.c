/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-freeze - one checkpoint: freeze a control group, run a program, and thaw it when whoever
 * asked says so, or is no more.
 *
 *     unicri-freeze FILE FREEZE THAW STATE_FILE WORD PROGRAM ARG...
 *
 * FREEZE and THAW are what is written to FILE; the group is frozen when STATE_FILE has WORD in it.
 * When the program and all that it has started have ended, standard output gets "exited N\n" or
 * "signal N\n"; the group stays frozen until standard input ends. The daemon holds the other end of
 * that, so its death thaws the group as well, though never before the program has ended: CRIU
 * freezes again what it has found frozen. libc only; no thread, so fork() is fine here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAILED          125
#define STATE_MAX       4096
#define FREEZE_ROUNDS   2000 /* of FREEZE_PAUSE_NS: 10 s */
#define FREEZE_PAUSE_NS 5000000

static int fail(const char *what)
{
    (void)fprintf(stderr, "unicri-freeze: %s: %s\n", what, strerror(errno));
    return FAILED;
}

static int put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, value, strlen(value));

    if (fd >= 0)
        (void)close(fd);
    return n < 0 ? -1 : 0;
}

/* Returns: -1 when there is no such file any more. */
static int has_word(const char *path, const char *word)
{
    char text[STATE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        (void)close(fd);
    if (n < 0)
        return -1;
    text[n] = '\0';
    return strstr(text, word) != NULL;
}

static int freeze(char **argv)
{
    const struct timespec pause = {.tv_nsec = FREEZE_PAUSE_NS};

    if (put(argv[1], argv[2]) < 0)
        return -1;
    for (int i = 0; i < FREEZE_ROUNDS; i++) {
        int frozen = has_word(argv[4], argv[5]);

        if (frozen > 0)
            return 0;
        /* Thawed by a kill, or gone: the container is ending. */
        if (frozen < 0 || (strcmp(argv[1], argv[4]) == 0 && has_word(argv[4], argv[3]) > 0)) {
            errno = ECANCELED;
            return -1;
        }
        (void)nanosleep(&pause, NULL);
    }
    errno = ETIMEDOUT;
    return -1;
}

static pid_t start(char **argv)
{
    pid_t pid = fork();

    if (pid)
        return pid;

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
        (void)execv(argv[0], argv);
    _exit(fail(argv[0]));
}

/* Of all that there is to wait for, the program's own end is told. */
static int wait_all(pid_t program)
{
    int status = 0, any;
    pid_t pid;

    while ((pid = wait(&any)) > 0 || (pid < 0 && errno == EINTR))
        if (pid == program)
            status = any;
    return status;
}

static void tell(int status)
{
    char text[32];
    int n = WIFEXITED(status) ? snprintf(text, sizeof(text), "exited %d\n", WEXITSTATUS(status))
                              : snprintf(text, sizeof(text), "signal %d\n", WTERMSIG(status));

    (void)!write(STDOUT_FILENO, text, (size_t)n);
}

static void wait_end_of_input(void)
{
    char byte;
    ssize_t n;

    while ((n = read(STDIN_FILENO, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
        ;
}

int main(int argc, char **argv)
{
    int rc = 0;
    pid_t pid;

    if (argc < 7) {
        (void)fprintf(stderr, "usage: unicri-freeze FILE FREEZE THAW STATE_FILE WORD PROGRAM "
                              "ARG...\n");
        return FAILED;
    }
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return fail("prepare");
    if (freeze(argv) < 0) {
        rc = fail("freeze the container");
    } else if ((pid = start(argv + 6)) < 0) {
        rc = fail("fork");
    } else {
        tell(wait_all(pid));
        wait_end_of_input();
    }
    if (put(argv[1], argv[3]) < 0)
        rc = fail("thaw the container");
    return rc;
}
