/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: log rotation, attaching, stdin, terminals, and clients that send garbage,
 * stall or leave.
 */
#include <pty.h>

#include "rig.h"

#define FRAME_MAX MONITOR_MESSAGE_MAX_BYTES

static void start(struct rig *rig, void **state, const char *body, const char *extra)
{
    rig_open(rig, state, "k", "runtime");
    if (extra)
        rig_field(rig, extra, "1");
    rig_runtime(rig, body);
    rig_start_ok(rig);
}

static void finish(struct rig *rig)
{
    assert_int_equal(kill(rig->workload, SIGKILL), 0);
    rig_end(rig, "k", "code 137\nsignal 9\n");
}

static void attach(int fd, bool input)
{
    assert_ask(fd, input ? "attach 1" : "attach 0", "ok");
}

static void send_input(int fd, const char *s)
{
    char frame[256] = {0};

    memcpy(frame + 1, s, strlen(s));
    assert_int_equal(send(fd, frame, strlen(s) + 1, 0), (ssize_t)strlen(s) + 1);
}

/* Collect output frames of a channel until `part` was seen. */
static void expect_output(int fd, char channel, const char *part)
{
    static char frame[FRAME_MAX + 1];
    autostrbuf seen = STRBUF_INIT;

    while (!strstr(seen.s, part)) {
        ssize_t n = recv(fd, frame, FRAME_MAX, 0);

        if (n <= 1 || frame[0] != channel)
            fail_msg("waiting for '%s': got %zd bytes of channel %d after '%s'", part, n, frame[0],
                     seen.s);
        strbuf_add(&seen, frame + 1, (size_t)n - 1);
    }
}

static void wait_for_log(const struct rig *rig, const char *name, const char *part)
{
    for (int i = 0; i < RIG_WAIT_MS / 5; i++) {
        struct err err;
        autofree char *text = NULL;

        if (fs_read_file(AT_FDCWD, rig_path(rig, name), 1 << 20, &text, NULL, &err) == 0 &&
            strstr(text, part))
            return;
        rig_pause();
    }
    fail_msg("'%s' never came to %s", part, name);
}

static void ping_and_garbage(void **state)
{
    static const char *const bad[] = {"pin",          "ping ",    "reopen\n",   "attach 2",
                                      "attach",       "resize",   "resize 0 0", "resize 70000 1",
                                      "resize 1 1 1", "\xff\xfe", "error"};
    char expected[64], huge[FRAME_MAX + 100];
    struct rig rig;
    int fd;

    start(&rig, state, "detach sleep 100", NULL);
    fd = rig_connect(&rig);
    (void)snprintf(expected, sizeof(expected), "ok %d ", rig.workload);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_ask(fd, bad[i], "error ");
    assert_answer(fd, "ping\0", 5, "error ");
    assert_ask(fd, "resize 80 24", "error the container has no terminal");
    assert_ask(fd, "attach 1", "error the container has no stdin");
    assert_ask(fd, "ping", expected);
    assert_true(strncmp(rig.report, expected, strlen(expected)) == 0);
    memset(huge, 'x', sizeof(huge));
    assert_answer(fd, huge, sizeof(huge), "error message too long");
    assert_int_equal(recv(fd, huge, 1, 0), 0); /* and is cut off */
    close(fd);
    fd = rig_connect(&rig);
    assert_ask(fd, "ping", expected);
    close(fd);
    finish(&rig);
}

static void too_many_clients(void **state)
{
    int fds[MONITOR_CLIENTS_MAX + 1];
    char answer[64];
    struct rig rig;

    start(&rig, state, "detach sleep 100", NULL);
    for (size_t i = 0; i < MONITOR_CLIENTS_MAX; i++) {
        fds[i] = rig_connect(&rig);
        assert_ask(fds[i], "ping", "ok ");
    }
    fds[MONITOR_CLIENTS_MAX] = rig_connect(&rig);
    assert_true(recv(fds[MONITOR_CLIENTS_MAX], answer, sizeof(answer), 0) > 0);
    assert_true(strncmp(answer, "error too many", 14) == 0);
    for (size_t i = 0; i <= MONITOR_CLIENTS_MAX; i++)
        close(fds[i]);
    fds[0] = rig_connect(&rig);
    assert_ask(fds[0], "ping", "ok ");
    close(fds[0]);
    finish(&rig);
}

