/* SPDX-License-Identifier: Apache-2.0 */
/* remote_output - see remote.h: what goes to the client, and how a session ends. */
#include <string.h>

#include "cri/stream/remote.h"

static void tell_and_finish(struct remote *r, const char *error, int code)
{
    autofree char *text = remote_status(r->version, error, code);

    if (*text)
        conn_send(r->c, r->channel[ROLE_STATUS], text, strlen(text));
    for (int role = 0; role < ROLES; role++)
        if (r->has[role] && role != ROLE_IN && role != ROLE_RESIZE)
            conn_send_end(r->c, r->channel[role]);
    conn_finish(r->c);
}

void remote_tell_and_finish(struct remote *r)
{
    tell_and_finish(r, r->failed ? r->why.msg : NULL, r->exit_code);
}

/* Clients take a connection that just ends for success. A task may be writing `why` now. */
void remote_idle(void *session)
{
    tell_and_finish(session, "nothing was said for longer than streaming.idle_timeout allows", 0);
}

void remote_sources(struct remote *r)
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
        remote_sources(r);
}

void remote_on_out(void *arg, const char *data, size_t len)
{
    forward(arg, ROLE_OUT, data, len);
}

void remote_on_err(void *arg, const char *data, size_t len)
{
    forward(arg, ROLE_ERR, data, len);
}

/* A packet of the monitor: channel, data. */
void remote_on_packet(void *arg, const char *data, size_t len)
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
        remote_tell_and_finish(r);
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

void remote_on_out_end(void *arg)
{
    struct remote *r = arg;

    output_ended(r, &r->out, ROLE_OUT);
}

void remote_on_err_end(void *arg)
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

    if (!remote_is_gone(r)) {
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

void remote_end_command(struct remote *r, bool kill)
{
    fdio_close(TAKE_PTR(r->ended));
    r->kill = kill;
    r->end = (struct task){.work = end_work, .done = end_done};
    conn_task(r->c, &r->end);
}

void remote_on_command_ended(void *arg)
{
    struct remote *r = arg;

    if (r->in != r->out)
        fdio_close(TAKE_PTR(r->in));
    r->in = NULL;
    remote_end_command(r, false);
}

/* The monitor has hung up: the container has ended. */
void remote_on_attached_end(void *arg)
{
    struct remote *r = arg;

    fdio_close(TAKE_PTR(r->out));
    r->in = NULL;
    remote_tell_and_finish(r);
}
