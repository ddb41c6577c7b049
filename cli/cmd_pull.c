/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri pull - bring images here. The API says nothing of a pull's progress, so what is shown is
 * the time and how much the image store has grown meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/pull.h"

#define PULL_TIMEOUT (24 * 3600 * NSEC_PER_SEC) /* the daemon has clocks of its own for stalls */

struct progress {
    struct cli *cli;
    const char *image;
    nsec_t started;
    bool terminal;
};

static bool on_tick(void *arg)
{
    struct progress *p = arg;
    if (p->terminal) {
        fprintf(stderr, "\r\033[K%s: pulling, %.0f s", p->image,
                (double)(clock_mono() - p->started) / (double)NSEC_PER_SEC);
        (void)fflush(stderr);
    }
    return true;
}

int image_pull(struct cli *cli, const char *image, const char *credentials, char **ret_id,
               struct err *err)
{
    V1(ImageSpec) spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    V1(AuthConfig) auth = RUNTIME__V1__AUTH_CONFIG__INIT;
    V1(PullImageRequest) request = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
    spec.image = (char *)image;
    request.image = &spec;
    autofree char *encoded = NULL;
    if (credentials) {
        encoded = base64_encode(credentials, strlen(credentials));
        auth.auth = encoded;
        request.auth = &auth;
    }
    if (!cli->client)
        cli->client = client_open(cli->socket, err);
    if (!cli->client)
        return -1;
    struct progress progress = {cli, image, clock_mono(), isatty(STDERR_FILENO)};
    automessage V1(PullImageResponse) *reply = NULL;
    ProtobufCMessage *message = NULL;
    int rc = client_call(cli->client, "ImageService/PullImage", &request.base,
                         &runtime__v1__pull_image_response__descriptor, deadline_in(PULL_TIMEOUT),
                         on_tick, &progress, &message, err);
    if (progress.terminal)
        fprintf(stderr, "\r\033[K");
    if (rc < 0)
        return err_wrap(err, "pull '%s'", image);
    reply = (V1(PullImageResponse) *)message;
    *ret_id = xstrdup(reply->image_ref);
    return 0;
}

int image_have(struct cli *cli, const char *image, bool *ret, struct err *err)
{
    V1(ImageSpec) spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    V1(ImageStatusRequest) request = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    spec.image = (char *)image;
    request.image = &spec;
    automessage V1(ImageStatusResponse) *reply = NULL;
    if (cli_call(cli, "ImageService/ImageStatus", &request.base,
                 &runtime__v1__image_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    *ret = reply->image != NULL;
    return 0;
}

int cmd_pull(struct cli *cli, int argc, char **argv)
{
    const char *credentials = getenv("UNICRI_CREDENTIALS");
    const struct flag flags[] = {
        {"creds", 0, FLAG_STRING, &credentials, "USER:PASSWORD",
         "for the registry; $UNICRI_CREDENTIALS keeps them out of the process list"},
    };
    int at = flags_parse(command_find("pull"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at >= argc)
        return usage_error("pull", "which image?");
    int rc = 0;
    for (; at < argc; at++) {
        struct err err = ERR_INIT;
        autofree char *id = NULL;
        nsec_t started = clock_mono();
        if (image_pull(cli, argv[at], credentials, &id, &err) < 0)
            rc = complain(&err);
        else
            printf("%s  %s  %.2f s\n", argv[at], id,
                   (double)(clock_mono() - started) / (double)NSEC_PER_SEC);
    }
    return rc;
}
