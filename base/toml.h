/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml - a C face of toml++: a TOML document becomes a json_t tree (see base/json.h), and each
 * value's line is remembered so that a complaint about it can name `file:line`.
 */
#ifndef UNICRI_BASE_TOML_H
#define UNICRI_BASE_TOML_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TOML_FILE_MAX_BYTES (1024 * 1024)

struct toml_doc;
/** toml_parse() - `name` is used in errors. Errors: INVALID `name:line:column: what`. */
struct toml_doc *toml_parse(const char *text, size_t len, const char *name, struct err *err);
/** toml_root() - the tree; borrowed. Dates become strings. */
json_t *toml_root(const struct toml_doc *doc);
/** toml_line() - the line of the value at a dotted path ("server.socket"), or 0. */
int toml_line(const struct toml_doc *doc, const char *path);
const char *toml_name(const struct toml_doc *doc);
void toml_free(struct toml_doc *doc);

#ifdef __cplusplus
}
#endif
#endif
