/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - a session of Exec or Attach: bytes between a client's channels and a command's pipes or
 * terminal, or a container's monitor.
 *
 *   WAITING --all channels there--> STARTING --task--> RUNNING --command ended--> ENDING
 *     --its status known and its output read--> the client is told, conn_finish
 *
 * A client that goes takes its command with it; a container that ends ends both. An attached
 * client's end is no one else's, but of stdin when the container has stdin_once.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "cri/stream/conn.h"
#include "cri/stream/remote.h"
#include "sandbox/sandbox.h"

#define START_TIMEOUT  (30 * NSEC_PER_SEC)
#define RESIZE_TIMEOUT (5 * NSEC_PER_SEC)
#define END_OF_INPUT   "\004" /* what a terminal takes for it */

enum phase { WAITING, STARTING, RUNNING, ENDING, OVER };

struct remote {
    struct conn *c;
    struct stream_request *request; /* borrowed from c */
    int version;
    enum phase phase;
    uint32_t channel[ROLES];
    bool has[ROLES];
    size_t missing; /* channels that are still to be opened */

    struct fdio *in, *out, *err, *ended; /* a terminal and a monitor are `out` for both ways */
    bool in_ended, stdin_once, wants_in;
    struct strbuf early; /* stdin that came before there was a command */

    struct strbuf resize_text;
    struct terminal_size size;  /* the latest; width 0 once it is applied */
    struct terminal_size asked; /* of the monitor, while `resizing` */

    struct task start, end, resize;
    bool resizing;
    struct exec_run run;
    int attached;
    bool kill;
    int exit_code;
    bool failed;
    struct err why;
};

#define REMOTE_OF(task_, member)                                                                   \
    ((struct remote *)((char *)(task_)-offsetof(struct remote, member)))

static bool is_gone(const struct remote *r)
{
    return r->phase == OVER;
}

/* ----------------------------------------------------------------- to the client */

static void tell_and_finish(struct remote *r)
{
    autofree char *text = remote_status(r->version, r->failed ? r->why.msg : NULL, r->exit_code);

    if (*text)
        conn_send(r->c, r->channel[ROLE_STATUS], text, strlen(text));
    for (int role = 0; role < ROLES; role++)
        if (r->has[role] && role != ROLE_IN && role != ROLE_RESIZE)
            conn_send_end(r->c, r->channel[role]);
    conn_finish(r->c);
}

static void sources(struct remote *r)
{
    bool on = !conn_blocked(r->c);

    if (r->out)
        fdio_read(r->out, on);
    if (r->err)
        fdio_read(r->err, on);
}

static void forward(struct remote *r, enum remote_role role, const char *data, size_t len)
{
    if (r->has[role] && len > 0)
        conn_send(r->c, r->channel[role], data, len);
    if (conn_blocked(r->c))
        sources(r);
}

static void on_out(void *arg, const char *data, size_t len)
{
    forward(arg, ROLE_OUT, data, len);
}

static void on_err(void *arg, const char *data, size_t len)
{
    forward(arg, ROLE_ERR, data, len);
}

/* A packet of the monitor: channel, data. */
static void on_packet(void *arg, const char *data, size_t len)
{
    if (len > 0 && data[0] == ATTACH_OUT)
        forward(arg, ROLE_OUT, data + 1, len - 1);
    else if (len > 0 && data[0] == ATTACH_ERR)
        forward(arg, ROLE_ERR, data + 1, len - 1);
}

/* ----------------------------------------------------------------------- the end */

static void end_if_all_ended(struct remote *r)
{
    if (r->phase == ENDING && !r->out && !r->err)
        tell_and_finish(r);
}

static void output_ended(struct remote *r, struct fdio **f, enum remote_role role)
{
    if (r->in == *f) /* a terminal */
        r->in = NULL;
    fdio_close(TAKE_PTR(*f));
    if (r->has[role])
        conn_send_end(r->c, r->channel[role]);
    end_if_all_ended(r);
}

static void on_out_end(void *arg)
{
    struct remote *r = arg;

    output_ended(r, &r->out, ROLE_OUT);
}

static void on_err_end(void *arg)
{
    struct remote *r = arg;

    output_ended(r, &r->err, ROLE_ERR);
}

static void end_work(struct task *task)
{
    struct remote *r = REMOTE_OF(task, end);

    r->why = ERR_INIT;
    r->failed = container_exec_end(r->run.exec, r->kill, &r->exit_code, &r->why) < 0;
}

static void end_done(struct task *task)
{
    struct remote *r = REMOTE_OF(task, end);

    if (!is_gone(r)) {
        r->phase = ENDING;
        /* Who else holds these ends is not waited for. */
        if (r->err)
            fdio_drain_rest(r->err);
        if (r->out)
            fdio_drain_rest(r->out);
        end_if_all_ended(r);
    }
    conn_task_done(r->c);
}

static void end_command(struct remote *r, bool kill)
{
    fdio_close(TAKE_PTR(r->ended));
    r->kill = kill;
    r->end = (struct task){.work = end_work, .done = end_done};
    conn_task(r->c, &r->end);
}

