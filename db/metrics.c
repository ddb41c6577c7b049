/* SPDX-License-Identifier: Apache-2.0 */
/* metrics - what the database costs: changes, the wait for the one writer, the log's way into the
 * file. */
#include "db/db_private.h"

struct metric db_metric_write = {.name = "unicri_db_write_seconds",
                                 .help = "a change of the database, from its turn to its commit",
                                 .type = METRIC_HISTOGRAM};
struct metric db_metric_wait = {.name = "unicri_db_write_wait_seconds",
                                .help = "how long a change of the database waited for its turn",
                                .type = METRIC_HISTOGRAM};
struct metric db_metric_errors = {.name = "unicri_db_write_errors_total",
                                  .help = "changes of the database that were not made",
                                  .type = METRIC_COUNTER};
struct metric db_metric_checkpoint = {
    .name = "unicri_db_checkpoint_seconds",
    .help = "moving the database's log into its file, behind everybody's back",
    .type = METRIC_HISTOGRAM};
struct metric db_metric_checkpoint_errors = {.name = "unicri_db_checkpoint_errors_total",
                                             .help = "times the database's log could not be moved",
                                             .type = METRIC_COUNTER};
struct metric db_metric_log_pages = {.name = "unicri_db_log_pages",
                                     .help = "pages in the database's log at the last change",
                                     .type = METRIC_GAUGE};
struct metric db_metric_quarantined = {.name = "unicri_db_quarantined_total",
                                       .help = "records put into quarantine",
                                       .type = METRIC_COUNTER};

struct metric *const db_metrics[] = {
    &db_metric_write,
    &db_metric_wait,
    &db_metric_errors,
    &db_metric_checkpoint,
    &db_metric_checkpoint_errors,
    &db_metric_log_pages,
    &db_metric_quarantined,
    NULL,
};
