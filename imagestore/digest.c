/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - see digest.h. A failure of libcrypto here is a lack of memory or a broken build: abort.
 */
#include "imagestore/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct digest_stream {
    EVP_MD_CTX *ctx;
};

bool digest_is_valid(const char *s)
{
    size_t prefix = sizeof(DIGEST_PREFIX) - 1;
    if (!s || strncmp(s, DIGEST_PREFIX, prefix) != 0)
        return false;
    const char *hex = s + prefix;
    return strspn(hex, "0123456789abcdef") == 64 && hex[64] == '\0';
}

const char *digest_hex(const char *digest)
{
    assert(digest_is_valid(digest));
    return digest + sizeof(DIGEST_PREFIX) - 1;
}

struct digest_stream *digest_stream_new(void)
{
    struct digest_stream *s = calloc(1, sizeof(*s));
    if (!s || !(s->ctx = EVP_MD_CTX_new()) || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1)
        abort();
    return s;
}

void digest_stream_add(struct digest_stream *s, const void *data, size_t len)
{
    if (len && EVP_DigestUpdate(s->ctx, data, len) != 1)
        abort();
}

void digest_stream_end(struct digest_stream *s, char ret[DIGEST_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char md[DIGEST_BYTES];
    unsigned int len = 0;
    if (EVP_DigestFinal_ex(s->ctx, md, &len) != 1 || len != sizeof(md))
        abort();
    size_t prefix = sizeof(DIGEST_PREFIX) - 1;
    memcpy(ret, DIGEST_PREFIX, prefix);
    for (size_t i = 0; i < sizeof(md); i++) {
        ret[prefix + 2 * i] = digits[md[i] >> 4];
        ret[prefix + 2 * i + 1] = digits[md[i] & 15];
    }
    ret[DIGEST_LEN] = '\0';
}

void digest_stream_free(struct digest_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

void digest_of(const void *data, size_t len, char ret[DIGEST_LEN + 1])
{
    struct digest_stream *s = digest_stream_new();
    digest_stream_add(s, data, len);
    digest_stream_end(s, ret);
    digest_stream_free(s);
}