static void on_command_ended(void *arg)
{
    struct remote *r = arg;

    if (r->in != r->out)
        fdio_close(TAKE_PTR(r->in));
    r->in = NULL;
    end_command(r, false);
}

/* The monitor has hung up: the container has ended. */
static void on_attached_end(void *arg)
{
    struct remote *r = arg;

    fdio_close(TAKE_PTR(r->out));
    r->in = NULL;
    tell_and_finish(r);
}

/* ------------------------------------------------------------------------- input */

static void on_in_drained(void *arg)
{
    struct remote *r = arg;

    conn_update(r->c);
}

/* Nobody reads it any more: what still comes is dropped. */
static void on_in_broken(void *arg)
{
    struct remote *r = arg;

    if (r->in != r->out)
        fdio_close(TAKE_PTR(r->in));
    r->in = NULL;
    conn_update(r->c);
}

static void on_in_flushed(void *arg)
{
    struct remote *r = arg;

    if (r->in_ended)
        on_in_broken(r);
}

static void write_packets(struct remote *r, const char *data, size_t len)
{
    char packet[ATTACH_PACKET_MAX_BYTES];

    packet[0] = ATTACH_IN;
    for (size_t n; len > 0; data += n, len -= n) {
        n = len < sizeof(packet) - 1 ? len : sizeof(packet) - 1;
        memcpy(packet + 1, data, n);
        fdio_write(r->in, packet, n + 1);
    }
}

static void input(struct remote *r, const char *data, size_t len)
{
    if (r->phase < RUNNING) {
        strbuf_add(&r->early, data, len);
    } else if (r->in && !r->in_ended) {
        if (r->request->kind == STREAM_ATTACH)
            write_packets(r, data, len);
        else
            fdio_write(r->in, data, len);
    }
}

static void input_end(struct remote *r)
{
    static const char nothing = ATTACH_IN;

    if (r->phase < RUNNING) {
        r->in_ended = true;
        return;
    }
    if (!r->in || r->in_ended)
        return;
    r->in_ended = true;
    if (r->request->kind == STREAM_ATTACH) {
        if (r->stdin_once)
            fdio_write(r->in, &nothing, 1);
    } else if (r->request->tty) {
        fdio_write(r->in, END_OF_INPUT, 1);
    } else {
        fdio_write_end(r->in);
    }
}

static void resize_work(struct task *task)
{
    struct remote *r = REMOTE_OF(task, resize);
    struct err err = ERR_INIT;

    if (container_resize(r->c->server->engine, r->request->id, r->asked.width, r->asked.height,
                         deadline_in(RESIZE_TIMEOUT), &err) < 0)
        log_debug("ignoring: %s", err.msg);
}

static void apply_size(struct remote *r);

static void resize_done(struct task *task)
{
    struct remote *r = REMOTE_OF(task, resize);

    r->resizing = false;
    if (!is_gone(r))
        apply_size(r);
    conn_task_done(r->c);
}

/* A storm becomes its last size. */
static void apply_size(struct remote *r)
{
    struct winsize size = {.ws_col = (unsigned short)r->size.width,
                           .ws_row = (unsigned short)r->size.height};

    if (!r->size.width || r->phase != RUNNING || !r->out || r->resizing)
        return;
    r->asked = r->size;
    r->size.width = 0;
    if (r->request->kind == STREAM_EXEC) {
        (void)ioctl(fdio_fd(r->out), TIOCSWINSZ, &size);
        return;
    }
    r->resizing = true;
    r->resize = (struct task){.work = resize_work, .done = resize_done};
    conn_task(r->c, &r->resize);
}

/* --------------------------------------------------------------------- the start */

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

static void set_up_exec(struct remote *r)
{
    static const struct fdio_events terminal = {
        .data = on_out, .end = on_out_end, .drained = on_in_drained};
    static const struct fdio_events in = {
        .drained = on_in_drained, .flushed = on_in_flushed, .broken = on_in_broken};
    static const struct fdio_events out = {.data = on_out, .end = on_out_end};
    static const struct fdio_events err = {.data = on_err, .end = on_err_end};
    /* Reading from a pidfd is an error that comes when the process has ended. */
    static const struct fdio_events ended = {.end = on_command_ended};
    int ended_fd = fcntl(r->run.ended, F_DUPFD_CLOEXEC, 0);

    if (r->request->tty) {
        r->out = open_fd(r, r->run.out, &terminal);
        r->in = r->request->in ? r->out : NULL;
    } else {
        r->in = r->run.in >= 0 ? open_fd(r, r->run.in, &in) : NULL;
        r->out = r->run.out >= 0 ? open_fd(r, r->run.out, &out) : NULL;
        r->err = r->run.errout >= 0 ? open_fd(r, r->run.errout, &err) : NULL;
    }
    r->ended = ended_fd >= 0 ? open_fd(r, ended_fd, &ended) : NULL;
    if (r->ended)
        fdio_read(r->ended, true);
    else
        conn_abort(r->c); /* nobody would learn of its end: `gone` kills it */
}

