/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - receive one message, run the method, send one message (a stream: any number) and a status.
 *
 * Invariants: RECV_CLOSE_ON_SERVER is started first and its tag is plucked exactly once, at the
 * latest before the call is let go; nothing is left in the queue then. A client that stops reading
 * or sending for server.reply_patience is told so by the status RESOURCE_EXHAUSTED and cut off: a
 * worker is lost to it for no longer.
 */
#include "cri/call.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice_buffer.h>
#include <grpc/support/alloc.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "cri/grpc_status.h"
#include "cri/methods.h"

#define TOO_SLOW                                                                                   \
    "unicri: the client did not read (or send) for server.reply_patience: what it has got so far " \
    "is incomplete, it must ask anew"

struct rpc {
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_completion_queue *queue;
    int cancelled; /* written by gRPC when `closed` comes true */
    bool closed;   /* the close tag has been plucked */
    bool greeted;  /* the initial metadata have been sent */
    bool deaf;     /* the client lost patience's worth of time and with it the call */
    nsec_t patience;
    /* Set before this goes into gRPC, read when it came out, perhaps on another thread: the order
     * that gRPC's own locks give, told to ThreadSanitizer, which does not see those. */
    atomic_bool posted;
};

/* Tags: addresses that mean one operation each. */
static char tag_close, tag_receive, tag_send;

gpr_timespec deadline_to_gpr(deadline_t deadline)
{
    if (deadline == DEADLINE_NEVER)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return (gpr_timespec){.tv_sec = deadline / NSEC_PER_SEC,
                          .tv_nsec = (int32_t)(deadline % NSEC_PER_SEC),
                          .clock_type = GPR_CLOCK_MONOTONIC};
}

deadline_t deadline_from_gpr(gpr_timespec at)
{
    if (gpr_time_cmp(at, gpr_inf_future(at.clock_type)) == 0)
        return DEADLINE_NEVER;
    at = gpr_convert_clock_type(at, GPR_CLOCK_MONOTONIC);
    if (at.tv_sec > INT64_MAX / NSEC_PER_SEC - 1)
        return DEADLINE_NEVER;
    return at.tv_sec < 0 ? 0 : at.tv_sec * NSEC_PER_SEC + at.tv_nsec;
}

struct rpc *rpc_new(void)
{
    struct rpc *rpc = XNEW(struct rpc);

    rpc->queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_call_details_init(&rpc->details);
    grpc_metadata_array_init(&rpc->metadata);
    return rpc;
}

void rpc_free(struct rpc *rpc)
{
    (void)atomic_load_explicit(&rpc->posted, memory_order_acquire);
    grpc_call_details_destroy(&rpc->details);
    grpc_metadata_array_destroy(&rpc->metadata);
    grpc_completion_queue_shutdown(rpc->queue);
    grpc_completion_queue_destroy(rpc->queue);
    free(rpc);
}

void rpc_request(struct rpc *rpc, grpc_server *server, grpc_completion_queue *notify)
{
    grpc_completion_queue *queue = rpc->queue;

    atomic_store_explicit(&rpc->posted, true, memory_order_release);
    grpc_call_error error = grpc_server_request_call(server, &rpc->call, &rpc->details,
                                                     &rpc->metadata, queue, notify, rpc);

    if (error != GRPC_CALL_OK)
        abort(); /* our own misuse of the API */
}

static void start(struct rpc *rpc, const grpc_op *ops, size_t n, void *tag)
{
    if (grpc_call_start_batch(rpc->call, ops, n, tag, NULL) != GRPC_CALL_OK)
        abort();
}

/* Returns: false when the deadline passed first. */
static bool pluck_outcome(struct rpc *rpc, void *tag, deadline_t deadline, bool *ret_ok)
{
    grpc_event event =
        grpc_completion_queue_pluck(rpc->queue, tag, deadline_to_gpr(deadline), NULL);

    *ret_ok = event.type == GRPC_OP_COMPLETE && event.success;
    return event.type == GRPC_OP_COMPLETE;
}

static bool pluck(struct rpc *rpc, void *tag, deadline_t deadline)
{
    bool ok;

    return pluck_outcome(rpc, tag, deadline, &ok);
}

/* Wait for an operation; a peer that does not let it end loses the call. Returns: did it succeed?
 */
static bool finish(struct rpc *rpc, void *tag)
{
    bool ok;

    if (pluck_outcome(rpc, tag, deadline_in(rpc->patience), &ok))
        return ok;
    rpc->deaf = true;
    (void)grpc_call_cancel_with_status(rpc->call, GRPC_STATUS_RESOURCE_EXHAUSTED, TOO_SLOW, NULL);
    (void)pluck(rpc, tag, DEADLINE_NEVER);
    return false;
}

/* The caller's `cancelled`: a look without waiting. */
static bool is_cancelled(void *arg)
{
    struct rpc *rpc = arg;

    if (!rpc->closed)
        rpc->closed = pluck(rpc, &tag_close, 0);
    return rpc->closed && rpc->cancelled;
}

/* Returns: the message's bytes, or NULL when the client sent none. */
static grpc_byte_buffer *receive(struct rpc *rpc)
{
    grpc_byte_buffer *message = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &message};

    start(rpc, &op, 1, &tag_receive);
    (void)finish(rpc, &tag_receive);
    return message;
}

static grpc_byte_buffer *pack(const ProtobufCMessage *message, size_t size)
{
    grpc_slice slice = grpc_slice_malloc(size);

    (void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));

    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

    grpc_slice_unref(slice);
    return buffer;
}

