/* SPDX-License-Identifier: Apache-2.0 */
/* id - see id.h. */
#include "base/id.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void hex_encode(const void *data, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *d = data;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[d[i] >> 4];
        out[2 * i + 1] = digits[d[i] & 15];
    }
    out[2 * n] = '\0';
}

void id_new(char ret[ID_LEN + 1])
{
    unsigned char raw[ID_LEN / 2];

    /* Up to 256 bytes come at once and uninterrupted, once the pool is ready (getrandom(2)). */
    while (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw)) {
        if (errno != EINTR)
            abort();
    }
    hex_encode(raw, sizeof(raw), ret);
}

bool id_is_valid(const char *s)
{
    size_t n = 0;

    for (; s[n] && n <= ID_LEN; n++) {
        if (!((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'f')))
            return false;
    }
    return n == ID_LEN;
}
