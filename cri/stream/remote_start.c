/* SPDX-License-Identifier: Apache-2.0 */
/* remote_start - see remote.h: the command is started or the monitor asked, off the loop, and its
 * descriptors come onto it. */
#include <fcntl.h>

#include "base/log.h"
#include "cri/stream/remote.h"

#define START_TIMEOUT (30 * NSEC_PER_SEC)

static void start_work(struct task *task)
{
    struct remote *r = REMOTE_OF(task, start);
    struct engine *engine = r->c->server->engine;
    const struct stream_request *q = r->request;
    CLEANUP(container_view_done) struct container_view view = {0};

    r->why = ERR_INIT;
    if (q->kind == STREAM_EXEC) {
        struct exec_streams streams = {
            .tty = q->tty, .in = q->in, .out = q->out, .errout = q->errout};

        r->failed = container_exec_start(engine, q->id, q->argv, &streams,
                                         deadline_in(START_TIMEOUT), &r->run, &r->why) < 0;
        return;
    }
    r->wants_in = q->in;
    r->failed = container_get(engine, q->id, &view, &r->why) < 0 ||
                container_attach(engine, q->id, &r->wants_in, deadline_in(START_TIMEOUT),
                                 &r->attached, &r->why) < 0;
    r->stdin_once = !r->failed && view.spec->stdin_once;
}

static struct fdio *open_fd(struct remote *r, int fd, const struct fdio_events *events)
{
    return fdio_new(r->c->server->loop, fd, events, r, &r->c->server->open);
}

/* Returns: false when there is a descriptor, but it cannot be polled. */
static bool open_end(struct remote *r, int fd, const struct fdio_events *events, struct fdio **ret)
{
    *ret = fd >= 0 ? open_fd(r, fd, events) : NULL;
    return fd < 0 || *ret;
}

static void set_up_exec(struct remote *r)
{
    static const struct fdio_events terminal = {
        .data = remote_on_out, .end = remote_on_out_end, .drained = remote_on_in_drained};
    static const struct fdio_events in = {.drained = remote_on_in_drained,
                                          .flushed = remote_on_in_flushed,
                                          .broken = remote_on_in_broken};
    static const struct fdio_events out = {.data = remote_on_out, .end = remote_on_out_end};
    static const struct fdio_events err = {.data = remote_on_err, .end = remote_on_err_end};
    /* Reading from a pidfd is an error that comes when the process has ended. */
    static const struct fdio_events ended = {.end = remote_on_command_ended};
    int ended_fd = fcntl(r->run.ended, F_DUPFD_CLOEXEC, 0);
    bool all = true;

    if (r->request->tty) {
        all = open_end(r, r->run.out, &terminal, &r->out);
        r->in = r->request->in ? r->out : NULL;
    } else {
        all = open_end(r, r->run.in, &in, &r->in) && all;
        all = open_end(r, r->run.out, &out, &r->out) && all;
        all = open_end(r, r->run.errout, &err, &r->err) && all;
    }
    all = open_end(r, ended_fd, &ended, &r->ended) && all;
    if (r->ended)
        fdio_read(r->ended, true);
    if (!r->ended || !all)
        conn_abort(r->c); /* nobody would learn of its end, or some of it: `gone` kills it */
}

static void set_up_attach(struct remote *r)
{
    static const struct fdio_events monitor = {.data = remote_on_packet,
                                               .end = remote_on_attached_end,
                                               .drained = remote_on_in_drained,
                                               .broken = remote_on_attached_end};

    r->out = open_fd(r, r->attached, &monitor);
    if (!r->out) {
        conn_abort(r->c);
        return;
    }
    fdio_packets(r->out);
    r->in = r->wants_in ? r->out : NULL;
}

/* The client has gone meanwhile. */
static void start_too_late(struct remote *r)
{
    if (r->failed)
        return;
    if (r->request->kind == STREAM_ATTACH) {
        (void)close_fd(r->attached);
        return;
    }
    if (r->run.in != r->run.out)
        (void)close_fd(r->run.in);
    (void)close_fd(r->run.out);
    (void)close_fd(r->run.errout);
    remote_end_command(r, true);
}

static void running(struct remote *r)
{
    bool ended = r->in_ended;

    r->phase = RUNNING;
    r->in_ended = false;
    if (r->request->kind == STREAM_EXEC)
        set_up_exec(r);
    else
        set_up_attach(r);
    if (remote_is_gone(r))
        return;
    remote_input(r, r->early.s, r->early.len);
    strbuf_done(&r->early);
    r->early = (struct strbuf)STRBUF_INIT;
    if (ended)
        remote_input_end(r);
    remote_apply_size(r);
    remote_sources(r);
    conn_update(r->c);
}

static void start_done(struct task *task)
{
    struct remote *r = REMOTE_OF(task, start);

    if (remote_is_gone(r)) {
        start_too_late(r);
    } else if (r->failed) {
        log_info("streaming: %s", r->why.msg);
        remote_tell_and_finish(r);
    } else {
        running(r);
    }
    conn_task_done(r->c);
}

void remote_begin(struct remote *r)
{
    r->phase = STARTING;
    conn_ready(r->c);
    r->start = (struct task){.work = start_work, .done = start_done};
    conn_task(r->c, &r->start);
}
