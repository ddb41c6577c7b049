/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rsp - packets: $DATA#SS with a checksum, acknowledged by + until the client turns that off. A
 * packet that is too long, or broken where nothing can be asked for again, ends the session.
 */
#include "sandbox/debug/rsp.h"

#include <string.h>

#define INTERRUPT   0x03
#define SIGNAL_INT  2 /* GDB's numbers */
#define SIGNAL_TRAP 5

/* Between packets, in one, at the first and second digit of its checksum. */
enum { BETWEEN, IN_PACKET, SUM_1, SUM_2 };

static const char digits[] = "0123456789abcdef";

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void rsp_hex(const void *data, size_t len, char *out)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
}

bool rsp_unhex(const char *text, size_t len, void *out)
{
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

        if (low < 0)
            return false;
        p[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool rsp_number(const char **p, const char *end, uint64_t *ret)
{
    const char *from = *p;
    uint64_t n = 0;

    for (; *p < end && digit(**p) >= 0; ++*p) {
        if (n >> 60)
            return false;
        n = n << 4 | (uint64_t)digit(**p);
    }
    *ret = n;
    return *p > from;
}

void rsp_init(struct rsp *r, const struct rsp_target *target, void *arg)
{
    memset(r, 0, sizeof(*r));
    r->target = target;
    r->arg = arg;
}

/* What could be taken for framing is escaped. */
void rsp_send(struct rsp *r, const char *data, size_t len)
{
    char out[2 * RSP_PACKET_MAX + 8];
    uint8_t sum = 0;
    size_t n = 1;

    out[0] = '$';
    if (len > RSP_PACKET_MAX)
        len = RSP_PACKET_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = data[i];

        if (c == '$' || c == '#' || c == '}' || c == '*') {
            out[n++] = '}';
            sum = (uint8_t)(sum + '}');
            c = (char)(c ^ 0x20);
        }
        out[n++] = c;
        sum = (uint8_t)(sum + (uint8_t)c);
    }
    out[n++] = '#';
    out[n++] = digits[sum >> 4];
    out[n++] = digits[sum & 15];
    r->target->send(r->arg, out, n);
}

void rsp_send_text(struct rsp *r, const char *text)
{
    rsp_send(r, text, strlen(text));
}

static void take_packet(struct rsp *r)
{
    bool acknowledged = !r->no_ack;
    size_t n = 0;

    if (r->sum != r->told_sum) {
        if (r->no_ack)
            r->state = RSP_OVER;
        else
            r->target->send(r->arg, "-", 1);
        return;
    }
    if (acknowledged)
        r->target->send(r->arg, "+", 1);
    /* Escapes away, in place. */
    for (size_t i = 0; i < r->in_len; i++) {
        if (r->in[i] == '}' && i + 1 < r->in_len)
            r->in[n++] = (char)(r->in[++i] ^ 0x20);
        else
            r->in[n++] = r->in[i];
    }
    r->in[n] = '\0';
    if (r->state == RSP_STOPPED)
        rsp_command(r, r->in, n);
    else
        r->state = RSP_OVER; /* a command to a guest that runs */
}

static void between(struct rsp *r, char c)
{
    if (c == '$') {
        r->reading = IN_PACKET;
        r->in_len = 0;
        r->sum = 0;
    } else if (c == INTERRUPT && r->state == RSP_RUNNING) {
        if (r->target->stop(r->arg) < 0)
            r->state = RSP_OVER;
    }
    /* Acknowledgements and noise are passed over. */
}

static void in_packet(struct rsp *r, char c)
{
    if (c == '#') {
        r->reading = SUM_1;
    } else if (r->in_len == RSP_PACKET_MAX) {
        r->state = RSP_OVER;
    } else {
        r->in[r->in_len++] = c;
        r->sum = (uint8_t)(r->sum + (uint8_t)c);
    }
}

void rsp_feed(struct rsp *r, const char *data, size_t len)
{
    for (size_t i = 0; i < len && r->state != RSP_OVER; i++) {
        int d = digit(data[i]);

        switch (r->reading) {
        case BETWEEN:
            between(r, data[i]);
            break;
        case IN_PACKET:
            in_packet(r, data[i]);
            break;
        case SUM_1:
            r->told_sum = (uint8_t)(d < 0 ? 0 : d << 4);
            r->reading = SUM_2;
            break;
        default:
            r->told_sum = (uint8_t)(r->told_sum | (d < 0 ? 0 : d));
            r->reading = BETWEEN;
            take_packet(r);
            break;
        }
    }
}

/* After an int3 the guest stands behind it: it is put back onto it, where the instruction is that
 * has yet to be executed. */
static bool step_back(struct rsp *r)
{
    uint64_t regs[RSP_REGS];

    if (r->target->registers(r->arg, regs) < 0 || !breakpoint_at(r, regs[RSP_RIP] - 1))
        return false;
    regs[RSP_RIP]--;
    return r->target->set_registers(r->arg, regs) == 0;
}

/* Is it the debugger's doing? A step onto a breakpoint does not execute it: then nothing is behind
 * it. A target's own breakpoints stop before the instruction. */
static bool is_ours(struct rsp *r, int signal)
{
    return signal == 0 ||
           (signal == SIGNAL_TRAP && (r->stepping || r->target->breakpoint || step_back(r)));
}

bool rsp_stopped(struct rsp *r, int signal)
{
    bool ours = is_ours(r, signal);

    r->signal = signal ? signal : SIGNAL_INT;
    r->stepping = false;
    r->state = RSP_STOPPED;
    rsp_tell_stop(r);
    return ours;
}

bool rsp_leave(struct rsp *r, int signal)
{
    bool ours = is_ours(r, signal);

    breakpoints_clear(r);
    r->state = RSP_OVER;
    return ours;
}

void rsp_ended(struct rsp *r, bool signaled, int code)
{
    char text[8] = {signaled ? 'X' : 'W', digits[code >> 4 & 15], digits[code & 15]};

    if (r->state == RSP_RUNNING)
        rsp_send_text(r, text);
    r->n_breakpoints = 0; /* gone with it */
    r->state = RSP_OVER;
}
