/* SPDX-License-Identifier: Apache-2.0 */
/* breakpoints - int3 in the guest's code, and memory that hides them; see rsp.h. */
#include <string.h>

#include "sandbox/debug/rsp.h"

#define INT3 0xcc

static struct rsp_breakpoint *find(struct rsp *r, uint64_t addr)
{
    for (size_t i = 0; i < r->n_breakpoints; i++)
        if (r->breakpoints[i].addr == addr)
            return &r->breakpoints[i];
    return NULL;
}

bool breakpoint_at(const struct rsp *r, uint64_t addr)
{
    for (size_t i = 0; i < r->n_breakpoints; i++)
        if (r->breakpoints[i].addr == addr)
            return true;
    return false;
}

static int note(struct rsp *r, const struct rsp_breakpoint *b, bool there)
{
    return r->target->note ? r->target->note(r->arg, b->addr, b->was, there) : 0;
}

/* In the guest's memory, unless the target has a better way. */
static int insert(struct rsp *r, struct rsp_breakpoint *b)
{
    static const uint8_t int3 = INT3;

    if (r->target->breakpoint)
        return r->target->breakpoint(r->arg, b->addr, true);
    if (r->target->read(r->arg, b->addr, &b->was, 1) < 0 || note(r, b, true) < 0)
        return -1;
    if (r->target->write(r->arg, b->addr, &int3, 1) == 0)
        return 0;
    (void)note(r, b, false);
    return -1;
}

static int take_out(struct rsp *r, const struct rsp_breakpoint *b)
{
    if (r->target->breakpoint)
        return r->target->breakpoint(r->arg, b->addr, false);
    return r->target->write(r->arg, b->addr, &b->was, 1) < 0 ? -1 : note(r, b, false);
}

int breakpoint_add(struct rsp *r, uint64_t addr)
{
    struct rsp_breakpoint b = {.addr = addr};

    if (find(r, addr))
        return 0;
    if (r->n_breakpoints == RSP_BREAKPOINTS_MAX || insert(r, &b) < 0)
        return -1;
    r->breakpoints[r->n_breakpoints++] = b;
    return 0;
}

int breakpoint_remove(struct rsp *r, uint64_t addr)
{
    struct rsp_breakpoint *b = find(r, addr);

    if (!b)
        return 0;
    if (take_out(r, b) < 0)
        return -1;
    *b = r->breakpoints[--r->n_breakpoints];
    return 0;
}

void breakpoints_clear(struct rsp *r)
{
    for (size_t i = 0; i < r->n_breakpoints; i++)
        (void)take_out(r, &r->breakpoints[i]);
    r->n_breakpoints = 0;
}

int guest_read(struct rsp *r, uint64_t addr, void *buf, size_t len)
{
    if (r->target->read(r->arg, addr, buf, len) < 0)
        return -1;
    for (size_t i = 0; i < r->n_breakpoints && !r->target->breakpoint; i++) {
        const struct rsp_breakpoint *b = &r->breakpoints[i];

        if (b->addr >= addr && b->addr - addr < len)
            ((uint8_t *)buf)[b->addr - addr] = b->was;
    }
    return 0;
}

int guest_write(struct rsp *r, uint64_t addr, const void *buf, size_t len)
{
    static const uint8_t int3 = INT3;

    if (r->target->write(r->arg, addr, buf, len) < 0)
        return -1;
    for (size_t i = 0; i < r->n_breakpoints && !r->target->breakpoint; i++) {
        struct rsp_breakpoint *b = &r->breakpoints[i];

        if (b->addr < addr || b->addr - addr >= len)
            continue;
        b->was = ((const uint8_t *)buf)[b->addr - addr];
        if (note(r, b, true) < 0 || r->target->write(r->arg, b->addr, &int3, 1) < 0)
            return -1;
    }
    return 0;
}
