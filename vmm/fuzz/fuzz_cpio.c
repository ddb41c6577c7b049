/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image's initrd: the walk stays inside, and what is found to end with a trailer
 * can be continued by volumes and walked again. */
#include <string.h>
#include <sys/mman.h>

#include "vmm/cpio.h"
#include "vmm/vmm.h"

static void count(void *arg, const char *name, mode_t mode)
{
    size_t *n = arg;

    (void)mode;
    if (strlen(name) > CPIO_NAME_MAX)
        abort();
    (*n)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char family[] = "unikraft", none[] = "";
    static int fd = -1, out = -1;
    struct guest guest = {.family = family, .binary = none};
    struct vmm_tree tree = {.path = "/etc/volume/file", .fd = 0};
    uint64_t trailer = 0, again = 0;
    size_t before = 0, after = 0;
    struct err err;
    struct stat st;

    if (fd < 0) {
        fd = memfd_create("initrd", MFD_CLOEXEC);
        out = memfd_create("result", MFD_CLOEXEC);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (cpio_scan(fd, size, count, &before, &trailer, &err) != 0)
        return 0;
    if (trailer > size || trailer % 4 != 0)
        abort();
    tree.fd = fd; /* the archive as a file in itself */
    if (ftruncate(out, 0) != 0 || lseek(out, 0, SEEK_SET) != 0 ||
        vmm_initrd_write(&guest, fd, &tree, 1, out, &err) != 0 || fstat(out, &st) != 0)
        abort();
    if (cpio_scan(out, (uint64_t)st.st_size, count, &after, &again, &err) != 0 || after <= before ||
        again <= trailer)
        abort();
    return 0;
}
