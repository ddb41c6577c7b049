/* SPDX-License-Identifier: Apache-2.0 */
/* spdy_headers - the compressed header blocks of one connection, both directions. For spdy.c. */
#ifndef UNICRI_CRI_STREAM_SPDY_HEADERS_H
#define UNICRI_CRI_STREAM_SPDY_HEADERS_H

#include "base/strbuf.h"

struct spdy_headers;

struct spdy_headers *spdy_headers_new(void);
void spdy_headers_free(struct spdy_headers *h);
/** spdy_headers_unpack() - one block; names come in lower case as they are sent, several values of
 * a name as the first of them. Errors: INVALID, EXHAUSTED: the context is lost. */
int spdy_headers_unpack(struct spdy_headers *h, const char *data, size_t len, struct kvs *ret,
                        struct err *err) MUST_CHECK;
/** spdy_headers_pack_none() - append a block without headers. */
void spdy_headers_pack_none(struct spdy_headers *h, struct strbuf *out);

#endif
