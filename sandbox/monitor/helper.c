/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper - the second process of a VMM, such as the server of its shared directories: jailed as the
 * VMM is, by orders of its own. Neither outlives the other: without it a guest would wait for its
 * files for ever.
 *
 * What it says goes into a pipe that nobody reads before it ends, and that takes no more once it is
 * full: a guest that has its server complain costs the monitor nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define WORDS_MAX_BYTES 4096
#define LINE_MAX_BYTES  400
#define END_MS          3000
#define ORDERLY_MS      3000 /* within which a VMM ends that has let go of its helper */

int helper_open(struct monitor *m, struct fault *f)
{
    int p[2];

    if (!m->helper.argv)
        return 0;
    if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
        return fault(f, errno, "create pipe", NULL);
    m->helper_words = p[0];
    m->child_words = p[1];
    (void)fcntl(p[1], F_SETPIPE_SZ, WORDS_MAX_BYTES);
    return 0;
}

void helper_become(struct monitor *m)
{
    m->spec = m->helper;
    m->child_in = m->child_out = -1;
    m->child_err = m->child_words;
}

/* Has the workload ended, though it is not reaped yet? */
static bool workload_ended(const struct monitor *m)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)m->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

void helper_ended(struct monitor *m, int status)
{
    m->helper_pid = 0;
    m->helper_status = status;
    if (m->phase != PHASE_RUNNING || workload_ended(m))
        return;
    /* A server whose VMM hangs up ends by itself, a moment before the VMM does. */
    m->helper_deadline_ms = now_ms() + (WIFEXITED(status) ? ORDERLY_MS : 0);
    helper_check(m);
}

void helper_check(struct monitor *m)
{
    if (m->phase != PHASE_RUNNING || m->helper_deadline_ms == 0 || now_ms() < m->helper_deadline_ms)
        return;
    m->helper_deadline_ms = 0;
    m->helper_failed = true;
    (void)kill(m->pid, SIGKILL);
}

void helper_end(struct monitor *m)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int64_t end = now_ms() + END_MS;

    if (m->helper_pid > 0)
        (void)kill(m->helper_pid, SIGKILL);
    while (m->helper_pid > 0 && now_ms() < end) {
        if (waitpid(m->helper_pid, &m->helper_status, WNOHANG) != 0)
            m->helper_pid = 0;
        else
            nanosleep(&pause, NULL);
    }
    /* A VMM may see its helper's failure before anybody else does, and give up by itself. */
    if (WIFEXITED(m->helper_status) && WEXITSTATUS(m->helper_status) != 0 && m->wait_status != 0)
        m->helper_failed = true;
}

/* The last line that has words in it. */
static size_t last_line(const char *s, size_t len, size_t *ret_len)
{
    size_t begin;

    while (len > 0 && (unsigned char)s[len - 1] <= ' ')
        len--;
    begin = len;
    while (begin > 0 && s[begin - 1] != '\n' && len - begin < LINE_MAX_BYTES)
        begin--;
    *ret_len = len - begin;
    return begin;
}

void helper_tell(const struct monitor *m, struct text *t)
{
    char words[WORDS_MAX_BYTES];
    ssize_t n = read(m->helper_words, words, sizeof(words));
    size_t len = 0, begin = last_line(words, n > 0 ? (size_t)n : 0, &len);
    int status = m->helper_status;

    text_str(t, "its file server ended ");
    text_str(t, WIFSIGNALED(status) ? "by signal " : "with status ");
    text_num(t, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (len == 0)
        return;
    text_str(t, ": ");
    for (size_t i = begin; i < begin + len; i++) /* a guest may have a say in it */
        if ((unsigned char)words[i] < ' ' || (unsigned char)words[i] == 0x7f)
            words[i] = ' ';
    text_add(t, words + begin, len);
}
