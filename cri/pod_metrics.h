/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_metrics - ListMetricDescriptors and ListPodSandboxMetrics: what cAdvisor would say of pods
 * and containers, under its names, so that whoever reads a kubelet's /metrics/cadvisor sees the
 * same series when the kubelet takes them from here.
 *
 * One table says of each metric its name, help, type, labels and where its values come from; the
 * descriptors are made from the same rows. Values are whole numbers (the API has no others):
 * seconds are cut off.
 */
#ifndef UNICRI_CRI_POD_METRICS_H
#define UNICRI_CRI_POD_METRICS_H

#include "cri/to_proto.h"

/** metric_descriptors() - of all rows that can have a value here: who is told of one waits for it.
 */
Runtime__V1__MetricDescriptor **metric_descriptors(struct arena *arena, bool cgroup_v2,
                                                   size_t *ret_n);
/** pod_metrics_to_proto() - of a pod and its containers, from views made with USAGE_DETAIL. What
 * does not run has no metrics. `layers`: the filesystem of the writable layers. `brief`: without
 * those that can be spared. */
Runtime__V1__PodSandboxMetrics *pod_metrics_to_proto(struct arena *arena,
                                                     const struct pod_stats_view *view,
                                                     const struct layers_usage *layers, bool brief);

#define POD_METRICS_MAX_BYTES ((size_t)16 * 1024 * 1024 - 1024) /* a kubelet's limit of a reply */
/** pod_metrics_list() - of all pods, in at most `max` bytes: where not all metrics fit, those that
 * can be spared are left out, of all pods alike. Errors: EXHAUSTED not even then. */
int pod_metrics_list(struct arena *arena, const struct pod_stats_view *views, size_t n,
                     const struct layers_usage *layers, size_t max,
                     Runtime__V1__ListPodSandboxMetricsResponse *ret, struct err *err) MUST_CHECK;

#endif
