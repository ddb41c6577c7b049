/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - see options.h: defaults, one value at a time, and a document over the tables. Printing
 * is in options_print.c. A fallback is parsed by the same code as a value of a document, after it
 * was made a JSON value.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/options_private.h"
#include "base/strbuf.h"

#define SECONDS_MAX 9223372036.0 /* what fits into nsec_t */

struct place {
    const char *file; /* NULL: a built-in value */
    int line;
    const char *key;
};

static int bad(const struct place *p, struct err *err, const char *fmt, ...) PRINTF(3, 4);
static int bad(const struct place *p, struct err *err, const char *fmt, ...)
{
    char why[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (!p->file)
        return err_set(err, ERR_INVALID, "default of '%s': %s", p->key, why);
    return err_set(err, ERR_INVALID, "%s:%d: '%s': %s", p->file, p->line, p->key, why);
}

static bool is_bounded(const struct option *o)
{
    return o->min != 0 || o->max != 0;
}

void *option_field(const struct option_table *t, const struct option *o)
{
    return (char *)t->config + o->offset;
}

static int set_string(void *field, const struct option *o, const json_t *v, const struct place *p,
                      struct err *err)
{
    const char *s = json_string_value(v);

    if (!s)
        return bad(p, err, "expected a string");
    if (strlen(s) != json_string_length(v))
        return bad(p, err, "a NUL is not allowed");
    if (o->type == OPTION_PATH && *s && *s != '/')
        return bad(p, err, "expected an absolute path, got '%.100s'", s);
    free(*(char **)field);
    *(char **)field = xstrdup(s);
    return 0;
}

static int set_strv(void *field, const json_t *v, const struct place *p, struct err *err)
{
    autostrv char **list = NULL;

    if (!json_is_array(v))
        return bad(p, err, "expected an array of strings");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));

        if (!s)
            return bad(p, err, "element %zu: expected a string", i);
        strv_push(&list, s);
    }
    strv_free(*(char ***)field);
    *(char ***)field = TAKE_PTR(list);
    return 0;
}

static int set_int(void *field, const struct option *o, const json_t *v, const struct place *p,
                   struct err *err)
{
    int64_t n = json_integer_value(v);

    if (!json_is_integer(v))
        return bad(p, err, "expected an integer");
    if (is_bounded(o) && (n < o->min || n > o->max))
        return bad(p, err, "%lld is not within %lld to %lld", (long long)n, (long long)o->min,
                   (long long)o->max);
    *(int64_t *)field = n;
    return 0;
}

static int set_seconds(void *field, const struct option *o, const json_t *v, const struct place *p,
                       struct err *err)
{
    double s = json_number_value(v);

    if (!json_is_number(v))
        return bad(p, err, "expected a number of seconds");
    if (is_bounded(o) && (s < (double)o->min || s > (double)o->max))
        return bad(p, err, "%g is not within %lld to %lld seconds", s, (long long)o->min,
                   (long long)o->max);
    if (fabs(s) > SECONDS_MAX)
        return bad(p, err, "%g seconds are too many", s);
    *(nsec_t *)field = llround(s * 1e9);
    return 0;
}

/* "64MiB" */
static int parse_bytes(const char *s, uint64_t *ret)
{
    static const struct {
        const char *unit;
        int shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    size_t digits = strspn(s, "0123456789");
    autofree char *number = xstrndup(s, digits);
    unsigned long long n;

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(s + digits + strspn(s + digits, " "), units[i].unit) != 0)
            continue;
        if (parse_u64(number, UINT64_MAX >> units[i].shift, "size", &n, NULL))
            return -1;
        *ret = (uint64_t)n << units[i].shift;
        return 0;
    }
    return -1;
}

static int set_bytes(void *field, const struct option *o, const json_t *v, const struct place *p,
                     struct err *err)
{
    uint64_t n = 0;

    if (json_is_integer(v) && json_integer_value(v) >= 0)
        n = (uint64_t)json_integer_value(v);
    else if (!json_is_string(v) || parse_bytes(json_string_value(v), &n))
        return bad(p, err, "expected a number of bytes, as 1048576 or \"64MiB\"");
    if (is_bounded(o) && (n < (uint64_t)o->min || n > (uint64_t)o->max))
        return bad(p, err, "%llu is not within %lld to %lld bytes", (unsigned long long)n,
                   (long long)o->min, (long long)o->max);
    *(uint64_t *)field = n;
    return 0;
}

/* Tables of a later document join those of an earlier one; the same name replaces. */
static int set_tables(void *field, json_t *v, const struct place *p, struct err *err)
{
    json_t **tables = field;
    const char *name;
    json_t *table;

    if (!json_is_object(v))
        return bad(p, err, "expected tables");
    json_object_foreach (v, name, table) {
        if (!json_is_object(table))
            return bad(p, err, "'%.64s': expected a table", name);
    }
    if (!*tables)
        *tables = json_object();
    if (!*tables || json_object_update(*tables, v))
        abort(); /* no memory */
    return 0;
}