static void set_up_attach(struct remote *r)
{
    static const struct fdio_events monitor = {.data = on_packet,
                                               .end = on_attached_end,
                                               .drained = on_in_drained,
                                               .broken = on_attached_end};

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
    end_command(r, true);
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
    if (is_gone(r))
        return;
    input(r, r->early.s, r->early.len);
    strbuf_done(&r->early);
    r->early = (struct strbuf)STRBUF_INIT;
    if (ended)
        input_end(r);
    apply_size(r);
    sources(r);
    conn_update(r->c);
}

static void start_done(struct task *task)
{
    struct remote *r = REMOTE_OF(task, start);

    if (is_gone(r)) {
        start_too_late(r);
    } else if (r->failed) {
        log_info("streaming: %s", r->why.msg);
        tell_and_finish(r);
    } else {
        running(r);
    }
    conn_task_done(r->c);
}

static void begin(struct remote *r)
{
    r->phase = STARTING;
    conn_ready(r->c);
    r->start = (struct task){.work = start_work, .done = start_done};
    conn_task(r->c, &r->start);
}

/* ------------------------------------------------------------------- session_ops */

static void *start(struct conn *c, int version)
{
    struct remote *r = XNEW(struct remote);
    const struct stream_request *q = c->request;
    const bool wanted[ROLES] = {q->in, q->out, q->errout, true,
                                q->tty && (version >= 3 || conn_by_channels(c))};

    r->c = c;
    r->request = c->request;
    r->version = version;
    r->early = r->resize_text = (struct strbuf)STRBUF_INIT;
    for (uint32_t i = 0; i < ROLES; i++) {
        r->channel[i] = conn_by_channels(c) ? i : 0;
        r->has[i] = conn_by_channels(c) && wanted[i];
        r->missing += wanted[i];
    }
    if (conn_by_channels(c)) {
        /* An empty message on the first channel that we write tells that all is there. */
        conn_send(c, q->out ? ROLE_OUT : q->errout ? ROLE_ERR : ROLE_STATUS, "", 0);
        begin(r);
    }
    return r;
}

static bool is_wanted(const struct remote *r, int role)
{
    const struct stream_request *q = r->request;
    const bool wanted[ROLES] = {q->in, q->out, q->errout, true, q->tty && r->version >= 3};

    return role >= 0 && wanted[role];
}

static enum spdy_reset opened(void *session, uint32_t channel, const struct kvs *headers)
{
    struct remote *r = session;
    int role = remote_role_parse(kvs_get(headers, "streamtype"));

    if (!is_wanted(r, role) || r->has[role])
        return SPDY_REFUSED_STREAM;
    r->has[role] = true;
    r->channel[role] = channel;
    if (--r->missing == 0)
        begin(r);
    return 0;
}

static int role_of(const struct remote *r, uint32_t channel)
{
    for (int i = 0; i < ROLES; i++)
        if (r->has[i] && r->channel[i] == channel)
            return i;
    return -1;
}

static void data(void *session, uint32_t channel, const char *bytes, size_t len)
{
    struct remote *r = session;
    int role = role_of(r, channel);

    if (role == ROLE_IN)
        input(r, bytes, len);
    else if (role == ROLE_RESIZE && remote_resize_feed(&r->resize_text, bytes, len, &r->size))
        apply_size(r);
}

static void end(void *session, uint32_t channel)
{
    struct remote *r = session;

    if (role_of(r, channel) == ROLE_IN)
        input_end(r);
}

static void reset(void *session, uint32_t channel)
{
    struct remote *r = session;
    int role = role_of(r, channel);

    if (role == ROLE_IN)
        input_end(r);
    if (role >= 0 && role != ROLE_STATUS)
        r->has[role] = false; /* what is written there goes nowhere */
}

static void drained(void *session)
{
    sources(session);
}

static bool full(void *session)
{
    const struct remote *r = session;

    if (r->phase < RUNNING)
        return r->early.len > (r->phase == WAITING ? FDIO_HIGH_BYTES : 0);
    return r->in && fdio_pending(r->in) > FDIO_HIGH_BYTES;
}

static void gone(void *session)
{
    struct remote *r = session;
    bool runs = r->phase == RUNNING && r->request->kind == STREAM_EXEC && r->ended;
    bool no_end = r->phase == RUNNING && r->request->kind == STREAM_EXEC && !r->end.work;

    r->phase = OVER;
    if (r->in != r->out)
        fdio_close(r->in);
    fdio_close(r->out);
    fdio_close(r->err);
    r->in = r->out = r->err = NULL;
    if (runs || no_end)
        end_command(r, true);
}

static void remote_free(void *session)
{
    struct remote *r = session;

    strbuf_done(&r->early);
    strbuf_done(&r->resize_text);
    free(r);
}

const struct session_ops remote_session = {
    .start = start,
    .opened = opened,
    .data = data,
    .end = end,
    .reset = reset,
    .drained = drained,
    .full = full,
    .gone = gone,
    .free = remote_free,
};
