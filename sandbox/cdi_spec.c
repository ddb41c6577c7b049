/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi_spec - one CDI file: its tree of nodes by tables of members into structs, then what the
 * specification demands of names, versions and edits. A member that is not known is an error, since
 * a device without one of its edits may not work and nobody would know why.
 */
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/strbuf.h"
#include "sandbox/cdi.h"
#include "sandbox/cdi_text.h"
#include "sandbox/users.h"

#define LIST_MAX          4096               /* members of one list */
#define DECODED_MAX_BYTES (16 * 1024 * 1024) /* aliases may make more of the text than there is */
#define NODE_COST         64

enum field_type { TEXT, TEXTS, INT, OPT_INT, INTS, BOOL, KVS, OBJECT, OBJECTS };
struct shape;
struct field {
    const char *name;
    enum field_type type;
    size_t at; /* offset in the struct */
    const struct shape *shape;
    size_t flag;      /* of OBJECT: offset of the bool that says it is there; 0: none */
    int64_t min, max; /* of numbers */
};
struct shape {
    const struct field *fields;
    size_t n, size;
};
#define SHAPE(fields_, type_)                                                                      \
    {                                                                                              \
        .fields = (fields_), .n = ARRAY_SIZE(fields_), .size = sizeof(type_)                       \
    }

#define AT(member) offsetof(struct cdi_device_node, member)
static const struct field node_fields[] = {
    {"path", TEXT, AT(path), NULL, 0, 0, 0},
    {"hostPath", TEXT, AT(host_path), NULL, 0, 0, 0},
    {"type", TEXT, AT(type), NULL, 0, 0, 0},
    {"major", INT, AT(major), NULL, 0, 0, 4095},
    {"minor", INT, AT(minor), NULL, 0, 0, 1048575},
    {"fileMode", OPT_INT, AT(file_mode), NULL, 0, 0, 07777},
    {"permissions", TEXT, AT(permissions), NULL, 0, 0, 0},
    {"uid", OPT_INT, AT(uid), NULL, 0, 0, USERS_ID_MAX},
    {"gid", OPT_INT, AT(gid), NULL, 0, 0, USERS_ID_MAX},
};
static const struct shape node_shape = SHAPE(node_fields, struct cdi_device_node);
#undef AT

#define AT(member) offsetof(struct cdi_net_device, member)
static const struct field net_fields[] = {
    {"hostInterfaceName", TEXT, AT(host_name), NULL, 0, 0, 0},
    {"name", TEXT, AT(name), NULL, 0, 0, 0},
};
static const struct shape net_shape = SHAPE(net_fields, struct cdi_net_device);
#undef AT

#define AT(member) offsetof(struct cdi_mount, member)
static const struct field mount_fields[] = {
    {"hostPath", TEXT, AT(host_path), NULL, 0, 0, 0},
    {"containerPath", TEXT, AT(container_path), NULL, 0, 0, 0},
    {"type", TEXT, AT(type), NULL, 0, 0, 0},
    {"options", TEXTS, AT(options), NULL, 0, 0, 0},
};
static const struct shape mount_shape = SHAPE(mount_fields, struct cdi_mount);
#undef AT

#define AT(member) offsetof(struct cdi_hook, member)
static const struct field hook_fields[] = {
    {"hookName", TEXT, AT(name), NULL, 0, 0, 0},
    {"path", TEXT, AT(path), NULL, 0, 0, 0},
    {"args", TEXTS, AT(args), NULL, 0, 0, 0},
    {"env", TEXTS, AT(env), NULL, 0, 0, 0},
    {"timeout", OPT_INT, AT(timeout), NULL, 0, 1, INT_MAX},
};
static const struct shape hook_shape = SHAPE(hook_fields, struct cdi_hook);
#undef AT

#define AT(member) offsetof(struct cdi_rdt, member)
static const struct field rdt_fields[] = {
    {"closID", TEXT, AT(clos_id), NULL, 0, 0, 0},
    {"l3CacheSchema", TEXT, AT(l3_schema), NULL, 0, 0, 0},
    {"memBwSchema", TEXT, AT(mem_bw_schema), NULL, 0, 0, 0},
    {"schemata", TEXTS, AT(schemata), NULL, 0, 0, 0},
    {"enableMonitoring", BOOL, AT(monitoring), NULL, 0, 0, 0},
};
static const struct shape rdt_shape = SHAPE(rdt_fields, struct cdi_rdt);
#undef AT

