/* SPDX-License-Identifier: Apache-2.0 */
/* rsp_commands - what GDB asks for; see rsp.h. An empty answer means that a packet is not known. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "sandbox/debug/rsp.h"

#define READ_GRAIN 4096

static const char target_xml[] =
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
    "<target><architecture>i386:x86-64</architecture></target>";

static void failed(struct rsp *r)
{
    rsp_send_text(r, "E01");
}

static void done(struct rsp *r, bool well)
{
    rsp_send_text(r, well ? "OK" : "E01");
}

void rsp_tell_stop(struct rsp *r)
{
    uint64_t regs[RSP_REGS];
    char text[64];
    bool at_breakpoint = r->swbreak && r->signal == 5 && r->target->registers(r->arg, regs) == 0 &&
                         breakpoint_at(r, regs[RSP_RIP]);

    (void)snprintf(text, sizeof(text), "T%02xthread:1;%s", r->signal & 255,
                   at_breakpoint ? "swbreak:;" : "");
    rsp_send_text(r, text);
}

/* ------------------------------------------------------------------- registers */

static void pack(const uint64_t regs[RSP_REGS], uint8_t out[RSP_REGS_BYTES])
{
    for (size_t i = 0; i < RSP_REGS; i++) {
        size_t size = i < RSP_REGS_64 ? 8 : 4;

        for (size_t b = 0; b < size; b++)
            *out++ = (uint8_t)(regs[i] >> 8 * b);
    }
}

static void unpack(const uint8_t *in, uint64_t regs[RSP_REGS])
{
    for (size_t i = 0; i < RSP_REGS; i++) {
        size_t size = i < RSP_REGS_64 ? 8 : 4;

        regs[i] = 0;
        for (size_t b = 0; b < size; b++)
            regs[i] |= (uint64_t)*in++ << 8 * b;
    }
}

static void read_registers(struct rsp *r)
{
    uint64_t regs[RSP_REGS];
    uint8_t raw[RSP_REGS_BYTES];
    char text[2 * RSP_REGS_BYTES];

    if (r->target->registers(r->arg, regs) < 0) {
        failed(r);
        return;
    }
    pack(regs, raw);
    rsp_hex(raw, sizeof(raw), text);
    rsp_send(r, text, sizeof(text));
}

/* GDB sends more registers than it was given; they are passed over. */
static void write_registers(struct rsp *r, const char *p, size_t len)
{
    uint64_t regs[RSP_REGS];
    uint8_t raw[RSP_REGS_BYTES];

    if (len < 2 * sizeof(raw) || !rsp_unhex(p, sizeof(raw), raw)) {
        failed(r);
        return;
    }
    unpack(raw, regs);
    done(r, r->target->set_registers(r->arg, regs) == 0);
}

static void read_register(struct rsp *r, const char *p, const char *end)
{
    uint64_t regs[RSP_REGS], n;
    uint8_t raw[RSP_REGS_BYTES];
    char text[16];
    size_t size;

    if (!rsp_number(&p, end, &n) || n >= RSP_REGS || r->target->registers(r->arg, regs) < 0) {
        failed(r);
        return;
    }
    size = n < RSP_REGS_64 ? 8 : 4;
    for (size_t b = 0; b < size; b++)
        raw[b] = (uint8_t)(regs[n] >> 8 * b);
    rsp_hex(raw, size, text);
    rsp_send(r, text, 2 * size);
}

static void write_register(struct rsp *r, const char *p, const char *end)
{
    uint64_t regs[RSP_REGS], n;
    uint8_t raw[8] = {0};
    size_t size;

    if (!rsp_number(&p, end, &n) || n >= RSP_REGS || p == end || *p != '=' ||
        r->target->registers(r->arg, regs) < 0) {
        failed(r);
        return;
    }
    size = n < RSP_REGS_64 ? 8 : 4;
    if ((size_t)(end - ++p) < 2 * size || !rsp_unhex(p, size, raw)) {
        failed(r);
        return;
    }
    regs[n] = 0;
    for (size_t b = 0; b < size; b++)
        regs[n] |= (uint64_t)raw[b] << 8 * b;
    done(r, r->target->set_registers(r->arg, regs) == 0);
}

