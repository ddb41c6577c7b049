/* SPDX-License-Identifier: Apache-2.0 */
/* raw - see raw.h. */
#include "imagestore/unpack/raw.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "imagestore/unpack/place.h"

#define BLOCK UINT64_C(4096)

static int copy(untar_source source, void *arg, int fd, const struct untar_limits *limits,
                struct untar_totals *t, struct err *err)
{
    uint64_t size = 0, checked = 0;
    const void *data = NULL;
    ssize_t n;

    while ((n = source(arg, &data, err)) > 0) {
        size += (uint64_t)n;
        t->bytes = (size + BLOCK - 1) / BLOCK * BLOCK;
        if (t->bytes > limits->max_bytes)
            return err_set(err, ERR_EXHAUSTED, "file of more than %llu bytes",
                           (unsigned long long)limits->max_bytes);
        if (size - checked >= UNTAR_FREE_STEP) {
            if (untar_check_free(limits, err) < 0)
                return -1;
            checked = size;
        }
        if (fs_write_all(fd, data, (size_t)n, err) < 0)
            return -1;
    }
    return n < 0 ? -1 : untar_check_free(limits, err);
}

/* Stands in the parent, which has been made. */
static int write_leaf(untar_source source, void *arg, const char *leaf,
                      const struct untar_limits *limits, struct untar_totals *t, struct err *err)
{
    autofd int fd =
        openat(AT_FDCWD, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return err_sys(err, "create '%s'", leaf);
    if (fchown(fd, 0, 0) < 0)
        return err_sys(err, "owner of '%s'", leaf);
    return copy(source, arg, fd, limits, t, err);
}

int raw(untar_source source, void *arg, const char *name, const struct untar_limits *limits,
        struct untar_totals *ret, struct err *err)
{
    struct untar_totals t = {.entries = 1};
    struct strbuf marks = STRBUF_INIT;
    char path[PATH_MAX];
    const char *leaf = NULL;

    if (place_clean(name, true, path, err) < 0)
        return -1;
    if (!path[0])
        return err_set(err, ERR_INVALID, "'%s' is not the name of a file", name);

    struct place place = {.root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .marks = &marks};
    int rc = place.root < 0 ? err_sys(err, "open the root") : place_enter(&place, path, &leaf, err);

    if (rc == 0)
        rc = write_leaf(source, arg, leaf, limits, &t, err);
    (void)close_fd(place.root);
    strbuf_done(&marks);
    t.inodes = 1 + place.implied;
    t.bytes += place.implied * BLOCK;
    *ret = t;
    return rc;
}
