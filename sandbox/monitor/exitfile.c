/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exitfile - how the workload ended, for a daemon that may not be there: RUN/exits/ID, complete or
 * absent.
 *
 * The temporary file ".ID.tmp" beside it exists from the start and owns its one block, so that a
 * full disk cannot swallow an exit status. Who watches the directory ignores names that begin with
 * a dot. Beside them, for a while, "ID.first": when the first byte of output came.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define EXIT_MAX_BYTES 2048
#define TRIES          20 /* 100 ms apart */

static void temporary_name(const struct monitor *m, char *buf, size_t size)
{
    struct text t = {.s = buf, .len = 0, .size = size};

    text_str(&t, ".");
    text_str(&t, m->spec.id);
    text_str(&t, ".tmp");
}

int exitfile_reserve(const struct monitor *m, struct fault *f)
{
    char name[SPEC_ID_MAX_BYTES + 8];
    int fd;

    temporary_name(m, name, sizeof(name));
    fd = openat(MONITOR_EXIT_DIR_FD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0)
        return fault(f, errno, "create in the exit directory", name);
    if (fallocate(fd, 0, 0, EXIT_MAX_BYTES) < 0 && errno != EOPNOTSUPP) {
        fault(f, errno, "reserve room for the exit file", name);
        close(fd);
        (void)unlinkat(MONITOR_EXIT_DIR_FD, name, 0);
        return -1;
    }
    close(fd);
    return 0;
}

/* As one line: ends of lines are MONITOR_LINE_END, what else cannot be printed is a blank. Of more
 * than was kept the first line is left out: it is cut. */
static void describe_console(const struct monitor *m, struct text *t)
{
    char line[CONSOLE_TAIL_MAX_BYTES];
    size_t from = 0;

    if (m->tail_len == 0)
        return;
    if (m->tail_len == sizeof(m->tail)) {
        const char *end = memchr(m->tail, '\n', m->tail_len - 1);

        from = end ? (size_t)(end - m->tail) + 1 : 0;
    }
    for (size_t i = from; i < m->tail_len; i++) {
        unsigned char c = (unsigned char)m->tail[i];

        line[i] = c == '\n' ? MONITOR_LINE_END : c < ' ' || c == 0x7f ? ' ' : m->tail[i];
    }
    text_str(t, "console ");
    text_add(t, line + from, m->tail_len - from);
    text_str(t, "\n");
}

static void describe(const struct monitor *m, struct text *t)
{
    int status = m->wait_status, signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bool words = m->spec.mode == MODE_VMM && status != 0 && m->last_words_len > 0;

    text_str(t, "code ");
    text_num(t, signal ? 128 + signal : WEXITSTATUS(status));
    text_str(t, "\nsignal ");
    text_num(t, signal);
    text_str(t, "\nfinished ");
    text_num(t, m->finished.tv_sec * INT64_C(1000000000) + m->finished.tv_nsec);
    text_str(t, m->oom ? "\noom 1\n" : "\noom 0\n");
    text_str(t, m->helper_failed ? "helper 1\nmessage " : "message ");
    if (m->helper_failed)
        helper_tell(m, t);
    else if (words)
        text_add(t, m->last_words, m->last_words_len);
    if (m->log.dropped_bytes > 0) {
        text_str(t, words || m->helper_failed ? "; " : "");
        text_num(t, (int64_t)m->log.dropped_bytes);
        text_str(t, " bytes of log lost: ");
        text_str(t, strerrordesc_np(m->log.dropped_code) ?: "unknown error");
    }
    text_str(t, "\n");
    describe_console(m, t); /* also of one that ended well: its guest may not have */
}

int exitfile_write(const struct monitor *m)
{
    char name[SPEC_ID_MAX_BYTES + 8], content[EXIT_MAX_BYTES];
    struct text t = TEXT(content);

    temporary_name(m, name, sizeof(name));
    describe(m, &t);
    for (int i = 0; i < TRIES; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        int fd =
            openat(MONITOR_EXIT_DIR_FD, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd >= 0) {
            bool ok =
                pwrite(fd, content, t.len, 0) == (ssize_t)t.len && ftruncate(fd, (off_t)t.len) == 0;

            close(fd);
            if (ok && renameat(MONITOR_EXIT_DIR_FD, name, MONITOR_EXIT_DIR_FD, m->spec.id) == 0)
                return 0;
        }
        nanosleep(&pause, NULL);
    }
    return -1;
}

void exitfile_discard(const struct monitor *m)
{
    char name[SPEC_ID_MAX_BYTES + 8];

    temporary_name(m, name, sizeof(name));
    (void)unlinkat(MONITOR_EXIT_DIR_FD, name, 0);
}

static void first_name(const struct monitor *m, char *buf, size_t size)
{
    struct text t = {.s = buf, .len = 0, .size = size};

    text_str(&t, m->spec.id);
    text_str(&t, MONITOR_FIRST_SUFFIX);
}

void exitfile_first(struct monitor *m)
{
    int64_t took = m->first_ns - m->began_ns;
    int64_t boot = m->first_ns > m->exec_ns ? m->first_ns - m->exec_ns : 0;
    char name[SPEC_ID_MAX_BYTES + 8], content[64];
    struct text t = TEXT(content);
    int fd;

    m->first_told = true;
    if (took > MONITOR_FIRST_MAX_S * INT64_C(1000000000))
        return;
    first_name(m, name, sizeof(name));
    text_num(&t, took);
    if (m->spec.mode == MODE_VMM) {
        text_str(&t, " ");
        text_num(&t, boot);
    }
    text_str(&t, "\n");
    fd = openat(MONITOR_EXIT_DIR_FD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0)
        return;
    (void)!write(fd, content, t.len);
    close(fd);
}