/* ---------------------------------------------------------------------- memory */

static bool range(const char **p, const char *end, uint64_t *addr, uint64_t *len)
{
    if (!rsp_number(p, end, addr) || *p == end || *(*p)++ != ',')
        return false;
    return rsp_number(p, end, len);
}

/* As much of it as there is, from the beginning on. */
static void read_memory(struct rsp *r, const char *p, const char *end)
{
    static uint8_t data[RSP_DATA_MAX];
    static char text[2 * RSP_DATA_MAX];
    uint64_t addr, len;
    size_t got = 0;

    if (!range(&p, end, &addr, &len)) {
        failed(r);
        return;
    }
    if (len > sizeof(data))
        len = sizeof(data);
    while (got < len) {
        size_t some = READ_GRAIN - (size_t)((addr + got) % READ_GRAIN);

        if (some > len - got)
            some = (size_t)len - got;
        if (addr + got < addr || guest_read(r, addr + got, data + got, some) < 0)
            break;
        got += some;
    }
    if (got == 0 && len > 0) {
        failed(r);
        return;
    }
    rsp_hex(data, got, text);
    rsp_send(r, text, 2 * got);
}

/* Hexadecimal (M) or as it is (X). */
static void write_memory(struct rsp *r, const char *p, const char *end, bool hex)
{
    static uint8_t data[RSP_DATA_MAX];
    uint64_t addr, len;
    size_t left;

    if (!range(&p, end, &addr, &len) || p == end || *p++ != ':') {
        failed(r);
        return;
    }
    left = (size_t)(end - p);
    if (hex && (len > sizeof(data) || left != 2 * len || !rsp_unhex(p, (size_t)len, data))) {
        failed(r);
        return;
    }
    if (!hex && left != len) {
        failed(r);
        return;
    }
    done(r, len == 0 || guest_write(r, addr, hex ? (const void *)data : p, (size_t)len) == 0);
}

static void breakpoint(struct rsp *r, const char *p, const char *end, bool add)
{
    uint64_t addr, kind;

    /* By software, or by hardware where that is how all are made; others are not known. */
    if (p == end || (*p != '0' && (*p != '1' || !r->target->breakpoint))) {
        rsp_send_text(r, "");
        return;
    }
    if (++p == end || *p++ != ',' || !range(&p, end, &addr, &kind)) {
        failed(r);
        return;
    }
    done(r, (add ? breakpoint_add(r, addr) : breakpoint_remove(r, addr)) == 0);
}

/* ---------------------------------------------------------------------- resume */

/* [SIGNAL][;ADDR] or [ADDR] */
static void resume(struct rsp *r, const char *p, const char *end, bool step, bool signaled)
{
    uint64_t regs[RSP_REGS], signal = 0, addr;

    if (signaled && (!rsp_number(&p, end, &signal) || signal > 64)) {
        failed(r);
        return;
    }
    if (signaled && p < end && *p == ';')
        p++;
    if (rsp_number(&p, end, &addr)) {
        if (r->target->registers(r->arg, regs) < 0) {
            failed(r);
            return;
        }
        regs[RSP_RIP] = addr;
        if (r->target->set_registers(r->arg, regs) < 0) {
            failed(r);
            return;
        }
    }
    if (r->target->resume(r->arg, step, (int)signal) < 0) {
        failed(r);
        return;
    }
    r->stepping = step;
    r->state = RSP_RUNNING;
}

static void vcont(struct rsp *r, const char *p, const char *end)
{
    char what = p + 1 < end ? p[1] : 0;

    if (*p != ';' || (what != 'c' && what != 'C' && what != 's' && what != 'S')) {
        failed(r);
        return;
    }
    p += 2;
    /* The first action is for the one thread there is; where it names it, that is passed over. */
    end = p + strcspn(p, ":;");
    resume(r, p, end, what == 's' || what == 'S', what == 'C' || what == 'S');
}

