/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - JSON over HTTP/1.1 on a unix socket, as Firecracker and Cloud Hypervisor serve it. One
 * request at a time on a connection that stays open; the other end is hostile: heads and bodies are
 * bounded, their lengths must be told, and its words are made fit for people.
 */
#ifndef UNICRI_VMM_API_H
#define UNICRI_VMM_API_H

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define API_HEAD_MAX_BYTES  8192
#define API_BODY_MAX_BYTES  65536
#define API_WORDS_MAX_BYTES 160 /* of what a VMM says */

struct api_head {
    int status;      /* 200 to 599 */
    size_t head_len; /* with the empty line */
    size_t body_len;
};
/** api_head_parse() - the first `len` bytes of an answer. Returns: 1, 0 when more bytes are needed,
 * -1. Errors: CORRUPT. */
int api_head_parse(const char *text, size_t len, struct api_head *ret, struct err *err) MUST_CHECK;
/** api_words() - what the body of a refusal says: a string of JSON, the member fault_message, a
 * list of strings, or the text itself; printable, cut, never empty. */
void api_words(const char *body, size_t len, char ret[API_WORDS_MAX_BYTES]);

/* A connection. */
struct api {
    int fd;          /* borrowed, connected */
    const char *vmm; /* "Firecracker", for errors */
    deadline_t deadline;
    int status; /* of the last answer; 0: there was none */
};
/**
 * api_call() - one request.
 * @body: JSON text or NULL.
 * @ret: the answer's JSON object (a new reference), NULL when it has no body; may be NULL.
 * Errors: DEADLINE, UNAVAILABLE with the VMM's words for a status of 4xx or 5xx or when it hangs
 * up, CORRUPT.
 */
int api_call(struct api *api, const char *method, const char *path, const char *body, json_t **ret,
             struct err *err) MUST_CHECK;

#endif
