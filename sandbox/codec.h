/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec - plain C structs to JSON and back by tables: one schema per struct gives its new, free,
 * write and parse, so that the four cannot drift apart. Used by spec.c and resources.c.
 *
 * Invariant: a value at its default ("", 0, false, empty) is not written, and an absent member
 * parses to the default; so write(parse(write(x))) is write(x), and equal structs have equal texts.
 */
#ifndef UNICRI_SANDBOX_CODEC_H
#define UNICRI_SANDBOX_CODEC_H

#include "base/json.h"
#include "base/mem.h"

enum field_type {
    FIELD_STRING, /* char *, "" by default */
    FIELD_BYTES,  /* char *, any byte but NUL; what is not UTF-8 is written as {"base64": ...} */
    FIELD_STRV,   /* char **, NULL when empty */
    FIELD_BOOL,   /* bool */
    FIELD_INT,    /* int, int32_t or an enum of that size */
    FIELD_UINT32, /* uint32_t */
    FIELD_INT64,  /* int64_t */
    FIELD_UINT64, /* uint64_t */
    FIELD_INT64S, /* int64_t * with a count */
    FIELD_KVS,    /* struct kvs */
    FIELD_STRUCT, /* a struct in place, described by `sub` */
    FIELD_ARRAY,  /* pointer to structs described by `sub`, with a count */
};

struct schema;
struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    size_t count; /* offset of the size_t beside FIELD_INT64S and FIELD_ARRAY */
    const struct schema *sub;
};
struct schema {
    const struct field *fields;
    size_t n;
    size_t size; /* sizeof the struct */
};

/* Rows of a schema's table; a member is written under its own name. */
#define FIELD(type_, struct_, member_)                                                             \
    {                                                                                              \
        .name = #member_, .type = FIELD_##type_, .offset = offsetof(struct struct_, member_)       \
    }
#define FIELD_SUB(struct_, member_, sub_)                                                          \
    {                                                                                              \
        .name = #member_, .type = FIELD_STRUCT, .offset = offsetof(struct struct_, member_),       \
        .sub = &(sub_)                                                                             \
    }
#define FIELD_N(type_, struct_, member_, sub_)                                                     \
    {                                                                                              \
        .name = #member_, .type = FIELD_##type_, .offset = offsetof(struct struct_, member_),      \
        .count = offsetof(struct struct_, n_##member_), .sub = (sub_)                              \
    }
#define SCHEMA(struct_, fields_)                                                                   \
    {                                                                                              \
        .fields = (fields_), .n = ARRAY_SIZE(fields_), .size = sizeof(struct struct_)              \
    }

#define CODEC_ITEMS_MAX      100000
#define CODEC_TEXT_MAX_BYTES (32 * 1024 * 1024)

/** codec_init() - every member of a zeroed struct at its default. */
void codec_init(const struct schema *schema, void *object);
/** codec_done() - free what the members own; the struct itself stays. */
void codec_done(const struct schema *schema, void *object);
/** codec_write() - a new reference, never NULL. */
json_t *codec_write(const struct schema *schema, const void *object);
/** codec_parse() - into an object after codec_init(). Errors: CORRUPT naming the member; the object
 * may then be half filled. */
int codec_parse(const struct schema *schema, void *object, const json_t *json,
                struct err *err) MUST_CHECK;

#endif
