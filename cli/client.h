/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - unary gRPC calls on the daemon's socket, by gRPC's C core. One call at a time;
 * single-threaded.
 */
#ifndef UNICRI_CLI_CLIENT_H
#define UNICRI_CLI_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runtime.pb-c.h"

/* Messages of the API, without the generated prefix: V1(VersionRequest). */
#define V1(name) Runtime__V1__##name

#define CLIENT_MESSAGE_MAX_BYTES (16 * 1024 * 1024)

struct client;

/** client_open() - connects lazily. Errors: NOT_FOUND there is no such socket, DENIED. */
struct client *client_open(const char *socket, struct err *err);
void client_close(struct client *client);

/**
 * client_call() - `method` is "RuntimeService/Version". tick, when not NULL, is called about five
 * times a second while the call runs; when it returns false the call is cancelled. Returns: 0 and a
 * message of `type` in *ret, owned by the caller (protobuf_c_message_free_unpacked). Errors: the
 * daemon's own code and words; UNAVAILABLE when it does not answer.
 */
int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *type, deadline_t deadline,
                bool (*tick)(void *arg), void *arg, ProtobufCMessage **ret,
                struct err *err) MUST_CHECK;

static inline void message_cleanup(void *p)
{
    ProtobufCMessage *m = *(ProtobufCMessage **)p;
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}
#define automessage CLEANUP(message_cleanup)

#endif
