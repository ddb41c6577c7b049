/* SPDX-License-Identifier: Apache-2.0 */
/* The CRI log format, byte by byte, without a process. */
#include "base/tests/testing.h"

#include <errno.h>

#include "sandbox/monitor/logfile.h"

#define STAMP_BYTES 30

static char line_out[SPEC_LINE_MAX], line_err[SPEC_LINE_MAX];

struct bench {
    struct logfile log;
    struct log_stream out, err;
    char path[256];
};

static void open_bench(struct bench *b, void **state, size_t line_max)
{
    struct fault f;

    b->out = (struct log_stream){.name = "stdout", .line = line_out};
    b->err = (struct log_stream){.name = "stderr", .line = line_err};
    (void)snprintf(b->path, sizeof(b->path), "%s/log", (char *)*state);
    assert_int_equal(log_open(&b->log, *state, "log", line_max, &f), 0);
}

/* The log without its time stamps, which are checked for their shape. */
static void assert_log(const struct bench *b, const char *expected)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ ";
    struct err err = ERR_INIT;
    autofree char *text = NULL;
    char plain[4096] = "";
    size_t used = 0;

    assert_ok(fs_read_file(AT_FDCWD, b->path, 1 << 20, &text, NULL, &err), err);
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t len = (size_t)(strchr(line, '\n') - line) + 1;

        for (size_t i = 0; shape[i]; i++)
            assert_true(shape[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i]);
        assert_true(used + len < sizeof(plain));
        memcpy(plain + used, line + STAMP_BYTES + 1, len - STAMP_BYTES - 1);
        used += len - STAMP_BYTES - 1;
    }
    assert_string_equal(plain, expected);
}

static void put(struct bench *b, struct log_stream *s, const char *text)
{
    log_chunk(&b->log, s, text, strlen(text));
}

static void whole_lines(void **state)
{
    struct bench b;

    open_bench(&b, state, 64);
    put(&b, &b.out, "one\ntwo\n\n");
    put(&b, &b.err, "three\n");
    assert_log(&b, "stdout F one\nstdout F two\nstdout F \nstderr F three\n");
}

static void pieces_are_joined(void **state)
{
    struct bench b;

    open_bench(&b, state, 64);
    put(&b, &b.out, "be");
    put(&b, &b.err, "other\n");
    put(&b, &b.out, "gin");
    put(&b, &b.out, " end\nnext");
    assert_log(&b, "stderr F other\nstdout F begin end\n");
    log_end(&b.log, &b.out);
    log_end(&b.log, &b.out);
    assert_log(&b, "stderr F other\nstdout F begin end\nstdout P next\n");
}

static void long_lines(void **state)
{
    struct bench b;

    open_bench(&b, state, 16);
    put(&b, &b.out, "0123456789abcdef\n");               /* just fits */
    put(&b, &b.out, "0123456789abcdefg\n");              /* one too many */
    put(&b, &b.out, "0123456789abcdef0123456789abcdef"); /* two full, not ended */
    assert_log(&b, "stdout F 0123456789abcdef\nstdout P 0123456789abcdef\nstdout F g\n"
                   "stdout P 0123456789abcdef\n");
    put(&b, &b.out, "\n");
    assert_log(&b, "stdout F 0123456789abcdef\nstdout P 0123456789abcdef\nstdout F g\n"
                   "stdout P 0123456789abcdef\nstdout F 0123456789abcdef\n");
}

static void carriage_returns(void **state)
{
    struct bench b;

    open_bench(&b, state, 64);
    put(&b, &b.out, "a\r\n\r\nb\rc\n");
    put(&b, &b.out, "split\r");
    put(&b, &b.out, "\n");
    assert_log(&b, "stdout F a\nstdout F \nstdout F b\rc\nstdout F split\n");
}

static void binary(void **state)
{
    static const char data[] = "a\0b\xff\n";
    struct bench b;
    struct err err = ERR_INIT;
    autofree char *text = NULL;
    size_t len;

    open_bench(&b, state, 64);
    log_chunk(&b.log, &b.out, data, sizeof(data) - 1);
    assert_ok(fs_read_file(AT_FDCWD, b.path, 4096, &text, &len, &err), err);
    assert_int_equal(len, STAMP_BYTES + strlen(" stdout F ") + 5);
    assert_memory_equal(text + len - 5, data, 5);
}

