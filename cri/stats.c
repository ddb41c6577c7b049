/* SPDX-License-Identifier: Apache-2.0 */
/* stats - ContainerStats, ListContainerStats. Statistics of whole pods stay unbuilt, and say so: a
 * kubelet that got a part of them would turn its own off. */
#include "cri/handlers.h"

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
    const Runtime__V1__ContainerStatsFilter *wanted =
        REQUEST(call, Runtime__V1__ListContainerStatsRequest)->filter;
    CLEANUP(filter_done) struct filter filter = {.list.state = -1};
    struct container_stats_view *views = NULL;

    if (wanted) {
        filter.list.id = wanted->id;
        filter.list.pod_id = wanted->pod_sandbox_id;
        if (spec_map(wanted->n_label_selector, MAP(wanted->label_selector), "filter.label_selector",
                     &filter.labels, err) < 0)
            return -1;
        filter.list.labels = &filter.labels;
    }
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