static int set_value(const struct option_table *t, const struct option *o, json_t *v,
                     const struct place *p, struct err *err)
{
    void *field = option_field(t, o);

    switch (o->type) {
    case OPTION_STRING:
    case OPTION_PATH:
        return set_string(field, o, v, p, err);
    case OPTION_STRV:
        return set_strv(field, v, p, err);
    case OPTION_BOOL:
        if (!json_is_boolean(v))
            return bad(p, err, "expected true or false");
        *(bool *)field = json_is_true(v);
        return 0;
    case OPTION_INT:
        return set_int(field, o, v, p, err);
    case OPTION_SECONDS:
        return set_seconds(field, o, v, p, err);
    case OPTION_BYTES:
        return set_bytes(field, o, v, p, err);
    case OPTION_TABLES:
        return set_tables(field, v, p, err);
    }
    return bad(p, err, "unknown type of option");
}

/* "a, b" or ["a", "b"]: quotes, brackets and blanks are decoration. */
static json_t *strv_value(const char *s)
{
    json_t *a = json_array();

    while (*s) {
        size_t skip = strspn(s, "[]\", "), len = strcspn(s + skip, "[]\",");

        while (len > 0 && s[skip + len - 1] == ' ')
            len--;
        if (len > 0 && json_array_append_new(a, json_stringn(s + skip, len)))
            abort(); /* no memory */
        s += skip + len;
        if (len == 0 && skip == 0)
            break;
    }
    return a;
}

static json_t *fallback_value(const struct option *o)
{
    const char *s = o->fallback;
    char *end;

    switch (o->type) {
    case OPTION_STRING:
    case OPTION_PATH:
        return json_string(s ? s : "");
    case OPTION_STRV:
        return strv_value(s ? s : "");
    case OPTION_BOOL:
        return json_boolean(s && strcmp(s, "true") == 0);
    case OPTION_INT:
        return json_integer(s ? strtoll(s, &end, 10) : 0);
    case OPTION_SECONDS:
        return json_real(s ? strtod(s, &end) : 0);
    case OPTION_BYTES:
        return json_string(s ? s : "0");
    case OPTION_TABLES:
        return json_object();
    }
    return NULL;
}

int options_defaults(const struct option_table *tables, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < tables[i].n; k++) {
            const struct option *o = &tables[i].options[k];
            const struct place p = {.file = NULL, .key = o->key};
            autojson *v = fallback_value(o);

            if (!v)
                abort(); /* no memory, or text that is not UTF-8 */
            if (o->type == OPTION_TABLES) {
                json_decref(*(json_t **)option_field(&tables[i], o));
                *(json_t **)option_field(&tables[i], o) = NULL;
            }
            if (set_value(&tables[i], o, v, &p, err))
                return -1;
        }
    }
    return 0;
}

struct load {
    const struct option_table *tables;
    size_t n;
    const struct toml_doc *doc;
};

/* The option of that key; or NULL, and then *ret_inner tells whether longer keys begin with it. */
static const struct option *find(const struct load *l, const char *key,
                                 const struct option_table **ret_table, bool *ret_inner)
{
    size_t len = strlen(key);

    *ret_inner = false;
    for (size_t i = 0; i < l->n; i++) {
        for (size_t k = 0; k < l->tables[i].n; k++) {
            const struct option *o = &l->tables[i].options[k];

            if (strncmp(o->key, key, len) != 0)
                continue;
            if (o->key[len] == '\0') {
                *ret_table = &l->tables[i];
                return o;
            }
            *ret_inner |= o->key[len] == '.';
        }
    }
    return NULL;
}

/* Recursion ends with the longest key of the tables. */
static int load_object(const struct load *l, const char *prefix, json_t *object, struct err *err)
{
    const char *name;
    json_t *v;

    json_object_foreach (object, name, v) {
        autofree char *key = *prefix ? xasprintf("%s.%s", prefix, name) : xstrdup(name);
        const struct option_table *t = NULL;
        bool inner;
        const struct option *o = find(l, key, &t, &inner);
        struct place p = {toml_name(l->doc), toml_line(l->doc, key), key};

        if (o) {
            if (set_value(t, o, v, &p, err))
                return -1;
        } else if (inner && json_is_object(v)) {
            if (load_object(l, key, v, err))
                return -1;
        } else if (inner) {
            return bad(&p, err, "expected a table");
        } else {
            return err_set(err, ERR_INVALID, "%s:%d: unknown key '%s'", p.file, p.line, key);
        }
    }
    return 0;
}

int options_load(const struct option_table *tables, size_t n, const struct toml_doc *doc,
                 struct err *err)
{
    const struct load l = {tables, n, doc};

    return load_object(&l, "", toml_root(doc), err);
}

void options_done(const struct option_table *tables, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < tables[i].n; k++) {
            const struct option *o = &tables[i].options[k];
            void *field = option_field(&tables[i], o);

            if (o->type == OPTION_STRING || o->type == OPTION_PATH) {
                free(*(char **)field);
                *(char **)field = NULL;
            } else if (o->type == OPTION_STRV) {
                strv_free(*(char ***)field);
                *(char ***)field = NULL;
            } else if (o->type == OPTION_TABLES) {
                json_decref(*(json_t **)field);
                *(json_t **)field = NULL;
            }
        }
    }
}
