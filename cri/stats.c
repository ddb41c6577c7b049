/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - ContainerStats, ListContainerStats, PodSandboxStats, ListPodSandboxStats,
 * ListMetricDescriptors, ListPodSandboxMetrics. A kubelet asks once for the statistics of a pod
 * without an id; any answer but UNIMPLEMENTED makes it turn its own off and use all six of these.
 */
#include "base/strbuf.h"
#include "cri/handlers.h"
#include "cri/pod_metrics.h"

int on_container_stats(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__ContainerStatsRequest)->container_id;
    struct container_stats_view *view = NULL;

    if (id_from_proto(id, "container_id", err) < 0 ||
        container_stats_get(call->daemon->engine, id, &view, err) < 0)
        return -1;
    REPLY(call, Runtime__V1__ContainerStatsResponse, runtime__v1__container_stats_response)->stats =
        container_stats_to_proto(call->arena, view);
    container_stats_views_free(view, 1);
    return 0;
}

int on_list_container_stats(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct container_stats_view *views = NULL;

    if (container_stats_filter_from_proto(
            REQUEST(call, Runtime__V1__ListContainerStatsRequest)->filter, &filter, err) < 0)
        return -1;
    size_t n = container_stats_list(call->daemon->engine, &filter.list, &views);
    Runtime__V1__ListContainerStatsResponse *reply = REPLY(
        call, Runtime__V1__ListContainerStatsResponse, runtime__v1__list_container_stats_response);
    reply->n_stats = n;
    if (n)
        reply->stats = ARENA_ARRAY(call->arena, Runtime__V1__ContainerStats *, n);
    for (size_t i = 0; i < n; i++)
        reply->stats[i] = container_stats_to_proto(call->arena, &views[i]);
    container_stats_views_free(views, n);
    return 0;
}

int on_pod_sandbox_stats(struct call *call, struct err *err)
{
    const char *id = REQUEST(call, Runtime__V1__PodSandboxStatsRequest)->pod_sandbox_id;
    struct pod_stats_view *view = NULL;

    if (!*id)
        return err_set(err, ERR_NOT_FOUND, "pod sandbox '': no such sandbox");
    if (id_from_proto(id, "pod_sandbox_id", err) < 0 ||
        pod_stats_get(call->daemon->engine, id, &view, err) < 0)
        return -1;
    REPLY(call, Runtime__V1__PodSandboxStatsResponse, runtime__v1__pod_sandbox_stats_response)
        ->stats = pod_stats_to_proto(call->arena, view);
    pod_stats_views_free(view, 1);
    return 0;
}

int on_list_pod_sandbox_stats(struct call *call, struct err *err)
{
    CLEANUP(filter_done) struct filter filter;
    struct pod_stats_view *views = NULL;

    if (pod_stats_filter_from_proto(REQUEST(call, Runtime__V1__ListPodSandboxStatsRequest)->filter,
                                    &filter, err) < 0)
        return -1;
    size_t n = pod_stats_list(call->daemon->engine, &filter.list, USAGE_PODS, &views);
    Runtime__V1__ListPodSandboxStatsResponse *reply =
        REPLY(call, Runtime__V1__ListPodSandboxStatsResponse,
              runtime__v1__list_pod_sandbox_stats_response);
    reply->n_stats = n;
    if (n)
        reply->stats = ARENA_ARRAY(call->arena, Runtime__V1__PodSandboxStats *, n);
    for (size_t i = 0; i < n; i++)
        reply->stats[i] = pod_stats_to_proto(call->arena, &views[i]);
    pod_stats_views_free(views, n);
    return 0;
}

int on_list_metric_descriptors(struct call *call, struct err *err)
{
    Runtime__V1__ListMetricDescriptorsResponse *reply =
        REPLY(call, Runtime__V1__ListMetricDescriptorsResponse,
              runtime__v1__list_metric_descriptors_response);

    (void)err;
    reply->descriptors = metric_descriptors(call->arena, engine_cgroup_v2(call->daemon->engine),
                                            &reply->n_descriptors);
    return 0;
}

int on_list_pod_sandbox_metrics(struct call *call, struct err *err)
{
    const struct list_filter all = {.state = -1};
    struct pod_stats_view *views = NULL;
    struct layers_usage layers;
    size_t n = pod_stats_list(call->daemon->engine, &all, USAGE_DETAIL, &views);
    Runtime__V1__ListPodSandboxMetricsResponse *reply =
        REPLY(call, Runtime__V1__ListPodSandboxMetricsResponse,
              runtime__v1__list_pod_sandbox_metrics_response);

    engine_layers_usage(call->daemon->engine, &layers);
    int rc = pod_metrics_list(call->arena, views, n, &layers, POD_METRICS_MAX_BYTES, reply, err);
    pod_stats_views_free(views, n);
    return rc;
}
