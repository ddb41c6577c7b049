/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - every option of the daemon: its own and those of the folders below, from built-in
 * values, the configuration file, config.d/ beside it, and the command line, each over the former.
 */
#ifndef UNICRI_CRI_CONFIG_H
#define UNICRI_CRI_CONFIG_H

#include <stdio.h>

#include "base/options.h"
#include "cni/cni.h"
#include "cri/stream/stream.h"
#include "imagestore/imagestore.h"
#include "sandbox/sandbox.h"
#include "vmm/vmm.h"

#define CONFIG_FILE_DEFAULT "/etc/unicri/config.toml"
#define CONFIG_FILES_MAX    256

struct server_config {
    char *socket;
    char *root_dir, *run_dir;
    char *log_level;
    int64_t max_connections, max_workers;
    int64_t oom_score_adj;
    nsec_t stop_patience;  /* for RPCs that still run at SIGTERM */
    nsec_t reply_patience; /* for a client that does not read */
    char *metrics_address;
};
extern const struct option server_options[];
extern const size_t server_options_n;

struct config {
    struct server_config server;
    struct imagestore_config images;
    struct cni_config cni;
    struct vmm_config vmm;
    struct sandbox_config sandbox;
    struct stream_config stream;
};

/**
 * config_load() - @file: NULL for the usual one, which may be missing; @sets: "key=value" of the
 * command line. Returns: owned by the caller; NULL with err INVALID "file:line: ..." or NOT_FOUND.
 */
struct config *config_load(const char *file, char *const *sets, struct err *err);
void config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free);
/** config_print() - all options with help and present values, as TOML that config_load() reads. */
void config_print(const struct config *config, FILE *out);

#endif
