/* SPDX-License-Identifier: Apache-2.0 */
/* decompress - see decompress.h. */
#include "imagestore/unpack/decompress.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <string.h>
#include <zstd.h>

#include "imagestore/digest.h"

#define IN_BYTES    (256 * 1024)
#define OUT_BYTES   (512 * 1024)
#define MAGIC_BYTES 6

enum format { FORMAT_UNKNOWN, FORMAT_RAW, FORMAT_PLAIN, FORMAT_GZIP, FORMAT_ZSTD };

struct decompress {
    int fd;
    enum format format;
    uint64_t max_out, in_total, out_total;
    unsigned char *in, *out;
    size_t in_pos, in_len;
    bool eof, done;
    uint64_t members; /* of gzip */
    bool in_stream;   /* between the start and the end of a gzip member or zstd frame */
    struct inflate_state gzip;
    ZSTD_DStream *zstd;
    struct digest_stream *in_hash, *out_hash;
};

struct decompress *decompress_new(int fd, uint64_t max_out)
{
    struct decompress *d = XNEW(struct decompress);
    d->fd = fd;
    d->max_out = max_out;
    d->in = xmalloc(IN_BYTES);
    d->out = xmalloc(OUT_BYTES);
    d->in_hash = digest_stream_new();
    d->out_hash = digest_stream_new();
    return d;
}

void decompress_raw(struct decompress *d)
{
    d->format = FORMAT_RAW;
}

void decompress_free(struct decompress *d)
{
    if (!d)
        return;
    (void)ZSTD_freeDStream(d->zstd);
    digest_stream_free(d->in_hash);
    digest_stream_free(d->out_hash);
    free(d->in);
    free(d->out);
    free(d);
}

/* More input behind what is left over; at the end of it d->eof. */
static int fill(struct decompress *d, struct err *err)
{
    if (d->in_pos > 0) {
        memmove(d->in, d->in + d->in_pos, d->in_len - d->in_pos);
        d->in_len -= d->in_pos;
        d->in_pos = 0;
    }
    while (d->in_len < IN_BYTES && !d->eof) {
        ssize_t n = read(d->fd, d->in + d->in_len, IN_BYTES - d->in_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read the layer");
        d->eof = n == 0;
        digest_stream_add(d->in_hash, d->in + d->in_len, (size_t)n);
        d->in_len += (size_t)n;
        d->in_total += (uint64_t)n;
        if (n > 0 && d->in_len >= MAGIC_BYTES)
            break;
    }
    return 0;
}

static const struct {
    const char *name;
    unsigned char magic[MAGIC_BYTES];
    size_t len;
} refused[] = {
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6}, {"bzip2", {'B', 'Z', 'h'}, 3},
    {"lz4", {0x04, 0x22, 0x4d, 0x18}, 4},     {"zip", {'P', 'K', 3, 4}, 4},
    {"lzip", {'L', 'Z', 'I', 'P'}, 4},        {"compress", {0x1f, 0x9d}, 2},
};

static int detect(struct decompress *d, struct err *err)
{
    static const unsigned char gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    if (fill(d, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (d->in_len >= refused[i].len && memcmp(d->in, refused[i].magic, refused[i].len) == 0)
            return err_set(err, ERR_UNSUPPORTED, "layer is compressed with %s, not gzip or zstd",
                           refused[i].name);
    d->format = FORMAT_PLAIN;
    if (d->in_len >= sizeof(gzip) && memcmp(d->in, gzip, sizeof(gzip)) == 0) {
        d->format = FORMAT_GZIP;
    } else if (d->in_len >= 4 &&
               (memcmp(d->in, zstd, 4) == 0 ||
                ((d->in[0] & 0xf0) == 0x50 && memcmp(d->in + 1, "\x2a\x4d\x18", 3) == 0))) {
        d->format = FORMAT_ZSTD;
        d->zstd = ZSTD_createDStream();
        if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                                            DECOMPRESS_WINDOW_LOG_MAX)))
            return err_set(err, ERR_EXHAUSTED, "no memory for zstd");
    }
    return 0;
}

/* Start the next gzip member, or see that there is none: padding of zeros is common, anything else
 * is not. */