static void rotation(void **state)
{
    struct rig rig;
    struct stat st;
    int fd;

    start(&rig, state,
          "detach sh -c 'echo one; while ! test -e $RUN/go; do sleep 0.01; done; echo two; sleep "
          "100'",
          NULL);
    wait_for_log(&rig, "log", " one\n");
    assert_int_equal(stat(rig_path(&rig, "log"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    fd = rig_connect(&rig);
    assert_int_equal(rename(rig_path(&rig, "log"), rig_path(&rig, "log.1")), 0);
    assert_ask(fd, "reopen", "ok");
    assert_int_equal(access(rig_path(&rig, "log"), F_OK), 0);
    assert_int_equal(mkdir(rig_path(&rig, "run/go"), 0700), 0);
    wait_for_log(&rig, "log", " two\n");
    assert_in_file(&rig, "log.1", " one\n");
    /* a directory in the way: an error, and the old file goes on */
    assert_int_equal(rename(rig_path(&rig, "log"), rig_path(&rig, "log.2")), 0);
    assert_int_equal(mkdir(rig_path(&rig, "log"), 0700), 0);
    assert_ask(fd, "reopen", "error open log");
    close(fd);
    finish(&rig);
}

static void attached_clients_see_both_streams(void **state)
{
    struct rig rig;
    int a, b;

    start(&rig, state,
          "detach sh -c 'while ! test -e $RUN/go; do sleep 0.01; done; echo out; sleep 0.2; echo "
          "err >&2; sleep 100'",
          NULL);
    a = rig_connect(&rig);
    b = rig_connect(&rig);
    attach(a, false);
    attach(b, false);
    assert_int_equal(mkdir(rig_path(&rig, "run/go"), 0700), 0);
    expect_output(a, 1, "out\n");
    expect_output(b, 1, "out\n");
    expect_output(a, 2, "err\n");
    expect_output(b, 2, "err\n");
    close(b);
    finish(&rig);
    {
        char c;

        assert_int_equal(recv(a, &c, 1, 0), 0); /* the end of the container ends the attach */
    }
    close(a);
    assert_in_file(&rig, "log", " stdout F out\n");
    assert_in_file(&rig, "log", " stderr F err\n");
}

static void stdin_by_attach(void **state)
{
    static const char end[1] = {0};
    struct rig rig;
    int fd;

    start(&rig, state, "detach cat", "stdin");
    fd = rig_connect(&rig);
    attach(fd, true);
    send_input(fd, "over and ");
    send_input(fd, "out\n");
    expect_output(fd, 1, "out\n");
    close(fd); /* without stdin_once, leaving does not end the input */
    fd = rig_connect(&rig);
    attach(fd, true);
    send_input(fd, "again\n");
    expect_output(fd, 1, "again\n");
    assert_int_equal(send(fd, end, 1, 0), 1);
    rig_end(&rig, "k", "code 0\n");
    close(fd);
    assert_in_file(&rig, "log", "stdout F over and out\n");
}

static void stdin_once_ends_with_the_client(void **state)
{
    struct rig rig;
    int fd;

    rig_open(&rig, state, "k", "runtime");
    rig_field(&rig, "stdin", "1");
    rig_field(&rig, "stdin_once", "1");
    rig_runtime(&rig, "detach cat");
    rig_start_ok(&rig);
    fd = rig_connect(&rig);
    attach(fd, true);
    send_input(fd, "last words");
    close(fd);
    rig_end(&rig, "k", "code 0\n");
    assert_in_file(&rig, "log", "stdout P last words\n");
}

/* Much input that the workload takes slowly: nothing is lost, and the monitor stays responsive. */
static void input_waits_for_the_workload(void **state)
{
    static char frame[FRAME_MAX];
    struct rig rig;
    int fd, other;

    rig_open(&rig, state, "k", "runtime");
    rig_field(&rig, "stdin", "1");
    rig_field(&rig, "stdin_once", "1");
    rig_runtime(&rig, "detach sh -c 'while ! test -e $RUN/go; do sleep 0.01; done; wc -c'");
    rig_start_ok(&rig);
    fd = rig_connect(&rig);
    attach(fd, true);
    memset(frame + 1, 'x', sizeof(frame) - 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send(fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
    other = rig_connect(&rig);
    assert_ask(other, "ping", "ok ");
    close(other);
    close(fd);
    assert_int_equal(mkdir(rig_path(&rig, "run/go"), 0700), 0);
    rig_end(&rig, "k", "code 0\n");
    assert_in_file(&rig, "log", "stdout F 131072\n");
}

/* A viewer that reads nothing holds the workload up for a bounded time, and others are served
 * meanwhile. */
static void stalled_viewer_is_cut_off(void **state)
{
    struct timespec before, after;
    struct rig rig;
    int stalled, other;

    start(&rig, state,
          "detach sh -c 'while ! test -e $RUN/go; do sleep 0.01; done; yes 0123456789abcdef | head "
          "-n 500000'",
          NULL);
    stalled = rig_connect(&rig);
    attach(stalled, false);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(mkdir(rig_path(&rig, "run/go"), 0700), 0);
    other = rig_connect(&rig);
    assert_ask(other, "ping", "ok ");
    close(other);
    rig_end(&rig, "k", "code 0\n");
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range(after.tv_sec - before.tv_sec, 3, RIG_WAIT_MS / 1000);
    close(stalled);
    {
        autofree char *text = rig_read(&rig, "log");
        size_t lines = 0;

        for (const char *s = text; (s = strchr(s, '\n')); s++)
            lines++;
        assert_int_equal(lines, 500000); /* the log has all of it */
    }
}

/* A runtime that sends a terminal over the console socket, as runc does. */
static void terminal(void **state)
{
    struct rig rig;
    int fd;

    rig_open(&rig, state, "k", "runtime");
    rig_field(&rig, "tty", "1");
    rig_field(&rig, "stdin", "1");
    rig_runtime(&rig, "exec \"$TERMINAL\" \"$1\" \"$RUN/pid\"");
    {
        autofree char *env = xasprintf("TERMINAL=%s", getenv("UNICRI_FAKE_TERMINAL"));

        rig_field(&rig, "env", env);
    }
    rig_field(&rig, "arg", "@console@");
    rig_start_ok(&rig);
    assert_int_equal(access(rig_path(&rig, "run/" MONITOR_CONSOLE_NAME), F_OK), -1);
    wait_for_log(&rig, "log", " stdout F ready\n"); /* the terminal's CR is not in the log */
    fd = rig_connect(&rig);
    attach(fd, true);
    {
        int second = rig_connect(&rig);

        assert_ask(second, "resize 123 45", "ok");
        close(second);
    }
    send_input(fd, "size\n");
    expect_output(fd, 1, "45 123");
    send_input(fd, "quit\n");
    rig_end(&rig, "k", "code 5\n");
    close(fd);
}

static void runtime_that_sends_no_terminal(void **state)
{
    struct rig rig;

    rig_open(&rig, state, "k", "runtime");
    rig_field(&rig, "tty", "1");
    rig_field(&rig, "kill_on_start_failure", "1");
    rig_runtime(&rig, "detach sleep 100");
    rig_start_fails(&rig, "k", "the runtime sent no terminal");
    {
        autofree char *pid = rig_read(&rig, "run/pid");

        assert_dies((pid_t)strtol(pid, NULL, 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(ping_and_garbage),
        in_dir(too_many_clients),
        in_dir(rotation),
        in_dir(attached_clients_see_both_streams),
        in_dir(stdin_by_attach),
        in_dir(stdin_once_ends_with_the_client),
        in_dir(input_waits_for_the_workload),
        in_dir(stalled_viewer_is_cut_off),
        in_dir(terminal),
        in_dir(runtime_that_sends_no_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
