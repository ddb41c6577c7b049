/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as urunc.json: what is accepted has a kernel path that stays in the image. */
#include <string.h>
#include <sys/mman.h>

#include "vmm/vmm.h"

struct input {
    const uint8_t *data;
    size_t size;
};

static int open_input(void *arg, const char *path, struct err *err)
{
    const struct input *in = arg;
    int fd = memfd_create(path, MFD_CLOEXEC);

    if (fd < 0 || write(fd, in->data, in->size) != (ssize_t)in->size ||
        lseek(fd, 0, SEEK_SET) != 0) {
        (void)close_fd(fd);
        return err_set(err, ERR_NOT_FOUND, "no input");
    }
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct guest_image image = {.open_file = open_input, .arg = &in};
    struct guest *guest = NULL;
    struct err err;

    if (guest_declared(&image, &guest, &err) == 0 && guest &&
        (!*guest->binary || guest->binary[0] == '-' || strstr(guest->binary, "/../") ||
         strncmp(guest->binary, "../", 3) == 0 || strpbrk(guest->binary, " \n'\"$,;|&")))
        abort();
    guest_free(guest);
    return 0;
}
