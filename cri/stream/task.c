/* SPDX-License-Identifier: Apache-2.0 */
/* task - see task.h. */
#include "cri/stream/task.h"

#include <stdlib.h>

#include "base/log.h"

static void push_ended(struct task *task)
{
    struct tasks *t = task->tasks;

    /* Under the lock: tasks_close() comes after the last task was taken from the list. */
    mutex_lock(&t->lock);
    task->next = t->ended;
    t->ended = task;
    (void)uv_async_send(&t->async);
    mutex_unlock(&t->lock);
}

static void *run(void *arg)
{
    struct task *task = arg;

    task->work(task);
    push_ended(task);
    return NULL;
}

static void begin(struct task *task)
{
    struct err err = ERR_INIT;

    task->tasks->running++;
    if (thread_start("stream", run, task, NULL, &err) == 0)
        return;
    log_warn("streaming: %s; working on the event loop instead", err.msg);
    (void)run(task);
}

static void on_async(uv_async_t *h)
{
    struct tasks *t = (struct tasks *)h;
    struct task *list, *task;

    mutex_lock(&t->lock);
    list = t->ended;
    t->ended = NULL;
    mutex_unlock(&t->lock);
    while ((task = list)) {
        list = task->next;
        t->running--;
        task->done(task);
    }
    while (t->waiting && t->running < TASKS_MAX) {
        task = t->waiting;
        t->waiting = task->next;
        if (!t->waiting)
            t->waiting_tail = &t->waiting;
        begin(task);
    }
}

void tasks_init(struct tasks *t, uv_loop_t *loop, size_t *open)
{
    mutex_init(&t->lock);
    t->open = open;
    t->ended = t->waiting = NULL;
    t->waiting_tail = &t->waiting;
    t->running = 0;
    if (uv_async_init(loop, &t->async, on_async))
        abort(); /* out of descriptors at the very start */
    t->async.data = NULL;
    ++*open;
}

static void on_closed(uv_handle_t *h)
{
    struct tasks *t = (struct tasks *)h;

    --*t->open;
    mutex_done(&t->lock);
}

void tasks_close(struct tasks *t)
{
    mutex_lock(&t->lock); /* the last thread has let go of it then */
    mutex_unlock(&t->lock);
    uv_close((uv_handle_t *)&t->async, on_closed);
}

void task_start(struct tasks *t, struct task *task)
{
    task->tasks = t;
    task->next = NULL;
    if (t->running < TASKS_MAX) {
        begin(task);
        return;
    }
    *t->waiting_tail = task;
    t->waiting_tail = &task->next;
}

size_t tasks_count(const struct tasks *t)
{
    return t->running + (t->waiting != NULL);
}
