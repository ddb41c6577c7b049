/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - see client.h. A call is one batch of all its operations on a completion queue of the
 * client; the queue is polled with a short timeout so that a spinner can turn and an interrupt can
 * cancel.
 */
#include "cli/client.h"

#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strbuf.h"

#define TICK (200 * NSEC_PER_MSEC)

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    char *socket;
};

struct client *client_open(const char *socket, struct err *err)
{
    struct stat st;
    if (stat(socket, &st) < 0) {
        (void)err_sys(err, "is unicrid running? socket '%s'", socket);
        return NULL;
    }
    if (!S_ISSOCK(st.st_mode)) {
        (void)err_set(err, ERR_INVALID, "'%s' is not a socket", socket);
        return NULL;
    }
    grpc_init();
    grpc_arg arg = {.type = GRPC_ARG_INTEGER,
                    .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                    .value.integer = CLIENT_MESSAGE_MAX_BYTES};
    grpc_channel_args args = {.num_args = 1, .args = &arg};
    autofree char *target = xasprintf("unix:%s", socket);
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    struct client *c = XNEW(struct client);
    c->channel = grpc_channel_create(target, plain, &args);
    grpc_channel_credentials_release(plain);
    c->queue = grpc_completion_queue_create_for_next(NULL);
    c->socket = xstrdup(socket);
    return c;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->queue);
    while (grpc_completion_queue_next(c->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(c->queue);
    grpc_shutdown();
    free(c->socket);
    free(c);
}

static const enum err_code codes[] = {
    [GRPC_STATUS_CANCELLED] = ERR_CANCELLED,       [GRPC_STATUS_UNKNOWN] = ERR_UNKNOWN,
    [GRPC_STATUS_INVALID_ARGUMENT] = ERR_INVALID,  [GRPC_STATUS_DEADLINE_EXCEEDED] = ERR_DEADLINE,
    [GRPC_STATUS_NOT_FOUND] = ERR_NOT_FOUND,       [GRPC_STATUS_ALREADY_EXISTS] = ERR_EXISTS,
    [GRPC_STATUS_PERMISSION_DENIED] = ERR_DENIED,  [GRPC_STATUS_RESOURCE_EXHAUSTED] = ERR_EXHAUSTED,
    [GRPC_STATUS_FAILED_PRECONDITION] = ERR_STATE, [GRPC_STATUS_UNIMPLEMENTED] = ERR_UNSUPPORTED,
    [GRPC_STATUS_INTERNAL] = ERR_INTERNAL,         [GRPC_STATUS_UNAVAILABLE] = ERR_UNAVAILABLE,
    [GRPC_STATUS_DATA_LOSS] = ERR_CORRUPT,
};

static enum err_code code_of(grpc_status_code status)
{
    size_t i = (size_t)status;
    return i < ARRAY_SIZE(codes) && codes[i] != ERR_NONE ? codes[i] : ERR_UNKNOWN;
}

/* The state of one call; its parts are filled by gRPC. */
struct call {
    grpc_call *call;
    grpc_byte_buffer *sent, *received;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

static void call_done(struct call *c)
{
    if (c->call)
        grpc_call_unref(c->call);
    grpc_byte_buffer_destroy(c->sent);
    if (c->received)
        grpc_byte_buffer_destroy(c->received);
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    grpc_slice_unref(c->details);
}

static grpc_byte_buffer *pack(const ProtobufCMessage *request)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(request));
    protobuf_c_message_pack(request, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

static int start(struct call *c)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = c->sent},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &c->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->received},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &c->trailing,
                                        .status = &c->status,
                                        .status_details = &c->details}},
    };
    return grpc_call_start_batch(c->call, ops, ARRAY_SIZE(ops), c, NULL) == GRPC_CALL_OK ? 0 : -1;
}

/* gRPC ends a call at its deadline by itself, so this waits for ever; a tick may cancel it earlier.
 */
static void wait_for(struct client *client, struct call *c, bool (*tick)(void *arg), void *arg)
{
    for (;;) {
        gpr_timespec until =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(TICK, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(client->queue, until, NULL);
        if (event.type == GRPC_OP_COMPLETE)
            return;
        if (tick && !tick(arg))
            (void)grpc_call_cancel(c->call, NULL);
    }
}

static ProtobufCMessage *unpack(grpc_byte_buffer *buffer, const ProtobufCMessageDescriptor *type)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return NULL;
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    return m;
}

static int result(const struct client *client, const struct call *c,
                  const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret, struct err *err)
{
    if (c->status == GRPC_STATUS_UNAVAILABLE)
        return err_set(err, ERR_UNAVAILABLE, "unicrid does not answer on '%s'", client->socket);
    if (c->status != GRPC_STATUS_OK)
        return err_set(err, code_of(c->status), "%.*s", (int)GRPC_SLICE_LENGTH(c->details),
                       (const char *)GRPC_SLICE_START_PTR(c->details));
    ProtobufCMessage *m = c->received ? unpack(c->received, type) : NULL;
    if (!m)
        return err_set(err, ERR_INTERNAL, "the daemon's answer is not a %s", type->short_name);
    *ret = m;
    return 0;
}

int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *type, deadline_t deadline,
                bool (*tick)(void *arg), void *arg, ProtobufCMessage **ret, struct err *err)
{
    autofree char *path = xasprintf("/runtime.v1.%s", method);
    grpc_slice path_slice = grpc_slice_from_copied_string(path);
    gpr_timespec until = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (deadline != DEADLINE_NEVER)
        until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                             gpr_time_from_nanos(deadline_left(deadline), GPR_TIMESPAN));

    struct call c = {.sent = pack(request), .details = grpc_empty_slice()};
    grpc_metadata_array_init(&c.initial);
    grpc_metadata_array_init(&c.trailing);
    c.call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                      path_slice, NULL, until, NULL);
    grpc_slice_unref(path_slice);

    int rc;
    if (start(&c) < 0) {
        rc = err_set(err, ERR_INTERNAL, "%s: the call cannot be made", method);
    } else {
        wait_for(client, &c, tick, arg);
        rc = result(client, &c, type, ret, err);
    }
    call_done(&c);
    return rc;
}
