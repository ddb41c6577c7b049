/* SPDX-License-Identifier: Apache-2.0 */
/* metrics - see metrics.h; the text is Prometheus' exposition format 0.0.4. */
#include "base/metrics.h"

#include <inttypes.h>
#include <string.h>

#define FIRST_BUCKET NSEC_PER_MSEC /* each further one is twice as wide */

void metric_add(struct metric *m, int64_t n)
{
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t v)
{
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
}

void metric_observe(struct metric *m, nsec_t duration)
{
    nsec_t bound = FIRST_BUCKET;
    size_t i = 0;

    while (i < METRIC_BUCKETS && duration > bound) {
        bound *= 2;
        i++;
    }
    atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->value, duration, memory_order_relaxed);
}

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static void add_labels(struct strbuf *out, const char *label, const char *le)
{
    if (!label && !le)
        return;
    strbuf_addf(out, "{%s%s", label ? label : "", label && le ? "," : "");
    if (le)
        strbuf_addf(out, "le=\"%s\"", le);
    strbuf_addc(out, '}');
}

static void print_histogram(struct metric *m, struct strbuf *out)
{
    nsec_t bound = FIRST_BUCKET;
    uint64_t total = 0;

    for (size_t i = 0; i <= METRIC_BUCKETS; i++, bound *= 2) {
        char le[32] = "+Inf";

        if (i < METRIC_BUCKETS)
            (void)snprintf(le, sizeof(le), "%" PRId64 ".%03" PRId64, bound / NSEC_PER_SEC,
                           bound % NSEC_PER_SEC / NSEC_PER_MSEC);
        total += atomic_load_explicit(&m->buckets[i], memory_order_relaxed);
        strbuf_addf(out, "%s_bucket", m->name);
        add_labels(out, m->label, le);
        strbuf_addf(out, " %" PRIu64 "\n", total);
    }
    strbuf_addf(out, "%s_sum", m->name);
    add_labels(out, m->label, NULL);
    strbuf_addf(out, " %.9f\n",
                (double)atomic_load_explicit(&m->value, memory_order_relaxed) / NSEC_PER_SEC);
    strbuf_addf(out, "%s_count", m->name);
    add_labels(out, m->label, NULL);
    strbuf_addf(out, " %" PRIu64 "\n", total); /* the same reading: count equals the +Inf bucket */
}

static bool is_empty(struct metric *m)
{
    uint64_t seen = 0;

    for (size_t i = 0; i <= METRIC_BUCKETS; i++)
        seen |= atomic_load_explicit(&m->buckets[i], memory_order_relaxed);
    return seen == 0;
}

void metrics_print(struct metric *const *list, struct strbuf *out)
{
    const char *last = "";

    for (; *list; list++) {
        struct metric *m = *list;

        if (m->when_seen && is_empty(m))
            continue;
        if (strcmp(m->name, last) != 0)
            strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                        type_name(m->type));
        last = m->name;
        if (m->type == METRIC_HISTOGRAM) {
            print_histogram(m, out);
            continue;
        }
        strbuf_adds(out, m->name);
        add_labels(out, m->label, NULL);
        strbuf_addf(out, " %" PRId64 "\n", atomic_load_explicit(&m->value, memory_order_relaxed));
    }
}
