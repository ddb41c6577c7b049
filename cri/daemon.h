/* SPDX-License-Identifier: Apache-2.0 */
/* daemon - what a handler can reach: the folders below, opened by main in this order and closed in
 * the other one. */
#ifndef UNICRI_CRI_DAEMON_H
#define UNICRI_CRI_DAEMON_H

#include "cni/cni.h"
#include "cri/config.h"
#include "cri/stream/stream.h"
#include "db/db.h"
#include "imagestore/imagestore.h"
#include "sandbox/sandbox.h"

struct daemon {
    struct config *config;
    int run_lock; /* held while the daemon lives: what lies in run_dir is one daemon's */
    struct loop *loop;
    struct db *db;
    struct imagestore *images;
    struct cni *cni;
    struct vmm *vmm;
    struct engine *engine;
    struct stream_server *stream;
    struct server *server;
    struct metrics_http *metrics; /* NULL: not wanted */
};

#endif
