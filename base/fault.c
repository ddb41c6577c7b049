/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault - see fault.h. Passing a point costs one atomic load when nothing is asked for. A list that
 * does not parse ends the program: a test that believes it injects something must not pass by a
 * typing error.
 */
#include "base/fault.h"

#ifdef UNICRI_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"

#define FAULTS_MAX     64
#define FAULT_NAME_MAX 96
#define ERRNO_MAX      4095

enum action { ACTION_KILL, ACTION_ERRNO, ACTION_DELAY };

struct fault {
    char name[FAULT_NAME_MAX];
    bool prefix; /* the name ended in '*' */
    enum action action;
    unsigned long long arg;  /* errno, or milliseconds */
    unsigned long long only; /* act on this pass only; 0: on each */
    unsigned long long passed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct fault faults[FAULTS_MAX];
static size_t n_faults;
static int trace_fd = -1;
static _Atomic bool active; /* faults or a trace */

static void bad(const char *item, const char *why)
{
    (void)fprintf(stderr, "unicri: UNICRI_FAULTS '%s': %s\n", item, why);
    abort();
}

static int errno_by_name(const char *name)
{
    for (int e = 1; e < ERRNO_MAX; e++) {
        const char *s = strerrorname_np(e);

        if (s && strcmp(s, name) == 0)
            return e;
    }
    return 0;
}

static void parse_action(struct fault *f, const char *item, char *action)
{
    char *at = strchr(action, '@');
    struct err err;

    if (at) {
        *at = '\0';
        if (parse_u64(at + 1, 1000000, "count", &f->only, &err) || f->only == 0)
            bad(item, "expected a count from 1 behind '@'");
    }
    if (strcmp(action, "kill") == 0) {
        f->action = ACTION_KILL;
    } else if (str_has_prefix(action, "delay:")) {
        f->action = ACTION_DELAY;
        if (parse_u64(action + strlen("delay:"), 3600 * 1000, "delay", &f->arg, &err))
            bad(item, "expected milliseconds behind 'delay:'");
    } else {
        f->action = ACTION_ERRNO;
        f->arg = (unsigned long long)errno_by_name(action);
        if (f->arg == 0)
            bad(item, "expected kill, delay:MS or the name of an errno");
    }
}

static void parse_item(const char *item)
{
    autofree char *copy = xstrdup(item);
    char *eq = strchr(copy, '=');
    struct fault *f = &faults[n_faults];
    size_t len;

    if (!eq)
        bad(item, "expected NAME=ACTION");
    *eq = '\0';
    len = strlen(copy);
    if (n_faults == FAULTS_MAX || len >= FAULT_NAME_MAX)
        bad(item, "too many or too long");
    *f = (struct fault){.prefix = len > 0 && copy[len - 1] == '*'};
    memcpy(f->name, copy, len - f->prefix);
    parse_action(f, item, eq + 1);
    n_faults++;
}

static void parse_list(const char *list)
{
    n_faults = 0;
    for (const char *p = list; p && *p;) {
        size_t len = strcspn(p, ",");

        if (len) {
            autofree char *item = xstrndup(p, len);

            parse_item(item);
        }
        p += len + (p[len] == ',');
    }
    atomic_store(&active, n_faults > 0 || trace_fd >= 0);
}

static void read_environment(void)
{
    const char *trace = getenv("UNICRI_FAULTS_TRACE");

    if (trace && *trace) {
        trace_fd = open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (trace_fd < 0)
            bad(trace, "cannot open the trace");
    }
    parse_list(getenv("UNICRI_FAULTS"));
}

static bool matches(const struct fault *f, const char *name)
{
    return f->prefix ? str_has_prefix(name, f->name) : strcmp(name, f->name) == 0;
}

static void trace(const char *name)
{
    char line[FAULT_NAME_MAX + 1];
    int n = snprintf(line, sizeof(line), "%.*s\n", FAULT_NAME_MAX - 1, name);

    if (write(trace_fd, line, (size_t)n) != n)
        bad(name, "cannot write the trace");
}

int fault_hit(const char *name)
{
    unsigned long long delay_ms = 0;
    int r = 0;

    (void)pthread_once(&once, read_environment);
    if (!atomic_load(&active))
        return 0;
    (void)pthread_mutex_lock(&lock);
    if (trace_fd >= 0)
        trace(name);
    for (size_t i = 0; i < n_faults && r == 0; i++) {
        struct fault *f = &faults[i];

        if (!matches(f, name))
            continue;
        f->passed++;
        if (f->only && f->passed != f->only)
            continue;
        if (f->action == ACTION_KILL)
            (void)kill(getpid(), SIGKILL);
        else if (f->action == ACTION_DELAY)
            delay_ms += f->arg;
        else
            r = (int)f->arg;
    }
    (void)pthread_mutex_unlock(&lock);
    if (delay_ms)
        clock_sleep_until(deadline_in((nsec_t)delay_ms * NSEC_PER_MSEC));
    return r;
}

void fault_set(const char *list)
{
    (void)pthread_once(&once, read_environment);
    (void)pthread_mutex_lock(&lock);
    parse_list(list);
    (void)pthread_mutex_unlock(&lock);
}

#endif
