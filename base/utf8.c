/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - see utf8.h. Overlong forms, surrogates and values above U+10FFFF are invalid (RFC 3629,
 * 4). */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

static size_t sequence_len(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 4;
    return 0;
}

size_t utf8_ascii(const char *s, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t n = 0;

    for (uint64_t w; len - n >= sizeof(w); n += sizeof(w)) {
        memcpy(&w, s + n, sizeof(w));
        if ((w | ((w - ones) & ~w)) & tops) /* a byte above 0x7f, or 0 */
            break;
    }
    while (n < len && s[n] && (unsigned char)s[n] < 0x80)
        n++;
    return n;
}

size_t utf8_sequence(const char *s, size_t len)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t n = len ? sequence_len(u[0]) : 0;

    if (n == 0 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    }
    if (u[0] == 0xe0 && u[1] < 0xa0) /* overlong */
        return 0;
    if (u[0] == 0xed && u[1] > 0x9f) /* a surrogate */
        return 0;
    if (u[0] == 0xf0 && u[1] < 0x90) /* overlong */
        return 0;
    if (u[0] == 0xf4 && u[1] > 0x8f) /* above U+10FFFF */
        return 0;
    return n;
}

void utf8_scrub(char *s)
{
    size_t len = strlen(s);

    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);

        if (n == 0 || (n == 1 && ((unsigned char)s[i] < 0x20 || s[i] == 0x7f))) {
            s[i] = '?';
            n = 1;
        }
        i += n;
    }
}
