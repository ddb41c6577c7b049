/* SPDX-License-Identifier: Apache-2.0 */
/* tar_out - see tar_out.h: headers, contents, padding. */
#include "sandbox/tar_out.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"

#define BLOCK          512
#define COPY_BYTES     (256 * 1024)
#define OCTAL_ID_MAX   07777777
#define OCTAL_SIZE_MAX UINT64_C(077777777777)

static const char zeros[BLOCK];

static int put(struct tar_out *t, const void *data, size_t len, struct err *err)
{
    if (len > t->room)
        return err_set(err, ERR_EXHAUSTED, "archive: no room for it on the disk");
    if (deadline_passed(t->deadline))
        return err_set(err, ERR_DEADLINE, "archive: not written in time");
    t->room -= len;
    return fs_write_all(t->fd, data, len, err);
}

static int pad(struct tar_out *t, uint64_t size, struct err *err)
{
    size_t rest = (size_t)(size % BLOCK);

    return rest ? put(t, zeros, BLOCK - rest, err) : 0;
}

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

static void octal(char *at, size_t size, uint64_t v)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%0*" PRIo64, (int)size - 1, v);
    memcpy(at, text, size - 1);
}

static void text_field(char *at, size_t size, const char *s)
{
    size_t n = strlen(s);

    memcpy(at, s, n < size ? n : size);
}

static int put_header(struct tar_out *t, const struct tar_entry *e, uint64_t size, struct err *err)
{
    struct header h = {.magic = "ustar"}; /* and a NUL, then: */
    const struct stat *st = &e->st;
    unsigned sum = 0;

    memcpy(h.magic + 6, "00", 2);
    text_field(h.name, sizeof(h.name), e->name);
    octal(h.mode, sizeof(h.mode), st->st_mode & 07777);
    octal(h.uid, sizeof(h.uid), st->st_uid <= OCTAL_ID_MAX ? st->st_uid : 0);
    octal(h.gid, sizeof(h.gid), st->st_gid <= OCTAL_ID_MAX ? st->st_gid : 0);
    octal(h.size, sizeof(h.size), size <= OCTAL_SIZE_MAX ? size : 0);
    octal(h.mtime, sizeof(h.mtime), st->st_mtim.tv_sec > 0 ? (uint64_t)st->st_mtim.tv_sec : 0);
    h.type = e->type;
    text_field(h.link, sizeof(h.link), e->link ? e->link : "");
    if (e->type == '3' || e->type == '4') {
        octal(h.major, sizeof(h.major), major(st->st_rdev));
        octal(h.minor, sizeof(h.minor), minor(st->st_rdev));
    }
    memset(h.sum, ' ', sizeof(h.sum));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((const unsigned char *)&h)[i];
    octal(h.sum, sizeof(h.sum) - 1, sum);
    h.sum[6] = '\0';
    return put(t, &h, sizeof(h), err);
}

void tar_pax_add(struct strbuf *b, const char *key, const void *value, size_t len)
{
    size_t body = strlen(key) + len + 3; /* ' ', '=', newline */
    size_t total = body + 1, digits = 0;

    while (total != body + digits) {
        char text[24];

        total = body + digits;
        digits = (size_t)snprintf(text, sizeof(text), "%zu", total);
    }
    strbuf_addf(b, "%zu %s=", total, key);
    strbuf_add(b, value, len);
    strbuf_addc(b, '\n');
}

static void pax_text(struct strbuf *b, const char *key, const char *value)
{
    tar_pax_add(b, key, value, strlen(value));
}

static void pax_number(struct strbuf *b, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    pax_text(b, key, text);
}

/* What a header cannot hold goes in front of it. */
int tar_out_head(struct tar_out *t, const struct tar_entry *e, struct err *err)
{
    const uint64_t size = e->type == '0' ? (uint64_t)e->st.st_size : 0;
    autostrbuf more = STRBUF_INIT;

    if (strlen(e->name) > sizeof(((struct header *)0)->name) - 1)
        pax_text(&more, "path", e->name);
    if (e->link && strlen(e->link) > sizeof(((struct header *)0)->link) - 1)
        pax_text(&more, "linkpath", e->link);
    if (e->st.st_uid > OCTAL_ID_MAX)
        pax_number(&more, "uid", e->st.st_uid);
    if (e->st.st_gid > OCTAL_ID_MAX)
        pax_number(&more, "gid", e->st.st_gid);
    if (size > OCTAL_SIZE_MAX)
        pax_number(&more, "size", size);
    strbuf_add(&more, e->pax, e->pax_len);
    if (more.len) {
        const struct tar_entry pax = {
            .name = "PaxHeaders/entry", .type = 'x', .st = {.st_mode = 0600}};

        if (put_header(t, &pax, more.len, err) < 0 || put(t, more.s, more.len, err) < 0 ||
            pad(t, more.len, err) < 0)
            return -1;
    }
    return put_header(t, e, size, err);
}

int tar_out_content(struct tar_out *t, int fd, uint64_t size, struct err *err)
{
    autofree char *part = xmalloc(COPY_BYTES);
    uint64_t left = size;

    if (size > t->room)
        return err_set(err, ERR_EXHAUSTED, "archive: no room for a file of %" PRIu64 " bytes",
                       size);
    while (left) {
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        ssize_t n = read(fd, part, want);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read a file for the archive");
        if (n == 0) {
            memset(part, 0, want);
            n = (ssize_t)want;
        }
        if (put(t, part, (size_t)n, err) < 0)
            return -1;
        left -= (uint64_t)n;
    }
    return pad(t, size, err);
}

int tar_out_bytes(struct tar_out *t, const char *name, const void *data, size_t len,
                  struct err *err)
{
    const struct tar_entry e = {.name = name,
                                .type = '0',
                                .st = {.st_mode = 0600,
                                       .st_size = (off_t)len,
                                       .st_mtim = {.tv_sec = clock_wall() / NSEC_PER_SEC}}};

    if (tar_out_head(t, &e, err) < 0 || put(t, data, len, err) < 0)
        return -1;
    return pad(t, len, err);
}

int tar_out_file(struct tar_out *t, const char *name, int dirfd, const char *path, struct err *err)
{
    autofd int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct tar_entry e = {.name = name, .type = '0'};

    if (fd < 0 || fstat(fd, &e.st) < 0)
        return err_sys(err, "open '%s'", path);
    if (!S_ISREG(e.st.st_mode))
        return err_set(err, ERR_INVALID, "'%s' is not a regular file", path);
    e.st.st_mode = 0600;
    e.st.st_uid = e.st.st_gid = 0;
    if (tar_out_head(t, &e, err) < 0)
        return -1;
    return tar_out_content(t, fd, (uint64_t)e.st.st_size, err);
}

int tar_out_end(struct tar_out *t, struct err *err)
{
    return put(t, zeros, BLOCK, err) < 0 ? -1 : put(t, zeros, BLOCK, err);
}
