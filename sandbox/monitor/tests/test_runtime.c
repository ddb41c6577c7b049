/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor with an OCI runtime, played by shell scripts: good ones, and those that fail, hang,
 * lie or leave things behind.
 */
#include "rig.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

static void exit_status_is_the_workloads(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c1", "runtime");
    rig_runtime(&rig, "detach sh -c 'echo hello; echo oops >&2; exit 7'");
    rig_start_ok(&rig);
    rig_end(&rig, "c1", "code 7\nsignal 0\nfinished ");
    assert_in_file(&rig, "log", "Z stdout F hello\n");
    assert_in_file(&rig, "log", "Z stderr F oops\n");
    assert_in_file(&rig, "exits/c1", "\noom 0\nmessage \n");
}

/* What the runtime says on stderr is none of the workload's, and one that is silent tells nothing.
 */
static void first_byte_is_told(void **state)
{
    struct rig rig;
    long long took;
    char *end;

    rig_open(&rig, state, "f1", "runtime");
    rig_runtime(&rig, "echo words >&2; detach sh -c 'sleep 0.3; echo 1; sleep 0.1; echo 2'");
    rig_start_ok(&rig);
    rig_end(&rig, "f1", "code 0\n");
    autofree char *text = rig_read(&rig, "exits/f1.first");
    took = strtoll(text, &end, 10);
    assert_string_equal(end, "\n");
    assert_in_range(took, 300 * NSEC_PER_MSEC, RIG_WAIT_MS * NSEC_PER_MSEC);
}

static void silence_is_not_told(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "f2", "runtime");
    rig_runtime(&rig, "detach sleep 0.1");
    rig_start_ok(&rig);
    rig_end(&rig, "f2", "code 0\n");
    assert_int_not_equal(access(rig_path(&rig, "exits/f2.first"), F_OK), 0);
}

static void death_by_signal(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c2", "runtime");
    rig_runtime(&rig, "detach sleep 100");
    rig_start_ok(&rig);
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "c2", "code 137\nsignal 9\n");
}

/* The monitor itself cannot be ended by ordinary signals: the workload would lose its log. */
static void signals_to_the_monitor_are_ignored(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGPIPE};
    struct rig rig;

    rig_open(&rig, state, "c3", "runtime");
    rig_runtime(&rig,
                "detach sh -c 'sleep 0.3; echo alive; trap \"\" PIPE; kill -TERM $$; sleep 9'");
    rig_start_ok(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        assert_int_equal(kill(rig.monitor, signals[i]), 0);
    rig_end(&rig, "c3",
            "code 143\nsignal 15\n"); /* the workload's own signals are as in any process */
    assert_in_file(&rig, "log", "stdout F alive\n");
}

static void workload_that_ends_before_the_runtime(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c4", "runtime");
    rig_runtime(&rig, "detach sh -c 'echo quick; exit 3'; exec sleep 0.3");
    rig_start(&rig);
    /* nobody waited for it before the monitor inherited it */
    assert_true(str_has_prefix(rig.report, "ok "));
    rig_end(&rig, "c4", "code 3\nsignal 0\n");
    assert_in_file(&rig, "log", "stdout F quick\n");
}

static void runtime_fails_with_a_json_log(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c5", "runtime");
    rig_runtime(
        &rig,
        "echo '{\"level\":\"warning\",\"msg\":\"first\"}' > ${1#--log=}\n"
        "echo '{\"level\":\"error\",\"msg\":\"exec: \\\"nosuch\\\": not found\"}' >> ${1#--log=}\n"
        "echo noise >&2; exit 1");
    rig_field(&rig, "arg", "--log=@log@");
    rig_start_fails(&rig, "c5", "runtime failed with status 1: exec: \"nosuch\": not found");
}

static void runtime_fails_with_words_on_stderr(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c6", "runtime");
    rig_runtime(&rig, "echo some words >&2; echo the last words >&2; exit 9");
    rig_start_fails(&rig, "c6", "runtime failed with status 9: the last words\n");
}

static void runtime_that_is_not_there(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c7", "runtime");
    rig_field(&rig, "program", "/nonexistent/runc");
    rig_field(&rig, "arg", "runc");
    rig_start_fails(&rig, "c7", "error 2 execute '/nonexistent/runc': No such file");
}

