/* SPDX-License-Identifier: Apache-2.0 */
/* strbuf - see strbuf.h. The empty buffer shares one static NUL, which nobody may write to. */
#include "base/strbuf.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define STRBUF_MIN_BYTES 64

char strbuf_empty[1] = "";

void strbuf_done(struct strbuf *b)
{
    if (b->cap)
        free(b->s);
    *b = (struct strbuf)STRBUF_INIT;
}

void strbuf_clear(struct strbuf *b)
{
    b->len = 0;
    if (b->cap)
        b->s[0] = '\0';
}

/* Room for `more` bytes and the NUL. */
static void reserve(struct strbuf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : STRBUF_MIN_BYTES;

    if (more >= SIZE_MAX / 2 - b->len)
        abort(); /* a length that no memory holds */
    while (cap < b->len + more + 1)
        cap *= 2;
    if (cap == b->cap)
        return;
    b->s = xrealloc_array(b->cap ? b->s : NULL, cap, 1);
    b->cap = cap;
}

void strbuf_add(struct strbuf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    reserve(b, len);
    memcpy(b->s + b->len, data, len);
    b->len += len;
    b->s[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addc(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        abort(); /* only a bad format gets here */
    reserve(b, (size_t)n);
    va_start(ap, fmt);
    (void)vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

char *strbuf_detach(struct strbuf *b)
{
    char *s = b->cap ? b->s : xstrdup("");

    *b = (struct strbuf)STRBUF_INIT;
    return s;
}

int str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

int str_has_suffix(const char *s, const char *suffix)
{
    size_t len = strlen(s), n = strlen(suffix);

    return n <= len && strcmp(s + len - n, suffix) == 0;
}

int str_is_utf8(const char *s, size_t len)
{
    for (size_t i = utf8_ascii(s, len); i < len; i += utf8_ascii(s + i, len - i)) {
        size_t n = utf8_sequence(s + i, len - i);

        if (n == 0 || s[i] == '\0')
            return 0;
        i += n;
    }
    return 1;
}

int parse_u64(const char *s, unsigned long long max, const char *what, unsigned long long *ret,
              struct err *err)
{
    unsigned long long v = 0;

    if (s[0] == '\0')
        return err_set(err, ERR_INVALID, "%s: expected a number, got nothing", what);
    for (size_t i = 0; s[i]; i++) {
        unsigned d = (unsigned)(unsigned char)s[i] - '0';

        if (d > 9)
            return err_set(err, ERR_INVALID, "%s '%.64s': not a decimal number", what, s);
        if (__builtin_mul_overflow(v, 10ULL, &v) ||
            __builtin_add_overflow(v, (unsigned long long)d, &v) || v > max)
            return err_set(err, ERR_INVALID, "%s '%.64s': larger than %llu", what, s, max);
    }
    *ret = v;
    return 0;
}

bool scan_text(const char **p, const char *text)
{
    size_t n = strlen(text);

    if (strncmp(*p, text, n) != 0)
        return false;
    *p += n;
    return true;
}

bool scan_u64(const char **p, unsigned long long max, unsigned long long *ret)
{
    unsigned long long v = 0;
    const char *s = *p;

    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(v, 10ULL, &v) ||
            __builtin_add_overflow(v, (unsigned long long)(*s - '0'), &v) || v > max)
            return false;
    if (s == *p)
        return false;
    *p = s;
    *ret = v;
    return true;
}

bool scan_int(const char **p, int *ret)
{
    unsigned long long v;

    if (!scan_u64(p, INT_MAX, &v))
        return false;
    *ret = (int)v;
    return true;
}
