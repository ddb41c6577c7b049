/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf - a growing string. `s` is always a NUL terminated string (never NULL); `len` excludes the
 * NUL. Data may hold NUL bytes. Zero-initialise with STRBUF_INIT; end with strbuf_done() or
 * strbuf_detach().
 */
#ifndef UNICRI_BASE_STRBUF_H
#define UNICRI_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct strbuf {
    char *s;
    size_t len;
    size_t cap;
};
extern char strbuf_empty[];
#define STRBUF_INIT                                                                                \
    {                                                                                              \
        .s = strbuf_empty, .len = 0, .cap = 0                                                      \
    }

void strbuf_done(struct strbuf *b);
static inline void strbuf_cleanup(struct strbuf *b)
{
    strbuf_done(b);
}
#define autostrbuf CLEANUP(strbuf_cleanup) struct strbuf

void strbuf_clear(struct strbuf *b);
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF(2, 3);
/** strbuf_detach() - Returns: the string, owned by the caller; the buffer is empty again. */
char *strbuf_detach(struct strbuf *b);

/* Small string tests used everywhere. */
int str_has_prefix(const char *s, const char *prefix);
int str_has_suffix(const char *s, const char *suffix);
#define str_eq(a, b) (strcmp((a), (b)) == 0)
/** str_is_utf8() - valid UTF-8 without NUL in len bytes. */
int str_is_utf8(const char *s, size_t len);
/** parse_u64() - decimal digits only, the whole string, at most `max`. Errors: INVALID naming
 * `what`. */
int parse_u64(const char *s, unsigned long long max, const char *what, unsigned long long *ret,
              struct err *err) MUST_CHECK;
/** scan_text() - when *p begins with `text`, step over it. */
bool scan_text(const char **p, const char *text);
/** scan_u64() - step over the decimal digits at *p, a number of at most `max`. Returns: false, and
 * *p where it was, when there are none or too many. */
bool scan_u64(const char **p, unsigned long long max, unsigned long long *ret);
/** scan_int() - the same for a number of 0 to INT_MAX. */
bool scan_int(const char **p, int *ret);
/** base64_decode() - standard alphabet, padding needed. Returns: bytes written, or -1. */
long base64_decode(const char *s, size_t len, void *out, size_t out_size,
                   struct err *err) MUST_CHECK;
/** base64_encode() - standard alphabet with padding. Returns: a string owned by the caller. */
char *base64_encode(const void *data, size_t len);

#endif