static void runtime_that_hangs_is_killed_with_its_children(void **state)
{
    struct rig rig;
    autofree char *pid = NULL, *other = NULL;

    rig_open(&rig, state, "c8", "runtime");
    rig_field(&rig, "timeout_ms", "1500");
    rig_runtime(
        &rig, "sleep 1000 & echo $! > $RUN/child; setsid sleep 1000 & echo $! > $RUN/other; wait");
    rig_start_fails(&rig, "c8", "start took longer than 1500 ms");
    pid = rig_read(&rig, "run/child");
    other = rig_read(&rig, "run/other");
    assert_dies((pid_t)strtol(pid, NULL, 10));
    assert_dies((pid_t)strtol(other, NULL, 10));
}

static void failed_start_leaves_nothing(void **state)
{
    struct rig rig;
    autofree char *pid = NULL;

    rig_open(&rig, state, "c9", "runtime");
    rig_field(&rig, "kill_on_start_failure", "1");
    rig_runtime(&rig, "detach sleep 1000; exit 1");
    rig_start_fails(&rig, "c9", "runtime failed with status 1");
    pid = rig_read(&rig, "run/pid");
    assert_dies((pid_t)strtol(pid, NULL, 10));
}

static void no_pid_file(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c10", "runtime");
    rig_runtime(&rig, "exit 0");
    rig_start_fails(&rig, "c10", "the runtime succeeded but left no pid file");
}

static void pid_file_that_lies(void **state)
{
    static const char *const contents[] = {"1", "-5", "x", "999999999", ""};

    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        autofree char *body = xasprintf("echo '%s' > $RUN/pid", contents[i]);
        struct rig rig;

        rig_open(&rig, state, "c11", "runtime");
        rig_runtime(&rig, body);
        rig_start_fails(&rig, "c11", "the ");
    }
    {
        autofree char *body = xasprintf("echo %d > $RUN/pid", getpid());
        struct rig rig;

        rig_open(&rig, state, "c11", "runtime");
        rig_runtime(&rig, body);
        rig_start_fails(&rig, "c11", "is not its child");
    }
}

static void left_over_writers_do_not_hold_the_end_up(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c12", "runtime");
    rig_runtime(&rig, "detach sh -c 'setsid sleep 100 & echo $! > $RUN/orphan; echo done'");
    rig_start_ok(&rig);
    rig_end(&rig, "c12", "code 0\n"); /* in less time than the orphan takes */
    assert_in_file(&rig, "log", "stdout F done\n");
    {
        autofree char *pid = rig_read(&rig, "run/orphan");

        kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    }
}

/* Ten megabytes in long and short lines: nothing is lost, every record is well formed. */
static void flood(void **state)
{
    struct rig rig;
    autofree char *text = NULL;
    size_t lines = 0, bytes = 0;

    rig_open(&rig, state, "c13", "runtime");
    rig_runtime(&rig, "detach sh -c 'yes 0123456789abcdef | head -n 300000; head -c 5000000 "
                      "/dev/zero | tr \"\\0\" x; echo'");
    rig_start_ok(&rig);
    rig_end(&rig, "c13", "code 0\n");
    text = rig_read(&rig, "log");
    for (char *line = text; *line; lines++) {
        char *end = strchr(line, '\n');
        char *content = line + 30; /* behind the time stamp */

        assert_non_null(end);
        assert_true(content + 10 <= end && line[29] == 'Z');
        assert_memory_equal(content, " stdout ", 8);
        assert_true(content[8] == 'F' || content[8] == 'P');
        bytes += (size_t)(end - content) - 10;
        line = end + 1;
    }
    assert_int_equal(bytes, 300000 * 16 + 5000000);
    assert_int_equal(lines, 300000 + 5000000 / 16384 + 1);
}

/* The daemon is killed while the runtime works: the start goes on, and a new daemon finds the
 * workload. */
static void daemon_that_dies_during_the_start(void **state)
{
    char answer[64] = "error";
    struct rig rig;

    rig_open(&rig, state, "c16", "runtime");
    rig.deaf = true;
    rig_runtime(&rig, "sleep 0.2; detach sleep 100");
    rig_start(&rig);
    for (int i = 0; i < RIG_WAIT_MS / 5 && !str_has_prefix(answer, "ok "); i++) {
        rig_pause();
        if (access(rig_path(&rig, "run/" MONITOR_CONTROL_NAME), F_OK) == 0) {
            int fd = rig_connect(&rig);

            assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
            assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
            close(fd);
        }
    }
    rig.workload = (pid_t)strtol(answer + 3, NULL, 10);
    assert_true(rig.workload > 1);
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "c16", "code 137\nsignal 9\n");
}

