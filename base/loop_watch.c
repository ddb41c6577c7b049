/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_watch - loop_watch_dir() of loop.h. One inotify descriptor serves all directories; it is
 * read here and not by uv_fs_event_t, which says nothing when the kernel's queue overflows.
 *
 * A directory that inotify has no room for, or that is not there (yet, or any more), is looked at
 * once a second until it can be watched; a timer runs only while there is such a one.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/loop_private.h"
#include "base/strbuf.h"

#define WATCH_MASK                                                                                 \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF |       \
     IN_MOVE_SELF | IN_ONLYDIR)
#define WATCH_POLL_MS      1000
#define WATCH_BUFFER_BYTES 16384

struct watch {
    struct watch *next;
    char *path;            /* owned */
    int wd;                /* -1: polled */
    struct timespec mtime; /* while polled; 0 when it was not there */
    void (*f)(void *arg, const char *name);
    void *arg;
};

static struct timespec mtime_of(const char *path)
{
    struct stat st;

    return stat(path, &st) ? (struct timespec){0} : st.st_mtim;
}

/* Gives a watch its place in inotify. Returns: 0, or an errno value. */
static int add_to_inotify(struct loop *l, struct watch *w)
{
    int wd;

    if (l->inotify < 0)
        return EMFILE;
    wd = inotify_add_watch(l->inotify, w->path, WATCH_MASK);
    if (wd < 0)
        return errno;
    w->wd = wd;
    return 0;
}

static bool is_temporary(int sys)
{
    return sys == ENOSPC || sys == EMFILE || sys == ENFILE || sys == ENOMEM || sys == ENOENT;
}

static void on_poll_timer(uv_timer_t *t)
{
    struct loop *l = t->data;
    bool still = false;

    for (struct watch *w = l->watches; w; w = w->next) {
        struct timespec m;
        bool changed;

        if (w->wd >= 0)
            continue;
        if (add_to_inotify(l, w) == 0) {
            w->f(w->arg, NULL); /* whatever happened up to now */
            continue;
        }
        still = true;
        m = mtime_of(w->path);
        changed = m.tv_sec != w->mtime.tv_sec || m.tv_nsec != w->mtime.tv_nsec;
        w->mtime = m;
        if (changed)
            w->f(w->arg, NULL);
    }
    if (!still)
        (void)uv_timer_stop(t);
}

static void start_polling(struct loop *l)
{
    if (!l->timer_ready) {
        (void)uv_timer_init(&l->uv, &l->poll_timer);
        l->poll_timer.data = l;
        l->n_open++;
        l->timer_ready = true;
    }
    if (!uv_is_active((uv_handle_t *)&l->poll_timer))
        (void)uv_timer_start(&l->poll_timer, on_poll_timer, WATCH_POLL_MS, WATCH_POLL_MS);
}

/* The directory itself went away or was moved: back to looking for it by its path. */
static void lose(struct loop *l, int wd)
{
    (void)inotify_rm_watch(l->inotify, wd); /* fails when it is gone already */
    for (struct watch *w = l->watches; w; w = w->next) {
        if (w->wd != wd)
            continue;
        w->wd = -1;
        w->mtime = mtime_of(w->path);
        w->f(w->arg, NULL);
        start_polling(l);
    }
}

static void deliver(struct loop *l, const struct inotify_event *e)
{
    const char *name = e->len ? e->name : NULL;

    if (e->mask & IN_Q_OVERFLOW) {
        for (struct watch *w = l->watches; w; w = w->next)
            w->f(w->arg, NULL);
        return;
    }
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        lose(l, e->wd);
        return;
    }
    for (struct watch *w = l->watches; w; w = w->next) {
        if (w->wd == e->wd)
            w->f(w->arg, name);
    }
}

static void on_inotify(uv_poll_t *p, int status, int events)
{
    _Alignas(struct inotify_event) char buf[WATCH_BUFFER_BYTES];
    struct loop *l = p->data;
    ssize_t n = read(l->inotify, buf, sizeof(buf));

    (void)status, (void)events;
    for (ssize_t i = 0; i < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + i);

        deliver(l, e);
        i += (ssize_t)sizeof(*e) + (ssize_t)e->len;
    }
}

static void open_inotify(struct loop *l)
{
    if (l->poll_ready)
        return;
    if (l->inotify < 0)
        l->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (l->inotify < 0)
        return; /* no room: all are polled, and it is tried again with the next watch */
    if (uv_poll_init(&l->uv, &l->poll, l->inotify)) {
        l->inotify = close_fd(l->inotify);
        return;
    }
    l->poll.data = l;
    l->n_open++;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_inotify);
    l->poll_ready = true;
}

struct watch_post {
    struct loop *loop;
    struct watch *watch;
};

static void free_watch(struct watch *w)
{
    free(w->path);
    free(w);
}

static void drop_watch(void *arg)
{
    struct watch_post *p = arg;

    free_watch(p->watch);
    free(p);
}

static void start_watch(void *arg)
{
    struct watch_post *p = arg;
    struct loop *l = p->loop;
    struct watch *w = p->watch;

    free(p);
    open_inotify(l);
    w->next = l->watches;
    l->watches = w;
    if (add_to_inotify(l, w)) {
        w->mtime = mtime_of(w->path);
        start_polling(l);
    }
    /* Between the caller's own look and now something may have happened. */
    w->f(w->arg, NULL);
}

int loop_watch_dir(struct loop *l, const char *path, void (*f)(void *arg, const char *name),
                   void *arg, struct err *err)
{
    struct watch_post *p;
    struct watch *w;
    struct stat st;

    if (stat(path, &st)) {
        if (!is_temporary(errno))
            return err_sys(err, "watch '%s'", path);
    } else if (!S_ISDIR(st.st_mode)) {
        return err_errno(err, ENOTDIR, "watch '%s'", path);
    }
    w = XNEW(struct watch);
    w->path = xstrdup(path);
    w->wd = -1;
    w->f = f;
    w->arg = arg;
    p = XNEW(struct watch_post);
    p->loop = l;
    p->watch = w;
    loop_post_or(l, start_watch, drop_watch, p);
    return 0;
}

void loop_watch_free(struct loop *l)
{
    while (l->watches) {
        struct watch *w = l->watches;

        l->watches = w->next;
        free_watch(w);
    }
    l->inotify = close_fd(l->inotify);
}
