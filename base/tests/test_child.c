/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/child and base/pidref, with /bin/sh as the child. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fault.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

#define OUTPUT_MAX 65536

static struct child_spec shell(char *argv[4], const char *script)
{
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = (char *)(uintptr_t)script;
    argv[3] = NULL;
    return (struct child_spec){.path = "/bin/sh", .argv = argv};
}

static deadline_t soon(void)
{
    return deadline_in(20 * NSEC_PER_SEC);
}

static void run_script(const char *script, const char *input, size_t max, struct child_output *out,
                       struct child_status *status)
{
    struct err err = ERR_INIT;
    char *argv[4];
    struct child_spec spec = shell(argv, script);

    assert_ok(child_run(&spec, input, input ? strlen(input) : 0, max, soon(), out, status, &err),
              err);
}

static void output_and_status(void **state)
{
    autochild_output out = {0};
    struct child_status status;
    struct err err = ERR_INIT;

    (void)state;
    run_script("cat; echo oops >&2; exit 3", "hello", OUTPUT_MAX, &out, &status);
    assert_string_equal(out.out, "hello");
    assert_string_equal(out.errout, "oops\n");
    assert_true(status.exited);
    assert_int_equal(status.code, 3);
    assert_false(out.truncated);
    assert_err(child_explain("runc", &status, &out, &err), err, ERR_INTERNAL,
               "runc: exit status 3: oops");
}

static void signal_status(void **state)
{
    autochild_output out = {0};
    struct child_status status;
    struct err err = ERR_INIT;

    (void)state;
    run_script("kill -9 $$", NULL, OUTPUT_MAX, &out, &status);
    assert_false(status.exited);
    assert_int_equal(status.code, 9);
    assert_err(child_explain("x", &status, &out, &err), err, ERR_INTERNAL,
               "x: killed by signal 9 (SIGKILL)");
}

static void output_beyond_the_bound_is_dropped(void **state)
{
    autochild_output out = {0};
    struct child_status status;

    (void)state;
    run_script("head -c 1000000 /dev/zero; echo done >&2", NULL, 1000, &out, &status);
    assert_int_equal(out.out_len, 1000);
    assert_true(out.truncated);
    assert_string_equal(out.errout, "done\n"); /* it could finish writing */
}

/* Input larger than a pipe while the child writes as much: no deadlock. And nobody reading: no
 * SIGPIPE. */
static void large_input(void **state)
{
    size_t len = 1000000;
    autofree char *input = xmalloc(len + 1);
    struct child_status status;

    (void)state;
    memset(input, 'x', len);
    input[len] = '\0';
    {
        autochild_output out = {0};

        run_script("cat", input, 2 * len, &out, &status);
        assert_int_equal(out.out_len, len);
    }
    {
        autochild_output out = {0};

        run_script("exec <&-; echo not read; sleep 0.1", input, 100, &out, &status);
        assert_string_equal(out.out, "not read\n");
        assert_int_equal(status.code, 0);
    }
}

static void grandchild_with_the_pipe(void **state)
{
    autochild_output out = {0};
    struct child_status status;
    nsec_t start = clock_mono();

    (void)state;
    run_script("echo first; (sleep 20) & exit 0", NULL, OUTPUT_MAX, &out, &status);
    assert_string_equal(out.out, "first\n");
    assert_true(clock_mono() - start < 15 * NSEC_PER_SEC);
}

static void deadline_kills_the_group(void **state)
{
    struct child_output out;
    struct child_status status;
    struct err err = ERR_INIT;
    char *argv[4];
    char script[200];
    char path[] = "/tmp/unicri-test-XXXXXX";
    int fd = mkstemp(path);
    struct child_spec spec;
    autofree char *text = NULL;
    unsigned long long pid;

    (void)state;
    assert_true(fd >= 0);
    (void)snprintf(script, sizeof(script), "sleep 60 & printf %%s $! >%s; wait", path);
    spec = shell(argv, script);
    assert_err(child_run(&spec, NULL, 0, 10, deadline_in(500 * NSEC_PER_MSEC), &out, &status, &err),
               err, ERR_DEADLINE, "'/bin/sh'");
    assert_ok(fs_read_fd(fd, 20, &text, NULL, &err), err);
    assert_ok(parse_u64(text, 1 << 30, "pid", &pid, &err), err);
    for (int i = 0; i < 100 && pid_start_time((pid_t)pid); i++)
        clock_sleep_until(deadline_in(20 * NSEC_PER_MSEC));
    assert_int_equal(pid_start_time((pid_t)pid), 0); /* the grandchild too */
    (void)close(fd);
    (void)unlink(path);
}