#define AT(member) offsetof(struct cdi_edits, member)
static const struct field edits_fields[] = {
    {"env", TEXTS, AT(env), NULL, 0, 0, 0},
    {"deviceNodes", OBJECTS, AT(nodes), &node_shape, 0, 0, 0},
    {"netDevices", OBJECTS, AT(net), &net_shape, 0, 0, 0},
    {"hooks", OBJECTS, AT(hooks), &hook_shape, 0, 0, 0},
    {"mounts", OBJECTS, AT(mounts), &mount_shape, 0, 0, 0},
    {"intelRdt", OBJECT, AT(rdt), &rdt_shape, AT(has_rdt), 0, 0},
    {"additionalGids", INTS, AT(gids), NULL, 0, 0, USERS_ID_MAX},
};
static const struct shape edits_shape = SHAPE(edits_fields, struct cdi_edits);
#undef AT

#define AT(member) offsetof(struct cdi_device, member)
static const struct field device_fields[] = {
    {"name", TEXT, AT(name), NULL, 0, 0, 0},
    {"annotations", KVS, AT(annotations), NULL, 0, 0, 0},
    {"containerEdits", OBJECT, AT(edits), &edits_shape, 0, 0, 0},
};
static const struct shape device_shape = SHAPE(device_fields, struct cdi_device);
#undef AT

#define AT(member) offsetof(struct cdi_spec, member)
static const struct field spec_fields[] = {
    {"cdiVersion", TEXT, AT(version), NULL, 0, 0, 0},
    {"kind", TEXT, AT(kind), NULL, 0, 0, 0},
    {"annotations", KVS, AT(annotations), NULL, 0, 0, 0},
    {"devices", OBJECTS, AT(devices), &device_shape, 0, 0, 0},
    {"containerEdits", OBJECT, AT(edits), &edits_shape, 0, 0, 0},
};
static const struct shape spec_shape = SHAPE(spec_fields, struct cdi_spec);
#undef AT

/* The layout that all lists of structs and numbers in cdi.h share. */
struct list {
    void *v;
    size_t n;
};

/* ----------------------------------------------------------------------- decode */

static int decode(const struct cdi_node *node, const struct shape *shape, void *out,
                  const char *what, size_t *spent, struct err *err);

static int spend(const struct cdi_node *node, size_t *spent, struct err *err)
{
    *spent += NODE_COST + (node->text ? strlen(node->text) : 0);
    if (*spent > DECODED_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "line %zu: aliases make more than %d bytes of it",
                       node->line, DECODED_MAX_BYTES);
    return 0;
}

static int want(const struct cdi_node *node, enum cdi_kind kind, const char *what, struct err *err)
{
    static const char *const names[] = {"a plain value", "a list", "a map"};

    if (node->kind != kind)
        return err_set(err, ERR_INVALID, "line %zu: '%s' is not %s", node->line, what, names[kind]);
    if (kind == CDI_LIST && node->n > LIST_MAX)
        return err_set(err, ERR_EXHAUSTED, "line %zu: '%s' has more than %d members", node->line,
                       what, LIST_MAX);
    return 0;
}

/* Decimal, 0x, 0o, and a leading 0 for octal as YAML 1.1 has it (file modes are written so). */
static int number(const struct cdi_node *node, const struct field *f, int64_t *ret, size_t *spent,
                  struct err *err)
{
    const char *s = node->text;
    int base = 10;
    long long v;
    char *end;

    if (want(node, CDI_SCALAR, f->name, err) < 0 || spend(node, spent, err) < 0)
        return -1;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o'))
        base = s[1] == 'x' ? 16 : 8, s += 2;
    else if (s[0] == '0' && s[1])
        base = 8;
    v = strtoll(s, &end, base);
    if (!node->plain || *end || !isxdigit((unsigned char)*s) || v < f->min || v > f->max)
        return err_set(err, ERR_INVALID, "line %zu: '%s' is not a number from %lld to %lld",
                       node->line, f->name, (long long)f->min, (long long)f->max);
    *ret = v;
    return 0;
}

static int boolean(const struct cdi_node *node, const char *what, bool *ret, struct err *err)
{
    if (node->kind == CDI_SCALAR && node->plain &&
        (str_eq(node->text, "true") || str_eq(node->text, "false"))) {
        *ret = *node->text == 't';
        return 0;
    }
    return err_set(err, ERR_INVALID, "line %zu: '%s' is not true or false", node->line, what);
}

static int text(const struct cdi_node *node, const char *what, char **ret, size_t *spent,
                struct err *err)
{
    if (want(node, CDI_SCALAR, what, err) < 0 || spend(node, spent, err) < 0)
        return -1;
    *ret = xstrdup(node->text);
    return 0;
}

static int texts(const struct cdi_node *node, const char *what, char ***ret, size_t *spent,
                 struct err *err)
{
    char *s = NULL;

    if (want(node, CDI_LIST, what, err) < 0)
        return -1;
    for (size_t i = 0; i < node->n; i++) {
        if (text(node->items[i], what, &s, spent, err) < 0)
            return -1;
        strv_take(ret, s);
    }
    return 0;
}