static int gzip_member(struct decompress *d, struct err *err)
{
    while (d->members > 0) {
        while (d->in_pos < d->in_len && d->in[d->in_pos] == 0)
            d->in_pos++;
        if (d->in_len - d->in_pos >= 2 || d->eof)
            break;
        if (fill(d, err) < 0)
            return -1;
    }
    if (d->in_pos == d->in_len) {
        d->done = true;
        return 0;
    }
    if (d->in_len - d->in_pos < 2 || d->in[d->in_pos] != 0x1f || d->in[d->in_pos + 1] != 0x8b)
        return err_set(err, ERR_CORRUPT, "garbage behind the gzip data");
    isal_inflate_init(&d->gzip);
    d->gzip.crc_flag = ISAL_GZIP;
    d->in_stream = true;
    d->members++;
    return 0;
}

static ssize_t next_gzip(struct decompress *d, struct err *err)
{
    for (;;) {
        if (!d->in_stream && gzip_member(d, err) < 0)
            return -1;
        if (d->done)
            return 0;
        if (d->in_pos == d->in_len && !d->eof && fill(d, err) < 0)
            return -1;
        d->gzip.next_in = d->in + d->in_pos;
        d->gzip.avail_in = (uint32_t)(d->in_len - d->in_pos);
        d->gzip.next_out = d->out;
        d->gzip.avail_out = OUT_BYTES;
        int r = isal_inflate(&d->gzip);
        size_t used = d->in_len - d->in_pos - d->gzip.avail_in, got = OUT_BYTES - d->gzip.avail_out;
        d->in_pos += used;
        if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT)
            return err_set(err, ERR_CORRUPT, "gzip data is damaged (%d)", r);
        if (d->gzip.block_state == ISAL_BLOCK_FINISH)
            d->in_stream = false;
        else if (got == 0 && used == 0 && d->eof)
            return err_set(err, ERR_CORRUPT, "gzip data ends early");
        if (got)
            return (ssize_t)got;
    }
}

static ssize_t next_zstd(struct decompress *d, struct err *err)
{
    for (;;) {
        if (d->in_pos == d->in_len && !d->eof && fill(d, err) < 0)
            return -1;
        if (d->in_pos == d->in_len && d->eof && !d->in_stream)
            return 0;
        ZSTD_inBuffer in = {d->in, d->in_len, d->in_pos};
        ZSTD_outBuffer out = {d->out, OUT_BYTES, 0};
        size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
        if (ZSTD_isError(r))
            return err_set(err, ERR_CORRUPT, "zstd data: %s", ZSTD_getErrorName(r));
        bool moved = in.pos != d->in_pos || out.pos;
        d->in_pos = in.pos;
        d->in_stream = r != 0;
        if (out.pos)
            return (ssize_t)out.pos;
        if (!moved && d->in_pos == d->in_len && d->eof && d->in_stream)
            return err_set(err, ERR_CORRUPT, "zstd data ends early");
        if (!moved && d->in_pos < d->in_len)
            return err_set(err, ERR_CORRUPT, "zstd data makes no progress");
    }
}

static ssize_t next_plain(struct decompress *d, const void **ret, struct err *err)
{
    if (d->in_pos == d->in_len && fill(d, err) < 0)
        return -1;
    *ret = d->in + d->in_pos;
    size_t n = d->in_len - d->in_pos;
    d->in_pos = d->in_len;
    return (ssize_t)n;
}

ssize_t decompress_next(struct decompress *d, const void **ret, struct err *err)
{
    if (d->format == FORMAT_UNKNOWN && detect(d, err) < 0)
        return -1;
    *ret = d->out;
    ssize_t n = d->format == FORMAT_GZIP   ? next_gzip(d, err)
                : d->format == FORMAT_ZSTD ? next_zstd(d, err)
                                           : next_plain(d, ret, err);
    if (n <= 0)
        return n;
    d->out_total += (uint64_t)n;
    if (d->out_total > d->max_out)
        return err_set(err, ERR_EXHAUSTED, "layer unpacks to more than %llu bytes",
                       (unsigned long long)d->max_out);
    if (d->format != FORMAT_RAW) /* else both sides are the same bytes */
        digest_stream_add(d->out_hash, *ret, (size_t)n);
    return n;
}

void decompress_end(struct decompress *d, struct decompress_totals *ret)
{
    ret->in = d->in_total;
    ret->out = d->out_total;
    digest_stream_end(d->in_hash, ret->compressed);
    if (d->format == FORMAT_RAW)
        memcpy(ret->plain, ret->compressed, sizeof(ret->plain));
    else
        digest_stream_end(d->out_hash, ret->plain);
}
