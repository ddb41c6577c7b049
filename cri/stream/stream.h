/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream - the bytes of Exec, Attach and PortForward: an HTTP/1.1 server on the loopback that
 * upgrades to SPDY/3.1 or WebSocket. Facade of the folder.
 *
 * An RPC leaves its request under a token (token.h) and gives the client a URL; whoever comes with
 * the token gets what it names, once. A connection (conn.h) speaks SPDY (spdy.h), WebSocket
 * (websocket.h), or SPDY within WebSocket; above it is a session of one kind: a command or a
 * container's stdio (remote.h), or ports (forward.h). Sessions know channels only.
 *
 * Three end every session: its client, its container, and deadlines. Nothing is buffered without a
 * bound: who cannot write stops reading (fdio.h). All of it runs on the loop's thread; what blocks
 * is a task (task.h).
 */
#ifndef UNICRI_CRI_STREAM_STREAM_H
#define UNICRI_CRI_STREAM_STREAM_H

#include "base/options.h"
#include "cri/stream/token.h"

struct engine;
struct loop;
struct stream_server;

struct stream_config {
    char *address; /* numeric */
    int64_t port;  /* 0: any */
    nsec_t idle_timeout, creation_timeout;
    int64_t max_connections;
};
extern const struct option stream_options[];
extern const size_t stream_options_n;

/** stream_open() - listens. Before loop_run(); all is borrowed until stream_close(). */
struct stream_server *stream_open(const struct stream_config *config, struct engine *engine,
                                  struct loop *loop, struct err *err);
/** stream_close() - ends all sessions, with the commands of Exec. After loop_run() has returned, on
 * its thread; NULL is fine. */
void stream_close(struct stream_server *server);
/** stream_url() - where the client shall go; takes the request over. Returns: owned by the caller;
 * NULL with err EXHAUSTED. Thread: any. */
char *stream_url(struct stream_server *server, struct stream_request *request, struct err *err);

#endif
