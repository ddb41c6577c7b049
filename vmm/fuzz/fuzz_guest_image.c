/* SPDX-License-Identifier: Apache-2.0 */
/* Any image as a guest: annotations, labels and pod annotations of known keys with any values, any
 * platform, any file. What is accepted has paths that stay in the image. The input: lines; the
 * first byte of each says where the rest goes. */
#include <string.h>
#include <sys/mman.h>

#include "vmm/vmm.h"

static const char *const keys[] = {
    "org.unikraft.kernel.image",
    "org.unikraft.kernel.initrd",
    "org.unikraft.kernel.version",
    "org.unikraft.image.name",
    "sh.kraftkit.version",
    "com.urunc.unikernel.unikernelType",
    "com.urunc.unikernel.hypervisor",
    "com.urunc.unikernel.binary",
    "com.urunc.unikernel.initrd",
    "com.urunc.unikernel.block",
    "com.urunc.unikernel.blkMntPoint",
    "com.urunc.unikernel.cmdline",
    "com.urunc.unikernel.unikernelVersion",
    "com.urunc.unikernel.solo5NetDev",
    "com.urunc.unikernel.solo5BlkDev",
    "com.urunc.unikernel.mountRootfs",
    "com.urunc.unikernel.useDMBlock",
    "com.urunc.unikernel.bootKernel",
    "com.urunc.unikernel.bootInitrd",
};

static int open_any(void *arg, const char *path, struct err *err)
{
    const char *text = arg;
    int fd;

    if (!text || strcmp(path, "/urunc.json") == 0)
        return err_set(err, ERR_NOT_FOUND, "open '%s'", path);
    fd = memfd_create("file", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        return err_sys(err, "write");
    return fd;
}

static void check(const char *path)
{
    if (strncmp(path, VMM_HOST_FILE "/", strlen(VMM_HOST_FILE) + 1) == 0)
        path += strlen(VMM_HOST_FILE);
    if (path[0] == '-' || strstr(path, "/../") || strncmp(path, "../", 3) == 0 ||
        strpbrk(path, " \t\n'\"$,;|&=:"))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xmalloc(size + 1), *file = NULL, *os = NULL, *version = NULL;
    struct kvs maps[3] = {{NULL, 0}};
    struct guest *guest = NULL;
    struct err err;
    char *save = NULL;

    memcpy(text, data, size);
    text[size] = '\0';
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        size_t where = (unsigned char)*l % (3 * ARRAY_SIZE(keys) + 3);
        char **other = where % 3 == 0 ? &file : where % 3 == 1 ? &os : &version;

        if (where < 3 * ARRAY_SIZE(keys)) {
            kvs_set(&maps[where % 3], keys[where / 3], l + 1);
        } else {
            free(*other);
            *other = xstrdup(l + 1);
        }
    }

    const struct guest_image image = {
        .labels = &maps[0],
        .annotations = &maps[1],
        .pod_annotations = &maps[2],
        .os = os,
        .os_version = version,
        .argv = (char *[]){(char[]){"/entry"}, NULL},
        .wanted = size % 2,
        .open_file = open_any,
        .arg = file,
    };

    if (guest_declared(&image, &guest, &err) == 0 && guest) {
        if (!*guest->binary)
            abort();
        check(guest->binary);
        check(guest->initrd);
        check(guest->block);
        check(guest->block_mount);
        check(guest->net_device);
        check(guest->block_device);
    }
    guest_free(guest);
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
        kvs_done(&maps[i]);
    return 0;
}
