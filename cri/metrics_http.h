/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_http - GET /metrics (Prometheus' text format 0.0.4) and GET /healthz on loopback, when
 * the option metrics.address names a place. One thread of its own, so that neither the loop nor a
 * worker waits for a slow reader.
 */
#ifndef UNICRI_CRI_METRICS_HTTP_H
#define UNICRI_CRI_METRICS_HTTP_H

#include <sys/socket.h>

#include "base/strbuf.h"
#include "cri/daemon.h"

#define METRICS_CONNECTIONS_MAX   32
#define METRICS_TIMEOUT_SECONDS   10 /* of a connection on which nothing moves */
#define METRICS_REQUEST_MAX_BYTES (16 * 1024)

struct metrics_http;

/** metrics_http_open() - serve `address` ("127.0.0.1:9730", "[::1]:0"); the daemon is borrowed, its
 * folders must be open. Errors: INVALID (address), STATE (in use), INTERNAL. */
struct metrics_http *metrics_http_open(const struct daemon *daemon, const char *address,
                                       struct err *err);
/** metrics_http_close() - waits for the answers under way; NULL is fine. */
void metrics_http_close(struct metrics_http *http);
/** metrics_http_port() - the one that was taken when the address said 0. */
unsigned metrics_http_port(const struct metrics_http *http);

/** metrics_address_parse() - HOST:PORT with HOST a loopback address in numbers: there is no
 * authentication here. Errors: INVALID. */
int metrics_address_parse(const char *address, struct sockaddr_storage *ret,
                          struct err *err) MUST_CHECK;
/** metrics_text() - all that /metrics says. Thread: any. */
void metrics_text(const struct daemon *daemon, struct strbuf *out);

#endif
