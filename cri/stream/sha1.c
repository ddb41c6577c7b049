/* SPDX-License-Identifier: Apache-2.0 */
/* sha1 - see sha1.h. The input is short, so it is padded in one buffer. */
#include "cri/stream/sha1.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 64

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static uint32_t mix(unsigned i, uint32_t b, uint32_t c, uint32_t d, uint32_t *k)
{
    static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};

    *k = constants[i / 20];
    if (i < 20)
        return (b & c) | (~b & d);
    if (i >= 40 && i < 60)
        return (b & c) | (b & d) | (c & d);
    return b ^ c ^ d;
}

static void block(uint32_t state[5], const unsigned char *p)
{
    uint32_t w[80], v[5], k;

    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(v, state, sizeof(v));
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f = mix(i, v[1], v[2], v[3], &k);
        uint32_t t = rotate(v[0], 5) + f + v[4] + k + w[i];

        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate(v[1], 30);
        v[1] = v[0];
        v[0] = t;
    }
    for (unsigned i = 0; i < 5; i++)
        state[i] += v[i];
}

void sha1(const void *data, size_t len, unsigned char ret[SHA1_BYTES])
{
    unsigned char room[SHA1_INPUT_MAX + 2 * BLOCK] = {0};
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t padded = (len + 8) / BLOCK * BLOCK + BLOCK;

    assert(len <= SHA1_INPUT_MAX);
    memcpy(room, data, len);
    room[len] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        room[padded - 1 - i] = (unsigned char)((uint64_t)len * 8 >> 8 * i);
    for (size_t at = 0; at < padded; at += BLOCK)
        block(state, room + at);
    for (unsigned i = 0; i < SHA1_BYTES; i++)
        ret[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}