/* 5 -> 6 and 6 -> 5, and a hole at 4 in which the parent has something without O_CLOEXEC. */
static void overlapping_descriptors(void **state)
{
    autochild_output out = {0};
    struct child_status status;
    struct err err = ERR_INIT;
    char *argv[4];
    struct child_spec spec =
        shell(argv, "cat /proc/self/fd/100 /proc/self/fd/101; ls /proc/self/fd | tr '\\n' ' '");
    int a[2], b[2];

    (void)state;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(write(a[1], "A", 1), 1);
    assert_int_equal(write(b[1], "B", 1), 1);
    assert_int_equal(dup2(a[0], 100), 100);
    assert_int_equal(dup2(b[0], 101), 101);
    assert_int_equal(dup2(b[0], 99), 99); /* leaks unless closed there */
    assert_int_equal(dup2(b[0], 300), 300);
    (void)close(a[1]);
    (void)close(b[1]);
    spec.fds[0] = (struct child_fd){.from = 101, .to = 100};
    spec.fds[1] = (struct child_fd){.from = 100, .to = 101};
    spec.n_fds = 2;
    assert_ok(child_run(&spec, NULL, 0, OUTPUT_MAX, soon(), &out, &status, &err), err);
    assert_string_equal(out.out, "BA0 1 100 101 2 3 "); /* 3 is the directory that ls reads */
    for (int fd = 99; fd <= 101; fd++)
        (void)close(fd);
    (void)close(300);
    (void)close(a[0]);
    (void)close(b[0]);
}

static void clean_environment(void **state)
{
    autochild_output out = {0};
    struct child_status status;
    sigset_t set, former;

    (void)state;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, &former);
    (void)signal(SIGINT, SIG_IGN);
    assert_int_equal(setenv("SECRET", "x", 1), 0);
    /* SigIgn without its upper half: glibc ignores its own signals 32 and 33 in a child. */
    run_script("pwd; env | grep -c SECRET; grep SigBlk /proc/self/status | cut -f2; "
               "grep SigIgn /proc/self/status | cut -f2 | tail -c 8; "
               "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo own group",
               NULL, OUTPUT_MAX, &out, &status);
    (void)sigprocmask(SIG_SETMASK, &former, NULL);
    (void)signal(SIGINT, SIG_DFL);
    assert_string_equal(out.out, "/\n0\n0000000000000000\n0000000\nown group\n");
}

static void missing_program(void **state)
{
    struct child_output out;
    struct child_status status;
    struct err err = ERR_INIT;
    char *argv[] = {"unicri-no-such-program", NULL};
    struct child_spec spec = {.argv = argv};

    (void)state;
    assert_err(child_run(&spec, NULL, 0, 10, soon(), &out, &status, &err), err, ERR_NOT_FOUND,
               "'unicri-no-such-program'");
    spec.path = "/nonexistent/plugin";
    assert_err(child_run(&spec, NULL, 0, 10, soon(), &out, &status, &err), err, ERR_NOT_FOUND,
               "'/nonexistent/plugin'");
    spec.path = "/etc/passwd";
    assert_err(child_run(&spec, NULL, 0, 10, soon(), &out, &status, &err), err, ERR_DENIED,
               "/etc/passwd");
    spec.path = "/bin/true";
    spec.cwd = "/nonexistent";
    assert_err(child_run(&spec, NULL, 0, 10, soon(), &out, &status, &err), err, ERR_NOT_FOUND,
               "working directory '/nonexistent'");
#ifdef UNICRI_FAULTS
    fault_set("child.spawn=EAGAIN");
    spec.cwd = NULL;
    assert_err(child_run(&spec, NULL, 0, 10, soon(), &out, &status, &err), err, ERR_INTERNAL,
               "child.spawn");
    fault_set(NULL);
#endif
}

static void references(void **state)
{
    autopidref p = PIDREF_NONE, other = PIDREF_NONE;
    struct child_status status;
    struct err err = ERR_INIT;
    char *argv[] = {"sleep", "60", NULL};
    struct child_spec spec = {.argv = argv, .new_session = true};

    (void)state;
    assert_ok(child_spawn(&spec, &p, &err), err);
    assert_true(pidref_alive(&p));
    assert_true(p.start_time > 0);
    assert_err(pidref_open(p.pid, p.start_time + 1, &other, &err), err, ERR_NOT_FOUND, "another");
    assert_ok(pidref_open(p.pid, p.start_time, &other, &err), err);
    assert_err(child_wait(&p, deadline_in(20 * NSEC_PER_MSEC), &status, &err), err, ERR_DEADLINE,
               "running");
    assert_ok(pidref_kill(&p, SIGTERM, &err), err);
    assert_ok(pidref_wait_gone(&other, soon(), &err), err);
    assert_false(pidref_alive(&p)); /* a zombie now */
    assert_int_equal(pid_start_time(p.pid), 0);
    pidref_done(&other);
    assert_err(pidref_open(p.pid, 0, &other, &err), err, ERR_NOT_FOUND, "ended");
    assert_ok(child_wait(&p, soon(), &status, &err), err);
    assert_int_equal(status.code, SIGTERM);
    assert_ok(pidref_kill(&p, SIGTERM, &err), err);
    assert_false(pidref_alive(&PIDREF_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status),
        cmocka_unit_test(signal_status),
        cmocka_unit_test(output_beyond_the_bound_is_dropped),
        cmocka_unit_test(large_input),
        cmocka_unit_test(grandchild_with_the_pipe),
        cmocka_unit_test(deadline_kills_the_group),
        cmocka_unit_test(overlapping_descriptors),
        cmocka_unit_test(clean_environment),
        cmocka_unit_test(missing_program),
        cmocka_unit_test(references),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