/* --------------------------------------------------------------------- queries */

static void features(struct rsp *r, const char *p, const char *end)
{
    char text[sizeof(target_xml) + 1];
    uint64_t at, len;

    if (!range(&p, end, &at, &len)) {
        failed(r);
        return;
    }
    if (at > strlen(target_xml))
        at = strlen(target_xml);
    if (len > strlen(target_xml) - at)
        len = strlen(target_xml) - at;
    text[0] = at + len == strlen(target_xml) ? 'l' : 'm';
    memcpy(text + 1, target_xml + at, (size_t)len);
    rsp_send(r, text, (size_t)len + 1);
}

static void supported(struct rsp *r, const char *p)
{
    char text[128];

    r->swbreak = strstr(p, "swbreak+") != NULL;
    (void)snprintf(text, sizeof(text),
                   "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;swbreak+;vContSupported+",
                   RSP_PACKET_MAX);
    rsp_send_text(r, text);
}

static void query(struct rsp *r, const char *p, const char *end)
{
    if (scan_text(&p, "qSupported"))
        supported(r, p);
    else if (scan_text(&p, "qXfer:features:read:target.xml:"))
        features(r, p, end);
    else if (scan_text(&p, "qAttached"))
        rsp_send_text(r, "1");
    else if (str_eq(p, "qC"))
        rsp_send_text(r, "QC1");
    else if (str_eq(p, "qfThreadInfo"))
        rsp_send_text(r, "m1");
    else if (str_eq(p, "qsThreadInfo"))
        rsp_send_text(r, "l");
    else
        rsp_send_text(r, "");
}

static void verbose(struct rsp *r, const char *p, const char *end)
{
    if (str_eq(p, "vCont?"))
        rsp_send_text(r, "vCont;c;C;s;S");
    else if (scan_text(&p, "vCont"))
        vcont(r, p, end);
    else if (scan_text(&p, "vKill"))
        failed(r); /* it is a pod's: kubectl delete pod */
    else
        rsp_send_text(r, "");
}

static void detach(struct rsp *r)
{
    rsp_send_text(r, "OK");
    r->state = RSP_OVER;
}

static void other(struct rsp *r, const char *p)
{
    switch (*p) {
    case 'Q':
        if (str_eq(p, "QStartNoAckMode")) {
            rsp_send_text(r, "OK");
            r->no_ack = true;
        } else {
            rsp_send_text(r, "");
        }
        break;
    case 'H':
    case 'T':
        rsp_send_text(r, "OK"); /* there is one thread */
        break;
    case 'D':
        detach(r);
        break;
    case 'k':
        r->state = RSP_OVER;
        break;
    default:
        rsp_send_text(r, "");
        break;
    }
}

void rsp_command(struct rsp *r, const char *p, size_t len)
{
    const char *end = p + len;

    switch (*p) {
    case '?':
        r->signal = r->signal ? r->signal : 5;
        rsp_tell_stop(r);
        break;
    case 'g':
        read_registers(r);
        break;
    case 'G':
        write_registers(r, p + 1, len - 1);
        break;
    case 'p':
        read_register(r, p + 1, end);
        break;
    case 'P':
        write_register(r, p + 1, end);
        break;
    case 'm':
        read_memory(r, p + 1, end);
        break;
    case 'M':
    case 'X':
        write_memory(r, p + 1, end, *p == 'M');
        break;
    case 'Z':
    case 'z':
        breakpoint(r, p + 1, end, *p == 'Z');
        break;
    case 'c':
    case 's':
        resume(r, p + 1, end, *p == 's', false);
        break;
    case 'C':
    case 'S':
        resume(r, p + 1, end, *p == 'S', true);
        break;
    case 'q':
        query(r, p, end);
        break;
    case 'v':
        verbose(r, p, end);
        break;
    default:
        other(r, p);
        break;
    }
}
