/* SPDX-License-Identifier: Apache-2.0 */
/* cdi_text - see cdi_text.h. The parser is told when to stop by us, event by event: libyaml has no
 * bounds of its own. */
#include "sandbox/cdi_text.h"

#include <string.h>
#include <yaml.h>

#include "base/strbuf.h"

#define STRING_TAG   "tag:yaml.org,2002:str"
#define STANDARD_TAG "tag:yaml.org,2002:"

struct reader {
    yaml_parser_t parser;
    struct cdi_text *out;
    struct cdi_node *path[CDI_DEPTH_MAX]; /* the open lists and maps */
    size_t depth;
    struct {
        char *name; /* owned */
        struct cdi_node *node;
    } anchors[CDI_ANCHORS_MAX];
    size_t n_anchors;
    bool done; /* a document was read */
};

static int fail(const yaml_event_t *event, enum err_code code, struct err *err, const char *what)
{
    return err_set(err, code, "line %zu: %s", event->start_mark.line + 1, what);
}

static void push(struct cdi_node ***list, size_t *n, size_t *cap, struct cdi_node *node)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        *list = xrealloc_array(*list, *cap, sizeof(struct cdi_node *));
    }
    (*list)[(*n)++] = node;
}

static struct cdi_node *new_node(struct reader *r, const yaml_event_t *event, enum cdi_kind kind,
                                 struct err *err)
{
    struct cdi_node *node;

    if (r->out->n >= CDI_NODES_MAX) {
        (void)fail(event, ERR_EXHAUSTED, err, "too many values");
        return NULL;
    }
    node = XNEW(struct cdi_node);
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    push(&r->out->nodes, &r->out->n, &r->out->cap, node);
    return node;
}

static bool map_wants_key(const struct cdi_node *map)
{
    return map->n % 2 == 0;
}

static int check_key(const struct cdi_node *map, const struct cdi_node *key,
                     const yaml_event_t *event, struct err *err)
{
    if (key->kind != CDI_SCALAR)
        return fail(event, ERR_INVALID, err, "a key that is no text");
    if (map->n / 2 >= CDI_KEYS_MAX)
        return fail(event, ERR_EXHAUSTED, err, "too many keys");
    for (size_t i = 0; i < map->n; i += 2)
        if (str_eq(map->items[i]->text, key->text))
            return err_set(err, ERR_INVALID, "line %zu: '%s' is there twice", key->line, key->text);
    return 0;
}

/* Hang a node where the reader stands. */
static int attach(struct reader *r, struct cdi_node *node, const yaml_event_t *event,
                  struct err *err)
{
    struct cdi_node *parent = r->depth ? r->path[r->depth - 1] : NULL;

    if (!parent) {
        r->out->root = node;
        return 0;
    }
    if (parent->kind == CDI_MAP && map_wants_key(parent) && check_key(parent, node, event, err) < 0)
        return -1;
    push(&parent->items, &parent->n, &parent->cap, node);
    return 0;
}

static int anchor(struct reader *r, const yaml_char_t *name, struct cdi_node *node,
                  const yaml_event_t *event, struct err *err)
{
    if (!name)
        return 0;
    if (r->n_anchors >= CDI_ANCHORS_MAX)
        return fail(event, ERR_EXHAUSTED, err, "too many anchors");
    r->anchors[r->n_anchors].name = xstrdup((const char *)name);
    r->anchors[r->n_anchors++].node = node;
    return 0;
}

static int on_alias(struct reader *r, const yaml_event_t *event, struct err *err)
{
    const char *name = (const char *)event->data.alias.anchor;

    for (size_t i = r->n_anchors; i-- > 0;) { /* the latest of that name */
        if (!str_eq(r->anchors[i].name, name))
            continue;
        if (r->anchors[i].node->open)
            return fail(event, ERR_INVALID, err, "an alias inside of what it names");
        return attach(r, r->anchors[i].node, event, err);
    }
    return err_set(err, ERR_INVALID, "line %zu: alias '%s' of nothing", event->start_mark.line + 1,
                   name);
}

