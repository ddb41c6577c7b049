/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi_text - YAML or JSON text as a tree of nodes, by libyaml's events (JSON is read as the YAML it
 * is). For cdi_spec.c only. Bounded while it is read: bytes, depth, nodes, anchors. An alias is the
 * anchored node itself, not a copy, so the tree takes no more memory than the text; whoever walks
 * it by a fixed shape with bounded counts cannot be made to walk for ever, since a node never lies
 * below itself.
 */
#ifndef UNICRI_SANDBOX_CDI_TEXT_H
#define UNICRI_SANDBOX_CDI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

#define CDI_TEXT_MAX_BYTES (4 * 1024 * 1024)
#define CDI_DEPTH_MAX      32
#define CDI_NODES_MAX      65536
#define CDI_ANCHORS_MAX    256
#define CDI_KEYS_MAX       1024 /* of one map */

enum cdi_kind { CDI_SCALAR, CDI_LIST, CDI_MAP };

struct cdi_node {
    enum cdi_kind kind;
    bool plain;              /* a scalar without quotes: may be a number, a boolean, nothing */
    bool open;               /* still being read */
    size_t line;             /* from 1 */
    char *text;              /* of a scalar; UTF-8 without NUL */
    struct cdi_node **items; /* borrowed; of a map: key (a scalar), value, key, value ... */
    size_t n, cap;
};

struct cdi_text {
    struct cdi_node **nodes; /* all, owned */
    size_t n, cap;
    struct cdi_node *root;
};

/** cdi_text_parse() - one document. Errors: INVALID (line and what), EXHAUSTED (a bound).
 * Returns: owned by the caller, NULL on error. */
struct cdi_text *cdi_text_parse(const char *text, size_t len, struct err *err);
void cdi_text_free(struct cdi_text *t);
DEFINE_CLEANUP(struct cdi_text *, cdi_text_free);

/** cdi_node_null() - written as nothing, "~" or "null". */
bool cdi_node_null(const struct cdi_node *node);

#endif
