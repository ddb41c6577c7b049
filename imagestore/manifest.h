/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest - the JSON documents of an image: index, manifest, config. Parsed once, checked,
 * bounded; below this everything in them may be trusted to be well formed (not to be true: digests
 * are checked where bytes come in).
 *
 * An index and a manifest look alike to a careless reader; a document that has the members of both,
 * or whose media type says the other, is refused. Specs: OCI image-spec 1.1; Docker image manifest
 * v2 schema 2. Memory only.
 */
#ifndef UNICRI_IMAGESTORE_MANIFEST_H
#define UNICRI_IMAGESTORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "imagestore/digest.h"
#include "imagestore/imagestore.h"

#define INDEX_MAX_ENTRIES   512
#define ANNOTATIONS_MAX     256
#define MANIFEST_LAYERS_MAX 4096 /* sanity; the config sets the real limit */
#define CONFIG_STRINGS_MAX  4096
#define CONFIG_STRING_MAX   (128 * 1024)

struct descriptor {
    char *media_type; /* owned; "" when absent */
    char digest[DIGEST_LEN + 1];
    uint64_t size;
    struct kvs annotations;
    char *raw_name; /* owned; of an artifact's file, once planned; NULL: a layer's tar */
};
void descriptor_done(struct descriptor *d);

struct manifest {
    bool is_index;
    /* an index: */
    struct descriptor chosen; /* the manifest for this machine */
    /* a manifest: */
    struct descriptor config;
    struct descriptor *layers; /* owned */
    size_t n_layers;
    struct kvs annotations;
    char *artifact_type; /* owned; NULL: a container image */
};
void manifest_done(struct manifest *m);
#define automanifest CLEANUP(manifest_done) struct manifest

/**
 * manifest_parse() - an index or a manifest.
 * @media_type: of the HTTP answer, may be "".
 * @guests: strv of what an index entry's os may be besides Linux, best first; see
 * image.guest_platforms.
 * Errors: INVALID, NOT_FOUND (an index without an entry for this platform), UNSUPPORTED (schema 1,
 * layers that are none; an artifact's may be anything), EXHAUSTED.
 */
int manifest_parse(const char *text, size_t len, const char *media_type, char *const *guests,
                   struct manifest *ret, struct err *err) MUST_CHECK;

/** image_config_parse() - the config blob. *ret_diff_ids is owned by the caller. Errors: INVALID,
 * EXHAUSTED. */
int image_config_parse(const char *text, size_t len, struct image_config *ret, char ***ret_diff_ids,
                       struct err *err) MUST_CHECK;
void image_config_done(struct image_config *c);

#endif
