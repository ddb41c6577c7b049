/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - content digests ("sha256:" and 64 lower-case hex digits) and their computation over a
 * stream. Used by the store and by the unpack child; depends on libcrypto only. A digest becomes
 * part of a path only after digest_is_valid() said yes.
 */
#ifndef UNICRI_IMAGESTORE_DIGEST_H
#define UNICRI_IMAGESTORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_PREFIX "sha256:"
#define DIGEST_LEN    71 /* prefix and digits, without the NUL */
#define DIGEST_BYTES  32

struct digest_stream; /* one running SHA-256 */

/** digest_is_valid() - the one form that is accepted: sha256 with 64 lower-case digits. */
bool digest_is_valid(const char *s);
/** digest_hex() - the digits of a valid digest; borrowed. */
const char *digest_hex(const char *digest);
/** digest_of() - the digest of a buffer. */
void digest_of(const void *data, size_t len, char ret[DIGEST_LEN + 1]);

/** digest_stream_new() - start. Aborts when there is no memory. End with digest_stream_free(). */
struct digest_stream *digest_stream_new(void);
void digest_stream_add(struct digest_stream *s, const void *data, size_t len);
/** digest_stream_end() - the digest of what was added; nothing may be added afterwards. */
void digest_stream_end(struct digest_stream *s, char ret[DIGEST_LEN + 1]);
void digest_stream_free(struct digest_stream *s);

#endif