/* Else it would start a workload that nobody holds. */
static void runtime_dies_with_its_monitor(void **state)
{
    struct rig rig;
    autofree char *pid = NULL;

    rig_open(&rig, state, "c17", "runtime");
    rig.deaf = true;
    rig_runtime(&rig, "echo $$ > $RUN/new; mv $RUN/new $RUN/runtime; exec sleep 1000");
    rig_start(&rig);
    for (int i = 0; i < RIG_WAIT_MS / 5 && access(rig_path(&rig, "run/runtime"), F_OK) < 0; i++)
        rig_pause();
    pid = rig_read(&rig, "run/runtime");
    assert_int_equal(kill(rig.monitor, SIGKILL), 0);
    assert_dies((pid_t)strtol(pid, NULL, 10));
    assert_int_equal(waitpid(rig.monitor, NULL, 0), rig.monitor);
}

/* The environment and the descriptors of the workload are those of the spec and nothing else. */
static void nothing_leaks_to_the_workload(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "c14", "runtime");
    rig_runtime(&rig, "detach sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"; echo; env; umask; cat; "
                      "grep SigBlk /proc/self/status; grep SigIgn /proc/self/status'");
    rig_start_ok(&rig);
    rig_end(&rig, "c14", "code 0\n");
    assert_in_file(&rig, "log", "stdout F 0 1 2 3 \n"); /* 3 is ls's own */
    assert_in_file(&rig, "log", "SigBlk:\t0000000000000000");
    assert_in_file(&rig, "log", "SigIgn:\t0000000000000000");
    assert_in_file(&rig, "log", "stdout F 0022\n");
}

static void exit_file_with_a_full_log_disk(void **state)
{
    struct rig rig;
    char *small;

    rig_open(&rig, state, "c15", "runtime");
    strbuf_clear(&rig.spec);
    rig_field(&rig, "id", "c15");
    rig_field(&rig, "mode", "runtime");
    (void)mkdir(rig_path(&rig, "small"), 0700);
    small = xstrdup(rig_path(&rig, "small"));
    assert_int_equal(mount("tmpfs", small, "tmpfs", 0, "size=64k"), 0);
    rig_field(&rig, "log_dir", small);
    rig_field(&rig, "log", "log");
    rig_runtime(
        &rig,
        "detach sh -c 'yes 0123456789abcdef | head -n 100000; echo finished > $RUN/finished'");
    rig_start_ok(&rig);
    rig_end(&rig, "c15", "code 0\nsignal 0\n");
    assert_in_file(&rig, "exits/c15", "bytes of log lost: No space left on device");
    assert_in_file(&rig, "run/finished", "finished"); /* the workload was not held up */
    {
        autofree char *text = rig_read(&rig, "small/log");
        size_t len = strlen(text);

        assert_true(len > 30000 && text[len - 1] == '\n');
        assert_int_equal(
            len % (strlen("2026-01-01T00:00:00.000000000Z stdout F 0123456789abcdef\n")), 0);
    }
    assert_int_equal(umount(small), 0);
    free(small);
}

static void too_few_descriptors(void **state)
{
    struct rlimit limit, low;
    struct rig rig;

    rig_open(&rig, state, "c16", "runtime");
    rig_runtime(&rig, "detach true");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = 200, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    rig_start(&rig);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(str_has_prefix(rig.report, "error 24 the limit of open files (RLIMIT_NOFILE)"));
    assert_int_equal(waitpid(rig.monitor, NULL, 0), rig.monitor);
}

static int private_mounts(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -1
                                                                                             : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(exit_status_is_the_workloads),
        in_dir(first_byte_is_told),
        in_dir(silence_is_not_told),
        in_dir(death_by_signal),
        in_dir(signals_to_the_monitor_are_ignored),
        in_dir(workload_that_ends_before_the_runtime),
        in_dir(runtime_fails_with_a_json_log),
        in_dir(runtime_fails_with_words_on_stderr),
        in_dir(runtime_that_is_not_there),
        in_dir(runtime_that_hangs_is_killed_with_its_children),
        in_dir(failed_start_leaves_nothing),
        in_dir(no_pid_file),
        in_dir(pid_file_that_lies),
        in_dir(left_over_writers_do_not_hold_the_end_up),
        in_dir(flood),
        in_dir(daemon_that_dies_during_the_start),
        in_dir(runtime_dies_with_its_monitor),
        in_dir(nothing_leaks_to_the_workload),
        in_dir(exit_file_with_a_full_log_disk),
        in_dir(too_few_descriptors),
    };

    return cmocka_run_group_tests(tests, private_mounts, NULL);
}
