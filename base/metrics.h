/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - counters, gauges and histograms, registered in one const list per folder
 * (`extern struct metric *const cni_metrics[]`, NULL terminated) and printed in the Prometheus text
 * format. Thread: all updates are atomic and may come from anywhere.
 */
#ifndef UNICRI_BASE_METRICS_H
#define UNICRI_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/strbuf.h"

#define METRIC_BUCKETS 14

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
struct metric {
    const char *name; /* "unicri_cni_seconds" */
    const char *help;
    const char
        *label; /* fixed label pair `stage="cni"`, or NULL; rows of one name stand together */
    enum metric_type type;
    bool when_seen;        /* a histogram of many rows: left out until it has counted something */
    _Atomic int64_t value; /* counter or gauge; histogram: sum in ns */
    _Atomic uint64_t
        buckets[METRIC_BUCKETS + 1]; /* histogram: 1 ms .. 8 s in powers of two, +Inf */
};

void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t v);
void metric_observe(struct metric *m, nsec_t duration);
/** metrics_print() - append a NULL terminated list. */
void metrics_print(struct metric *const *list, struct strbuf *out);

#endif
