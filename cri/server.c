/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - one notification queue, shared by all idle workers; each call has its own queue for the
 * rest of its life.
 *
 * A worker takes a call from the queue, posts a request for the next one, sees to it that somebody
 * is left to take it, and serves its own to the end. When all WORKERS_MAX are busy, calls wait in
 * the queue. Idle workers beyond WORKERS_KEPT end after WORKER_IDLE; those that are kept wait
 * without any timer.
 */
#include "cri/server.h"

#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <malloc.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "cri/call.h"
#include "cri/listen.h"
#include "cri/wire.h"

#define WORKERS_KEPT    2
#define WORKER_IDLE     (10 * NSEC_PER_SEC)
#define REQUESTS_POSTED 8 /* calls that may arrive before a worker posts again */
#define STREAMS_MAX     1024
#define METADATA_MAX    (16 * 1024)

struct server {
    const struct daemon *daemon;
    grpc_server *grpc;
    grpc_server_credentials *credentials;
    grpc_completion_queue *queue;
    struct listener *listener;
    size_t workers_max;

    struct mutex lock;
    struct cond changed;    /* workers or the shutdown's end */
    size_t workers GUARDED; /* all threads */
    size_t idle GUARDED;    /* of them, waiting in the queue */
    bool closing GUARDED;
    bool down GUARDED; /* gRPC has ended all calls */
};

static char tag_shutdown;

static void start_worker(struct server *s);

/* A call was taken: is anybody left for the next one? */
static void worker_busy(struct server *s)
{
    bool grow;

    mutex_lock(&s->lock);
    s->idle--;
    grow = s->idle == 0 && s->workers < s->workers_max && !s->closing;
    mutex_unlock(&s->lock);
    if (grow)
        start_worker(s);
}

/* Returns: how long the worker may wait for its next call. */
static deadline_t worker_idle(struct server *s)
{
    mutex_lock(&s->lock);
    s->idle++;
    bool spare = s->idle > WORKERS_KEPT;
    mutex_unlock(&s->lock);
    return spare ? deadline_in(WORKER_IDLE) : DEADLINE_NEVER;
}

/* Returns: false when this one is still needed. */
static bool worker_may_end(struct server *s, bool queue_ended)
{
    mutex_lock(&s->lock);
    bool end = queue_ended || s->idle > WORKERS_KEPT;
    if (end)
        s->idle--;
    mutex_unlock(&s->lock);
    return end;
}

static void worker_gone(struct server *s)
{
    mutex_lock(&s->lock);
    s->workers--;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static void post_request(struct server *s, struct rpc *rpc)
{
    mutex_lock(&s->lock);
    bool closing = s->closing;
    mutex_unlock(&s->lock);
    if (closing)
        rpc_free(rpc);
    else
        rpc_request(rpc, s->grpc, s->queue);
}

static void shutdown_done(struct server *s)
{
    mutex_lock(&s->lock);
    s->down = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static void *work(void *arg)
{
    struct server *s = arg;
    struct rpc *spare = NULL; /* kept from the last call for the next one */
    deadline_t until = worker_idle(s);

    for (;;) {
        grpc_event event = grpc_completion_queue_next(s->queue, deadline_to_gpr(until), NULL);
        if (event.type != GRPC_OP_COMPLETE) {
            if (worker_may_end(s, event.type == GRPC_QUEUE_SHUTDOWN)) {
                if (event.type != GRPC_QUEUE_SHUTDOWN)
                    (void)malloc_trim(0); /* a busy time is over */
                break;
            }
            until = DEADLINE_NEVER;
            continue;
        }
        if (event.tag == &tag_shutdown) {
            shutdown_done(s);
            continue;
        }
        if (!event.success) { /* the server is closing: an empty request comes back */
            rpc_free(event.tag);
            continue;
        }
        worker_busy(s);
        post_request(s, spare ? spare : rpc_new());
        rpc_serve(event.tag, s->daemon);
        spare = event.tag;
        until = worker_idle(s);
    }
    if (spare)
        rpc_free(spare);
    worker_gone(s);
    return NULL;
}

static void start_worker(struct server *s)
{
    struct err err;

    mutex_lock(&s->lock);
    s->workers++;
    mutex_unlock(&s->lock);
    if (thread_start("rpc", work, s, NULL, &err) < 0) {
        log_warn("start a worker: %s", err.msg);
        worker_gone(s);
    }
}

static void on_connection(void *arg, int fd)
{
    struct server *s = arg;

    grpc_server_add_channel_from_fd(s->grpc, fd, s->credentials);
}

static void log_grpc(gpr_log_func_args *args)
{
    if (args->severity == GPR_LOG_SEVERITY_ERROR)
        log_warn("grpc: %s", args->message);
}

static grpc_server *make_grpc(void)
{
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = (int)WIRE_MESSAGE_MAX_BYTES},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_SEND_MESSAGE_LENGTH,
         .value.integer = (int)WIRE_MESSAGE_MAX_BYTES},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_CONCURRENT_STREAMS,
         .value.integer = STREAMS_MAX},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_METADATA_SIZE,
         .value.integer = METADATA_MAX},
        /* No unpacking of compressed requests: nobody sends them, and they can be bombs. */
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
    };
    grpc_channel_args all = {.num_args = ARRAY_SIZE(args), .args = args};

    return grpc_server_create(&all, NULL);
}

