/* SPDX-License-Identifier: Apache-2.0 */
/* logfile - see logfile.h. Records are gathered in one static buffer and written together, one
 * write a chunk read. */
#include "sandbox/monitor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX_BYTES 64 /* time stamp, stream, tag and blanks */
#define PAGE           4096

static _Alignas(PAGE) char out[SPEC_LINE_MAX + HEAD_MAX_BYTES + PAGE];
static size_t out_used;

/* Returns: an fd, or -1 with errno. */
static int open_log(const struct logfile *log)
{
    struct open_how how = {
        .flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
        .mode = 0640,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    int dir = open(log->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, code;

    if (dir < 0)
        return -1;
    fd = (int)syscall(SYS_openat2, dir, log->path, &how, sizeof(how));
    code = errno;
    close(dir);
    errno = code;
    return fd;
}

int log_open(struct logfile *log, const char *dir, const char *path, size_t line_max,
             struct fault *f)
{
    struct text t = TEXT(log->path), d = TEXT(log->dir);

    *log = (struct logfile){.fd = -1, .line_max = line_max};
    if (!path)
        return 0;
    text_str(&t, path);
    text_str(&d, dir);
    log->fd = open_log(log);
    return log->fd < 0 ? fault(f, errno, "open log", path) : 0;
}

int log_reopen(struct logfile *log, struct fault *f)
{
    int fd;

    if (log->path[0] == '\0')
        return 0;
    fd = open_log(log);
    if (fd < 0)
        return fault(f, errno, "open log", log->path);
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
    return 0;
}

/* 2000-03-01 based day count to a date: leap days fall on the end of such a year. */
static void add_date(struct text *t, int64_t days)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;

    text_padded(t, (uint64_t)(yoe + era * 400 + (month <= 2)), 4);
    text_str(t, "-");
    text_padded(t, (uint64_t)month, 2);
    text_str(t, "-");
    text_padded(t, (uint64_t)day, 2);
}

static void add_time(struct text *t, const struct timespec *now)
{
    uint64_t second = (uint64_t)(now->tv_sec % 86400);

    add_date(t, now->tv_sec / 86400);
    text_str(t, "T");
    text_padded(t, second / 3600, 2);
    text_str(t, ":");
    text_padded(t, second / 60 % 60, 2);
    text_str(t, ":");
    text_padded(t, second % 60, 2);
    text_str(t, ".");
    text_padded(t, (uint64_t)now->tv_nsec, 9);
    text_str(t, "Z");
}

/* Nothing but whole lines may stay: cut what stands behind the last newline of the part that was
 * written. */
static void take_back(struct logfile *log, size_t done)
{
    const char *end = memrchr(out, '\n', done);
    size_t whole = end ? (size_t)(end - out) + 1 : 0;
    off_t at = lseek(log->fd, 0, SEEK_CUR);

    if (done > whole && at >= (off_t)(done - whole))
        (void)!ftruncate(log->fd, at - (off_t)(done - whole));
    log->written_bytes += whole;
    log->dropped_bytes += out_used - whole;
}

static void flush(struct logfile *log)
{
    size_t done = 0;

    while (done < out_used) {
        ssize_t n = write(log->fd, out + done, out_used - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            log->dropped_code = n == 0 ? ENOSPC : errno;
            take_back(log, done);
            out_used = 0;
            return;
        }
    }
    log->written_bytes += done;
    out_used = 0;
}

static void record(struct logfile *log, const struct log_stream *stream, const char *stamp,
                   size_t stamp_len, char tag, size_t len)
{
    struct text t;

    if (sizeof(out) - out_used < HEAD_MAX_BYTES + len + 1)
        flush(log);
    t = (struct text){.s = out + out_used, .len = 0, .size = sizeof(out) - out_used};
    text_add(&t, stamp, stamp_len);
    text_str(&t, " ");
    text_str(&t, stream->name);
    text_str(&t, tag == 'F' ? " F " : " P ");
    text_add(&t, stream->line, len);
    text_str(&t, "\n");
    out_used += t.len;
}

static size_t stamp_now(char *buf, size_t size)
{
    struct text t = {.s = buf, .len = 0, .size = size};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    add_time(&t, &now);
    return t.len;
}

void log_chunk(struct logfile *log, struct log_stream *stream, const char *data, size_t len)
{
    char stamp[HEAD_MAX_BYTES];
    size_t stamp_len;

    if (log->fd < 0)
        return;
    stamp_len = stamp_now(stamp, sizeof(stamp));
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t segment = newline ? (size_t)(newline - data) : len;

        len -= segment + (newline != NULL);
        while (segment > 0) {
            size_t take;

            if (stream->used == log->line_max) {
                record(log, stream, stamp, stamp_len, 'P', stream->used);
                stream->used = 0;
            }
            take = log->line_max - stream->used;
            if (take > segment)
                take = segment;
            memcpy(stream->line + stream->used, data, take);
            stream->used += take;
            data += take;
            segment -= take;
        }
        if (newline) {
            size_t line = stream->used;

            if (line > 0 && stream->line[line - 1] == '\r')
                line--;
            record(log, stream, stamp, stamp_len, 'F', line);
            stream->used = 0;
            data++;
        }
    }
    flush(log);
}

void log_end(struct logfile *log, struct log_stream *stream)
{
    char stamp[HEAD_MAX_BYTES];

    if (log->fd < 0 || stream->used == 0)
        return;
    record(log, stream, stamp, stamp_now(stamp, sizeof(stamp)), 'P', stream->used);
    stream->used = 0;
    flush(log);
}

void log_release(void)
{
    (void)madvise(out, sizeof(out) / PAGE * PAGE, MADV_DONTNEED);
}
