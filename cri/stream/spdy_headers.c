/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spdy_headers - see spdy_headers.h: SPDY/3, section 2.6.10. What a block unpacks to is bounded
 * while it unpacks, and every count and length in it is held against what is left before it is
 * believed.
 */
#include "cri/stream/spdy_headers.h"

#include <string.h>
#include <zlib.h>

#include "cri/stream/spdy.h"
#include "cri/stream/spdy_dictionary.h"

#define DEFLATE_WINDOW_BITS  11 /* the smallest that holds the dictionary */
#define DEFLATE_MEMORY_LEVEL 1
#define NONE_ROOM_BYTES      128

struct spdy_headers {
    z_stream in, out;
};

struct spdy_headers *spdy_headers_new(void)
{
    struct spdy_headers *h = XNEW(struct spdy_headers);

    if (inflateInit(&h->in) != Z_OK ||
        deflateInit2(&h->out, Z_BEST_SPEED, Z_DEFLATED, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(&h->out, spdy_dictionary, SPDY_DICTIONARY_BYTES) != Z_OK)
        abort(); /* no memory */
    return h;
}

void spdy_headers_free(struct spdy_headers *h)
{
    (void)inflateEnd(&h->in);
    (void)deflateEnd(&h->out);
    free(h);
}

static int unpack(struct spdy_headers *h, const char *data, size_t len, char *out, size_t *ret_len,
                  struct err *err)
{
    autofree unsigned char *in = xmalloc(len + 1);
    int r = Z_OK;

    memcpy(in, data, len); /* zlib wants it writable */
    h->in.next_in = in;
    h->in.avail_in = (uInt)len;
    h->in.next_out = (unsigned char *)out;
    h->in.avail_out = SPDY_HEADERS_MAX_BYTES + 1;
    while (h->in.avail_in > 0 && h->in.avail_out > 0) {
        r = inflate(&h->in, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT)
            r = inflateSetDictionary(&h->in, spdy_dictionary, SPDY_DICTIONARY_BYTES);
        if (r != Z_OK)
            break;
    }
    if (h->in.avail_out == 0)
        return err_set(err, ERR_EXHAUSTED, "SPDY: headers of more than %d bytes",
                       SPDY_HEADERS_MAX_BYTES);
    if (r != Z_OK || h->in.avail_in > 0)
        return err_set(err, ERR_INVALID, "SPDY: headers cannot be decompressed");
    *ret_len = SPDY_HEADERS_MAX_BYTES + 1 - h->in.avail_out;
    return 0;
}

struct cursor {
    const char *at;
    size_t left;
};

static bool take_number(struct cursor *c, uint32_t *ret)
{
    const unsigned char *b = (const unsigned char *)c->at;

    if (c->left < 4)
        return false;
    *ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    c->at += 4;
    c->left -= 4;
    return true;
}

/* Up to the first NUL, which joins several values. */
static char *take_text(struct cursor *c)
{
    uint32_t len;
    char *s;

    if (!take_number(c, &len) || len > c->left)
        return NULL;
    s = xstrndup(c->at, len);
    c->at += len;
    c->left -= len;
    return s;
}

static int parse(struct cursor *c, struct kvs *ret, struct err *err)
{
    uint32_t n;

    if (!take_number(c, &n) || n > c->left / 8)
        return err_set(err, ERR_INVALID, "SPDY: count of headers");
    if (n > SPDY_HEADERS_MAX)
        return err_set(err, ERR_EXHAUSTED, "SPDY: %u headers", n);
    for (uint32_t i = 0; i < n; i++) {
        autofree char *name = take_text(c);
        autofree char *value = name ? take_text(c) : NULL;

        if (!value || !*name)
            return err_set(err, ERR_INVALID, "SPDY: length of a header");
        kvs_set(ret, name, value);
    }
    return c->left == 0 ? 0 : err_set(err, ERR_INVALID, "SPDY: bytes after the headers");
}

int spdy_headers_unpack(struct spdy_headers *h, const char *data, size_t len, struct kvs *ret,
                        struct err *err)
{
    autofree char *text = xmalloc(SPDY_HEADERS_MAX_BYTES + 1);
    struct cursor c = {.at = text};

    if (unpack(h, data, len, text, &c.left, err) < 0)
        return -1;
    return parse(&c, ret, err);
}

void spdy_headers_pack_none(struct spdy_headers *h, struct strbuf *out)
{
    unsigned char count[4] = {0}, room[NONE_ROOM_BYTES];

    h->out.next_in = count;
    h->out.avail_in = sizeof(count);
    h->out.next_out = room;
    h->out.avail_out = sizeof(room);
    if (deflate(&h->out, Z_SYNC_FLUSH) != Z_OK || h->out.avail_in > 0 || h->out.avail_out == 0)
        abort(); /* four bytes fit */
    strbuf_add(out, room, sizeof(room) - h->out.avail_out);
}
