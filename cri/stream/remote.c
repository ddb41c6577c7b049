/* SPDX-License-Identifier: Apache-2.0 */
/* remote - see remote.h: the session as its connection sees it. */
#include "cri/stream/remote.h"

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
        remote_begin(r);
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
        remote_begin(r);
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
        remote_input(r, bytes, len);
    else if (role == ROLE_RESIZE && remote_resize_feed(&r->resize_text, bytes, len, &r->size))
        remote_apply_size(r);
}

static void end(void *session, uint32_t channel)
{
    struct remote *r = session;

    if (role_of(r, channel) == ROLE_IN)
        remote_input_end(r);
}

static void reset(void *session, uint32_t channel)
{
    struct remote *r = session;
    int role = role_of(r, channel);

    if (role == ROLE_IN)
        remote_input_end(r);
    if (role >= 0 && role != ROLE_STATUS)
        r->has[role] = false; /* what is written there goes nowhere */
}

static void drained(void *session)
{
    remote_sources(session);
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
        remote_end_command(r, true);
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
    .idle = remote_idle,
    .gone = gone,
    .free = remote_free,
};
