/* SPDX-License-Identifier: Apache-2.0 */
/* loop_private - what loop.c and loop_watch.c share. */
#ifndef UNICRI_BASE_LOOP_PRIVATE_H
#define UNICRI_BASE_LOOP_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/loop.h"
#include "base/mem.h"

struct post;
struct watch;

struct loop_signal {
    uv_signal_t handle; /* first: freed when closed */
    struct loop_signal *next;
    int signo;
    void (*f)(void *arg, int signo);
    void *arg;
};

/*
 * `data` of each handle of ours is the loop; it tells them from those that users of loop_uv() make
 * and must close before loop_free(). A handle is a member of struct loop or the first member of a
 * block of its own.
 */
struct loop {
    uv_loop_t uv;
    uv_async_t async;
    _Atomic bool stopping;
    struct loop_signal *signals; /* owned by their handles */

    size_t n_open; /* handles of ours and pool work that are not closed or done */

    size_t n_working; /* work that the pool has; loop thread only */

    struct mutex lock;         /* guards first and last; the rest is the loop thread's */
    struct post *first, *last; /* owned */

    struct watch *watches; /* owned; never removed while the loop lives */
    int inotify;           /* owned; -1 until the first watch */
    uv_poll_t poll;        /* of inotify */
    uv_timer_t poll_timer; /* runs while a watch has no place in inotify */
    bool poll_ready, timer_ready;
};

/** loop_post_or() - loop_post() with `drop` called instead of f when the loop is freed first. */
void loop_post_or(struct loop *l, void (*f)(void *arg), void (*drop)(void *arg), void *arg);
int loop_uv_error(struct err *err, int r, const char *what);
void loop_watch_free(struct loop *l);

#endif
