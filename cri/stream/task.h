/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task - what blocks (starting a command, asking a monitor, entering a namespace), off the loop: a
 * short-lived thread each, at most TASKS_MAX at once, the others wait their turn.
 */
#ifndef UNICRI_CRI_STREAM_TASK_H
#define UNICRI_CRI_STREAM_TASK_H

#include <uv.h>

#include "base/thread.h"

#define TASKS_MAX 128

/* Embedded in what the task is about, which lives until `done`. */
struct task {
    void (*work)(struct task *task); /* on a thread of its own; may block until a deadline */
    void (*done)(struct task *task); /* on the loop, always, exactly once */
    struct tasks *tasks;
    struct task *next;
};

struct tasks {
    uv_async_t async;
    size_t *open; /* the owner's count of handles */
    struct mutex lock;
    struct task *ended;                   /* guarded by lock */
    struct task *waiting, **waiting_tail; /* the loop's, as is the next */
    size_t running;
};

/** tasks_init() - on the loop's thread, or before it runs. */
void tasks_init(struct tasks *tasks, uv_loop_t *loop, size_t *open);
/** tasks_close() - no task may be left. */
void tasks_close(struct tasks *tasks);
/** task_start() - Thread: the loop's. Without a thread to be had `work` is done here and now. */
void task_start(struct tasks *tasks, struct task *task);
size_t tasks_count(const struct tasks *tasks);

#endif
