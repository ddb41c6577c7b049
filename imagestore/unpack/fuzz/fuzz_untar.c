/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes untar(): whatever the archive, nothing may appear beside the directory it is unpacked
 * into. Runs in a directory of its own below /tmp, whose neighbour is counted after each input.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/unpack/untar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
    const uint8_t *data;
    size_t len;
};

static ssize_t next(void *arg, const void **ret, struct err *err)
{
    struct input *in = arg;
    size_t n = in->len;
    (void)err;
    *ret = in->data;
    in->len = 0;
    return (ssize_t)n;
}

static size_t count(const char *path)
{
    autodir DIR *d = opendir(path);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char dir[] = "/tmp/unicri-fuzz-XXXXXX";
    struct err err = ERR_INIT, ignored = ERR_INIT;
    struct untar_limits limits = {.max_bytes = 1 << 20, .max_entries = 200};
    struct untar_totals totals;
    struct input in = {data, len};
    autostrbuf marks = STRBUF_INIT;
    autofd int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!mkdtemp(dir))
        abort();
    autofree char *root = path_join(dir, "root");
    if (mkdir(root, 0755) < 0 || chdir(root) < 0)
        abort();
    (void)!untar(next, &in, &limits, &marks, &totals, &err);
    if (fchdir(old) < 0 || count(dir) != 3)
        abort();
    if (fs_remove_tree(AT_FDCWD, dir, &ignored) < 0)
        abort();
    return 0;
}