static void let_go(void *piece)
{
    piece_unref(piece);
}

/* The bytes stay where they are: gRPC holds them until they are in the socket. */
static grpc_byte_buffer *refer(struct piece *const *pieces, size_t n)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(NULL, 0);

    for (size_t i = 0; i < n; i++)
        grpc_slice_buffer_add(&buffer->data.raw.slice_buffer,
                              grpc_slice_new_with_user_data(pieces[i]->bytes, pieces[i]->len,
                                                            let_go, piece_ref(pieces[i])));
    return buffer;
}

/* The initial metadata go out with whatever is sent first. Returns: how many operations that is. */
static size_t greet(struct rpc *rpc, grpc_op *op)
{
    if (rpc->greeted)
        return 0;
    rpc->greeted = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return 1;
}

/* One message of a stream, or NULL: what goes before the first. gRPC lets go of it when the
 * client's window has room for it. Takes the buffer over. */
static int send_buffer(struct rpc *rpc, grpc_byte_buffer *buffer, struct err *err)
{
    grpc_op ops[2];
    size_t n = greet(rpc, ops);

    if (buffer)
        ops[n++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer};
    start(rpc, ops, n, &tag_send);

    bool sent = finish(rpc, &tag_send);

    if (buffer)
        grpc_byte_buffer_destroy(buffer);
    if (rpc->deaf)
        return err_set(err, ERR_EXHAUSTED, "the client does not read");
    if (!sent || is_cancelled(rpc))
        return err_set(err, ERR_CANCELLED, "the client has gone");
    return 0;
}

static int send_one(void *arg, const ProtobufCMessage *message, struct err *err)
{
    grpc_byte_buffer *buffer =
        message ? pack(message, protobuf_c_message_get_packed_size(message)) : NULL;

    return send_buffer(arg, buffer, err);
}

static int send_pieces(void *arg, struct piece *const *pieces, size_t n, struct err *err)
{
    return send_buffer(arg, refer(pieces, n), err);
}

/* The end: of a stream that went well the status alone. */
static void answer(struct rpc *rpc, bool ok, const struct call *call, const struct err *err)
{
    /* A handler may have met an error and answered all the same. */
    grpc_status_code code = ok ? GRPC_STATUS_OK : grpc_status_of(err->code);
    grpc_slice details = grpc_slice_from_copied_string(err->msg);
    grpc_byte_buffer *message = NULL;
    grpc_op ops[3];
    size_t n = greet(rpc, ops);

    if (ok && !call->method->stream) {
        message =
            call->reply ? pack(call->reply, call->reply_size) : refer(call->pieces, call->n_pieces);
        ops[n++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    }
    ops[n++] = (grpc_op){
        .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
        .data.send_status_from_server = {.status = code, .status_details = ok ? NULL : &details}};
    start(rpc, ops, n, &tag_send);
    (void)finish(rpc, &tag_send);
    if (message)
        grpc_byte_buffer_destroy(message);
    grpc_slice_unref(details);
}

/* Find the method, take the message apart, run it. Returns: 0, or -1 with err. */
static int execute(struct rpc *rpc, struct call *call, struct err *err)
{
    const char *path = (const char *)GRPC_SLICE_START_PTR(rpc->details.method);
    size_t path_len = GRPC_SLICE_LENGTH(rpc->details.method);
    int rc = -1;

    call->method = method_find(path, path_len);
    if (!call->method) {
        (void)err_set(err, ERR_UNSUPPORTED, "unicri: there is no method '%.*s'",
                      path_len > 128 ? 128 : (int)path_len, path);
        return -1;
    }
    grpc_byte_buffer *message = receive(rpc);
    grpc_byte_buffer_reader reader;
    if (!message || !grpc_byte_buffer_reader_init(&reader, message)) {
        (void)err_set(err, ERR_INVALID, "%s: no readable request came", call->method->name);
    } else {
        grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
        rc = method_run(call, GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes), err);
        grpc_slice_unref(bytes);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    if (message)
        grpc_byte_buffer_destroy(message);
    return rc;
}

static void reset(struct rpc *rpc)
{
    grpc_call_unref(rpc->call);
    grpc_call_details_destroy(&rpc->details);
    grpc_metadata_array_destroy(&rpc->metadata);
    grpc_call_details_init(&rpc->details);
    grpc_metadata_array_init(&rpc->metadata);
    rpc->call = NULL;
    rpc->closed = rpc->greeted = rpc->deaf = false;
    rpc->cancelled = 0;
}

void rpc_serve(struct rpc *rpc, const struct daemon *daemon)
{
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &rpc->cancelled};
    struct arena arena;
    struct err err = ERR_INIT;

    (void)atomic_load_explicit(&rpc->posted, memory_order_acquire);
    rpc->patience = daemon->config->server.reply_patience;
    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    struct call call = {.daemon = daemon,
                        .arena = &arena,
                        .send = send_one,
                        .send_pieces = send_pieces,
                        .send_arg = rpc,
                        .caller = {.deadline = deadline_from_gpr(rpc->details.deadline),
                                   .cancelled = is_cancelled,
                                   .arg = rpc}};
    start(rpc, &close, 1, &tag_close);
    int rc = execute(rpc, &call, &err);
    answer(rpc, rc == 0, &call, &err);
    if (!rpc->closed)
        (void)finish(rpc, &tag_close);
    call_done(&call);
    arena_done(&arena);
    reset(rpc);
}
