/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64 - RFC 4648, section 4 (declared in strbuf.h): the standard alphabet, padding needed,
 * nothing else accepted: no blanks, no line ends, no bits left over in the last group (so each
 * value has one spelling).
 */
#include <stdint.h>
#include <string.h>

#include "base/strbuf.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

long base64_decode(const char *s, size_t len, void *out, size_t out_size, struct err *err)
{
    unsigned char *o = out;
    size_t pad = 0, n = 0, size;

    if (len % 4 != 0)
        return err_set(err, ERR_INVALID, "base64: length %zu is not a multiple of 4", len);
    while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
        pad++;
    size = len / 4 * 3 - pad;
    if (size > out_size)
        return err_set(err, ERR_EXHAUSTED, "base64: %zu bytes do not fit into %zu", size, out_size);
    for (size_t i = 0; i < len; i += 4) {
        size_t have = i + 4 == len ? 4 - pad : 4;
        uint32_t group = 0;

        for (size_t k = 0; k < 4; k++) {
            int d = k < have ? digit(s[i + k]) : 0;

            if (d < 0)
                return err_set(err, ERR_INVALID, "base64: invalid character at %zu", i + k);
            group = group << 6 | (uint32_t)d;
        }
        if (group & ((UINT32_C(1) << 8 * (4 - have)) - 1) & 0xffffff)
            return err_set(err, ERR_INVALID, "base64: stray bits at the end");
        for (size_t k = 0; k + 1 < have; k++)
            o[n++] = (unsigned char)(group >> (16 - 8 * k));
    }
    return (long)n;
}

char *base64_encode(const void *data, size_t len)
{
    const unsigned char *d = data;
    char *s = xmalloc((len + 2) / 3 * 4 + 1);
    char *o = s;

    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)d[i] << 16;

        if (have > 1)
            group |= (uint32_t)d[i + 1] << 8;
        if (have > 2)
            group |= d[i + 2];
        *o++ = alphabet[group >> 18];
        *o++ = alphabet[group >> 12 & 63];
        *o++ = have > 1 ? alphabet[group >> 6 & 63] : '=';
        *o++ = have > 2 ? alphabet[group & 63] : '=';
    }
    *o = '\0';
    return s;
}
