/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - jansson behind bounds. Text from outside is parsed with a size and a depth limit; getters
 * name the key and the expected type in their errors, so that a bad document explains itself.
 *
 * The type is jansson's own (json_t, reference counted): build documents with jansson's
 * json_object() and friends, give them back with json_decref() or `autojson`.
 */
#ifndef UNICRI_BASE_JSON_H
#define UNICRI_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define JSON_DEPTH_MAX 64

static inline void json_cleanup(json_t **j)
{
    json_decref(*j);
}
#define autojson CLEANUP(json_cleanup) json_t

/**
 * json_parse() - one document and nothing behind it; duplicates of a key are refused.
 * `what` names the document in errors. Errors: INVALID (line and column), EXHAUSTED beyond
 * max_bytes. Returns: a new reference, NULL on error.
 */
json_t *json_parse(const char *text, size_t len, size_t max_bytes, const char *what,
                   struct err *err);

/* Optional members: 0 and the default (NULL, 0, false) when absent or null; INVALID for another
 * type. Returned strings and values are borrowed from `obj`. */
int json_opt_string(const json_t *obj, const char *key, const char **ret,
                    struct err *err) MUST_CHECK;
int json_opt_int(const json_t *obj, const char *key, int64_t *ret, struct err *err) MUST_CHECK;
int json_opt_bool(const json_t *obj, const char *key, bool *ret, struct err *err) MUST_CHECK;
int json_opt_object(const json_t *obj, const char *key, json_t **ret, struct err *err) MUST_CHECK;
int json_opt_array(const json_t *obj, const char *key, json_t **ret, struct err *err) MUST_CHECK;
/** json_opt_strv() - an array of strings, at most `max` of them. Caller frees with strv_free(). */
int json_opt_strv(const json_t *obj, const char *key, size_t max, char ***ret,
                  struct err *err) MUST_CHECK;
/** json_opt_kvs() - an object of strings into an empty kvs, at most `max` members. */
int json_opt_kvs(const json_t *obj, const char *key, size_t max, struct kvs *ret,
                 struct err *err) MUST_CHECK;
/* Required member. Errors: INVALID when absent. */
int json_need_string(const json_t *obj, const char *key, const char **ret,
                     struct err *err) MUST_CHECK;

/* Building: each takes the value over / copies it, and aborts when there is no memory. Empty ones
 * are left out. */
void json_put(json_t *obj, const char *key, json_t *value);        /* steals value */
void json_put_string(json_t *obj, const char *key, const char *s); /* nothing when NULL or "" */
void json_put_strv(json_t *obj, const char *key, char *const *v);  /* nothing when empty */
void json_put_kvs(json_t *obj, const char *key, const struct kvs *m);
void json_put_int(json_t *obj, const char *key, int64_t v); /* nothing when 0 */
void json_put_bool(json_t *obj, const char *key, bool v);   /* nothing when false */
/** json_text() - compact text, owned by the caller. */
char *json_text(const json_t *j);

#endif
