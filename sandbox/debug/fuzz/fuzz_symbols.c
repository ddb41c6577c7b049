/* SPDX-License-Identifier: Apache-2.0 */
/* The symbols and the code of any file, then a backtrace through memory that is the file itself. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/debug/backtrace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static int read_input(void *arg, uint64_t addr, void *buf, size_t len)
{
    const struct input *in = arg;

    if (addr > in->size || len > in->size - addr)
        return -1;
    memcpy(buf, in->data + addr, len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct code_ranges code = {0};
    struct backtrace_source source = {read_input, &in, &code};
    struct backtrace b;
    struct symbol *v = xcalloc(BACKTRACE_FRAMES_MAX, sizeof(*v));
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    uint64_t regs[3] = {0};

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    memcpy(regs, data, size < sizeof(regs) ? size : sizeof(regs));
    if (symbols_code(fd, &code, NULL) < 0)
        code = (struct code_ranges){.n = 1, .v = {{0, size}}};
    backtrace_make(&source, regs[0], regs[1] % (size + 9), regs[2] % (size + 9), &b);
    if (b.n < 1 || b.n > BACKTRACE_FRAMES_MAX)
        abort();
    for (size_t i = 0; i < b.n; i++)
        v[i].addr = b.addr[i];
    if (symbols_find(fd, v, b.n, NULL) == 0)
        for (size_t i = 0; i < b.n; i++)
            if (v[i].found && (v[i].start > v[i].addr || !*v[i].name))
                abort();
    (void)close(fd);
    free(v);
    return 0;
}
