/* SPDX-License-Identifier: Apache-2.0 */
/* pod_metrics - see pod_metrics.h: descriptors and messages from the table of pod_metrics_rows.c.
 */
#include "cri/pod_metrics.h"

#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "cri/pod_metrics_rows.h"

#define FIELD_HEAD_BYTES 8 /* at most: tag and length of a message within a message */

static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

Runtime__V1__MetricDescriptor **metric_descriptors(struct arena *arena, bool cgroup_v2,
                                                   size_t *ret_n)
{
    Runtime__V1__MetricDescriptor **all =
        ARENA_ARRAY(arena, Runtime__V1__MetricDescriptor *, metric_rows_n);

    *ret_n = 0;
    for (size_t i = 0; i < metric_rows_n; i++) {
        if (!cgroup_v2 && metric_is_of_v2(&metric_rows[i]))
            continue;

        Runtime__V1__MetricDescriptor *new =
            PROTO_NEW(arena, Runtime__V1__MetricDescriptor, runtime__v1__metric_descriptor);
        size_t n_base = ARRAY_SIZE(metric_base_labels), n_extra = metric_extra(&metric_rows[i]);

        new->name = word(metric_rows[i].name);
        new->help = word(metric_rows[i].help);
        new->n_label_keys = n_base + n_extra;
        new->label_keys = ARENA_ARRAY(arena, char *, n_base + n_extra);
        memcpy(new->label_keys, metric_base_labels, sizeof(metric_base_labels));
        memcpy(new->label_keys + n_base, metric_rows[i].extra, n_extra * sizeof(char *));
        all[(*ret_n)++] = new;
    }
    return all;
}

static void add_all(struct metrics_out *o, bool brief)
{
    static const struct usage_detail nothing;

    if (!o->detail)
        o->detail = &nothing;
    o->room = 2 * metric_rows_n;
    o->v = ARENA_ARRAY(o->arena, Runtime__V1__Metric *, o->room);
    for (size_t i = 0; i < metric_rows_n; i++) {
        o->row = &metric_rows[i];
        if (brief && metric_rows[i].spare)
            continue;
        if (metric_rows[i].where & (o->container ? ON_CONTAINER : ON_POD))
            metric_rows[i].add(o, metric_rows[i].which);
    }
}

static Runtime__V1__ContainerMetrics *of_container(struct arena *arena,
                                                   const struct pod_stats_view *pod,
                                                   const struct container_stats_view *view,
                                                   const struct layers_usage *layers, bool brief)
{
    const struct container_view *c = &view->container;
    Runtime__V1__ContainerMetrics *new =
        PROTO_NEW(arena, Runtime__V1__ContainerMetrics, runtime__v1__container_metrics);
    struct metrics_out *o = ARENA_NEW(arena, struct metrics_out);
    const char *image = c->image_ref && *c->image_ref ? c->image_ref : c->spec->image;

    *o = (struct metrics_out){
        .arena = arena,
        .stats = &view->stats,
        .detail = view->detail,
        .pod = pod,
        .container = c,
        .layers = layers,
        .base = {arena_printf(arena, "%s/%s", pod->pod.cgroup, c->id), arena_text(arena, c->id),
                 arena_text(arena, image), arena_text(arena, pod->pod.spec->namespace_),
                 arena_text(arena, pod->pod.spec->name), arena_text(arena, c->spec->name)}};
    add_all(o, brief);
    new->container_id = o->base[1];
    new->metrics = o->v;
    new->n_metrics = o->n;
    return new;
}

/* The pod itself has neither an image nor a container's name: sums over containers leave it out. */
static void of_pod(struct arena *arena, const struct pod_stats_view *view,
                   const struct layers_usage *layers, bool brief,
                   Runtime__V1__PodSandboxMetrics *ret)
{
    struct metrics_out *o = ARENA_NEW(arena, struct metrics_out);

    *o = (struct metrics_out){.arena = arena,
                              .stats = &view->stats,
                              .detail = view->detail,
                              .pod = view,
                              .layers = layers,
                              .base = {arena_text(arena, view->pod.cgroup),
                                       arena_text(arena, view->pod.id), word(""),
                                       arena_text(arena, view->pod.spec->namespace_),
                                       arena_text(arena, view->pod.spec->name), word("")}};
    add_all(o, brief);
    ret->metrics = o->v;
    ret->n_metrics = o->n;
}

Runtime__V1__PodSandboxMetrics *pod_metrics_to_proto(struct arena *arena,
                                                     const struct pod_stats_view *view,
                                                     const struct layers_usage *layers, bool brief)
{
    Runtime__V1__PodSandboxMetrics *new =
        PROTO_NEW(arena, Runtime__V1__PodSandboxMetrics, runtime__v1__pod_sandbox_metrics);

    new->pod_sandbox_id = arena_text(arena, view->pod.id);
    if (view->stats.cpu_at)
        of_pod(arena, view, layers, brief, new);
    if (view->n_containers)
        new->container_metrics =
            ARENA_ARRAY(arena, Runtime__V1__ContainerMetrics *, view->n_containers);
    for (size_t i = 0; i < view->n_containers; i++)
        if (view->containers[i].stats.cpu_at)
            new->container_metrics[new->n_container_metrics++] =
                of_container(arena, view, &view->containers[i], layers, brief);
    return new;
}

/* Returns: whether all fit. What was made for naught stays in the arena until the call ends. */
static bool fill(struct arena *arena, const struct pod_stats_view *views, size_t n,
                 const struct layers_usage *layers, bool brief, size_t max,
                 Runtime__V1__ListPodSandboxMetricsResponse *ret)
{
    size_t left = max;

    ret->n_pod_metrics = 0;
    for (size_t i = 0; i < n; i++) {
        Runtime__V1__PodSandboxMetrics *pod = pod_metrics_to_proto(arena, &views[i], layers, brief);
        size_t size = protobuf_c_message_get_packed_size(&pod->base) + FIELD_HEAD_BYTES;

        if (size > left)
            return false;
        left -= size;
        ret->pod_metrics[ret->n_pod_metrics++] = pod;
    }
    return true;
}

int pod_metrics_list(struct arena *arena, const struct pod_stats_view *views, size_t n,
                     const struct layers_usage *layers, size_t max,
                     Runtime__V1__ListPodSandboxMetricsResponse *ret, struct err *err)
{
    static atomic_bool was_brief;
    bool brief;

    ret->pod_metrics = ARENA_ARRAY(arena, Runtime__V1__PodSandboxMetrics *, n + 1);
    brief = !fill(arena, views, n, layers, false, max, ret);
    if (brief && !fill(arena, views, n, layers, true, max, ret))
        return err_set(err, ERR_EXHAUSTED,
                       "metrics of %zu pods are more than the %zu bytes that a client takes at "
                       "once: ask by StreamPodSandboxMetrics",
                       n, max);
    if (brief != atomic_exchange(&was_brief, brief))
        log_info("metrics of %zu pods: %s", n,
                 brief ? "not all fit into one reply, the less important ones are left out; "
                         "StreamPodSandboxMetrics gives all"
                       : "all fit into one reply again");
    return 0;
}
