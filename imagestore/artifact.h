/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact - OCI artifacts: manifests of anything that is no container image. Each blob with a name
 * (org.opencontainers.image.title, or org.cncf.model.filepath) becomes a layer of its own with that
 * one file, so that artifacts are stored, shared, mounted and collected as images are. What has no
 * name cannot be seen in a volume and is not fetched. Spec: OCI image-spec 1.1, "Guidelines for
 * Artifact Usage".
 */
#ifndef UNICRI_IMAGESTORE_ARTIFACT_H
#define UNICRI_IMAGESTORE_ARTIFACT_H

#include "imagestore/manifest.h"

#define ARTIFACT_NAME_MAX 1024
#define ARTIFACT_TYPE_MAX 255

/**
 * artifact_plan() - keep the named blobs of a manifest only, and give them raw_name, lowest first.
 * *ret_ids: what stands for diff_ids, one a blob, made of its digest and name; the caller's.
 * Errors: INVALID (a bad name), UNSUPPORTED (no name at all).
 */
int artifact_plan(struct manifest *m, char ***ret_ids, struct err *err) MUST_CHECK;
/** artifact_config() - what is kept in the place of an image's config; the caller's. */
char *artifact_config(const char *type);

#endif
