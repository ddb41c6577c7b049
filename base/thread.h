/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread - mutex, condition variable and threads with annotations that clang -Wthread-safety
 * checks.
 *
 * Lock order: engine < pod < container < db. No lock is held over fork, exec, wait, IPC, mount or a
 * call to a plugin. Errors of pthread functions are bugs of ours and abort.
 */
#ifndef UNICRI_BASE_THREAD_H
#define UNICRI_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define TSA_CAPABILITY(name) TSA(capability(name))
#define NEEDS(...)           TSA(requires_capability(__VA_ARGS__))
#define ACQUIRES(...)        TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...)        TSA(release_capability(__VA_ARGS__))
#define EXCLUDES(...)        TSA(locks_excluded(__VA_ARGS__))
#define ASSERTS(...)         TSA(assert_capability(__VA_ARGS__))
#define GUARDED              TSA(guarded_var)
#define NO_TSA               TSA(no_thread_safety_analysis)

struct TSA_CAPABILITY("mutex") mutex {
    pthread_mutex_t m;
};
/* Its clock is CLOCK_MONOTONIC. */
struct cond {
    pthread_cond_t c;
};

void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
void mutex_unlock(struct mutex *m) RELEASES(m);

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/** cond_wait() - Returns: false when the deadline passed first. May wake for no reason. */
bool cond_wait(struct cond *c, struct mutex *m, deadline_t deadline) NEEDS(m);

#define THREAD_STACK_BYTES (256 * 1024)

/**
 * thread_start() - run f(arg) on a new thread with all signals blocked and a stack of
 * THREAD_STACK_BYTES; `name` (at most 15 bytes) shows in ps. Detached when `ret` is NULL.
 * Errors: EXHAUSTED.
 */
int thread_start(const char *name, void *(*f)(void *), void *arg, pthread_t *ret,
                 struct err *err) MUST_CHECK;

/* Role of the libuv thread; functions marked ON_LOOP may only be called there. */
struct TSA_CAPABILITY("role") loop_role {
    int unused;
};
extern struct loop_role loop_role;
#define ON_LOOP NEEDS(loop_role)

#endif
