/* SPDX-License-Identifier: Apache-2.0 */
/* codec - see codec.h. One switch per verb, each over all field types, so that the compiler finds a
 * forgotten one. */
#include "sandbox/codec.h"

#include <limits.h>
#include <string.h>

#include "base/strbuf.h"

static void *at(const void *object, size_t offset)
{
    return (char *)(uintptr_t)object + offset;
}

static size_t *count_of(const void *object, const struct field *f)
{
    return at(object, f->count);
}

void codec_init(const struct schema *schema, void *object)
{
    for (size_t i = 0; i < schema->n; i++) {
        const struct field *f = &schema->fields[i];

        if (f->type == FIELD_STRING || f->type == FIELD_BYTES)
            *(char **)at(object, f->offset) = xstrdup("");
        else if (f->type == FIELD_STRUCT)
            codec_init(f->sub, at(object, f->offset));
    }
}

static void array_free(const struct field *f, void *object)
{
    char *items = *(char **)at(object, f->offset);

    for (size_t i = 0; i < *count_of(object, f); i++)
        codec_done(f->sub, items + i * f->sub->size);
    free(items);
}

void codec_done(const struct schema *schema, void *object)
{
    for (size_t i = 0; i < schema->n; i++) {
        const struct field *f = &schema->fields[i];
        void *p = at(object, f->offset);

        switch (f->type) {
        case FIELD_STRING:
        case FIELD_BYTES:
        case FIELD_INT64S:
            free(*(void **)p);
            break;
        case FIELD_STRV:
            strv_free(*(char ***)p);
            break;
        case FIELD_KVS:
            kvs_done(p);
            break;
        case FIELD_STRUCT:
            codec_done(f->sub, p);
            break;
        case FIELD_ARRAY:
            array_free(f, object);
            break;
        case FIELD_BOOL:
        case FIELD_INT:
        case FIELD_UINT32:
        case FIELD_INT64:
        case FIELD_UINT64:
            break;
        }
    }
}

/* --------------------------------------------------------------------- write */

static json_t *write_bytes(const char *s)
{
    if (str_is_utf8(s, strlen(s)))
        return json_string(s);

    json_t *o = json_object();
    autofree char *text = base64_encode(s, strlen(s));

    json_put_string(o, "base64", text);
    return o;
}

static json_t *write_int64s(const int64_t *v, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, json_integer(v[i]));
    return a;
}

static int by_key(const void *a, const void *b)
{
    const struct kv *x = a, *y = b;

    return strcmp(x->key, y->key);
}

/* Maps arrive in any order; the same map is always the same text. */
static json_t *write_kvs(const struct kvs *m)
{
    autofree struct kv *sorted = xcalloc(m->n + 1, sizeof(*sorted));
    json_t *o = json_object();

    for (size_t i = 0; i < m->n; i++)
        sorted[i] = m->v[i];
    if (m->n)
        qsort(sorted, m->n, sizeof(*sorted), by_key);
    for (size_t i = 0; i < m->n; i++)
        json_put(o, sorted[i].key, json_string(sorted[i].value));
    return o;
}

static void put_nonempty(json_t *out, const char *name, json_t *value)
{
    if (json_array_size(value) || json_object_size(value))
        json_put(out, name, value);
    else
        json_decref(value);
}

static void write_field(const struct field *f, const void *object, json_t *out)
{
    void *p = at(object, f->offset);

    switch (f->type) {
    case FIELD_STRING:
        json_put_string(out, f->name, *(char **)p);
        break;
    case FIELD_BYTES:
        if (**(char **)p)
            json_put(out, f->name, write_bytes(*(char **)p));
        break;
    case FIELD_STRV:
        json_put_strv(out, f->name, *(char ***)p);
        break;
    case FIELD_BOOL:
        json_put_bool(out, f->name, *(bool *)p);
        break;
    case FIELD_INT:
        json_put_int(out, f->name, *(int *)p);
        break;
    case FIELD_UINT32:
        json_put_int(out, f->name, *(uint32_t *)p);
        break;
    case FIELD_INT64:
    case FIELD_UINT64:
        json_put_int(out, f->name, *(int64_t *)p);
        break;
    case FIELD_INT64S:
        put_nonempty(out, f->name, write_int64s(*(int64_t **)p, *count_of(object, f)));
        break;
    case FIELD_KVS:
        put_nonempty(out, f->name, write_kvs(p));
        break;
    case FIELD_STRUCT:
        put_nonempty(out, f->name, codec_write(f->sub, p));
        break;
    case FIELD_ARRAY: {
        json_t *a = json_array();

        for (size_t i = 0; i < *count_of(object, f); i++)
            (void)json_array_append_new(a, codec_write(f->sub, *(char **)p + i * f->sub->size));
        put_nonempty(out, f->name, a);
        break;
    }
    }
}

json_t *codec_write(const struct schema *schema, const void *object)
{
    json_t *out = json_object();

    for (size_t i = 0; i < schema->n; i++)
        write_field(&schema->fields[i], object, out);
    return out;
}

/* --------------------------------------------------------------------- parse */

static void set_string(char **p, char *s)
{
    free(*p);
    *p = s;
}

