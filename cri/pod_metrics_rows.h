/* SPDX-License-Identifier: Apache-2.0 */
/* pod_metrics_rows - the table of metrics and where each value comes from; for pod_metrics.c alone.
 */
#ifndef UNICRI_CRI_POD_METRICS_ROWS_H
#define UNICRI_CRI_POD_METRICS_ROWS_H

#include "cri/to_proto.h"

#define METRIC_EXTRA_MAX   4
#define METRIC_BASE_LABELS 6

enum metric_where { ON_CONTAINER = 1, ON_POD = 2, ON_BOTH = 3 };

struct metric_row;

/* The metrics of one container or pod, as they grow. */
struct metrics_out {
    struct arena *arena;
    const struct container_stats *stats;
    const struct usage_detail *detail;
    const struct pod_stats_view *pod;
    const struct container_view *container; /* NULL: of the pod itself */
    const struct layers_usage *layers;
    char *base[METRIC_BASE_LABELS]; /* values of metric_base_labels */
    const struct metric_row *row;
    Runtime__V1__Metric **v;
    size_t n, room;
};

struct metric_row {
    const char *name, *help;
    bool counter;
    enum metric_where where;
    const char *extra[METRIC_EXTRA_MAX]; /* further labels */
    void (*add)(struct metrics_out *out, unsigned which);
    unsigned which;
    uint64_t divisor; /* 0: 1 */
    bool spare;       /* left out when all of them do not fit into one reply */
};

extern const char *const metric_base_labels[METRIC_BASE_LABELS];
extern const struct metric_row metric_rows[];
extern const size_t metric_rows_n;

/** metric_extra() - how many further labels a row has. */
size_t metric_extra(const struct metric_row *row);
/** metric_is_of_v2() - is it something that version 1 of control groups does not count? */
bool metric_is_of_v2(const struct metric_row *row);

#endif