static void server_free(struct server *s)
{
    grpc_server_destroy(s->grpc);
    grpc_completion_queue_destroy(s->queue);
    grpc_server_credentials_release(s->credentials);
    grpc_shutdown();
    cond_done(&s->changed);
    mutex_done(&s->lock);
    free(s);
}

struct server *server_open(const struct daemon *daemon, struct err *err)
{
    struct server *s = XNEW(struct server);
    const struct server_config *config = &daemon->config->server;

    mutex_init(&s->lock);
    cond_init(&s->changed);
    s->daemon = daemon;
    s->workers_max = (size_t)config->max_workers;
    gpr_set_log_function(log_grpc);
    grpc_init();
    s->credentials = grpc_insecure_server_credentials_create();
    s->grpc = make_grpc();
    s->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->grpc, s->queue, NULL);
    grpc_server_start(s->grpc);
    for (int i = 0; i < REQUESTS_POSTED; i++)
        rpc_request(rpc_new(), s->grpc, s->queue);
    /* Where a sanitizer's malloc serves, the first call sets up glibc's own, which two threads must
     * not do at once: it died of that when they ended. */
    (void)malloc_trim(0);
    for (int i = 0; i < WORKERS_KEPT; i++)
        start_worker(s);
    struct listen_config listen = {.path = config->socket,
                                   .max_connections = (size_t)config->max_connections};
    s->listener = listener_open(&listen, on_connection, s, err);
    if (!s->listener) {
        (void)server_close(s, DEADLINE_NEVER);
        return NULL;
    }
    return s;
}

/* Wait until *what holds. Returns: false at the deadline. */
static bool wait_for(struct server *s, bool (*what)(const struct server *s), deadline_t deadline)
{
    bool done, in_time = true;

    mutex_lock(&s->lock);
    while (!(done = what(s)) && in_time)
        in_time = cond_wait(&s->changed, &s->lock, deadline);
    mutex_unlock(&s->lock);
    return done;
}

static NO_TSA bool is_down(const struct server *s)
{
    return s->down;
}

static NO_TSA bool no_workers(const struct server *s)
{
    return s->workers == 0;
}

bool server_close(struct server *s, deadline_t deadline)
{
    if (!s)
        return true;
    listener_close(s->listener);
    mutex_lock(&s->lock);
    s->closing = true;
    mutex_unlock(&s->lock);
    grpc_server_shutdown_and_notify(s->grpc, s->queue, &tag_shutdown);
    grpc_server_cancel_all_calls(s->grpc);
    if (!wait_for(s, is_down, deadline))
        return false;
    grpc_completion_queue_shutdown(s->queue);
    if (!wait_for(s, no_workers, deadline))
        return false;
    server_free(s);
    return true;
}

size_t server_workers(struct server *s)
{
    mutex_lock(&s->lock);
    size_t n = s->workers;
    mutex_unlock(&s->lock);
    return n;
}
