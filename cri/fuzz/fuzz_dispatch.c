/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole RPC without gRPC: its path and its bytes in, a packed reply or an error out, on the
 * engine and image store of the tests. The first byte chooses a method of the table; from METHODS_N
 * on, the path itself stands in the input, up to a newline.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cri/grpc_status.h"
#include "cri/handlers.h"
#include "cri/tests/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_gone(void *arg)
{
    (void)arg;
    return false;
}

static const struct method *take_method(const uint8_t **data, size_t *size)
{
    const struct method *method = NULL;
    uint8_t first = **data;

    ++*data, --*size;
    if (first < METHODS_N) {
        method = &methods[first];
    } else {
        const uint8_t *end = memchr(*data, '\n', *size);
        size_t len = end ? (size_t)(end - *data) : *size;

        method = method_find((const char *)*data, len);
        len += end != NULL;
        *data += len, *size -= len;
    }
    return method && !method->stream ? method : NULL;
}

static void check_pieces(const struct call *call)
{
    uint8_t *bytes = xmalloc(call->reply_size + 1), *at = bytes;

    for (size_t i = 0; i < call->n_pieces; at += call->pieces[i++]->len)
        memcpy(at, call->pieces[i]->bytes, call->pieces[i]->len);

    ProtobufCMessage *reply =
        protobuf_c_message_unpack(call->method->reply, NULL, (size_t)(at - bytes), bytes);

    if (!reply || reply->n_unknown_fields || call->reply)
        abort();
    protobuf_c_message_free_unpacked(reply, NULL);
    free(bytes);
}

static void run(const struct daemon *daemon, const struct method *method, const uint8_t *bytes,
                size_t len)
{
    struct arena arena;
    struct err err = ERR_INIT;

    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    struct call call = {.daemon = daemon,
                        .method = method,
                        .arena = &arena,
                        .caller = {.deadline = DEADLINE_NEVER, .cancelled = is_gone}};
    bool ok = method_run(&call, bytes, len, &err) == 0;

    if (ok && call.pieces) {
        check_pieces(&call);
    } else if (ok) {
        size_t n = protobuf_c_message_get_packed_size(call.reply);
        uint8_t *packed = xmalloc(n + 1);

        if (protobuf_c_message_pack(call.reply, packed) != n ||
            call.reply->descriptor != method->reply)
            abort();
        free(packed);
    } else if (err.code == ERR_NONE || !*err.msg) {
        abort(); /* an error says why */
    } else {
        (void)grpc_status_of(err.code);
    }
    call_done(&call);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    static struct daemon daemon;

    if (!config) {
        struct err err = ERR_INIT;

        log_set_level(LOG_LEVEL_ERROR);
        config = config_load("/dev/null", NULL, &err);
        if (!config)
            abort();
        daemon.config = config;
    }
    fake_reset();
    while (size > 0) {
        /* Requests follow one another, so that one finds what another has made. */
        size_t len = size > 3 ? (size_t)data[0] << 8 | data[1] : 0;
        const uint8_t *one;
        const struct method *method;

        if (len == 0 || len > size - 2)
            break;
        one = data + 2;
        data += 2 + len, size -= 2 + len;
        method = take_method(&one, &len);
        if (method)
            run(&daemon, method, one, len);
    }
    fake_reset();
    return 0;
}
