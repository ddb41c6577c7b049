/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - protobuf-c does the unpacking; then one walk over the result by its descriptor checks what
 * protobuf-c leaves unchecked. The CRI's messages do not nest in themselves, so the walk's depth is
 * bounded by the definition.
 */
#include "cri/wire.h"

#include <string.h>

#include "base/strbuf.h"

static int check_message(const ProtobufCMessage *message, struct err *err);

static int check_string(const ProtobufCFieldDescriptor *field, const char *s, struct err *err)
{
    if (!s || s == (const char *)protobuf_c_empty_string)
        return 0;
    size_t len = strlen(s);
    if (len + 1 != arena_block_size(s))
        return err_set(err, ERR_INVALID, "%s: contains a NUL byte", field->name);
    if (!str_is_utf8(s, len))
        return err_set(err, ERR_INVALID, "%s: not UTF-8", field->name);
    return 0;
}

static int check_value(const ProtobufCFieldDescriptor *field, const void *value, struct err *err)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return check_string(field, *(char *const *)value, err);
    case PROTOBUF_C_TYPE_ENUM:
        if (!protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value))
            return err_set(err, ERR_INVALID, "%s: unknown value %d", field->name,
                           *(const int *)value);
        return 0;
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *sub = *(ProtobufCMessage *const *)value;
        if (sub && check_message(sub, err) < 0)
            return err_wrap(err, "%s", field->name);
        return 0;
    }
    default:
        return 0;
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : sizeof(void *);
}

static int check_message(const ProtobufCMessage *message, struct err *err)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        const char *member = (const char *)message + field->offset;

        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_ENUM &&
            field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (check_value(field, member, err) < 0)
                return -1;
            continue;
        }
        size_t n =
            *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
        const char *elements = *(char *const *)(const void *)member;
        for (size_t k = 0; k < n; k++)
            if (check_value(field, elements + k * value_size(field), err) < 0)
                return -1;
    }
    return 0;
}

ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                              size_t len, struct arena *arena, struct err *err)
{
    if (len > WIRE_MESSAGE_MAX_BYTES) {
        (void)err_set(err, ERR_EXHAUSTED, "request of %zu bytes: more than %zu", len,
                      WIRE_MESSAGE_MAX_BYTES);
        return NULL;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &arena->allocator, len, bytes);
    if (!message) {
        if (arena->exhausted)
            (void)err_set(err, ERR_EXHAUSTED, "request unfolds to more than %zu bytes",
                          arena->limit);
        else
            (void)err_set(err, ERR_INVALID, "request is not a %s", type->short_name);
        return NULL;
    }
    if (check_message(message, err) < 0)
        return NULL;
    return message;
}
