/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts - where the images of a registry are fetched from: mirrors and TLS settings from
 * CERTS_DIR/HOST/hosts.toml (or CERTS_DIR/_default/hosts.toml) in containerd's format, else the
 * registry itself. Mirrors never change an image's name. The list ends with the registry's own
 * server.
 */
#ifndef UNICRI_IMAGESTORE_HOSTS_H
#define UNICRI_IMAGESTORE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct imagestore_config;

#define HOSTS_MAX            32
#define HOSTS_CA_MAX_BYTES   (1024 * 1024)
#define HOSTS_FILE_MAX_BYTES (256 * 1024)

struct registry_host {
    char *base;      /* "http://127.0.0.1:5000/v2", no slash at the end; owned, as all below */
    char *authority; /* "127.0.0.1:5000" */
    char *ca_pem;    /* PEM text, or NULL for the system's */
    char *client_cert, *client_key; /* paths, or NULL */
    char **headers;                 /* "Name: value", sent to this host only */
    bool skip_verify;
    bool can_pull, can_resolve;
    bool upstream; /* the registry's own server */
};
struct host_list {
    struct registry_host *v; /* owned */
    size_t n;
};

/** hosts_load() - the hosts for a registry name, in the order of trying. Errors: INVALID (bad
 * hosts.toml, with line). */
int hosts_load(const struct imagestore_config *config, const char *registry, struct host_list *ret,
               struct err *err) MUST_CHECK;
/** hosts_parse() - the text of one hosts.toml; `dir` is where relative file names start. Reads CA
 * files. */
int hosts_parse(const struct imagestore_config *config, const char *registry, const char *text,
                size_t len, const char *dir, struct host_list *ret, struct err *err) MUST_CHECK;
void host_list_done(struct host_list *l);

/** host_is_loopback() - "localhost", 127.0.0.0/8, [::1], with or without a port. */
bool host_is_loopback(const char *authority);

#endif
