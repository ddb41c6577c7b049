/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block devices: a file or block device of fixed size, read and written in whole sectors by offset.
 * The capacity is what the descriptor has at start: a guest cannot grow a file.
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int block_attach(struct device *d, struct fault *f)
{
    struct stat st;
    off_t size;
    int flags = fcntl(d->fd, F_GETFL);

    if (flags < 0 || fstat(d->fd, &st) != 0)
        return fault_sys(f, "block device '%s': descriptor %d", d->name, d->fd);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return fault_set(f, STATUS_SETUP,
                         "block device '%s': descriptor %d is neither a file nor a block device",
                         d->name, d->fd);
    if ((flags & O_ACCMODE) == O_WRONLY)
        return fault_set(f, STATUS_SETUP, "block device '%s': descriptor %d is write-only", d->name,
                         d->fd);
    if ((flags & O_ACCMODE) == O_RDONLY && !d->read_only)
        return fault_set(f, STATUS_SETUP,
                         "block device '%s': descriptor %d is read-only but 'ro' is not given",
                         d->name, d->fd);
    size = S_ISREG(st.st_mode) ? st.st_size : lseek(d->fd, 0, SEEK_END);
    if (size < 0)
        return fault_sys(f, "block device '%s': size of descriptor %d", d->name, d->fd);
    if ((uint64_t)size < d->sector_size || (uint64_t)size % d->sector_size != 0)
        return fault_set(f, STATUS_SETUP,
                         "block device '%s': %lld bytes are not one or more sectors of %u bytes",
                         d->name, (long long)size, d->sector_size);
    d->capacity = (uint64_t)size;
    return 0;
}

static bool in_bounds(const struct device *d, uint64_t len, uint64_t offset)
{
    uint64_t end;

    return len > 0 && len % d->sector_size == 0 && offset % d->sector_size == 0 &&
           !__builtin_add_overflow(offset, len, &end) && end <= d->capacity;
}

int block_read(const struct device *d, void *buf, uint64_t len, uint64_t offset)
{
    ssize_t n;

    if (!in_bounds(d, len, offset))
        return SOLO5_EINVAL;
    do
        n = pread(d->fd, buf, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (uint64_t)n == len ? SOLO5_OK : SOLO5_EUNSPEC;
}

int block_write(const struct device *d, const void *buf, uint64_t len, uint64_t offset)
{
    ssize_t n;

    if (!in_bounds(d, len, offset))
        return SOLO5_EINVAL;
    if (d->read_only)
        return SOLO5_EUNSPEC;
    do
        n = pwrite(d->fd, buf, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (uint64_t)n == len ? SOLO5_OK : SOLO5_EUNSPEC;
}
