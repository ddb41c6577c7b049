/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_copy - private disks: copies that share what they can with the original, and empty ones.
 * They are the caller's files; no row knows them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "imagestore/disk_tool.h"

#define COPY_CHUNK_BYTES (UINT64_C(64) << 20)
#define SCRATCH_MIN      (UINT64_C(1) << 20)

static int create(const char *path, struct err *err)
{
    if (fs_remove(AT_FDCWD, path, err) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? err_sys(err, "create '%s'", path) : fd;
}

static int check_space(const struct imagestore *s, const char *path, uint64_t need, struct err *err)
{
    uint64_t margin = store_min_free(s), have = 0;

    if (fs_free_bytes(path, &have, err) < 0)
        return -1;
    if (have >= margin && have - margin >= need)
        return 0;
    return err_set(err, ERR_EXHAUSTED,
                   "no space for '%s': %llu bytes are needed, %llu are free, %llu of which are to "
                   "stay free",
                   path, (unsigned long long)need, (unsigned long long)have,
                   (unsigned long long)margin);
}

/* From one place without a hole to its end. */
static int copy_part(int from, int to, off_t start, off_t end, struct err *err)
{
    off_t in = start, out = start;

    while (in < end) {
        uint64_t left = (uint64_t)(end - in);
        ssize_t n = copy_file_range(from, &in, to, &out,
                                    left < COPY_CHUNK_BYTES ? left : COPY_CHUNK_BYTES, 0);

        if (n < 0)
            return err_sys(err, "copy");
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "copy: the file has become shorter");
    }
    return 0;
}

static int copy_data(int from, int to, off_t size, struct err *err)
{
    for (off_t at = 0; at < size;) {
        off_t start = lseek(from, at, SEEK_DATA);

        if (start < 0 && errno == ENXIO)
            return 0; /* a hole to the end */
        off_t end = start < 0 ? -1 : lseek(from, start, SEEK_HOLE);

        if (end < 0) /* a filesystem that knows no holes */
            return copy_part(from, to, at, size, err);
        if (copy_part(from, to, start, end, err) < 0)
            return -1;
        at = end;
    }
    return 0;
}

static int copy_into(const struct imagestore *s, int from, int to, const char *path,
                     struct err *err)
{
    struct stat st;

    if (fstat(from, &st) < 0)
        return err_sys(err, "stat the original");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "the original is not a regular file");
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (check_space(s, path, (uint64_t)st.st_blocks * 512, err) < 0)
        return -1;
    if (ftruncate(to, st.st_size) < 0)
        return err_sys(err, "a file of %lld bytes", (long long)st.st_size);
    return copy_data(from, to, st.st_size, err);
}

int image_disk_copy(struct imagestore *s, int from, const char *path, struct err *err)
{
    /* a descriptor of its own: SEEK_DATA moves the offset, and the original may be shared */
    autofree char *again = xasprintf("/proc/self/fd/%d", from);
    autofd int in = open(again, O_RDONLY | O_CLOEXEC);

    if (in < 0)
        return err_sys(err, "open the original of '%s'", path);
    autofd int fd = create(path, err);

    if (fd < 0)
        return -1;
    if (copy_into(s, in, fd, path, err) < 0) {
        (void)unlink(path);
        return err_wrap(err, "disk '%s'", path);
    }
    return TAKE_FD(fd);
}

int image_disk_scratch(struct imagestore *s, const char *path, uint64_t size, deadline_t deadline,
                       struct err *err)
{
    if (size < SCRATCH_MIN || size > INT64_MAX)
        return err_set(err, ERR_INVALID, "disk '%s': a size of %llu bytes, which is no disk's",
                       path, (unsigned long long)size);
    autofd int fd = create(path, err);
    struct disk_plan plan = {
        .kind = IMAGE_DISK_EXT4, .image = -1, .source = -1, .size = size, .output = fd};

    if (fd < 0)
        return -1;
    deadline = deadline_min(deadline, deadline_in(s->config->disk_timeout));
    if (check_space(s, path, 0, err) < 0 || disk_make(s, &plan, deadline, err) < 0) {
        (void)unlink(path);
        return err_wrap(err, "disk '%s'", path);
    }
    return TAKE_FD(fd);
}
