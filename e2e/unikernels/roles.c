/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roles - a guest of machines, entered by the PVH protocol: 32 bits, flat, no paging, ebx points to
 * the start information. It prints its command line and memory, and does what the first word says:
 * hello (ends at once), exit N (by the debug port), off, reset, crash, panic, spin, idle. The
 * linker script is roles.lds.
 */
#include "e2e/unikernels/pvh.h"

#define KEYBOARD 0x64
#define RAM      1

struct memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

void pvh_main(const struct start_info *info);

__asm__(PVH_NOTE PVH_ENTRY_32);

/* The rest of `line` behind the word, or NULL. */
static const char *behind(const char *line, const char *word)
{
    while (*word && *line == *word) {
        line++;
        word++;
    }
    if (*word || (*line && *line != ' '))
        return 0;
    return *line ? line + 1 : line;
}

static uint32_t mebibytes(const struct start_info *info)
{
    const struct memmap_entry *e = (const struct memmap_entry *)(uintptr_t)info->memmap;
    uint64_t sum = 0;

    if (info->version < 1)
        return 0;
    for (uint32_t i = 0; i < info->memmap_entries; i++)
        if (e[i].type == RAM)
            sum += e[i].size;
    return (uint32_t)(sum >> 20);
}

static void triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) none;

    __asm__ volatile("lidt %0\n"
                     "int3" ::"m"(none));
}

void pvh_main(const struct start_info *info)
{
    const char *line = (const char *)(uintptr_t)info->cmdline, *rest;
    uint16_t status = 0;

    if (info->magic != PVH_MAGIC)
        return;
    say("Hello from a unikernel\ncommand line: ");
    say(line);
    say("\nmemory: ");
    say_number(mebibytes(info));
    say(" MiB\n");
    rest = behind(line, "exit");
    if (rest) {
        for (; *rest >= '0' && *rest <= '9'; rest++)
            status = (uint16_t)(status * 10 + *rest - '0');
        out16(DEBUG_PORT, status);
    } else if (behind(line, "hello")) {
        out16(DEBUG_PORT, 0);
    } else if (behind(line, "off")) {
        out16(PM1A, 0x2000);
    } else if (behind(line, "reset")) {
        out8(KEYBOARD, 0xfe);
    } else if (behind(line, "crash")) {
        triple_fault();
    } else if (behind(line, "panic")) {
        out8(PANIC_PORT, 1);
    } else if (behind(line, "idle")) {
        say("idle: waiting\n");
    } else if (behind(line, "spin")) {
        say("spin: busy from now on\n");
        for (;;)
            __asm__ volatile("pause");
    }
}
