/* SPDX-License-Identifier: Apache-2.0 */
/* unicri images, rmi - what the image store holds. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

static void print_row(struct table *t, const V1(Image) * image, const char *name, bool full)
{
    const char *id = image->id ? image->id : "";
    const char *hex = str_has_prefix(id, "sha256:") ? id + strlen("sha256:") : id;
    char text[80];
    (void)snprintf(text, sizeof(text), full ? "%s" : "%.12s", full ? id : hex);
    table_row(t, name, text, bytes_text(image->size), image->pinned ? "yes" : "", NULL);
}

static void print_table(const V1(ListImagesResponse) * reply, bool quiet, bool full)
{
    static const char *const titles[] = {"IMAGE", "ID", "SIZE", "PINNED", NULL};
    struct table *t = quiet ? NULL : table_new(titles);
    for (size_t i = 0; i < reply->n_images; i++) {
        const V1(Image) *image = reply->images[i];
        if (quiet) {
            printf("%s\n", image->id);
            continue;
        }
        for (size_t k = 0; k < image->n_repo_tags; k++)
            print_row(t, image, image->repo_tags[k], full);
        if (image->n_repo_tags == 0)
            print_row(t, image, image->n_repo_digests > 0 ? image->repo_digests[0] : "-", full);
    }
    if (t)
        table_print_free(t);
}

int cmd_images(struct cli *cli, int argc, char **argv)
{
    bool quiet = false, full = false;
    const char *output = NULL;
    const struct flag flags[] = {
        {"quiet", 'q', FLAG_BOOL, &quiet, NULL, "only the ids"},
        {"no-trunc", 0, FLAG_BOOL, &full, NULL, "whole ids"},
        {"output", 'o', FLAG_STRING, &output, "json", "the daemon's answer as JSON"},
    };
    int at = flags_parse(command_find("images"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at < argc)
        return usage_error("images", "unexpected '%s'", argv[at]);
    if (output && !str_eq(output, "json"))
        return usage_error("images", "--output: only 'json' is known");

    struct err err = ERR_INIT;
    V1(ListImagesRequest) request = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
    automessage V1(ListImagesResponse) *reply = NULL;
    if (cli_call(cli, "ImageService/ListImages", &request.base,
                 &runtime__v1__list_images_response__descriptor, 0, &reply, &err) < 0)
        return complain(&err);
    if (output)
        print_json(&reply->base);
    else
        print_table(reply, quiet, full);
    return 0;
}

/* The daemon takes an unknown image as already removed; a person wants to be told. */
static int must_exist(struct cli *cli, const char *name, struct err *err)
{
    V1(ImageSpec) spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    spec.image = (char *)name;
    V1(ImageStatusRequest) request = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    request.image = &spec;
    automessage V1(ImageStatusResponse) *reply = NULL;
    if (cli_call(cli, "ImageService/ImageStatus", &request.base,
                 &runtime__v1__image_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    return reply->image ? 0 : err_set(err, ERR_NOT_FOUND, "there is no image '%s' here", name);
}

int cmd_rmi(struct cli *cli, int argc, char **argv)
{
    int at = flags_parse(command_find("rmi"), NULL, 0, false, argc, argv);
    if (at >= argc)
        return usage_error("rmi", "which image?");
    int rc = 0;
    for (; at < argc; at++) {
        struct err err = ERR_INIT;
        V1(ImageSpec) spec = RUNTIME__V1__IMAGE_SPEC__INIT;
        spec.image = argv[at];
        V1(RemoveImageRequest) request = RUNTIME__V1__REMOVE_IMAGE_REQUEST__INIT;
        request.image = &spec;
        automessage V1(RemoveImageResponse) *reply = NULL;
        if (must_exist(cli, argv[at], &err) < 0 ||
            cli_call(cli, "ImageService/RemoveImage", &request.base,
                     &runtime__v1__remove_image_response__descriptor, 0, &reply, &err) < 0)
            rc = complain(&err);
        else
            printf("%s\n", argv[at]);
    }
    return rc;
}
