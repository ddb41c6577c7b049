/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a kernel: what is accepted has well-named devices, each once. */
#include <string.h>
#include <sys/mman.h>

#include "vmm/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guest;
    static int fd = -1;
    struct err err;

    if (fd < 0)
        fd = memfd_create("kernel", MFD_CLOEXEC);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (guest_probe_kernel(&guest, fd, &err) != 0)
        return 0;
    if (guest.n_devices >= GUEST_DEVICES_MAX || (guest.n_devices > 0 && !guest.solo5))
        abort();
    for (size_t i = 0; i < guest.n_devices; i++)
        if (!guest.devices[i].name[0] || strpbrk(guest.devices[i].name, ":=, /"))
            abort();
    return 0;
}
