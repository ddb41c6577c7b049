/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_metrics - two rows a method, labelled with its name when first asked for. */
#include "cri/rpc_metrics.h"

#include <pthread.h>

#include "base/mem.h"
#include "cri/methods.h"

static struct metric seconds[METHODS_N], errors[METHODS_N];
static struct metric *list[2 * METHODS_N + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The labels live as long as the process. */
static char labels[METHODS_N][64];

static void init(void)
{
    for (size_t i = 0; i < METHODS_N; i++) {
        (void)snprintf(labels[i], sizeof labels[i], "method=\"%s\"", methods[i].name);
        seconds[i].name = "unicri_rpc_seconds";
        seconds[i].help = "Time to answer an RPC.";
        seconds[i].label = labels[i];
        seconds[i].type = METRIC_HISTOGRAM;
        errors[i].name = "unicri_rpc_errors_total";
        errors[i].help = "RPCs answered by an error.";
        errors[i].label = labels[i];
        errors[i].type = METRIC_COUNTER;
        list[i] = &seconds[i];
        list[METHODS_N + i] = &errors[i];
    }
}

void rpc_metrics_count(size_t method, nsec_t duration, bool failed)
{
    (void)pthread_once(&once, init);
    metric_observe(&seconds[method], duration);
    if (failed)
        metric_add(&errors[method], 1);
}

struct metric *const *rpc_metrics(void)
{
    (void)pthread_once(&once, init);
    return list;
}
