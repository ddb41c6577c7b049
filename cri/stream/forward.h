/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward - a session of PortForward: each TCP connection of the client's is a pair of channels
 * (data and error), here joined to a socket in the pod's network namespace.
 *
 *   one channel there --both--> DIALING --sockets made by a task, connected one after the other-->
 *   OPEN --both directions at their end, a reset, or the client gone--> removed
 *
 * Each direction ends by itself: a client that has said all still hears the answer. Text on the
 * error channel makes clients give up the whole session, so only a port that cannot be reached is
 * told; a connection that its peer resets just ends.
 *
 * forward.c is the session and which channels belong together, forward_pair.c one pair.
 */
#ifndef UNICRI_CRI_STREAM_FORWARD_H
#define UNICRI_CRI_STREAM_FORWARD_H

#include "cri/stream/conn.h"
#include "sandbox/sandbox.h"

#define PAIR_KEY_MAX_BYTES 64

struct forward;

struct pair {
    LIST_ENTRY(pair) link;
    struct forward *f;
    char key[PAIR_KEY_MAX_BYTES];
    uint16_t port;
    uint32_t data, error; /* channels */
    bool has_data, has_error, dialing, removed;
    uint64_t born;

    struct task task;
    struct pod_dial dial;
    size_t next; /* socket of `dial` to be tried */
    bool failed;
    struct err why;

    struct fdio *io;
    bool connected, client_ended, pod_ended, full;
    struct strbuf early;
};
LIST_HEAD(pair_head, pair);

struct forward {
    struct conn *c;
    struct pair_head pairs;
    size_t n_pairs, n_full;
};

/* forward_pair.c */
/** pair_new() - of the session, without a channel yet. `key` tells which channels belong to it. */
struct pair *pair_new(struct forward *f, const char *key, uint16_t port);
/** pair_remove() - without a word to the client; its memory goes when its task is done. */
void pair_remove(struct pair *p);
/** pair_dial() - both channels are there: make the connection in the pod. */
void pair_dial(struct pair *p);
/** pair_write() - bytes from the client; kept while there is no connection yet. */
void pair_write(struct pair *p, const char *data, size_t len);
/** pair_client_end() - the client has said all. */
void pair_client_end(struct pair *p);
/** pair_end() - both ways at once, and the client is told. */
void pair_end(struct pair *p);

#endif
