/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - one connection of a streaming client, from its HTTP head to its end, and the one face that
 * SPDY and WebSocket have for a session: channels with numbers (a stream's id; a channel's number).
 *
 *   HEAD --upgraded--> OPEN --conn_finish--> LINGER --client hangs up, or time--> DEAD
 *     \__ refused: answer __________________/
 *   any --client gone, protocol broken, deadline: conn_abort--> DEAD --handles closed, tasks
 * done--> freed
 *
 * In LINGER what was written still goes out and what comes is dropped: a close with unread bytes
 * would make the kernel reset the connection and lose the answer. Thread: the loop's.
 */
#ifndef UNICRI_CRI_STREAM_CONN_H
#define UNICRI_CRI_STREAM_CONN_H

#include <sys/queue.h>

#include "base/strbuf.h"
#include "cri/stream/fdio.h"
#include "cri/stream/http.h"
#include "cri/stream/spdy.h"
#include "cri/stream/stream.h"
#include "cri/stream/task.h"
#include "cri/stream/websocket.h"

enum conn_state { CONN_HEAD, CONN_OPEN, CONN_LINGER, CONN_DEAD };

struct conn;

/* What a session does. All but `start` get what `start` returned; none comes after `gone`. */
struct session_ops {
    /** `version` is the protocol's number in remotecommand, else 0. */
    void *(*start)(struct conn *c, int version);
    enum spdy_reset (*opened)(void *session, uint32_t channel, const struct kvs *headers);
    void (*data)(void *session, uint32_t channel, const char *data, size_t len);
    void (*end)(void *session, uint32_t channel);
    void (*reset)(void *session, uint32_t channel);
    void (*drained)(void *session); /* the client takes bytes again */
    bool (*full)(void *session);    /* nothing more shall be read from the client now */
    void (*idle)(void *session);    /* for too long: tell the client and finish; may be NULL */
    void (*gone)(void *session);    /* let go of everything that is not memory */
    void (*free)(void *session);    /* later, when all tasks are done */
};
extern const struct session_ops remote_session, forward_session;

LIST_HEAD(conn_head, conn);

struct stream_server {
    const struct stream_config *config;
    struct engine *engine;
    uv_loop_t *loop;
    struct tokens *tokens;
    char *base_url;
    struct tasks tasks;
    size_t open; /* handles that libuv still knows */

    uv_poll_t listener;
    uv_timer_t pause; /* after running out of descriptors */
    int listen_fd;
    struct conn_head conns;
    size_t n_conns;
};

struct conn {
    LIST_ENTRY(conn) link;
    struct stream_server *server;
    enum conn_state state;
    struct fdio *io;
    uv_timer_t timer;
    bool timer_closed;
    uint64_t deadline; /* uv_now() */
    bool ready;        /* all channels are there: the idle timeout counts */
    unsigned tasks;    /* that point here */
    struct strbuf head;

    struct stream_request *request; /* owned */
    struct spdy *spdy;              /* owned, or NULL */
    struct websocket *ws;           /* owned, or NULL */
    bool ws_base64, ws_half_close;  /* channels by WebSocket: how they are written */
    const struct session_ops *ops;  /* NULL before the upgrade and after the end */
    const struct session_ops *free_ops;
    void *session;
};

/** conn_new() - takes the socket over. */
void conn_new(struct stream_server *server, int fd);
/** conn_finish() - the session is over; what was written goes out. */
void conn_finish(struct conn *c);
/** conn_abort() - at once. */
void conn_abort(struct conn *c);

/** conn_send() - to the client, on a channel. */
void conn_send(struct conn *c, uint32_t channel, const void *data, size_t len);
/** conn_send_end() - our half of the channel is over; WebSocket has no word for it. */
void conn_send_end(struct conn *c, uint32_t channel);
void conn_send_reset(struct conn *c, uint32_t channel);
/** conn_blocked() - should sources pause? `drained` comes later. */
bool conn_blocked(const struct conn *c);
/** conn_update() - look again whether the session is full. */
void conn_update(struct conn *c);
/** conn_ready() - all channels are there. */
void conn_ready(struct conn *c);
/** conn_by_channels() - WebSocket's numbered channels rather than SPDY's streams? */
bool conn_by_channels(const struct conn *c);
/** conn_task() - start a task that needs the connection's memory; its `done` must call
 * conn_task_done() last, which may free all. */
void conn_task(struct conn *c, struct task *task);
void conn_task_done(struct conn *c);

/* upgrade.c, for conn.c */
/** conn_upgrade() - answer the head: becomes OPEN, or LINGER with an error. */
void conn_upgrade(struct conn *c, const struct http_head *head);
/** conn_refuse() - an error as plain text. */
void conn_refuse(struct conn *c, const char *status, const char *headers, const char *text);
/* conn.c, for conn_channels.c */
/** conn_touch() - something went over the wire: the idle timeout begins anew. */
void conn_touch(struct conn *c);
/** conn_protocol_error() - the client's bytes make no sense: the end. */
void conn_protocol_error(struct conn *c, const struct err *err);
/* conn_channels.c, for upgrade.c */
extern const struct spdy_events conn_spdy_events;
extern const struct websocket_events conn_channel_events, conn_tunnel_events;

#endif