static int parse_bytes(const json_t *v, const char *name, char **ret, struct err *err)
{
    const char *text = NULL;

    if (json_is_string(v)) {
        set_string(ret, xstrdup(json_string_value(v)));
        return 0;
    }
    if (!json_is_object(v) || json_need_string(v, "base64", &text, NULL) < 0)
        return err_set(err, ERR_CORRUPT, "member '%s': not a string", name);

    autofree char *data = try_alloc(strlen(text) + 1, err);
    long n = data ? base64_decode(text, strlen(text), data, strlen(text), err) : -1;

    if (n < 0)
        return err_wrap(err, "member '%s'", name);
    data[n] = '\0';
    if (strlen(data) != (size_t)n)
        return err_set(err, ERR_CORRUPT, "member '%s': holds a NUL byte", name);
    set_string(ret, TAKE_PTR(data));
    return 0;
}

static int parse_int64s(const struct field *f, void *object, const json_t *v, struct err *err)
{
    size_t n = json_array_size(v);

    if (!json_is_array(v) || n > CODEC_ITEMS_MAX)
        return err_set(err, ERR_CORRUPT, "member '%s': not a list of integers", f->name);

    int64_t *items = xcalloc(n + 1, sizeof(*items));

    *(int64_t **)at(object, f->offset) = items;
    *count_of(object, f) = n;
    for (size_t i = 0; i < n; i++) {
        if (!json_is_integer(json_array_get(v, i)))
            return err_set(err, ERR_CORRUPT, "member '%s': not a list of integers", f->name);
        items[i] = json_integer_value(json_array_get(v, i));
    }
    return 0;
}

static int parse_array(const struct field *f, void *object, const json_t *v, struct err *err)
{
    size_t n = json_array_size(v);

    if (!json_is_array(v) || n > CODEC_ITEMS_MAX)
        return err_set(err, ERR_CORRUPT, "member '%s': not a list", f->name);

    char *items = xcalloc(n + 1, f->sub->size);

    *(char **)at(object, f->offset) = items;
    *count_of(object, f) = n;
    for (size_t i = 0; i < n; i++)
        codec_init(f->sub, items + i * f->sub->size);
    for (size_t i = 0; i < n; i++)
        if (codec_parse(f->sub, items + i * f->sub->size, json_array_get(v, i), err) < 0)
            return err_wrap(err, "member '%s'", f->name);
    return 0;
}

static int parse_int(const struct field *f, const json_t *v, void *p, struct err *err)
{
    json_int_t i = json_integer_value(v);

    if (!json_is_integer(v))
        return err_set(err, ERR_CORRUPT, "member '%s': not an integer", f->name);
    if (f->type == FIELD_INT) {
        if (i < INT_MIN || i > INT_MAX)
            return err_set(err, ERR_CORRUPT, "member '%s': out of range", f->name);
        *(int *)p = (int)i;
    } else if (f->type == FIELD_UINT32) {
        if (i < 0 || i > UINT32_MAX)
            return err_set(err, ERR_CORRUPT, "member '%s': out of range", f->name);
        *(uint32_t *)p = (uint32_t)i;
    } else {
        *(int64_t *)p = i;
    }
    return 0;
}

static int parse_field(const struct field *f, void *object, const json_t *json, struct err *err)
{
    const json_t *v = json_object_get(json, f->name);
    void *p = at(object, f->offset);
    struct err sub = ERR_INIT;

    if (!v)
        return 0;
    switch (f->type) {
    case FIELD_STRING:
        if (!json_is_string(v))
            return err_set(err, ERR_CORRUPT, "member '%s': not a string", f->name);
        set_string(p, xstrdup(json_string_value(v)));
        return 0;
    case FIELD_BYTES:
        return parse_bytes(v, f->name, p, err);
    case FIELD_STRV:
        if (json_opt_strv(json, f->name, CODEC_ITEMS_MAX, p, &sub) < 0)
            return err_set(err, ERR_CORRUPT, "member '%s': not a list of strings", f->name);
        return 0;
    case FIELD_BOOL:
        if (!json_is_boolean(v))
            return err_set(err, ERR_CORRUPT, "member '%s': not true or false", f->name);
        *(bool *)p = json_is_true(v);
        return 0;
    case FIELD_INT:
    case FIELD_UINT32:
    case FIELD_INT64:
    case FIELD_UINT64:
        return parse_int(f, v, p, err);
    case FIELD_INT64S:
        return parse_int64s(f, object, v, err);
    case FIELD_KVS:
        if (json_opt_kvs(json, f->name, CODEC_ITEMS_MAX, p, &sub) < 0)
            return err_set(err, ERR_CORRUPT, "member '%s': not a map of strings", f->name);
        return 0;
    case FIELD_STRUCT:
        if (codec_parse(f->sub, p, v, err) < 0)
            return err_wrap(err, "member '%s'", f->name);
        return 0;
    case FIELD_ARRAY:
        return parse_array(f, object, v, err);
    }
    return 0;
}

int codec_parse(const struct schema *schema, void *object, const json_t *json, struct err *err)
{
    if (!json_is_object(json))
        return err_set(err, ERR_CORRUPT, "not an object");
    for (size_t i = 0; i < schema->n; i++)
        if (parse_field(&schema->fields[i], object, json, err) < 0)
            return -1;
    return 0;
}
