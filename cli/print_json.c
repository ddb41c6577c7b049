/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print_json - a message of the API as JSON, driven by its descriptor, so that no command knows
 * JSON. Names are the proto's; maps become objects; enums their names; bytes text where they are
 * UTF-8, else base64.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "cli/cli.h"

static json_t *message_json(const ProtobufCMessage *m);

static json_t *bytes_json(const ProtobufCBinaryData *data)
{
    if (str_is_utf8((const char *)data->data, data->len))
        return json_stringn((const char *)data->data, data->len);
    autofree char *text = base64_encode(data->data, data->len);
    return json_string(text);
}

static json_t *enum_json(const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    return v ? json_string(v->name) : json_integer(value);
}

/* The value at p, which is one member of the struct or one element of a repeated field. */
static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)p);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return json_integer(*(const json_int_t *)p);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)p);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)p);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)p);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(f, *(const int *)p);
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = *(const char *const *)p;
        json_t *j = json_string(s ? s : "");
        return j ? j : json_string("?");
    }
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json(p);
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_json(*(const ProtobufCMessage *const *)p);
    }
    return json_null();
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    default:
        return 8;
    }
}

/* A map in the proto is a repeated message `...Entry` of key and value. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    return f->type == PROTOBUF_C_TYPE_MESSAGE && d->n_fields == 2 &&
           str_has_suffix(d->short_name, "Entry") && d->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static json_t *map_json(const ProtobufCMessage *const *entries, size_t n)
{
    json_t *obj = json_object();
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMessageDescriptor *d = entries[i]->descriptor;
        const uint8_t *e = (const uint8_t *)entries[i];
        const char *key = *(const char *const *)(e + d->fields[0].offset);
        json_put(obj, key, value_json(&d->fields[1], e + d->fields[1].offset));
    }
    return obj;
}

static json_t *repeated_json(const ProtobufCFieldDescriptor *f, const uint8_t *base)
{
    size_t n = *(const size_t *)(base + f->quantifier_offset);
    const uint8_t *v = *(uint8_t *const *)(base + f->offset);
    if (is_map(f))
        return map_json((const ProtobufCMessage *const *)(const void *)v, n);
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(array, value_json(f, v + i * element_size(f)));
    return array;
}

static json_t *message_json(const ProtobufCMessage *m)
{
    if (!m)
        return json_null();
    json_t *obj = json_object();
    const uint8_t *base = (const uint8_t *)m;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        json_t *v = f->label == PROTOBUF_C_LABEL_REPEATED ? repeated_json(f, base)
                                                          : value_json(f, base + f->offset);
        json_put(obj, f->name, v);
    }
    return obj;
}

void print_json(const ProtobufCMessage *message)
{
    autojson *j = message_json(message);
    (void)json_dumpf(j, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
}
