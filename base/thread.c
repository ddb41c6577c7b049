/* SPDX-License-Identifier: Apache-2.0 */
/* thread - see thread.h. A pthread call that fails here is a bug of ours: abort, whatever the
 * build. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FACTOR 8 /* red zones */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_FACTOR 8
#endif
#endif
#ifndef STACK_FACTOR
#define STACK_FACTOR 1
#endif

#define THREAD_NAME_MAX_BYTES 16 /* with the NUL: the kernel's limit */

struct loop_role loop_role;

struct start {
    void *(*f)(void *);
    void *arg;
    char name[THREAD_NAME_MAX_BYTES];
};

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    (void)fprintf(stderr, "unicri: %s: error %d\n", what, r);
    abort();
}

void mutex_init(struct mutex *m)
{
    must(pthread_mutex_init(&m->m, NULL), "pthread_mutex_init");
}

void mutex_done(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->m), "pthread_mutex_destroy");
}

NO_TSA void mutex_lock(struct mutex *m)
{
    must(pthread_mutex_lock(&m->m), "pthread_mutex_lock");
}

NO_TSA void mutex_unlock(struct mutex *m)
{
    must(pthread_mutex_unlock(&m->m), "pthread_mutex_unlock");
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(&c->c, &attr), "pthread_cond_init");
    must(pthread_condattr_destroy(&attr), "pthread_condattr_destroy");
}

void cond_done(struct cond *c)
{
    must(pthread_cond_destroy(&c->c), "pthread_cond_destroy");
}

void cond_signal(struct cond *c)
{
    must(pthread_cond_signal(&c->c), "pthread_cond_signal");
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(&c->c), "pthread_cond_broadcast");
}

bool cond_wait(struct cond *c, struct mutex *m, deadline_t deadline)
{
    deadline_t d = deadline < 0 ? 0 : deadline;
    struct timespec ts = {.tv_sec = d / NSEC_PER_SEC, .tv_nsec = d % NSEC_PER_SEC};
    int r;

    if (deadline == DEADLINE_NEVER) {
        must(pthread_cond_wait(&c->c, &m->m), "pthread_cond_wait");
        return true;
    }
    r = pthread_cond_timedwait(&c->c, &m->m, &ts);
    if (r == ETIMEDOUT)
        return false;
    must(r, "pthread_cond_timedwait");
    return true;
}

static void *thread_main(void *p)
{
    struct start s = *(struct start *)p;

    free(p);
    (void)pthread_setname_np(pthread_self(), s.name);
    return s.f(s.arg);
}

static void attr_fill(pthread_attr_t *attr, bool detached)
{
    sigset_t all;

    (void)sigfillset(&all);
    must(pthread_attr_init(attr), "pthread_attr_init");
    must(pthread_attr_setstacksize(attr, (size_t)THREAD_STACK_BYTES * STACK_FACTOR), "stack size");
    must(pthread_attr_setsigmask_np(attr, &all), "signal mask");
    if (detached)
        must(pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED), "detach state");
}

int thread_start(const char *name, void *(*f)(void *), void *arg, pthread_t *ret, struct err *err)
{
    struct start *s = XNEW(struct start);
    pthread_attr_t attr;
    pthread_t t;
    int r;

    s->f = f;
    s->arg = arg;
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    attr_fill(&attr, ret == NULL);
    r = pthread_create(&t, &attr, thread_main, s);
    must(pthread_attr_destroy(&attr), "pthread_attr_destroy");
    if (r) {
        free(s);
        (void)err_errno(err, r, "start thread '%s'", name);
        if (err)
            err->code = ERR_EXHAUSTED;
        return -1;
    }
    if (ret)
        *ret = t;
    return 0;
}
