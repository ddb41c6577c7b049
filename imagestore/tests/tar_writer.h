/* SPDX-License-Identifier: Apache-2.0 */
/* tar_writer - tar archives made by hand, so that they may say anything. */
#ifndef UNICRI_IMAGESTORE_TESTS_TAR_WRITER_H
#define UNICRI_IMAGESTORE_TESTS_TAR_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct tar {
    unsigned char *data; /* owned */
    size_t len, cap;
};
struct tar_entry {
    const char *name;
    char type; /* '0' file, '1' hard link, '2' link, '3' char, '5' directory, '6' fifo, 'x' pax */
    const char *link;
    const void *data;
    size_t len;
    unsigned mode; /* 0: 0644, or 0755 for directories */
    uint64_t uid, gid;
    long mtime;
    uint64_t claimed; /* size to write into the header when not 0 */
};
void tar_add(struct tar *t, const struct tar_entry *e);
/** tar_raw() - bytes as they are. */
void tar_raw(struct tar *t, const void *data, size_t len);
/** tar_pax() - an extended header with one record for the next entry. */
void tar_pax(struct tar *t, const char *key, const void *value, size_t len);
void tar_end(struct tar *t);
void tar_done(struct tar *t);
/** tar_gzip() - a gzip member of any bytes; owned by the caller. */
void *tar_gzip(const void *data, size_t len, size_t *ret_len);

#endif
