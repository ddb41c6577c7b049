/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_streams - the lists as streams: StreamPodSandboxes, StreamContainers, StreamContainerStats,
 * StreamPodSandboxStats, StreamPodSandboxMetrics, StreamImages.
 *
 * What is listed is that of one moment; it goes out in messages of bounded size, each made when the
 * client has taken the one before, so a list of any length passes and none is held as messages in
 * whole. Pods and containers are bytes already and go out by reference. An empty list is a stream
 * without a message. Streams keep a worker each: they are bounded.
 */
#include <stdatomic.h>

#include "base/strbuf.h"
#include "cri/handlers.h"
#include "cri/pod_metrics.h"

#define STREAMS_MAX     16
#define CHUNK_ITEMS_MAX 512
#define CHUNK_BYTES     ((size_t)1024 * 1024) /* of memory; on the wire it is less */

/* All replies that are made here have this shape. */
struct list_message {
    ProtobufCMessage base;
    size_t n;
    void **v;
};
#define SAME_SHAPE(type, n_items, items)                                                           \
    _Static_assert(sizeof(type) == sizeof(struct list_message) &&                                  \
                       offsetof(type, n_items) == offsetof(struct list_message, n) &&              \
                       offsetof(type, items) == offsetof(struct list_message, v),                  \
                   #type)
SAME_SHAPE(Runtime__V1__StreamContainerStatsResponse, n_container_stats, container_stats);
SAME_SHAPE(Runtime__V1__StreamPodSandboxStatsResponse, n_pod_sandbox_stats, pod_sandbox_stats);
SAME_SHAPE(Runtime__V1__StreamPodSandboxMetricsResponse, n_pod_sandbox_metrics,
           pod_sandbox_metrics);
SAME_SHAPE(Runtime__V1__StreamImagesResponse, n_images, images);

/* make() gives the i-th item as a message in the arena. */
typedef void *make_fn(struct arena *arena, const void *arg, size_t i);

static int send_chunk(struct call *call, size_t n, size_t *i, make_fn *make, const void *arg,
                      struct err *err)
{
    struct list_message message;
    struct arena arena;
    int rc;

    arena_init(&arena, 0);
    protobuf_c_message_init(call->method->reply, &message);
    message.v = ARENA_ARRAY(&arena, void *, CHUNK_ITEMS_MAX);
    while (*i < n && message.n < CHUNK_ITEMS_MAX && (message.n == 0 || arena.used < CHUNK_BYTES))
        message.v[message.n++] = make(&arena, arg, (*i)++);
    rc = call_send(call, &message.base, err);
    arena_done(&arena);
    return rc;
}

static atomic_uint streams;

static int begin(const struct call *call, struct err *err)
{
    if (atomic_fetch_add(&streams, 1) < STREAMS_MAX)
        return 0;
    atomic_fetch_sub(&streams, 1);
    return err_set(err, ERR_EXHAUSTED, "%s: %d lists are being streamed already",
                   call->method->name, STREAMS_MAX);
}

static int send_list(struct call *call, size_t n, make_fn *make, const void *arg, struct err *err)
{
    size_t i = 0;
    int rc = begin(call, err);

    if (rc < 0)
        return -1;
    while (rc == 0 && i < n)
        rc = send_chunk(call, n, &i, make, arg, err);
    atomic_fetch_sub(&streams, 1);
    return rc;
}

/* The same of a list that is bytes already; takes the pieces over. */
static int send_packed(struct call *call, struct piece **pieces, size_t n, struct err *err)
{
    int rc = begin(call, err);

    call->pieces = pieces;
    call->n_pieces = n;
    if (rc < 0)
        return -1;
    for (size_t i = 0, end; rc == 0 && i < n; i = end) {
        size_t bytes = pieces[i]->len;

        for (end = i + 1; end < n && bytes + pieces[end]->len <= CHUNK_BYTES; end++)
            bytes += pieces[end]->len;
        rc = call_send_pieces(call, pieces + i, end - i, err);
    }
    atomic_fetch_sub(&streams, 1);
    return rc;
}

int on_stream_pod_sandboxes(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct piece **pieces;

    if (pod_filter_from_proto(REQUEST(call, Runtime__V1__StreamPodSandboxesRequest)->filter,
                              &filter, err) < 0)
        return -1;
    size_t n = pod_list_packed(call->daemon->engine, &filter.list, pod_to_list, &pieces);
    return send_packed(call, pieces, n, err);
}

int on_stream_containers(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct piece **pieces;

    if (container_filter_from_proto(REQUEST(call, Runtime__V1__StreamContainersRequest)->filter,
                                    &filter, err) < 0)
        return -1;
    size_t n =
        container_list_packed(call->daemon->engine, &filter.list, container_to_list, &pieces);
    return send_packed(call, pieces, n, err);
}

static void *make_container_stats(struct arena *arena, const void *arg, size_t i)
{
    return container_stats_to_proto(arena, (const struct container_stats_view *)arg + i);
}

int on_stream_container_stats(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct container_stats_view *views = NULL;

    if (container_stats_filter_from_proto(
            REQUEST(call, Runtime__V1__StreamContainerStatsRequest)->filter, &filter, err) < 0)
        return -1;
    size_t n = container_stats_list(call->daemon->engine, &filter.list, &views);
    int rc = send_list(call, n, make_container_stats, views, err);
    container_stats_views_free(views, n);
    return rc;
}

static void *make_pod_stats(struct arena *arena, const void *arg, size_t i)
{
    return pod_stats_to_proto(arena, (const struct pod_stats_view *)arg + i);
}

int on_stream_pod_sandbox_stats(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct pod_stats_view *views = NULL;

    if (pod_stats_filter_from_proto(
            REQUEST(call, Runtime__V1__StreamPodSandboxStatsRequest)->filter, &filter, err) < 0)
        return -1;
    size_t n = pod_stats_list(call->daemon->engine, &filter.list, USAGE_PODS, &views);
    int rc = send_list(call, n, make_pod_stats, views, err);
    pod_stats_views_free(views, n);
    return rc;
}

struct metrics_arg {
    const struct pod_stats_view *views;
    struct layers_usage layers;
};

static void *make_metrics(struct arena *arena, const void *arg, size_t i)
{
    const struct metrics_arg *a = arg;

    return pod_metrics_to_proto(arena, &a->views[i], &a->layers, false);
}

int on_stream_pod_sandbox_metrics(struct call *call, struct err *err)
{
    const struct list_filter all = {.state = -1};
    struct pod_stats_view *views = NULL;
    size_t n = pod_stats_list(call->daemon->engine, &all, USAGE_DETAIL, &views);
    struct metrics_arg arg = {.views = views};

    engine_layers_usage(call->daemon->engine, &arg.layers);
    int rc = send_list(call, n, make_metrics, &arg, err);
    pod_stats_views_free(views, n);
    return rc;
}

static void *make_image(struct arena *arena, const void *arg, size_t i)
{
    return image_to_proto(arena, ((struct image *const *)arg)[i]);
}

int on_stream_images(struct call *call, struct err *err)
{
    autoimage *wanted = NULL;
    struct image **images = NULL;
    bool any;

    if (image_filter_find(call, REQUEST(call, Runtime__V1__StreamImagesRequest)->filter, &wanted,
                          &any, err) < 0)
        return -1;
    if (!any)
        return send_list(call, wanted ? 1 : 0, make_image, &wanted, err);
    size_t n = imagestore_list(call->daemon->images, &images);
    int rc = send_list(call, n, make_image, images, err);
    image_list_free(images, n);
    return rc;
}
