/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - one RPC on the wire. A `struct rpc` is posted to gRPC empty (rpc_request), comes out of
 * the notification queue filled, is served by a worker to its end (rpc_serve), and can then be
 * posted again.
 *
 * Each has a completion queue of its own from which only its worker plucks, so that a handler is
 * straight-line code: it blocks as long as it likes, and between two steps sees whether the client
 * has gone.
 */
#ifndef UNICRI_CRI_CALL_H
#define UNICRI_CRI_CALL_H

#include <grpc/grpc.h>

#include "cri/daemon.h"

struct rpc;

struct rpc *rpc_new(void);
/** rpc_free() - one that is not posted. */
void rpc_free(struct rpc *rpc);
/** rpc_request() - ask for the next call; `rpc` is the tag that `notify` will bring. */
void rpc_request(struct rpc *rpc, grpc_server *server, grpc_completion_queue *notify);
/** rpc_serve() - receive, run the method, answer. Thread: a worker; blocks for as long as the
 * handler does. */
void rpc_serve(struct rpc *rpc, const struct daemon *daemon);

/** deadline_to_gpr(), deadline_from_gpr() - gRPC's clocks and ours. */
gpr_timespec deadline_to_gpr(deadline_t deadline);
deadline_t deadline_from_gpr(gpr_timespec at);

#endif
