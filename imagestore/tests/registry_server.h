/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_server - a tiny HTTP(S) server on a thread of the test, on 127.0.0.1, that answers from
 * a table of routes and can misbehave in the ways that registries do.
 */
#ifndef UNICRI_IMAGESTORE_TESTS_REGISTRY_SERVER_H
#define UNICRI_IMAGESTORE_TESTS_REGISTRY_SERVER_H

#include <stdbool.h>
#include <stddef.h>

enum rs_mode {
    RS_NORMAL,
    RS_STALL,        /* half the body, then nothing more */
    RS_TRICKLE,      /* a byte each 50 ms */
    RS_TRUNCATE,     /* closes after half of what was asked for; Range is honoured */
    RS_WRONG_RANGE,  /* closes after half; a Range is answered with another part */
    RS_NO_RANGE,     /* closes after half the first time; then ignores Range */
    RS_SLOW_HEADER,  /* a header byte each 50 ms */
    RS_HEADER_FLOOD, /* headers without end */
    RS_NO_ANSWER,
    RS_SLOW, /* answers after 300 ms */
};

struct rs_route {
    char path[256]; /* without query */
    int status;
    const char *type; /* Content-Type; NULL: none */
    const void *body; /* borrowed */
    size_t len;
    const char *headers; /* whole lines, "A: b\r\n"; NULL: none */
    const char *need;    /* Authorization that must come; else 401 with `challenge` */
    const char *challenge;
    enum rs_mode mode;
    int misbehave;               /* how many times; 0: always */
    int fail_status, fail_times; /* answer so often with this status first */
    /* what was seen: */
    int hits;
    char authorization[512], query[512], post[1024];
    int ranges;
};

struct rs;
struct rs *rs_start(void);
/** rs_tls() - speak TLS from the next connection on.
 * @client_ca: PEM file of who signs the clients' certificates, which are demanded then; NULL: none
 * are. */
void rs_tls(struct rs *s, const char *cert_file, const char *key_file, const char *client_ca);
void rs_stop(struct rs *s);
int rs_port(const struct rs *s);
/** rs_route() - add (or replace) a route; the returned struct may be changed while no request runs.
 */
struct rs_route *rs_route(struct rs *s, const char *path, int status, const char *type,
                          const void *body, size_t len);
struct rs_route *rs_find(struct rs *s, const char *path);
int rs_hits(struct rs *s);

#endif
