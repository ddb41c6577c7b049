/* SPDX-License-Identifier: Apache-2.0 */
/* What logs_copy() makes of CRI log files: streams, parts, tails, half-written lines, rotation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "cli/cli.h"

struct fixture {
    char dir[64], log[128], out[128];
};

static int setup(void **state)
{
    struct fixture *f = XNEW(struct fixture);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/unicri-logfile-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->log, sizeof(f->log), "%s/0.log", f->dir);
    (void)snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &err), 0);
    free(f);
    return 0;
}

static void write_log(struct fixture *f, const char *text)
{
    struct err err = ERR_INIT;
    assert_int_equal(fs_write_file(AT_FDCWD, f->log, text, strlen(text), 0600, &err), 0);
}

/* logs_copy() with stdout in a file. Caller frees. */
static char *copy(struct fixture *f, int64_t *offset, uint64_t tail, bool timestamps)
{
    struct err err = ERR_INIT;
    (void)fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int fd = open(f->out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && saved >= 0);
    assert_true(dup2(fd, STDOUT_FILENO) >= 0);
    int rc = logs_copy(f->log, offset, tail, timestamps, &err);
    (void)fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    close(fd);
    assert_int_equal(rc, 0);
    char *text = NULL;
    assert_int_equal(fs_read_file(AT_FDCWD, f->out, 65536, &text, NULL, &err), 0);
    return text;
}

static void test_text_without_frame(void **state)
{
    write_log(*state, "2026-01-02T03:04:05.6Z stdout F hello\n2026-01-02T03:04:05.7Z stdout F \n"
                      "2026-01-02T03:04:05.8Z stdout F a b  c\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "hello\n\na b  c\n");
}

static void test_parts_are_joined(void **state)
{
    write_log(*state, "T stdout P abc\nT stdout P def\nT stdout F ghi\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "abcdefghi\n");
}

static void test_stderr_is_apart(void **state)
{
    write_log(*state, "T stderr F x\nT stdout F y\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "y\n");
}

static void test_tail_and_times(void **state)
{
    write_log(*state, "T1 stdout F 1\nT2 stdout F 2\nT3 stdout F 3\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 2, true);
    assert_string_equal(text, "T2 2\nT3 3\n");
}

static void test_half_line_waits(void **state)
{
    write_log(*state, "T stdout F one\nT stdout F tw");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "one\n");
    write_log(*state, "T stdout F one\nT stdout F two\n");
    autofree char *rest = copy(*state, &offset, 0, false);
    assert_string_equal(rest, "two\n");
}

static void test_rotation_starts_anew(void **state)
{
    write_log(*state, "T stdout F a long first line\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "a long first line\n");
    write_log(*state, "T stdout F new\n");
    autofree char *rest = copy(*state, &offset, 0, false);
    assert_string_equal(rest, "new\n");
}

static void test_garbage_is_skipped(void **state)
{
    write_log(*state, "garbage\n\n   \nT stdout F ok\n");
    int64_t offset = 0;
    autofree char *text = copy(*state, &offset, 0, false);
    assert_string_equal(text, "ok\n");
}

static void test_absent_is_empty(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    int64_t offset = 0;
    assert_int_equal(logs_copy(f->log, &offset, 0, false, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_without_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts_are_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stderr_is_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_and_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_line_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation_starts_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_is_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_is_empty, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
