/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_metrics - a histogram and a count of errors for each RPC: unicri_rpc_seconds,
 * unicri_rpc_errors_total. */
#ifndef UNICRI_CRI_RPC_METRICS_H
#define UNICRI_CRI_RPC_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/metrics.h"

/** rpc_metrics_count() - one RPC of method number `method` has ended. Thread: any. */
void rpc_metrics_count(size_t method, nsec_t duration, bool failed);
/** rpc_metrics() - NULL terminated, for metrics_print(). */
struct metric *const *rpc_metrics(void);

#endif
