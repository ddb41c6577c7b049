/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - see loop.h: posts, work, timers and signals. Directory watches are in loop_watch.c.
 *
 * libuv's handles belong to the loop thread. Other threads reach it by one list under one lock and
 * one uv_async_t; whatever they ask for (a timer, pool work) is a post that does it over there.
 *
 * Signals: loop_new() blocks WATCHED in the thread that makes all others, so that threads of
 * libraries inherit the mask; loop_run() opens them on its own thread alone, once handlers are in
 * place. What came in between is delivered then.
 */
#include "base/loop_private.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"

static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGCHLD};

struct post {
    struct post *next;
    void (*f)(void *arg);
    void (*drop)(void *arg); /* or NULL */
    void *arg;
};

static void watched_set(sigset_t *set)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
        (void)sigaddset(set, watched[i]);
}

int loop_uv_error(struct err *err, int r, const char *what)
{
    return err_errno(err, -r, "%s", what);
}

static struct post *take_posts(struct loop *l)
{
    struct post *p;

    mutex_lock(&l->lock);
    p = l->first;
    l->first = l->last = NULL;
    mutex_unlock(&l->lock);
    return p;
}

static void on_async(uv_async_t *a)
{
    struct loop *l = a->data;
    struct post *p = take_posts(l);

    while (p) {
        struct post *next = p->next;

        p->f(p->arg);
        free(p);
        p = next;
    }
    if (atomic_load(&l->stopping))
        uv_stop(&l->uv);
}

struct loop *loop_new(struct err *err)
{
    struct loop *l = XNEW(struct loop);
    sigset_t set;
    int r = uv_loop_init(&l->uv);

    if (r) {
        free(l);
        (void)loop_uv_error(err, r, "make the event loop");
        return NULL;
    }
    l->inotify = -1;
    mutex_init(&l->lock);
    r = uv_async_init(&l->uv, &l->async, on_async);
    if (r) {
        (void)loop_uv_error(err, r, "make the event loop");
        (void)uv_loop_close(&l->uv);
        mutex_done(&l->lock);
        free(l);
        return NULL;
    }
    l->async.data = l;
    l->n_open = 1;
    watched_set(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE,
                 SIG_IGN); /* libuv writes to sockets and pipes; children get the default back */
    return l;
}

void loop_run(struct loop *l)
{
    sigset_t set, former;

    (void)sigemptyset(&set);
    for (struct loop_signal *s = l->signals; s; s = s->next)
        (void)sigaddset(&set, s->signo);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, &former);
    while (!atomic_load(&l->stopping))
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    loop_settle(l);
    (void)pthread_sigmask(SIG_SETMASK, &former, NULL);
}

/* Work that was handed to the pool uses what the caller frees next. */
void loop_settle(struct loop *l)
{
    while (l->n_working > 0)
        (void)uv_run(&l->uv, UV_RUN_ONCE);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    (void)uv_async_send(&l->async);
}

static bool is_member(const struct loop *l, const void *p)
{
    return (const char *)p >= (const char *)l && (const char *)p < (const char *)(l + 1);
}

static void on_closed(uv_handle_t *h)
{
    struct loop *l = h->data;

    l->n_open--;
    if (!is_member(l, h))
        free(h);
}

static void close_ours(uv_handle_t *h, void *arg)
{
    if (h->data == arg && !uv_is_closing(h))
        uv_close(h, on_closed);
}

static void drop_posts(struct loop *l)
{
    struct post *p = take_posts(l);

    while (p) {
        struct post *next = p->next;

        if (p->drop)
            p->drop(p->arg);
        free(p);
        p = next;
    }
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    drop_posts(l);
    uv_walk(&l->uv, close_ours, l);
    while (l->n_open > 0)
        (void)uv_run(&l->uv, UV_RUN_ONCE);
    drop_posts(l); /* from pool work that ended just now */
    loop_watch_free(l);
    if (uv_loop_close(&l->uv)) {
        log_warn("event loop: a handle was left open; ignoring");
        return; /* its owner still points into the loop */
    }
    mutex_done(&l->lock);
    free(l);
}

