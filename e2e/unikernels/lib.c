/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few library functions of the test guests. The compiler may call mem*() by itself, so they
 * exist under their usual names; string instructions keep them small without SSE.
 */
#include <stdarg.h>

#include "e2e/unikernels/guest.h"

#define LINE_MAX_BYTES 512

const struct solo5_mft_head *guest_mft;

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    void *d = to;

    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(len) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t len)
{
    unsigned char *d = to;
    const unsigned char *s = from;

    if ((uintptr_t)to - (uintptr_t)from >= len)
        return memcpy(to, from, len);
    while (len > 0) {
        len--;
        ((volatile unsigned char *)d)[len] = s[len];
    }
    return to;
}

void *memset(void *to, int byte, size_t len)
{
    void *d = to;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(len) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const unsigned char *x = a, *y = b;

    for (size_t i = 0; i < len; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    const volatile char *p = s;

    while (*p != '\0')
        p++;
    return (size_t)(p - s);
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

struct out {
    char *buf;
    size_t room, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->room)
        o->buf[o->len++] = c;
}

static void put_number(struct out *o, unsigned value, unsigned base)
{
    char digits[12];
    int n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (n > 0)
        put(o, digits[--n]);
}

static size_t vformat(char *buf, size_t room, const char *fmt, va_list ap)
{
    struct out o = {buf, room, 0};

    for (; *fmt != '\0'; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        switch (*++fmt) {
        case 's':
            for (const char *s = va_arg(ap, const char *); *s != '\0'; s++)
                put(&o, *s);
            break;
        case 'u':
            put_number(&o, va_arg(ap, unsigned), 10);
            break;
        case 'x':
            put_number(&o, va_arg(ap, unsigned), 16);
            break;
        case 'c':
            put(&o, (char)va_arg(ap, int));
            break;
        default:
            put(&o, *fmt);
            break;
        }
    }
    buf[o.len] = '\0';
    return o.len;
}

size_t format(char *buf, size_t room, const char *fmt, ...)
{
    va_list ap;
    size_t len;

    va_start(ap, fmt);
    len = vformat(buf, room, fmt, ap);
    va_end(ap);
    return len;
}

void say(const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    size_t len;

    va_start(ap, fmt);
    len = vformat(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    line[len++] = '\n';
    console_write(line, len);
}

long parse_unsigned(const char **s, long max)
{
    const char *p = *s;
    long v = 0;

    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (*p - '0');
        if (v > max)
            return -1;
    }
    *s = p;
    return v;
}

const struct solo5_mft_entry *guest_device(const char *name, uint32_t type, unsigned *ret_handle)
{
    const struct solo5_mft_entry *e = (const void *)(guest_mft + 1);

    for (uint32_t i = 0; i < guest_mft->entries; i++) {
        if (e[i].type == type && e[i].attached && strcmp(e[i].name, name) == 0) {
            *ret_handle = i;
            return &e[i];
        }
    }
    return NULL;
}
