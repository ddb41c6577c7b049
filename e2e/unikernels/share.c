/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share - a guest of machines that has shares: it looks for virtio-9p devices on PCI, shows the
 * file "message" of each and tries to make a file "reply" there. Entered by the PVH protocol as
 * roles.c, whose linker script it has. One request at a time, by the legacy interface, without
 * interrupts.
 */
#include <stdbool.h>
#include <stddef.h>

#include "e2e/unikernels/pvh.h"

#define PCI_ADDR  0xcf8
#define PCI_DATA  0xcfc
#define VIRTIO_9P 0x10091af4 /* device and vendor */

enum { QUEUE_PFN = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, CONFIG = 20 };
enum { T_VERSION = 100, T_ATTACH = 104, T_WALK = 110, T_LOPEN = 12, T_LCREATE = 14 };
enum { T_READ = 116, T_WRITE = 118, R_LERROR = 7 };
enum { O_RDONLY_9P = 0, O_WRONLY_9P = 1 };

void pvh_main(const struct start_info *info);

__asm__(PVH_NOTE PVH_ENTRY_32);

/* ---- one queue, one request at a time */

#define QUEUE_MAX 128

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next; /* flags: 1 there is a next, 2 the device writes */
};
static struct {
    struct descriptor desc[QUEUE_MAX];
    struct {
        uint16_t flags, index, ring[QUEUE_MAX];
    } avail;
    struct {
        uint16_t flags, index;
        uint32_t ring[2 * QUEUE_MAX];
    } used __attribute__((aligned(4096)));
} queue __attribute__((aligned(4096)));

static uint8_t request[8192], reply[8192];
static size_t length;

static void put(uint64_t value, size_t bytes)
{
    for (; bytes; bytes--, value >>= 8)
        request[length++] = (uint8_t)value;
}

static void put_string(const char *s)
{
    size_t at = length;

    put(0, 2);
    for (; *s; s++)
        put((uint8_t)*s, 1);
    request[at] = (uint8_t)(length - at - 2);
}

static void begin(uint8_t type)
{
    length = 4;
    put(type, 1);
    put(type == T_VERSION ? 0xffff : 1, 2);
}

static uint32_t number(size_t at)
{
    return (uint32_t)reply[at] | (uint32_t)reply[at + 1] << 8 | (uint32_t)reply[at + 2] << 16 |
           (uint32_t)reply[at + 3] << 24;
}

/* Returns: 0, or what Linux calls the error. */
static uint32_t ask(uint16_t io)
{
    volatile uint16_t *done = &queue.used.index;
    uint16_t before = *done;
    size_t size = length;

    length = 0;
    put(size, 4);
    queue.desc[0] = (struct descriptor){(uintptr_t)request, (uint32_t)size, 1, 1};
    queue.desc[1] = (struct descriptor){(uintptr_t)reply, sizeof(reply), 2, 0};
    queue.avail.ring[queue.avail.index % QUEUE_MAX] = 0;
    __asm__ volatile("" ::: "memory");
    queue.avail.index++;
    __asm__ volatile("" ::: "memory");
    out16(io + NOTIFY, 0);
    while (*done == before)
        __asm__ volatile("pause" ::: "memory");
    return reply[4] == R_LERROR ? number(7) : 0;
}

static bool start(uint16_t io)
{
    volatile uint8_t *q = (volatile uint8_t *)&queue;

    for (size_t i = 0; i < sizeof(queue); i++)
        q[i] = 0;
    out8(io + STATUS, 0);
    out8(io + STATUS, 1 | 2);
    out32(io + 4, 0);
    out16(io + QUEUE_SELECT, 0);
    if (in16(io + QUEUE_SIZE) != QUEUE_MAX)
        return false;
    out32(io + QUEUE_PFN, (uint32_t)((uintptr_t)&queue / 4096));
    out8(io + STATUS, 1 | 2 | 4);
    return true;
}

/* ---- 9P2000.L */

static uint32_t walk(uint16_t io, uint32_t fid, const char *name)
{
    begin(T_WALK);
    put(0, 4);
    put(fid, 4);
    put(name ? 1 : 0, 2);
    if (name)
        put_string(name);
    return ask(io);
}

static uint32_t attach(uint16_t io)
{
    uint32_t error;

    begin(T_VERSION);
    put(sizeof(reply), 4);
    put_string("9P2000.L");
    error = ask(io);
    if (error)
        return error;
    begin(T_ATTACH);
    put(0, 4);
    put(UINT32_MAX, 4);
    put_string("root");
    put_string("/");
    put(0, 4);
    return ask(io);
}

static uint32_t show_message(uint16_t io)
{
    uint32_t error = walk(io, 1, "message");

    if (error)
        return error;
    begin(T_LOPEN);
    put(1, 4);
    put(O_RDONLY_9P, 4);
    error = ask(io);
    if (error)
        return error;
    begin(T_READ);
    put(1, 4);
    put(0, 8);
    put(1024, 4);
    error = ask(io);
    for (uint32_t i = 0; !error && i < number(7); i++)
        say_byte(reply[11 + i]);
    return error;
}

static uint32_t make_reply(uint16_t io)
{
    static const char text[] = "written by the guest\n";
    uint32_t error = walk(io, 2, NULL);

    if (error)
        return error;
    begin(T_LCREATE);
    put(2, 4);
    put_string("reply");
    put(O_WRONLY_9P, 4);
    put(0644, 4);
    put(0, 4);
    error = ask(io);
    if (error)
        return error;
    begin(T_WRITE);
    put(2, 4);
    put(0, 8);
    put(sizeof(text) - 1, 4);
    for (const char *s = text; *s; s++)
        put((uint8_t)*s, 1);
    return ask(io);
}

static void result(const char *what, uint32_t error)
{
    say(what);
    if (error) {
        say("error ");
        say_number(error);
    } else {
        say("ok");
    }
    say("\n");
}

static void visit(uint16_t io)
{
    say("share ");
    for (uint16_t i = 0; i < in16(io + CONFIG); i++)
        say_byte(in8((uint16_t)(io + CONFIG + 2 + i)));
    say("\n");
    if (!start(io)) {
        say("no queue\n");
        return;
    }
    result("attach: ", attach(io));
    result("message: ", show_message(io));
    result("reply: ", make_reply(io));
}

static uint32_t pci(uint32_t slot, uint32_t reg)
{
    out32(PCI_ADDR, 0x80000000U | slot << 11 | reg);
    return in32(PCI_DATA);
}

void pvh_main(const struct start_info *info)
{
    say("command line: ");
    say((const char *)(uintptr_t)info->cmdline);
    say("\n");
    for (uint32_t slot = 0; slot < 32; slot++)
        if (pci(slot, 0) == VIRTIO_9P) {
            out32(PCI_ADDR, 0x80000000U | slot << 11 | 4);
            out32(PCI_DATA, in32(PCI_DATA) | 5); /* ports, and it may read and write memory */
            visit((uint16_t)(pci(slot, 0x10) & ~3U));
        }
    out16(DEBUG_PORT, 0);
}
