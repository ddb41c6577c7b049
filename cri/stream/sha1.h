/* SPDX-License-Identifier: Apache-2.0 */
/* sha1 - FIPS 180-4, for the handshake of WebSocket and nothing else: it protects nothing there. */
#ifndef UNICRI_CRI_STREAM_SHA1_H
#define UNICRI_CRI_STREAM_SHA1_H

#include <stddef.h>

#define SHA1_BYTES     20
#define SHA1_INPUT_MAX 1024 /* longer input is our bug */

void sha1(const void *data, size_t len, unsigned char ret[SHA1_BYTES]);

#endif
