/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen - the unix socket and who may connect to it: root, and whoever runs the daemon. One thread
 * accepts, asks the kernel for the peer's uid, and hands the connection on; gRPC gets only
 * connections that have passed.
 */
#ifndef UNICRI_CRI_LISTEN_H
#define UNICRI_CRI_LISTEN_H

#include "base/err.h"

struct listener;

struct listen_config {
    const char *path; /* borrowed */
    size_t max_connections;
};

/**
 * listener_open() - make the parent directory (0700 when it is missing) and the socket (0600),
 * remove a stale one, start accepting.
 * @connection: gets a non-blocking descriptor and owns it. Thread: the listener's.
 * Errors: STATE when a daemon answers at the path already; EXISTS when something else than a socket
 * is there; INVALID path.
 */
struct listener *listener_open(const struct listen_config *config,
                               void (*connection)(void *arg, int fd), void *arg, struct err *err);
/** listener_close() - no more connections after it returns; the socket's file is removed. NULL is
 * fine. */
void listener_close(struct listener *listener);

#endif
