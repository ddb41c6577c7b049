/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - see json.h. Depth is counted before jansson sees the text, since its own limit is far
 * beyond what our stacks of 256 KiB hold. Strings that are not UTF-8 (from images, from clients)
 * are scrubbed when a document is built: a hostile label must not abort the daemon.
 */
#include "base/json.h"

#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"

static int check_depth(const char *text, size_t len, const char *what, struct err *err)
{
    bool in_string = false;
    size_t depth = 0, line = 1;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        line += c == '\n';
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return err_set(err, ERR_INVALID, "%s: line %zu: nested deeper than %d", what, line,
                               JSON_DEPTH_MAX);
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

json_t *json_parse(const char *text, size_t len, size_t max_bytes, const char *what,
                   struct err *err)
{
    json_error_t e;
    json_t *j;

    if (len > max_bytes) {
        (void)err_set(err, ERR_EXHAUSTED, "%s: %zu bytes are more than the limit of %zu", what, len,
                      max_bytes);
        return NULL;
    }
    if (check_depth(text, len, what, err))
        return NULL;
    j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        (void)err_set(err, ERR_INVALID, "%s: line %d, column %d: %s", what, e.line, e.column,
                      e.text);
    return j;
}

static const char *type_name(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "?";
}

static int bad_type(const char *key, const char *expected, const json_t *got, struct err *err)
{
    return err_set(err, ERR_INVALID, "'%s': expected %s, got %s", key, expected, type_name(got));
}

/* The member, or NULL when absent or null; -1 when obj is no object. */
static int member(const json_t *obj, const char *key, json_t **ret, struct err *err)
{
    json_t *v;

    if (!json_is_object(obj))
        return err_set(err, ERR_INVALID, "'%s': looked up in %s, expected an object", key,
                       obj ? type_name(obj) : "nothing");
    v = json_object_get(obj, key);
    *ret = json_is_null(v) ? NULL : v;
    return 0;
}

int json_opt_string(const json_t *obj, const char *key, const char **ret, struct err *err)
{
    json_t *v;

    if (member(obj, key, &v, err))
        return -1;
    if (v && !json_is_string(v))
        return bad_type(key, "a string", v, err);
    *ret = v ? json_string_value(v) : NULL;
    return 0;
}

int json_opt_int(const json_t *obj, const char *key, int64_t *ret, struct err *err)
{
    json_t *v;

    if (member(obj, key, &v, err))
        return -1;
    if (v && !json_is_integer(v))
        return bad_type(key, "an integer", v, err);
    *ret = v ? (int64_t)json_integer_value(v) : 0;
    return 0;
}

int json_opt_bool(const json_t *obj, const char *key, bool *ret, struct err *err)
{
    json_t *v;

    if (member(obj, key, &v, err))
        return -1;
    if (v && !json_is_boolean(v))
        return bad_type(key, "a boolean", v, err);
    *ret = json_is_true(v);
    return 0;
}

int json_opt_object(const json_t *obj, const char *key, json_t **ret, struct err *err)
{
    json_t *v;

    if (member(obj, key, &v, err))
        return -1;
    if (v && !json_is_object(v))
        return bad_type(key, "an object", v, err);
    *ret = v;
    return 0;
}

int json_opt_array(const json_t *obj, const char *key, json_t **ret, struct err *err)
{
    json_t *v;

    if (member(obj, key, &v, err))
        return -1;
    if (v && !json_is_array(v))
        return bad_type(key, "an array", v, err);
    *ret = v;
    return 0;
}

int json_opt_strv(const json_t *obj, const char *key, size_t max, char ***ret, struct err *err)
{
    size_t n;
    char **v;
    json_t *a;

    if (json_opt_array(obj, key, &a, err))
        return -1;
    n = json_array_size(a);
    if (n > max)
        return err_set(err, ERR_INVALID, "'%s': %zu elements, at most %zu are allowed", key, n,
                       max);
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(a, i);

        if (!json_is_string(e))
            return err_set(err, ERR_INVALID, "'%s': element %zu: expected a string, got %s", key, i,
                           type_name(e));
    }
    v = n ? xcalloc(n + 1, sizeof(*v)) : NULL;
    for (size_t i = 0; i < n; i++)
        v[i] = xstrdup(json_string_value(json_array_get(a, i)));
    *ret = v;
    return 0;
}

int json_opt_kvs(const json_t *obj, const char *key, size_t max, struct kvs *ret, struct err *err)
{
    const char *name;
    json_t *o, *v;
    size_t n;

    if (json_opt_object(obj, key, &o, err))
        return -1;
    n = json_object_size(o);
    if (n > max)
        return err_set(err, ERR_INVALID, "'%s': %zu members, at most %zu are allowed", key, n, max);
    json_object_foreach (o, name, v) {
        if (!json_is_string(v))
            return err_set(err, ERR_INVALID, "'%s': '%.64s': expected a string, got %s", key, name,
                           type_name(v));
    }
    /* Names are unique in an object, so they are appended without looking. */
    *ret = (struct kvs){.v = n ? xcalloc(n, sizeof(struct kv)) : NULL, .n = 0};
    json_object_foreach (o, name, v)
        ret->v[ret->n++] = (struct kv){xstrdup(name), xstrdup(json_string_value(v))};
    return 0;
}

int json_need_string(const json_t *obj, const char *key, const char **ret, struct err *err)
{
    const char *s;

    if (json_opt_string(obj, key, &s, err))
        return -1;
    if (!s)
        return err_set(err, ERR_INVALID, "'%s': missing", key);
    *ret = s;
    return 0;
}

/* `s` when it is UTF-8, else a scrubbed copy in *copy. */
static const char *clean(const char *s, char **copy)
{
    if (str_is_utf8(s, strlen(s)))
        return s;
    *copy = xstrdup(s);
    utf8_scrub(*copy);
    return *copy;
}

static json_t *make_string(const char *s)
{
    autofree char *copy = NULL;
    json_t *j = json_string(clean(s, &copy));

    if (!j)
        abort(); /* no memory */
    return j;
}

void json_put(json_t *obj, const char *key, json_t *value)
{
    autofree char *copy = NULL;

    if (!value || json_object_set_new(obj, clean(key, &copy), value))
        abort(); /* no memory, or not an object: a bug */
}

void json_put_string(json_t *obj, const char *key, const char *s)
{
    if (s && *s)
        json_put(obj, key, make_string(s));
}

void json_put_strv(json_t *obj, const char *key, char *const *v)
{
    json_t *a;

    if (!v || !v[0])
        return;
    a = json_array();
    for (; *v; v++) {
        if (json_array_append_new(a, make_string(*v)))
            abort(); /* no memory */
    }
    json_put(obj, key, a);
}

void json_put_kvs(json_t *obj, const char *key, const struct kvs *m)
{
    json_t *o;

    if (!m || m->n == 0)
        return;
    o = json_object();
    for (size_t i = 0; i < m->n; i++)
        json_put(o, m->v[i].key, make_string(m->v[i].value));
    json_put(obj, key, o);
}

void json_put_int(json_t *obj, const char *key, int64_t v)
{
    if (v)
        json_put(obj, key, json_integer(v));
}

void json_put_bool(json_t *obj, const char *key, bool v)
{
    if (v)
        json_put(obj, key, json_true());
}

char *json_text(const json_t *j)
{
    char *s = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!s)
        abort(); /* no memory, or a loop of references: a bug */
    return s;
}
