/* SPDX-License-Identifier: Apache-2.0 */
/* tar_writer - see tar_writer.h. */
#include "imagestore/tests/tar_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BLOCK 512

void tar_raw(struct tar *t, const void *data, size_t len)
{
    if (t->len + len > t->cap) {
        t->cap = 2 * (t->len + len) + 4096;
        t->data = realloc(t->data, t->cap);
        if (!t->data)
            abort();
    }
    if (len)
        memcpy(t->data + t->len, data, len);
    t->len += len;
}

static void pad(struct tar *t)
{
    static const char zero[BLOCK];
    tar_raw(t, zero, (BLOCK - t->len % BLOCK) % BLOCK);
}

/* Octal, or base-256 for what does not fit. */
static void number(char *field, size_t size, uint64_t v)
{
    if (v < UINT64_C(1) << (3 * (size - 1))) {
        (void)snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)v);
        return;
    }
    for (size_t i = size; i-- > 1; v >>= 8)
        field[i] = (char)(v & 0xff);
    field[0] = (char)0x80;
}

void tar_add(struct tar *t, const struct tar_entry *e)
{
    char h[BLOCK] = {0};
    unsigned sum = 0;
    size_t n = strlen(e->name);
    memcpy(h, e->name, n < 100 ? n : 100);
    number(h + 100, 8, e->mode ? e->mode : e->type == '5' ? 0755 : 0644);
    number(h + 108, 8, e->uid);
    number(h + 116, 8, e->gid);
    number(h + 124, 12, e->claimed ? e->claimed : e->len);
    number(h + 136, 12, (uint64_t)e->mtime);
    memset(h + 148, ' ', 8);
    h[156] = e->type;
    if (e->link)
        memcpy(h + 157, e->link, strlen(e->link) < 100 ? strlen(e->link) : 100);
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    (void)snprintf(h + 148, 8, "%06o", sum);
    tar_raw(t, h, BLOCK);
    tar_raw(t, e->data, e->data ? e->len : 0);
    pad(t);
}

void tar_pax(struct tar *t, const char *key, const void *value, size_t len)
{
    char digits[32];
    size_t body = strlen(key) + len + 3, total = body + 1;
    while (body + (size_t)snprintf(digits, sizeof(digits), "%zu", total) != total)
        total++;
    struct tar text = {0};
    tar_raw(&text, digits, strlen(digits));
    tar_raw(&text, " ", 1);
    tar_raw(&text, key, strlen(key));
    tar_raw(&text, "=", 1);
    tar_raw(&text, value, len);
    tar_raw(&text, "\n", 1);
    tar_add(t, &(struct tar_entry){.name = "pax", .type = 'x', .data = text.data, .len = text.len});
    tar_done(&text);
}

void tar_end(struct tar *t)
{
    static const char zero[2 * BLOCK];
    tar_raw(t, zero, sizeof(zero));
}

void tar_done(struct tar *t)
{
    free(t->data);
    *t = (struct tar){0};
}

void *tar_gzip(const void *data, size_t len, size_t *ret_len)
{
    z_stream z = {0};
    if (deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    size_t size = deflateBound(&z, len) + 64;
    unsigned char *out = malloc(size);
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (unsigned)len;
    z.next_out = out;
    z.avail_out = (unsigned)size;
    if (!out || deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    *ret_len = z.total_out;
    (void)deflateEnd(&z);
    return out;
}
