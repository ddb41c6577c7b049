/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conflist - a network configuration list: parsed, checked and brought into one shape, from a file
 * or from a row.
 *
 * A single plugin's configuration (*.conf) becomes a list of one. After conflist_parse() the JSON
 * has exactly one "cniVersion" that is known, a safe "name" and 1 to CONFLIST_PLUGINS_MAX
 * "plugins", each with a safe "type".
 */
#ifndef UNICRI_CNI_CONFLIST_H
#define UNICRI_CNI_CONFLIST_H

#include <stdbool.h>

#include "base/json.h"

#define CONFLIST_MAX_BYTES   ((size_t)1024 * 1024)
#define CONFLIST_PLUGINS_MAX 32
#define CONFLIST_FILES_MAX   65536
#define CONFLIST_NAME_MAX    128

/* Versions of the CNI specification, in their order. */
enum cni_version { CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSIONS };

/** cni_version_parse() - "0.4.0"; -1 when it is not one we know. */
int cni_version_parse(const char *s);

struct conflist {
    json_t *json;     /* owned; as described above */
    const char *name; /* borrowed from json, as is all below */
    const char *version_name;
    enum cni_version version;
    json_t *plugins;
    bool disable_check, disable_gc;
};

/** conflist_parse() - `what` names the document in errors. Returns: owned by the caller, or NULL.
 * Errors: INVALID. */
struct conflist *conflist_parse(const char *text, size_t len, const char *what, struct err *err);
void conflist_free(struct conflist *list);
DEFINE_CLEANUP(struct conflist *, conflist_free);
#define autoconflist CLEANUP(conflist_free_cleanup) struct conflist

/** conflist_wants() - does any plugin declare this capability? */
bool conflist_wants(const struct conflist *list, const char *capability);

/* What a look at the directory found. */
struct conflist_scan {
    struct conflist *list; /* owned; NULL when there is none, or `kept` */
    char *file;            /* owned; its name, or NULL */
    bool kept; /* the file in use cannot be read at the moment: go on with what it said before */
    char **skipped; /* owned; one complaint for each file passed over */
};
/**
 * conflist_scan() - the first valid file by name among *.conflist, *.conf and *.json of a
 * directory.
 * @current: name of the file in use, or NULL. While somebody writes it in place it is broken for a
 * moment; that moment is no reason to take another network. Errors: NOT_FOUND, DENIED for the
 * directory itself.
 */
int conflist_scan(const char *dir, const char *current, struct conflist_scan *ret,
                  struct err *err) MUST_CHECK;
void conflist_scan_done(struct conflist_scan *scan);

#endif
