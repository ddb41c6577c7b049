/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - the one libuv thread of the daemon: timers, signals, directory watches, descriptors.
 *
 * Loop code never blocks. Doorways: a worker hands work to the loop with loop_post(); the loop
 * hands work to workers with loop_work(), which runs it on libuv's small pool where it may block.
 * Users elsewhere never see libuv itself (cri/stream and the HTTP front may ask for loop_uv()).
 */
#ifndef UNICRI_BASE_LOOP_H
#define UNICRI_BASE_LOOP_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"

struct loop;

/** loop_new() - made before any thread; blocks the signals that loop_signal() will watch (TERM,
 * INT, HUP, USR1, USR2, QUIT, CHLD) in the calling thread, loop_run() opens them on the loop's;
 * ignores SIGPIPE. */
struct loop *loop_new(struct err *err);
/** loop_run() - runs on the calling thread until loop_stop(), and until work that the pool has by
 * then has ended. */
void loop_run(struct loop *l);
/** loop_settle() - after loop_run() returned, for who has run the loop itself since: until work
 * that the pool has got has ended, so that what it uses may be freed. Thread: loop_run()'s. */
void loop_settle(struct loop *l);
/** loop_stop() - from any thread. */
void loop_stop(struct loop *l);
/** loop_free() - after loop_run() returned; waits for pool work, closes all watches, drops what was
 * posted too late. */
void loop_free(struct loop *l);

/** loop_post() - run f(arg) on the loop soon. Thread: any. */
void loop_post(struct loop *l, void (*f)(void *arg), void *arg);
/** loop_work() - run f(arg) on a pool thread; it may block. Thread: any. */
void loop_work(struct loop *l, void (*f)(void *arg), void *arg);
/** loop_every() - call f(arg) on the loop, first after `first`, then each `period` (0: once).
 * Thread: any before or during run. */
void loop_every(struct loop *l, nsec_t first, nsec_t period, void (*f)(void *arg), void *arg);
/** loop_signal() - call f(arg, signo) for a signal. Thread: before loop_run(). */
int loop_signal(struct loop *l, int signo, void (*f)(void *arg, int signo), void *arg,
                struct err *err) MUST_CHECK;
/**
 * loop_watch_dir() - call f(arg, name) when something was created in, written and closed in, moved
 * into, or removed from a directory; name is NULL when events were lost or the directory itself
 * came or went, and once when the watch begins: look at everything. Looks once a second instead
 * when inotify has no room or the directory does not exist (yet, or any more). Thread: any, before
 * or during run. Errors: DENIED, INTERNAL when `path` is no directory.
 */
int loop_watch_dir(struct loop *l, const char *path, void (*f)(void *arg, const char *name),
                   void *arg, struct err *err) MUST_CHECK;
/** loop_uv() - the uv_loop_t, for the streaming code. */
void *loop_uv(struct loop *l);

#endif
