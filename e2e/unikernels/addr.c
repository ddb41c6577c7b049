/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text, for the http guest's arguments and requests.
 */
#include "e2e/unikernels/stack.h"

#define GROUPS 8

static bool parse4(const char **s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        long part;

        if (i > 0 && *(*s)++ != '.')
            return false;
        part = parse_unsigned(s, 255);
        if (part < 0)
            return false;
        out[i] = (uint8_t)part;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Groups of up to four digits; `gap` is where "::" stood, or -1. Returns: how many groups. */
static int parse_groups(const char **s, uint16_t group[GROUPS], int *gap)
{
    int n = 0;

    *gap = -1;
    if ((*s)[0] == ':' && (*s)[1] == ':') {
        *gap = 0;
        *s += 2;
    }
    while (n < GROUPS && hex_digit(**s) >= 0) {
        unsigned v = 0;

        for (int d; (d = hex_digit(**s)) >= 0; (*s)++)
            v = v << 4 | (unsigned)d;
        group[n++] = (uint16_t)v;
        if (**s != ':')
            break;
        (*s)++;
        if (**s == ':' && *gap < 0) {
            *gap = n;
            (*s)++;
        }
    }
    return n;
}

static bool parse6(const char **s, struct addr *ret)
{
    uint16_t group[GROUPS];
    int gap, n = parse_groups(s, group, &gap);

    if (gap < 0 ? n != GROUPS : n == GROUPS)
        return false;
    memset(ret, 0, sizeof(*ret));
    for (int i = 0; i < n; i++)
        put16(ret->b + 2 * (gap < 0 || i < gap ? i : i + GROUPS - n), group[i]);
    return true;
}

bool addr_parse(const char **s, struct addr *ret)
{
    const char *p = *s;

    while (hex_digit(*p) >= 0)
        p++;
    if (*p == ':')
        return parse6(s, ret);
    memset(ret, 0, sizeof(*ret));
    ret->b[10] = ret->b[11] = 0xff;
    return parse4(s, ret->b + 12);
}

const char *addr_text(const struct addr *a, char out[40])
{
    size_t len = 0;

    if (addr_is4(a)) {
        (void)format(out, 40, "%u.%u.%u.%u", a->b[12], a->b[13], a->b[14], a->b[15]);
        return out;
    }
    for (int i = 0; i < GROUPS; i++)
        len += format(out + len, 40 - len, i > 0 ? ":%x" : "%x", get16(a->b + 2 * i));
    return out;
}