static int kvs(const struct cdi_node *node, const char *what, struct kvs *ret, size_t *spent,
               struct err *err)
{
    if (want(node, CDI_MAP, what, err) < 0)
        return -1;
    for (size_t i = 0; i < node->n; i += 2) {
        const struct cdi_node *value = node->items[i + 1];

        if (want(value, CDI_SCALAR, what, err) < 0 || spend(node->items[i], spent, err) < 0 ||
            spend(value, spent, err) < 0)
            return -1;
        kvs_set(ret, node->items[i]->text, value->text);
    }
    return 0;
}

static int numbers(const struct cdi_node *node, const struct field *f, struct list *ret,
                   size_t *spent, struct err *err)
{
    if (want(node, CDI_LIST, f->name, err) < 0)
        return -1;
    ret->v = xcalloc(node->n + 1, sizeof(int64_t));
    for (; ret->n < node->n; ret->n++)
        if (number(node->items[ret->n], f, (int64_t *)ret->v + ret->n, spent, err) < 0)
            return -1;
    return 0;
}

static int objects(const struct cdi_node *node, const struct field *f, struct list *ret,
                   size_t *spent, struct err *err)
{
    if (want(node, CDI_LIST, f->name, err) < 0)
        return -1;
    ret->v = xcalloc(node->n + 1, f->shape->size);
    while (ret->n < node->n) {
        char *at = (char *)ret->v + ret->n * f->shape->size;
        const struct cdi_node *item = node->items[ret->n++];

        if (decode(item, f->shape, at, f->name, spent, err) < 0)
            return -1;
    }
    return 0;
}

static int member(const struct cdi_node *value, const struct field *f, void *out, size_t *spent,
                  struct err *err)
{
    char *at = (char *)out + f->at;
    struct optional_int *number_at = (struct optional_int *)at;

    switch (f->type) {
    case TEXT:
        return text(value, f->name, (char **)at, spent, err);
    case TEXTS:
        return texts(value, f->name, (char ***)at, spent, err);
    case INT:
        return number(value, f, (int64_t *)at, spent, err);
    case OPT_INT:
        number_at->set = true;
        return number(value, f, &number_at->value, spent, err);
    case INTS:
        return numbers(value, f, (struct list *)at, spent, err);
    case BOOL:
        return boolean(value, f->name, (bool *)at, err);
    case KVS:
        return kvs(value, f->name, (struct kvs *)at, spent, err);
    case OBJECT:
        if (f->flag)
            *(bool *)((char *)out + f->flag) = true;
        return decode(value, f->shape, at, f->name, spent, err);
    case OBJECTS:
        return objects(value, f, (struct list *)at, spent, err);
    }
    return 0;
}

static int decode(const struct cdi_node *node, const struct shape *shape, void *out,
                  const char *what, size_t *spent, struct err *err)
{
    if (want(node, CDI_MAP, what, err) < 0 || spend(node, spent, err) < 0)
        return -1;
    for (size_t i = 0; i < node->n; i += 2) {
        const char *key = node->items[i]->text;
        const struct field *f = shape->fields, *end = f + shape->n;

        while (f < end && !str_eq(f->name, key))
            f++;
        if (f == end)
            return err_set(err, ERR_INVALID, "line %zu: '%s' has no member '%s'",
                           node->items[i]->line, what, key);
        if (!cdi_node_null(node->items[i + 1]) &&
            member(node->items[i + 1], f, out, spent, err) < 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------- free */

static void release(const struct shape *shape, void *out)
{
    for (const struct field *f = shape->fields; f < shape->fields + shape->n; f++) {
        char *at = (char *)out + f->at;
        const struct list *list = (struct list *)at;

        if (f->type == TEXT)
            free(*(char **)at);
        else if (f->type == TEXTS)
            strv_free(*(char ***)at);
        else if (f->type == KVS)
            kvs_done((struct kvs *)at);
        else if (f->type == OBJECT)
            release(f->shape, at);
        else if (f->type == OBJECTS)
            for (size_t i = 0; i < list->n; i++)
                release(f->shape, (char *)list->v + i * f->shape->size);
        if (f->type == OBJECTS || f->type == INTS)
            free(list->v);
    }
}

void cdi_spec_free(struct cdi_spec *spec)
{
    if (!spec)
        return;
    release(&spec_shape, spec);
    free(spec);
}

struct cdi_spec *cdi_spec_parse(const char *bytes, size_t len, struct err *err)
{
    struct cdi_text *tree = cdi_text_parse(bytes, len, err);
    autocdi_spec *spec = XNEW(struct cdi_spec);
    size_t spent = 0;
    int rc = tree ? decode(tree->root, &spec_shape, spec, "the file", &spent, err) : -1;

    cdi_text_free(tree);
    if (rc < 0 || cdi_spec_check(spec, err) < 0)
        return NULL;
    return TAKE_PTR(spec);
}
