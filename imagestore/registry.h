/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry - the registry v2 protocol for one repository: manifests and blobs from the first host
 * of its list that has them, with authentication, retries with back-off, and resumption of blobs by
 * Range.
 *
 * One `struct registry` is shared by the threads of a pull; each brings its own http client. The
 * Authorization value of a host is found once and shared.
 */
#ifndef UNICRI_IMAGESTORE_REGISTRY_H
#define UNICRI_IMAGESTORE_REGISTRY_H

#include "imagestore/digest.h"
#include "imagestore/http.h"
#include "imagestore/reference.h"

struct registry;
struct imagestore_config;
struct registry_auth;

#define MANIFEST_MAX_BYTES (4 * 1024 * 1024)
#define CONFIG_MAX_BYTES   (8 * 1024 * 1024)
#define REGISTRY_ATTEMPTS  5  /* of one request at one host without any progress */
#define REGISTRY_RESUMES   64 /* of one blob, with progress between them */

/** registry_open() - `ref` and `config` are borrowed until registry_close(). `stop` as for
 * http_new(). */
struct registry *registry_open(const struct imagestore_config *config, const struct reference *ref,
                               const struct registry_auth *auth, const atomic_bool *stop,
                               struct err *err);
void registry_close(struct registry *r);
DEFINE_CLEANUP(struct registry *, registry_close);
/** registry_http() - a client with the clocks of the config; caller: http_free(). */
struct http *registry_http(struct registry *r);

struct manifest_blob {
    char *body; /* owned; NULL after a HEAD */
    size_t len;
    char *media_type; /* owned; without parameters */
    char digest[DIGEST_LEN + 1];
};
void manifest_blob_done(struct manifest_blob *m);
#define automanifest_blob CLEANUP(manifest_blob_done) struct manifest_blob

/**
 * registry_manifest() - by tag or digest. The body matches ret->digest, and that the digest asked
 * for.
 * @head: only ask for the digest ("" when the registry does not say it).
 * Errors: NOT_FOUND, DENIED, UNAVAILABLE, CORRUPT, INVALID (no manifest), EXHAUSTED (too large).
 */
int registry_manifest(struct registry *r, struct http *http, const char *tag_or_digest, bool head,
                      struct manifest_blob *ret, struct err *err) MUST_CHECK;

/* Takes the bytes of a blob, in order and each once. */
typedef int (*blob_sink)(void *arg, const void *data, size_t len, struct err *err);

/**
 * registry_blob() - stream a blob of a known size into `sink`; its digest is the caller's to check.
 * @host: in: index of the first host to try; out: of the one that served it last. Another attempt
 * after a wrong digest starts at *host + 1, while that is below registry_hosts().
 */
int registry_blob(struct registry *r, struct http *http, const char *digest, uint64_t size,
                  size_t *host, blob_sink sink, void *arg, struct err *err) MUST_CHECK;
size_t registry_hosts(const struct registry *r);
/** registry_blob_text() - a small blob, checked against its digest; NUL terminated. Caller frees
 * *ret. */
int registry_blob_text(struct registry *r, struct http *http, const char *digest, uint64_t size,
                       size_t max, char **ret, struct err *err) MUST_CHECK;

#endif
