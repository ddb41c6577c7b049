/* SPDX-License-Identifier: Apache-2.0 */
/* to_proto_image - images and the filesystem they lie on. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cri/to_proto.h"
#include "cri/to_spec.h"

#define IMAGE_USER_MAX_BYTES 256

void image_user(const char *user, int64_t *ret_uid, char *name, size_t name_size)
{
    const char *colon = strchr(user, ':');
    size_t len = colon ? (size_t)(colon - user) : strlen(user);

    *ret_uid = -1;
    (void)snprintf(name, name_size, "%.*s", len < name_size ? (int)len : (int)name_size - 1, user);
    if (!*name || len >= name_size || name[strspn(name, "0123456789")])
        return;
    /* A number that is no uid stays a name: it will not be found, which is better than becoming
     * root. */
    int64_t uid = len <= 10 ? strtoll(name, NULL, 10) : SPEC_UID_MAX + 1;
    if (uid > SPEC_UID_MAX)
        return;
    *ret_uid = uid;
    *name = '\0';
}

Runtime__V1__Image *image_to_proto(struct arena *arena, const struct image *image)
{
    Runtime__V1__Image *new = PROTO_NEW(arena, Runtime__V1__Image, runtime__v1__image);
    char name[IMAGE_USER_MAX_BYTES];
    int64_t uid;

    new->id = arena_text(arena, image->id);
    new->repo_tags = proto_strv(arena, image->tags, &new->n_repo_tags);
    new->repo_digests = proto_strv(arena, image->digests, &new->n_repo_digests);
    new->size = image->size ? image->size : 1; /* clients refuse 0 */
    new->pinned = image->pinned;
    image_user(image->config.user ? image->config.user : "", &uid, name, sizeof name);
    if (uid >= 0)
        new->uid = proto_i64(arena, uid);
    new->username = arena_text(arena, name);
    return new;
}

char *image_info_to_proto(struct arena *arena, const struct image *image)
{
    autojson *info = json_object();

    json_put_strv(info, "layers", image->layers);
    json_put_kvs(info, "annotations", &image->annotations);
    json_t *config = image->config_json ? json_loads(image->config_json, 0, NULL) : NULL;
    if (config)
        json_put(info, "imageSpec", config);
    autofree char *text = json_text(info);
    return arena_text(arena, text);
}

static Runtime__V1__FilesystemUsage *usage(struct arena *arena, nsec_t at, const char *mountpoint,
                                           uint64_t bytes, uint64_t inodes)
{
    Runtime__V1__FilesystemUsage *new =
        PROTO_NEW(arena, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage);

    new->timestamp = at;
    new->fs_id =
        PROTO_NEW(arena, Runtime__V1__FilesystemIdentifier, runtime__v1__filesystem_identifier);
    new->fs_id->mountpoint = arena_text(arena, mountpoint);
    new->used_bytes = proto_u64(arena, bytes);
    new->inodes_used = proto_u64(arena, inodes);
    return new;
}

Runtime__V1__FilesystemUsage *fs_usage_to_proto(struct arena *arena,
                                                const struct image_fs_info *info)
{
    return usage(arena, info->timestamp, info->mountpoint, info->used_bytes, info->used_inodes);
}

Runtime__V1__FilesystemUsage *layers_usage_to_proto(struct arena *arena,
                                                    const struct layers_usage *layers)
{
    return usage(arena, layers->at, layers->dir, layers->bytes, layers->inodes);
}
