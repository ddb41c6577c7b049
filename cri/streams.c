/* SPDX-License-Identifier: Apache-2.0 */
/* streams - Exec, Attach, PortForward: what is wrong is said now, where clients show it well; the
 * rest is a URL to come to with the bytes. */
#include "cri/handlers.h"

static struct stream_request *request_new(enum stream_kind kind, const char *id)
{
    struct stream_request *request = XNEW(struct stream_request);

    request->kind = kind;
    (void)snprintf(request->id, sizeof(request->id), "%s", id);
    return request;
}

static int check_streams(bool tty, bool in, bool out, bool errout, struct err *err)
{
    if (tty && errout)
        return err_set(err, ERR_INVALID,
                       "tty and stderr: a terminal has one stream for both outputs");
    if (!in && !out && !errout)
        return err_set(err, ERR_INVALID, "none of stdin, stdout and stderr is asked for");
    return 0;
}

static char *make_url(struct call *call, struct stream_request *request, struct err *err)
{
    autofree char *url = NULL;

    if (!call->daemon->stream) {
        stream_request_free(request);
        (void)err_set(err, ERR_UNAVAILABLE, "streaming is not served");
        return NULL;
    }
    url = stream_url(call->daemon->stream, request, err);
    return url ? arena_text(call->arena, url) : NULL;
}

int on_exec(struct call *call, struct err *err)
{
    const Runtime__V1__ExecRequest *q = REQUEST(call, Runtime__V1__ExecRequest);
    autostrv char **argv = NULL;

    if (id_from_proto(q->container_id, "container_id", err) < 0 ||
        argv_from_proto(q->n_cmd, q->cmd, "cmd", &argv, err) < 0 ||
        check_streams(q->tty, q->stdin, q->stdout, q->stderr, err) < 0 ||
        container_exec_check(call->daemon->engine, q->container_id, argv, err) < 0)
        return -1;

    struct stream_request *request = request_new(STREAM_EXEC, q->container_id);

    request->argv = TAKE_PTR(argv);
    request->tty = q->tty;
    request->in = q->stdin;
    request->out = q->stdout;
    request->errout = q->stderr;

    char *url = make_url(call, request, err);

    if (!url)
        return -1;
    REPLY(call, Runtime__V1__ExecResponse, runtime__v1__exec_response)->url = url;
    return 0;
}

static int check_attach(struct call *call, const Runtime__V1__AttachRequest *q, struct err *err)
{
    CLEANUP(container_view_done) struct container_view view = {0};

    if (container_get(call->daemon->engine, q->container_id, &view, err) < 0)
        return -1;
    if (view.state != CONTAINER_RUNNING && view.state != CONTAINER_STOPPING)
        return err_set(err, ERR_STATE, "container '%s' does not run", q->container_id);
    return 0;
}

int on_attach(struct call *call, struct err *err)
{
    const Runtime__V1__AttachRequest *q = REQUEST(call, Runtime__V1__AttachRequest);

    if (id_from_proto(q->container_id, "container_id", err) < 0 ||
        check_streams(q->tty, q->stdin, q->stdout, q->stderr, err) < 0 ||
        check_attach(call, q, err) < 0)
        return -1;

    struct stream_request *request = request_new(STREAM_ATTACH, q->container_id);

    request->tty = q->tty;
    request->in = q->stdin;
    request->out = q->stdout;
    request->errout = q->stderr;

    char *url = make_url(call, request, err);

    if (!url)
        return -1;
    REPLY(call, Runtime__V1__AttachResponse, runtime__v1__attach_response)->url = url;
    return 0;
}

static int check_ports(const Runtime__V1__PortForwardRequest *q, struct err *err)
{
    if (q->n_port > STREAM_PORTS_MAX)
        return err_set(err, ERR_INVALID, "port: more than %d", STREAM_PORTS_MAX);
    for (size_t i = 0; i < q->n_port; i++)
        if (q->port[i] < 1 || q->port[i] > UINT16_MAX)
            return err_set(err, ERR_INVALID, "port[%zu]: %d is no port", i, q->port[i]);
    return 0;
}

int on_port_forward(struct call *call, struct err *err)
{
    const Runtime__V1__PortForwardRequest *q = REQUEST(call, Runtime__V1__PortForwardRequest);
    CLEANUP(pod_view_done) struct pod_view pod = {0};

    if (id_from_proto(q->pod_sandbox_id, "pod_sandbox_id", err) < 0 || check_ports(q, err) < 0 ||
        pod_get(call->daemon->engine, q->pod_sandbox_id, &pod, err) < 0)
        return -1;
    if (pod.state != POD_READY)
        return err_set(err, ERR_STATE, "pod sandbox '%s' is not ready", q->pod_sandbox_id);

    struct stream_request *request = request_new(STREAM_PORT_FORWARD, q->pod_sandbox_id);

    for (size_t i = 0; i < q->n_port; i++)
        request->ports[request->n_ports++] = (uint16_t)q->port[i];

    char *url = make_url(call, request, err);

    if (!url)
        return -1;
    REPLY(call, Runtime__V1__PortForwardResponse, runtime__v1__port_forward_response)->url = url;
    return 0;
}
