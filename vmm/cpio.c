/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpio - see cpio.h. A header is "070701" and thirteen numbers of eight hexadecimal digits; the
 * name with its NUL follows, then the data, each filled up to a multiple of 4.
 */
#include "vmm/cpio.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"

#define HEADER_BYTES     110
#define MAGIC            "070701"
#define MAGIC_CHECKED    "070702" /* the same with sums in the last number */
#define TRAILER          "TRAILER!!!"
#define CHUNK_BYTES      65536
#define SCAN_ENTRIES_MAX 262144

enum { FIELD_MODE = 1, FIELD_FILESIZE = 6, FIELD_NAMESIZE = 11 };

static uint64_t padded(uint64_t n)
{
    return (n + 3) & ~UINT64_C(3);
}

/* ---------------------------------------------------------------- writing */

static int write_out(struct cpio *c, const void *data, size_t len, struct err *err)
{
    if (fs_write_all(c->fd, data, len, err) < 0)
        return err_wrap(err, "write archive");
    c->bytes += len;
    return 0;
}

static int write_padding(struct cpio *c, uint64_t len, struct err *err)
{
    return write_out(c, "\0\0\0", (size_t)(padded(len) - len), err);
}

static int too_much(const struct cpio *c, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "more than %llu bytes or %u files, the most that a guest is given as a copy",
                   (unsigned long long)c->bytes_max, c->entries_max);
}

/* Header and name; `size` bytes of data are to follow, which are known to have room. */
static int entry(struct cpio *c, const char *name, const struct stat *st, uint64_t size,
                 struct err *err)
{
    size_t len = strlen(name) + 1;
    uint64_t room = c->bytes_max > c->bytes ? c->bytes_max - c->bytes : 0;
    char header[HEADER_BYTES + 1];

    if (len > CPIO_NAME_MAX + 1)
        return err_set(err, ERR_INVALID, "'%.60s...': a name of more than %d bytes", name,
                       CPIO_NAME_MAX);
    if (c->entries == c->entries_max || size > UINT32_MAX ||
        padded(HEADER_BYTES + len) + padded(size) > room)
        return too_much(c, err);
    c->entries++;
    (void)snprintf(header, sizeof(header),
                   MAGIC "%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c->entries,
                   (unsigned)st->st_mode, (unsigned)st->st_uid, (unsigned)st->st_gid, 1U,
                   st->st_mtime > 0 ? (unsigned)st->st_mtime : 0U, (unsigned)size, 0U, 0U, 0U, 0U,
                   (unsigned)len, 0U);
    if (write_out(c, header, HEADER_BYTES, err) < 0 || write_out(c, name, len, err) < 0)
        return -1;
    return write_padding(c, HEADER_BYTES + len, err);
}

int cpio_begin(struct cpio *c, int fd, uint64_t bytes_max, uint32_t entries_max, struct err *err)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0)
        return err_sys(err, "seek in archive");
    *c = (struct cpio){.fd = fd, .bytes_max = bytes_max, .entries_max = entries_max};
    if (write_padding(c, (uint64_t)end, err) < 0)
        return -1;
    c->bytes = 0;
    return 0;
}

int cpio_directory(struct cpio *c, const char *name, const struct stat *st, struct err *err)
{
    return entry(c, name, st, 0, err);
}

int cpio_symlink(struct cpio *c, const char *name, const struct stat *st, const char *target,
                 struct err *err)
{
    size_t len = strlen(target);

    if (entry(c, name, st, len, err) < 0 || write_out(c, target, len, err) < 0)
        return -1;
    return write_padding(c, len, err);
}

int cpio_file(struct cpio *c, const char *name, const struct stat *st, int from, struct err *err)
{
    uint64_t size = (uint64_t)st->st_size, done = 0;
    autofree char *buf = xcalloc(1, CHUNK_BYTES);
    bool ended = false;

    if (entry(c, name, st, size, err) < 0)
        return -1;
    while (done < size) {
        size_t want = size - done < CHUNK_BYTES ? (size_t)(size - done) : CHUNK_BYTES;
        ssize_t n = ended ? 0 : pread(from, buf, want, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read");
        if (n == 0) {
            ended = true;
            memset(buf, 0, want);
            n = (ssize_t)want;
        }
        if (write_out(c, buf, (size_t)n, err) < 0)
            return -1;
        done += (uint64_t)n;
    }
    return write_padding(c, size, err);
}

int cpio_end(struct cpio *c, struct err *err)
{
    struct stat none = {.st_mode = 0};

    c->bytes_max = UINT64_MAX;
    c->entries_max = UINT32_MAX;
    return entry(c, TRAILER, &none, 0, err);
}

/* ---------------------------------------------------------------- looking */

/* The n-th number behind the magic. Returns: false, there is none. */
static bool field(const char *header, size_t n, uint32_t *ret)
{
    const char *digits = header + sizeof(MAGIC) - 1 + 8 * n;

    *ret = 0;
    for (size_t i = 0; i < 8; i++) {
        char d = digits[i];
        unsigned value = d >= '0' && d <= '9'   ? (unsigned)(d - '0')
                         : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10
                         : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A') + 10
                                                : 16;

        if (value > 15)
            return false;
        *ret = *ret << 4 | value;
    }
    return true;
}

static bool read_at(int fd, void *buf, size_t len, uint64_t at)
{
    return pread(fd, buf, len, (off_t)at) == (ssize_t)len;
}

int cpio_scan(int fd, uint64_t size, void (*each)(void *arg, const char *name, mode_t mode),
              void *arg, uint64_t *ret_trailer, struct err *err)
{
    uint64_t at = 0;

    for (size_t entries = 0; entries < SCAN_ENTRIES_MAX; entries++) {
        char header[HEADER_BYTES], name[CPIO_NAME_MAX + 1];
        uint32_t mode, filesize, namesize;

        if (at > size || size - at < HEADER_BYTES || !read_at(fd, header, sizeof(header), at))
            return err_set(err, ERR_INVALID, "archive ends without a trailer, at byte %llu",
                           (unsigned long long)at);
        if ((memcmp(header, MAGIC, sizeof(MAGIC) - 1) != 0 &&
             memcmp(header, MAGIC_CHECKED, sizeof(MAGIC_CHECKED) - 1) != 0) ||
            !field(header, FIELD_MODE, &mode) || !field(header, FIELD_FILESIZE, &filesize) ||
            !field(header, FIELD_NAMESIZE, &namesize))
            return err_set(err, ERR_INVALID,
                           "at byte %llu: no header of an uncompressed cpio archive (newc)",
                           (unsigned long long)at);
        if (namesize < 1 || namesize > sizeof(name) || namesize > size - at - HEADER_BYTES ||
            !read_at(fd, name, namesize, at + HEADER_BYTES) || name[namesize - 1] != '\0')
            return err_set(err, ERR_INVALID, "at byte %llu: bad name", (unsigned long long)at);
        if (str_eq(name, TRAILER)) {
            *ret_trailer = at;
            return 0;
        }
        if (each)
            each(arg, name, (mode_t)mode);
        at += padded(HEADER_BYTES + (uint64_t)namesize) + padded(filesize);
    }
    return err_set(err, ERR_INVALID, "archive has more than %d files", SCAN_ENTRIES_MAX);
}