static void full_disk(void **state)
{
    struct bench b;

    open_bench(&b, state, 64);
    close(b.log.fd);
    b.log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    put(&b, &b.out, "lost\n");
    assert_int_equal(b.log.dropped_bytes, STAMP_BYTES + strlen(" stdout F lost\n"));
    assert_int_equal(b.log.dropped_code, ENOSPC);
    close(b.log.fd);
    b.log.fd = open(b.path, O_WRONLY | O_APPEND | O_CLOEXEC);
    put(&b, &b.out, "kept\n");
    assert_log(&b, "stdout F kept\n");
}

static void nothing_is_logged_without_a_path(void **state)
{
    struct logfile log;
    struct log_stream s = {.name = "stdout", .line = line_out};
    struct fault f;

    (void)state;
    assert_int_equal(log_open(&log, NULL, NULL, 64, &f), 0);
    log_chunk(&log, &s, "x\n", 2);
    log_end(&log, &s);
    assert_int_equal(log_reopen(&log, &f), 0);
}

/* Any line limit and any cutting of the input give the same text back. */
static void reassembles(void **state)
{
    unsigned seed = 1;

    for (int round = 0; round < 200; round++) {
        char data[700], expected[4096] = "", joined[4096] = "";
        size_t len = 0, line_max = SPEC_LINE_MIN + (size_t)(rand_r(&seed) % 50);
        struct bench b;
        struct err err = ERR_INIT;
        autofree char *text = NULL;

        open_bench(&b, state, line_max);
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = rand_r(&seed) % 20 == 0 ? '\n' : (char)('a' + rand_r(&seed) % 26);
        memcpy(expected, data, sizeof(data));
        for (size_t at = 0; at < sizeof(data); at += len) {
            len = 1 + (size_t)(rand_r(&seed) % 80);
            if (len > sizeof(data) - at)
                len = sizeof(data) - at;
            log_chunk(&b.log, &b.out, data + at, len);
        }
        log_end(&b.log, &b.out);
        assert_ok(fs_read_file(AT_FDCWD, b.path, 1 << 20, &text, NULL, &err), err);
        for (char *line = text; *line;) {
            char *end = strchr(line, '\n');
            bool whole = line[STAMP_BYTES + 8] == 'F';
            const char *content = line + STAMP_BYTES + 10;

            assert_true((size_t)(end - content) <= line_max);
            (void)strncat(joined, content, (size_t)(end - content));
            if (whole)
                joined[strlen(joined)] = '\n';
            line = end + 1;
        }
        assert_string_equal(joined, expected);
        close(b.log.fd);
        assert_int_equal(unlink(b.path), 0);
    }
}

/* The directory may be reached by a link; nothing below it may be one, at a reopen neither. */
static void links_are_not_followed(void **state)
{
    autofree char *real = path_join(*state, "real"), *dir = path_join(*state, "dir"),
                  *out = path_join(*state, "out"), *sub = path_join(*state, "real/sl"),
                  *last = path_join(*state, "real/last"), *evil = path_join(*state, "out/evil");
    struct logfile log;
    struct fault f;

    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(mkdir(out, 0700), 0);
    assert_int_equal(symlink("real", dir), 0);
    assert_int_equal(symlink(out, sub), 0);
    assert_int_equal(symlink(evil, last), 0);
    assert_int_equal(log_open(&log, dir, "sl/evil", 64, &f), -1);
    assert_int_equal(f.code, ELOOP);
    assert_int_equal(log_open(&log, dir, "last", 64, &f), -1);
    assert_int_equal(log_open(&log, dir, "../out/evil", 64, &f), -1);
    assert_int_equal(access(evil, F_OK), -1);
    assert_int_equal(unlink(sub), 0);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(log_open(&log, dir, "sl/evil", 64, &f), 0);
    assert_int_equal(rename(sub, last), -1);
    assert_int_equal(unlink(last), 0);
    assert_int_equal(rename(sub, last), 0);
    assert_int_equal(symlink(out, sub), 0);
    assert_int_equal(log_reopen(&log, &f), -1);
    assert_int_equal(access(evil, F_OK), -1);
    close(log.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(whole_lines),
        in_dir(pieces_are_joined),
        in_dir(long_lines),
        in_dir(carriage_returns),
        in_dir(binary),
        in_dir(full_disk),
        in_dir(nothing_is_logged_without_a_path),
        in_dir(reassembles),
        in_dir(links_are_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
