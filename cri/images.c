/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images - the five RPCs of the image service. An image that is not there is a reply without an
 * image, not an error. A pull's error about an unreachable registry goes out as UNKNOWN: clients
 * look at the beginning of its text.
 */
#include <string.h>

#include "base/strbuf.h"
#include "cri/handlers.h"

static int image_name(const Runtime__V1__ImageSpec *spec, const char **ret, struct err *err)
{
    if (!spec || !*spec->image)
        return err_set(err, ERR_INVALID, "image.image: missing");
    if (strlen(spec->image) > SPEC_TEXT_MAX_BYTES)
        return err_set(err, ERR_INVALID, "image.image: longer than %d bytes", SPEC_TEXT_MAX_BYTES);
    *ret = spec->image;
    return 0;
}

/* A name that cannot be one names nothing that is here. */
static struct image *find(struct call *call, const char *name, bool *ret_absent, struct err *err)
{
    struct image *image = imagestore_find(call->daemon->images, name, err);

    *ret_absent = !image && (err->code == ERR_NOT_FOUND || err->code == ERR_INVALID);
    return image;
}

int image_filter_find(struct call *call, const Runtime__V1__ImageFilter *filter, struct image **ret,
                      bool *ret_any, struct err *err)
{
    const char *name =
        filter && filter->image && *filter->image->image ? filter->image->image : NULL;
    bool absent = false;

    *ret_any = !name;
    *ret = name ? find(call, name, &absent, err) : NULL;
    return name && !*ret && !absent ? -1 : 0;
}

int on_list_images(struct call *call, struct err *err)
{
    autoimage *wanted = NULL;
    struct image **images = NULL;
    bool any;

    if (image_filter_find(call, REQUEST(call, Runtime__V1__ListImagesRequest)->filter, &wanted,
                          &any, err) < 0)
        return -1;
    size_t n = imagestore_list(call->daemon->images, &images);
    Runtime__V1__ListImagesResponse *reply =
        REPLY(call, Runtime__V1__ListImagesResponse, runtime__v1__list_images_response);
    if (n)
        reply->images = ARENA_ARRAY(call->arena, Runtime__V1__Image *, n);
    for (size_t i = 0; i < n; i++)
        if (any || (wanted && str_eq(images[i]->id, wanted->id)))
            reply->images[reply->n_images++] = image_to_proto(call->arena, images[i]);
    image_list_free(images, n);
    return 0;
}

int on_image_status(struct call *call, struct err *err)
{
    const Runtime__V1__ImageStatusRequest *request = REQUEST(call, Runtime__V1__ImageStatusRequest);
    const char *name = NULL;
    bool absent;

    if (image_name(request->image, &name, err) < 0)
        return -1;
    autoimage *image = find(call, name, &absent, err);
    if (!image && !absent)
        return -1;
    Runtime__V1__ImageStatusResponse *reply =
        REPLY(call, Runtime__V1__ImageStatusResponse, runtime__v1__image_status_response);
    if (!image)
        return 0;
    reply->image = image_to_proto(call->arena, image);
    if (request->verbose)
        reply->info = proto_map_one(call->arena, "info", image_info_to_proto(call->arena, image),
                                    &runtime__v1__image_status_response__info_entry__descriptor,
                                    &reply->n_info);
    return 0;
}

int on_pull_image(struct call *call, struct err *err)
{
    const Runtime__V1__PullImageRequest *request = REQUEST(call, Runtime__V1__PullImageRequest);
    struct registry_auth auth = {0};
    const char *name = NULL;

    if (image_name(request->image, &name, err) < 0)
        return -1;
    if (request->auth)
        auth = (struct registry_auth){.username = request->auth->username,
                                      .password = request->auth->password,
                                      .auth = request->auth->auth,
                                      .server_address = request->auth->server_address,
                                      .identity_token = request->auth->identity_token,
                                      .registry_token = request->auth->registry_token};
    autoimage *image =
        imagestore_pull(call->daemon->images, name, request->auth ? &auth : NULL,
                        call->caller.deadline, call->caller.cancelled, call->caller.arg, err);
    if (!image) {
        if (str_has_prefix(err->msg, "RegistryUnavailable") ||
            str_has_prefix(err->msg, "SignatureValidationFailed"))
            err->code = ERR_UNKNOWN;
        return -1;
    }
    REPLY(call, Runtime__V1__PullImageResponse, runtime__v1__pull_image_response)->image_ref =
        arena_text(call->arena, image->id);
    return 0;
}

int on_remove_image(struct call *call, struct err *err)
{
    const char *name = NULL;

    if (image_name(REQUEST(call, Runtime__V1__RemoveImageRequest)->image, &name, err) < 0)
        return -1;
    if (imagestore_remove(call->daemon->images, name, err) < 0 && err->code != ERR_NOT_FOUND)
        return -1;
    (void)REPLY(call, Runtime__V1__RemoveImageResponse, runtime__v1__remove_image_response);
    return 0;
}

/* Two lists of one entry: images, and the writable layers of containers. */
int on_image_fs_info(struct call *call, struct err *err)
{
    CLEANUP(image_fs_info_done) struct image_fs_info info = {0};
    struct layers_usage layers;

    if (imagestore_fs_info(call->daemon->images, &info, err) < 0)
        return -1;
    engine_layers_usage(call->daemon->engine, &layers);
    Runtime__V1__ImageFsInfoResponse *reply =
        REPLY(call, Runtime__V1__ImageFsInfoResponse, runtime__v1__image_fs_info_response);
    reply->n_image_filesystems = reply->n_container_filesystems = 1;
    reply->image_filesystems = ARENA_ARRAY(call->arena, Runtime__V1__FilesystemUsage *, 2);
    reply->container_filesystems = reply->image_filesystems + 1;
    reply->image_filesystems[0] = fs_usage_to_proto(call->arena, &info);
    reply->container_filesystems[0] = layers_usage_to_proto(call->arena, &layers);
    return 0;
}
