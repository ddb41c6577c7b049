/* SPDX-License-Identifier: Apache-2.0 */
/*
 * methods - the 43 RPCs of runtime.v1 in one table, and how one of them is run, without gRPC: bytes
 * in, a message or an error out. call.c puts it on the wire.
 */
#ifndef UNICRI_CRI_METHODS_H
#define UNICRI_CRI_METHODS_H

#include "base/piece.h"
#include "cri/daemon.h"
#include "cri/wire.h"

struct method;

/* One RPC while it runs. Handlers run on a worker, may block, and look at the caller while they do.
 */
struct call {
    const struct daemon *daemon;
    const struct method *method;
    struct caller caller;
    struct arena *arena; /* reply and request live here */
    const ProtobufCMessage *request;
    ProtobufCMessage *reply; /* set by the handler; of a stream: stays NULL */
    struct piece **pieces;   /* instead of it: the reply's bytes; owned, see call_done() */
    size_t n_pieces;
    size_t reply_size; /* on the wire; by method_run() */
    /* Of a stream: puts one message on the wire, see call_send(); NULL: the head alone. */
    int (*send)(void *arg, const ProtobufCMessage *message, struct err *err);
    int (*send_pieces)(void *arg, struct piece *const *pieces, size_t n, struct err *err);
    void *send_arg;
};
/** call_done() - when the reply has been sent; the arena is the caller's. */
void call_done(struct call *call);

/**
 * call_send() - the next message of a stream. Blocks until the client has taken what went before
 * (within server.reply_patience), so the handler never makes more than one message ahead.
 * Errors: CANCELLED the client has gone, does not read, or the daemon stops; DEADLINE; EXHAUSTED
 * the message is larger than a client accepts.
 */
int call_send(struct call *call, const ProtobufCMessage *message, struct err *err) MUST_CHECK;
/** call_send_pieces() - the same of a message that is bytes already. */
int call_send_pieces(struct call *call, struct piece *const *pieces, size_t n,
                     struct err *err) MUST_CHECK;
/** call_begin() - the head of a stream's answer goes out before its first message: the client knows
 * that from now on it misses nothing. Errors: as call_send(). */
int call_begin(struct call *call, struct err *err) MUST_CHECK;

/** A handler: 0 and call->reply (a stream: after all of its call_send()), or -1 and err. */
typedef int handler_fn(struct call *call, struct err *err);

enum method_log {
    METHOD_QUIET, /* asked all the time: errors only */
    METHOD_EVENT, /* changes something: one line each */
};

struct method {
    const char *path; /* "/runtime.v1.RuntimeService/Version" */
    const char *name; /* "Version" */
    const ProtobufCMessageDescriptor *request, *reply;
    handler_fn *handle; /* NULL: not built yet, answered by UNIMPLEMENTED */
    bool stream;        /* the reply is a stream */
    enum method_log log;
};

#define METHODS_N 43
extern const struct method methods[METHODS_N];

/** method_find() - by full path of `len` bytes; NULL when there is none. */
const struct method *method_find(const char *path, size_t len);
/**
 * method_run() - unpack, run the handler, log, count. call: daemon, method, caller and arena are
 * set, for a stream send too. Returns: 0 and call->reply (in the arena), or -1.
 */
int method_run(struct call *call, const uint8_t *bytes, size_t len, struct err *err) MUST_CHECK;

#endif
