/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - the gRPC server: connections from listen.c, calls served by a pool of workers (call.c)
 * that grows when none is idle and shrinks when they have nothing to do.
 */
#ifndef UNICRI_CRI_SERVER_H
#define UNICRI_CRI_SERVER_H

#include "cri/daemon.h"

struct server;

/** server_open() - from here on requests come in. `daemon` is borrowed. Errors: those of
 * listener_open(). */
struct server *server_open(const struct daemon *daemon, struct err *err);
/**
 * server_close() - refuse new calls, cancel those that run, wait for their handlers until the
 * deadline. Returns: false when some are still running: the caller must then leave by _exit(). NULL
 * is fine.
 */
bool server_close(struct server *server, deadline_t deadline);
/** server_workers() - how many worker threads there are now. Thread: any. */
size_t server_workers(struct server *server);

#endif
