/* SPDX-License-Identifier: Apache-2.0 */
/* fake_guest - a guest of 64 KiB without a processor, for the server's side of GDB's protocol. */
#ifndef UNICRI_SANDBOX_DEBUG_TESTS_FAKE_GUEST_H
#define UNICRI_SANDBOX_DEBUG_TESTS_FAKE_GUEST_H

#include <string.h>

#include "base/strbuf.h"
#include "sandbox/debug/rsp.h"

#define FAKE_BASE 0x10000u

struct fake_guest {
    uint64_t regs[RSP_REGS];
    uint8_t memory[65536];
    struct strbuf sent;
    unsigned resumed, stops;
    uint64_t hardware[2]; /* of a guest with breakpoints of its own */
    bool stepped;
    int delivered;
};

static int fake_registers(void *arg, uint64_t ret[RSP_REGS])
{
    memcpy(ret, ((struct fake_guest *)arg)->regs, sizeof(uint64_t) * RSP_REGS);
    return 0;
}

static int fake_set_registers(void *arg, const uint64_t regs[RSP_REGS])
{
    memcpy(((struct fake_guest *)arg)->regs, regs, sizeof(uint64_t) * RSP_REGS);
    return 0;
}

static bool fake_has(uint64_t addr, size_t len)
{
    return addr >= FAKE_BASE && addr <= FAKE_BASE + 65536 && len <= FAKE_BASE + 65536 - addr;
}

static int fake_read(void *arg, uint64_t addr, void *buf, size_t len)
{
    const struct fake_guest *g = arg;

    if (!fake_has(addr, len))
        return -1;
    memcpy(buf, g->memory + (addr - FAKE_BASE), len);
    return 0;
}

static int fake_write(void *arg, uint64_t addr, const void *buf, size_t len)
{
    struct fake_guest *g = arg;

    if (!fake_has(addr, len))
        return -1;
    memcpy(g->memory + (addr - FAKE_BASE), buf, len);
    return 0;
}

static int fake_resume(void *arg, bool step, int signal)
{
    struct fake_guest *g = arg;

    g->resumed++;
    g->stepped = step;
    g->delivered = signal;
    return 0;
}

static int fake_breakpoint(void *arg, uint64_t addr, bool add)
{
    struct fake_guest *g = arg;

    for (int i = 0; i < 2; i++)
        if (g->hardware[i] == (add ? 0 : addr)) {
            g->hardware[i] = add ? addr : 0;
            return 0;
        }
    return -1;
}

static int fake_stop(void *arg)
{
    ((struct fake_guest *)arg)->stops++;
    return 0;
}

static void fake_send(void *arg, const void *data, size_t len)
{
    strbuf_add(&((struct fake_guest *)arg)->sent, data, len);
}

static const struct rsp_target fake_target = {
    .registers = fake_registers,
    .set_registers = fake_set_registers,
    .read = fake_read,
    .write = fake_write,
    .resume = fake_resume,
    .stop = fake_stop,
    .send = fake_send,
};
static const struct rsp_target fake_hardware_target = {
    .registers = fake_registers,
    .set_registers = fake_set_registers,
    .read = fake_read,
    .write = fake_write,
    .resume = fake_resume,
    .breakpoint = fake_breakpoint,
    .stop = fake_stop,
    .send = fake_send,
};

#endif
