/* SPDX-License-Identifier: Apache-2.0 */
/* unicri-init: its report, what it is, that it reaps, and who may end it. */
#include "rig.h"

#include <sched.h>

static char report[512];

/* Returns: the pid of process 1 of a new namespace, or 0 when the report is an error. */
static pid_t start_init(char *const *extra)
{
    const char *bin = getenv("UNICRI_BIN");
    autofree char *program = path_join(bin ? bin : "bin", "unicri-init");
    char *argv[8] = {(char *)(uintptr_t) "unicri-init", (char *)(uintptr_t) "--report-fd=3"};
    posix_spawn_file_actions_t actions;
    int p[2], status;
    pid_t pid;
    ssize_t n;

    for (size_t i = 0; extra && extra[i]; i++)
        argv[2 + i] = extra[i];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, p[1], 3);
    assert_int_equal(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(p[1]);
    n = read(p[0], report, sizeof(report) - 1);
    assert_true(n > 0);
    report[n] = '\0';
    assert_int_equal(read(p[0], report + n, 1), 0); /* nothing keeps the pipe open */
    close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), str_has_prefix(report, "ok ") ? 0 : 1);
    return str_has_prefix(report, "ok ") ? (pid_t)strtol(report + 3, NULL, 10) : 0;
}

static void assert_status(pid_t pid, const char *part)
{
    char path[64], text[4096] = "";
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

/* Run a shell command in the PID namespace of process 1. */
static int in_namespace(pid_t one, const char *command)
{
    autofree char *line = xasprintf("nsenter -t %d -p sh -c '%s'", one, command);
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", line, NULL};
    pid_t pid;
    int status;

    assert_int_equal(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void harmless(void **state)
{
    pid_t one = start_init(NULL);
    char path[64];
    struct stat st;

    (void)state;
    assert_true(one > 1);
    assert_status(one, "Uid:\t65534\t65534\t65534\t65534");
    assert_status(one, "CapPrm:\t0000000000000000");
    assert_status(one, "CapBnd:\t0000000000000000");
    assert_status(one, "NoNewPrivs:\t1");
    assert_status(one, "Seccomp:\t2");
    assert_status(one, "Groups:\t \n");
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/0", one);
    assert_int_equal(lstat(path, &st), -1);
    (void)snprintf(path, sizeof(path), "/proc/%d/root/etc", one);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(kill(one, SIGKILL), 0);
    assert_dies(one);
}

static void reaps_and_is_not_ended_from_inside(void **state)
{
    pid_t one = start_init(NULL);
    char path[64], text[256] = "";
    int fd;

    (void)state;
    assert_int_equal(in_namespace(one, "sh -c \"sleep 0.05 & sleep 0.05 &\"; kill -TERM 1; kill "
                                       "-INT 1; kill -KILL 1; sleep 0.3"),
                     0);
    assert_true(process_lives(one));
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", one, one);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 0); /* not even a zombie */
    close(fd);
    assert_int_equal(kill(one, SIGTERM), 0);
    assert_dies(one);
}

static void errors(void **state)
{
    char *const unknown[] = {(char *)(uintptr_t) "--colour", NULL};
    char *const cgroup[] = {(char *)(uintptr_t) "--cgroup=/nonexistent", NULL};

    (void)state;
    assert_int_equal(start_init(unknown), 0);
    assert_string_equal(report, "error 22 unknown argument '--colour'\n");
    assert_int_equal(start_init(cgroup), 0);
    assert_string_equal(report, "error 2 open cgroup '/nonexistent'\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless),
        cmocka_unit_test(reaps_and_is_not_ended_from_inside),
        cmocka_unit_test(errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
