/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - configuration as tables. Each folder declares a `struct X_config` and one table of its
 * keys; the daemon concatenates the tables, so that an unknown key fails with file and line, every
 * value is checked against its bounds, and --print-config documents itself.
 */
#ifndef UNICRI_BASE_OPTIONS_H
#define UNICRI_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/toml.h"

enum option_type {
    OPTION_STRING,  /* char *, owned */
    OPTION_PATH,    /* char *, owned; absolute */
    OPTION_STRV,    /* char **, owned */
    OPTION_BOOL,    /* bool */
    OPTION_INT,     /* int64_t within [min, max] */
    OPTION_SECONDS, /* nsec_t; written in seconds, fractions allowed; min and max in seconds */
    OPTION_BYTES,   /* uint64_t; a number or "64MiB", "1GiB" */
    OPTION_TABLES,  /* json_t *, owned: a table of tables ([handlers.NAME]) that the folder's own
                       parser reads */
};

struct option {
    const char *key; /* dotted: "server.socket" */
    enum option_type type;
    size_t offset;        /* offsetof in the folder's config struct */
    const char *fallback; /* as it would be written in TOML, without quotes; NULL: empty */
    int64_t min, max;     /* OPTION_INT, OPTION_SECONDS, OPTION_BYTES; both 0: no bound */
    const char *help;
};
struct option_table {
    const struct option *options;
    size_t n;
    void *config; /* the folder's struct */
};

/** options_defaults() - set every value to its fallback. */
int options_defaults(const struct option_table *tables, size_t n, struct err *err) MUST_CHECK;
/** options_load() - apply one document over what is there. Errors: INVALID "file:line: unknown key
 * 'x'" and so on. */
int options_load(const struct option_table *tables, size_t n, const struct toml_doc *doc,
                 struct err *err) MUST_CHECK;
/** options_print() - every key with its help, bounds and current value, as TOML that options_load()
 * reads back. */
void options_print(const struct option_table *tables, size_t n, FILE *out);
/** options_done() - free all owned values. */
void options_done(const struct option_table *tables, size_t n);

#endif
