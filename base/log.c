/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - see log.h. A line is built on the stack and leaves by one write(2), so lines of different
 * threads never mix and logging needs no lock. When stderr is the journal, the time is left to it
 * and the level is sent as its "<N>" prefix.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

static _Atomic int level_now = LOG_LEVEL_INFO;
static _Thread_local struct log_context context_now;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

struct line {
    char s[LOG_LINE_MAX_BYTES]; /* one byte is kept for the newline */
    size_t len;
};

void log_set_level(enum log_level level)
{
    atomic_store(&level_now, (int)level);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *ret, struct err *err)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "log level '%s': expected error, warn, info or debug", name);
}

struct log_context log_context_set(struct log_context context)
{
    struct log_context former = context_now;

    context_now = context;
    return former;
}

static bool stderr_is_journal;

static void journal_probe(void)
{
    const char *s = getenv("JOURNAL_STREAM"); /* "device:inode" of the stream, systemd.exec(5) */
    char expected[64];
    struct stat st;

    if (!s || fstat(STDERR_FILENO, &st))
        return;
    (void)snprintf(expected, sizeof(expected), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    stderr_is_journal = strcmp(s, expected) == 0;
}

/* Appends with escapes; whole escapes and whole characters or nothing. */
static void line_add(struct line *l, const char *s, size_t len)
{
    const size_t max = sizeof(l->s) - 1;

    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);
        unsigned char c = (unsigned char)s[i];

        if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f))) {
            char esc[5];

            (void)snprintf(esc, sizeof(esc), "\\x%02x", c);
            if (l->len + 4 > max)
                return;
            memcpy(l->s + l->len, esc, 4);
            l->len += 4;
            i++;
            continue;
        }
        if (l->len + n > max)
            return;
        memcpy(l->s + l->len, s + i, n);
        l->len += n;
        i += n;
    }
}

static void line_adds(struct line *l, const char *s)
{
    line_add(l, s, strlen(s));
}

static void line_pair(struct line *l, const char *key, const char *value)
{
    if (!value)
        return;
    line_adds(l, " ");
    line_adds(l, key);
    line_adds(l, "=");
    line_adds(l, value);
}

static void line_head(struct line *l, enum log_level level)
{
    static const char prefix[] = {'3', '4', '6', '7'}; /* syslog's err, warning, info, debug */
    char text[48];
    struct timespec ts;
    struct tm tm;

    if (stderr_is_journal) {
        (void)snprintf(text, sizeof(text), "<%c>", prefix[level]);
        line_adds(l, text);
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    line_adds(l, text);
    (void)snprintf(text, sizeof(text), ".%06ldZ %-5s ", ts.tv_nsec / 1000, level_names[level]);
    line_adds(l, text);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[LOG_LINE_MAX_BYTES - 512]; /* leaves room for the context */
    struct line l = {.len = 0};
    int saved = errno;
    va_list ap;

    if (level > log_get_level())
        return;
    (void)pthread_once(&once, journal_probe);
    va_start(ap, fmt);
    errno = saved; /* for %m */
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line_head(&l, level);
    line_adds(&l, text);
    line_pair(&l, "rpc", context_now.rpc);
    line_pair(&l, "pod", context_now.pod);
    line_pair(&l, "container", context_now.container);
    l.s[l.len++] = '\n';
    if (write(STDERR_FILENO, l.s, l.len) < 0) {
        /* Nobody to tell. */
    }
    errno = saved;
}