static int check_tag(const yaml_char_t *tag, const yaml_event_t *event, struct err *err)
{
    if (tag && !str_has_prefix((const char *)tag, STANDARD_TAG))
        return err_set(err, ERR_INVALID, "line %zu: unknown tag '%s'", event->start_mark.line + 1,
                       (const char *)tag);
    return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *event, struct err *err)
{
    const char *text = (const char *)event->data.scalar.value;
    const yaml_char_t *tag = event->data.scalar.tag;
    struct cdi_node *node;

    if (check_tag(tag, event, err) < 0)
        return -1;
    if (!str_is_utf8(text, event->data.scalar.length))
        return fail(event, ERR_INVALID, err, "text with a NUL or not in UTF-8");
    node = new_node(r, event, CDI_SCALAR, err);
    if (!node)
        return -1;
    node->text = xstrdup(text);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                  !(tag && str_eq((const char *)tag, STRING_TAG));
    if (anchor(r, event->data.scalar.anchor, node, event, err) < 0)
        return -1;
    return attach(r, node, event, err);
}

static int on_start(struct reader *r, const yaml_event_t *event, enum cdi_kind kind,
                    const yaml_char_t *tag, const yaml_char_t *name, struct err *err)
{
    struct cdi_node *node;

    if (check_tag(tag, event, err) < 0)
        return -1;
    if (r->depth >= CDI_DEPTH_MAX)
        return fail(event, ERR_EXHAUSTED, err, "nested too deeply");
    node = new_node(r, event, kind, err);
    if (!node || anchor(r, name, node, event, err) < 0 || attach(r, node, event, err) < 0)
        return -1;
    node->open = true;
    r->path[r->depth++] = node;
    return 0;
}

static int on_event(struct reader *r, const yaml_event_t *event, struct err *err)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return r->done ? fail(event, ERR_INVALID, err, "a second document") : 0;
    case YAML_DOCUMENT_END_EVENT:
        r->done = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(r, event, err);
    case YAML_SCALAR_EVENT:
        return on_scalar(r, event, err);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, event, CDI_LIST, event->data.sequence_start.tag,
                        event->data.sequence_start.anchor, err);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, event, CDI_MAP, event->data.mapping_start.tag,
                        event->data.mapping_start.anchor, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->path[--r->depth]->open = false;
        return 0;
    default: /* the stream's begin and end */
        return 0;
    }
}

static int read_all(struct reader *r, struct err *err)
{
    for (bool end = false; !end;) {
        yaml_event_t event;

        if (!yaml_parser_parse(&r->parser, &event))
            return err_set(err, ERR_INVALID, "line %zu: %s", r->parser.problem_mark.line + 1,
                           r->parser.problem ? r->parser.problem : "cannot be read");
        end = event.type == YAML_STREAM_END_EVENT;

        int rc = on_event(r, &event, err);

        yaml_event_delete(&event);
        if (rc < 0)
            return -1;
    }
    return r->out->root ? 0 : err_set(err, ERR_INVALID, "empty");
}

struct cdi_text *cdi_text_parse(const char *text, size_t len, struct err *err)
{
    struct reader r = {0};
    int rc;

    if (len > CDI_TEXT_MAX_BYTES) {
        (void)err_set(err, ERR_EXHAUSTED, "larger than %d bytes", CDI_TEXT_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        (void)err_set(err, ERR_EXHAUSTED, "no memory for a YAML parser");
        return NULL;
    }
    r.out = XNEW(struct cdi_text);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    rc = read_all(&r, err);
    yaml_parser_delete(&r.parser);
    for (size_t i = 0; i < r.n_anchors; i++)
        free(r.anchors[i].name);
    if (rc < 0) {
        cdi_text_free(r.out);
        return NULL;
    }
    return r.out;
}

void cdi_text_free(struct cdi_text *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->nodes[i]->text);
        free((void *)t->nodes[i]->items);
        free(t->nodes[i]);
    }
    free((void *)t->nodes);
    free(t);
}

bool cdi_node_null(const struct cdi_node *node)
{
    return node->kind == CDI_SCALAR && node->plain &&
           (!*node->text || str_eq(node->text, "~") || str_eq(node->text, "null") ||
            str_eq(node->text, "Null") || str_eq(node->text, "NULL"));
}