void loop_post_or(struct loop *l, void (*f)(void *arg), void (*drop)(void *arg), void *arg)
{
    struct post *p = XNEW(struct post);

    p->f = f;
    p->drop = drop;
    p->arg = arg;
    mutex_lock(&l->lock);
    if (l->last)
        l->last->next = p;
    else
        l->first = p;
    l->last = p;
    (void)uv_async_send(
        &l->async); /* under the lock: loop_free() closes it after taking the list */
    mutex_unlock(&l->lock);
}

void loop_post(struct loop *l, void (*f)(void *arg), void *arg)
{
    loop_post_or(l, f, NULL, arg);
}

struct work {
    uv_work_t req;
    struct loop *loop;
    void (*f)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *req)
{
    struct work *w = req->data;

    w->f(w->arg);
}

static void on_work_done(uv_work_t *req, int status)
{
    struct work *w = req->data;

    (void)status;
    w->loop->n_open--;
    w->loop->n_working--;
    free(w);
}

static void start_work(void *arg)
{
    struct work *w = arg;

    w->req.data = w;
    w->loop->n_open++;
    w->loop->n_working++;
    if (uv_queue_work(&w->loop->uv, &w->req, on_work, on_work_done))
        abort(); /* only for a missing callback */
}

void loop_work(struct loop *l, void (*f)(void *arg), void *arg)
{
    struct work *w = XNEW(struct work);

    w->loop = l;
    w->f = f;
    w->arg = arg;
    loop_post_or(l, start_work, free, w);
}

struct timer {
    uv_timer_t handle; /* first: freed by on_closed() */
    struct loop *loop;
    nsec_t first, period;
    void (*f)(void *arg);
    void *arg;
};

static void on_timer(uv_timer_t *h)
{
    struct timer *t = (struct timer *)h;
    void (*f)(void *arg) = t->f;
    void *arg = t->arg;

    if (t->period == 0)
        uv_close((uv_handle_t *)h, on_closed);
    f(arg);
}

static uint64_t to_ms(nsec_t t)
{
    return t <= 0 ? 0 : (uint64_t)t / (uint64_t)NSEC_PER_MSEC + (t % NSEC_PER_MSEC != 0);
}

static void start_timer(void *arg)
{
    struct timer *t = arg;

    if (uv_timer_init(&t->loop->uv, &t->handle))
        abort(); /* never fails */
    t->handle.data = t->loop;
    t->loop->n_open++;
    if (uv_timer_start(&t->handle, on_timer, to_ms(t->first), to_ms(t->period)))
        abort(); /* only for a missing callback */
}

void loop_every(struct loop *l, nsec_t first, nsec_t period, void (*f)(void *arg), void *arg)
{
    struct timer *t = XNEW(struct timer);

    t->loop = l;
    t->first = first;
    t->period = period;
    t->f = f;
    t->arg = arg;
    loop_post_or(l, start_timer, free, t);
}

static void on_signal(uv_signal_t *h, int signo)
{
    struct loop_signal *s = (struct loop_signal *)h;

    s->f(s->arg, signo);
}

int loop_signal(struct loop *l, int signo, void (*f)(void *arg, int signo), void *arg,
                struct err *err)
{
    struct loop_signal *s = XNEW(struct loop_signal);
    int r = uv_signal_init(&l->uv, &s->handle);

    if (r) {
        free(s);
        return loop_uv_error(err, r, "watch a signal");
    }
    s->handle.data = l;
    l->n_open++;
    r = uv_signal_start(&s->handle, on_signal, signo);
    if (r) {
        uv_close((uv_handle_t *)&s->handle, on_closed);
        return loop_uv_error(err, r, "watch a signal");
    }
    s->signo = signo;
    s->f = f;
    s->arg = arg;
    s->next = l->signals;
    l->signals = s;
    return 0;
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}
