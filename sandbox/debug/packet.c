/* SPDX-License-Identifier: Apache-2.0 */
/* packet - see packet.h. */
#include "sandbox/debug/packet.h"

#include <string.h>

#define INTERRUPT 0x03

/* Between packets, in one, at the first and second digit of its checksum. */
enum { BETWEEN, INSIDE, SUM_1, SUM_2 };

static const char digits[] = "0123456789abcdef";

/* 16: none. */
static uint8_t digit(char c)
{
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (uint8_t)(c - 'a' + 10);
    if (c >= 'A' && c <= 'F')
        return (uint8_t)(c - 'A' + 10);
    return 16;
}

static enum packet_event inside(struct packet *p, char c)
{
    if (c == '#') {
        p->reading = SUM_1;
        return PACKET_NOTHING;
    }
    if (p->len == PACKET_MAX) {
        p->reading = BETWEEN;
        return PACKET_BROKEN;
    }
    p->data[p->len++] = c;
    p->sum = (uint8_t)(p->sum + (uint8_t)c);
    return PACKET_NOTHING;
}

enum packet_event packet_take(struct packet *p, char c)
{
    uint8_t d = digit(c);

    switch (p->reading) {
    case BETWEEN:
        if (c == '$') {
            p->reading = INSIDE;
            p->len = 0;
            p->sum = 0;
        }
        return c == INTERRUPT ? PACKET_INTERRUPT : PACKET_NOTHING;
    case INSIDE:
        return inside(p, c);
    case SUM_1:
        p->reading = d < 16 ? SUM_2 : BETWEEN;
        p->told = (uint8_t)(d << 4);
        return d < 16 ? PACKET_NOTHING : PACKET_BROKEN;
    default:
        p->reading = BETWEEN;
        p->data[p->len] = '\0';
        return d < 16 && (p->told | d) == p->sum ? PACKET_WHOLE : PACKET_BROKEN;
    }
}

size_t packet_frame(const char *data, size_t len, char *out)
{
    uint8_t sum = 0;

    out[0] = '$';
    if (len > 0)
        memcpy(out + 1, data, len);
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + (uint8_t)data[i]);
    out[len + 1] = '#';
    out[len + 2] = digits[sum >> 4];
    out[len + 3] = digits[sum & 15];
    return len + 4;
}
