/* SPDX-License-Identifier: Apache-2.0 */
/* options - the configuration keys ("image.*") and the metrics of this folder. */
#include <stddef.h>

#include "imagestore/store.h"

#define OFFSET(field) offsetof(struct imagestore_config, field)

const struct option imagestore_options[] = {
    {"image.certs_dir", OPTION_PATH, OFFSET(certs_dir), "/etc/containerd/certs.d", 0, 0,
     "directory of HOST/hosts.toml files (mirrors, TLS), in containerd's format"},
    {"image.plain_http_hosts", OPTION_STRV, OFFSET(plain_http_hosts), NULL, 0, 0,
     "registries (\"host:port\") spoken to without TLS; loopback addresses are by default"},
    {"image.parallel_layers", OPTION_INT, OFFSET(parallel_layers), "4", 1, 64,
     "layers of one image fetched and unpacked at once"},
    {"image.connect_timeout", OPTION_SECONDS, OFFSET(connect_timeout), "10", 1, 600,
     "seconds to reach a registry"},
    {"image.header_timeout", OPTION_SECONDS, OFFSET(header_timeout), "30", 1, 600,
     "seconds until a registry begins to answer"},
    {"image.stall_timeout", OPTION_SECONDS, OFFSET(stall_timeout), "30", 1, 3600,
     "seconds without a byte, and the window of min_rate"},
    {"image.min_rate", OPTION_BYTES, OFFSET(min_rate_bytes), "1KiB", 0, 0,
     "bytes per second below which a transfer is given up and resumed"},
    {"image.max_image_bytes", OPTION_BYTES, OFFSET(max_image_bytes), "64GiB", 0, 0,
     "unpacked size of all layers of one image"},
    {"image.max_layers", OPTION_INT, OFFSET(max_layers), "127", 1, 400, "layers of one image"},
    {"image.max_entries", OPTION_INT, OFFSET(max_entries), "4000000", 1, 100000000,
     "files of one layer"},
    {"image.min_free_bytes", OPTION_BYTES, OFFSET(min_free_bytes), "64MiB", 0, 0,
     "free space on the disk of images below which pulls fail (an eighth of a smaller disk)"},
    {"image.pinned", OPTION_STRV, OFFSET(pinned), NULL, 0, 0,
     "images (references or ids) that cannot be removed and that a kubelet does not clean up"},
    {"image.guest_platforms", OPTION_STRV, OFFSET(guest_platforms), "qemu, fc", 0, 0,
     "where an index has no image for Linux: names of KraftKit's platforms to take instead, best "
     "first"},
    {"image.unpack_program", OPTION_STRING, OFFSET(unpack_program), NULL, 0, 0,
     "unicri-unpack; empty: beside the daemon"},
    {"image.unpack_uid", OPTION_INT, OFFSET(unpack_uid), "0", 0, 4294967294,
     "user of unicri-unpack; 0: root with the few capabilities that tar needs"},
    {"image.mkdisk_program", OPTION_STRING, OFFSET(mkdisk_program), NULL, 0, 0,
     "unicri-mkdisk; empty: beside the daemon"},
    {"image.disk_free_bytes", OPTION_BYTES, OFFSET(disk_free_bytes), "1GiB", 0, 0,
     "room for new files in an image's root filesystem as a writable disk"},
    {"image.disk_timeout", OPTION_SECONDS, OFFSET(disk_timeout), "600", 1, 86400,
     "seconds that making a disk of an image may take"},
};
const size_t imagestore_options_n = ARRAY_SIZE(imagestore_options);

struct metric image_pulls_metric = {
    .name = "unicri_image_pulls_total", .help = "Image pulls started", .type = METRIC_COUNTER};
struct metric image_pull_joined_metric = {.name = "unicri_image_pulls_joined_total",
                                          .help = "Pull requests that joined a running pull",
                                          .type = METRIC_COUNTER};
struct metric image_pull_errors_metric = {.name = "unicri_image_pull_errors_total",
                                          .help = "Image pulls that failed",
                                          .type = METRIC_COUNTER};
struct metric image_pull_seconds_metric = {.name = "unicri_image_pull_seconds",
                                           .help = "Duration of successful image pulls",
                                           .type = METRIC_HISTOGRAM};
struct metric image_disk_seconds_metric = {.name = "unicri_image_disk_seconds",
                                           .help = "Duration of making disks of images",
                                           .type = METRIC_HISTOGRAM};
struct metric image_bytes_metric = {.name = "unicri_image_received_bytes_total",
                                    .help = "Layer bytes received from registries",
                                    .type = METRIC_COUNTER};
struct metric image_layers_metric = {.name = "unicri_image_layers_unpacked_total",
                                     .help = "Layers unpacked",
                                     .type = METRIC_COUNTER};
struct metric image_resumed_metric = {.name = "unicri_image_layer_retries_total",
                                      .help = "Layers fetched again from another host",
                                      .type = METRIC_COUNTER};

struct metric *const imagestore_metrics[] = {
    &image_pulls_metric,        &image_pull_joined_metric,  &image_pull_errors_metric,
    &image_pull_seconds_metric, &image_bytes_metric,        &image_layers_metric,
    &image_resumed_metric,      &image_disk_seconds_metric, NULL,
};
