/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference - names of images as people write them, and their normal form:
 *     busybox                    -> docker.io/library/busybox:latest
 *     host:5000/a/b@sha256:...   -> the same
 * A name with both tag and digest is one by digest: the tag is dropped. Grammar:
 * distribution-spec 1.1, names, with Docker's defaults.
 */
#ifndef UNICRI_IMAGESTORE_REFERENCE_H
#define UNICRI_IMAGESTORE_REFERENCE_H

#include "base/mem.h"

#define REFERENCE_MAX_BYTES 512
#define REFERENCE_PATH_MAX  255
#define REFERENCE_TAG_MAX   128

struct reference {
    char *registry; /* "docker.io", "host:5000"; owned, as all below */
    char *path;     /* "library/busybox" */
    char *tag;      /* NULL when by digest */
    char *digest;   /* NULL when by tag */
};

/** reference_parse() - check and normalise. Errors: INVALID naming the reference and what is wrong
 * with it. */
int reference_parse(const char *text, struct reference *ret, struct err *err) MUST_CHECK;
void reference_done(struct reference *r);
#define autoreference CLEANUP(reference_done) struct reference

/** reference_name() - "registry/path"; owned by the caller. */
char *reference_name(const struct reference *r);
/** reference_text() - "registry/path:tag" or "registry/path@digest"; owned by the caller. */
char *reference_text(const struct reference *r);

#endif
