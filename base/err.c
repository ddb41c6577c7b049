/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - see err.h. A message is always built in a buffer aside first, since the arguments may point
 * into the error that is being rewritten (err_set(err, err->code, "...%s", err->msg)).
 */
#define UNICRI_ERR_C
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define VPRINTF(f) __attribute__((format(printf, f, 0)))

/* A cut in the middle of a character would leave an invalid tail. */
static void trim_tail(char *s)
{
    size_t len = strlen(s);

    for (size_t back = 1; back <= 3 && back <= len; back++) {
        if (((unsigned char)s[len - back] & 0xc0) == 0x80)
            continue;
        if (((unsigned char)s[len - back] & 0x80) && utf8_sequence(s + len - back, back) == 0)
            s[len - back] = '\0';
        return;
    }
}

static void store(struct err *err, enum err_code code, int sys, char text[ERR_MSG_MAX_BYTES])
{
    if (strlen(text) == ERR_MSG_MAX_BYTES - 1)
        trim_tail(text);
    utf8_scrub(text);
    err->code = code;
    err->sys = sys;
    memcpy(err->msg, text, strlen(text) + 1);
}

static enum err_code code_of_errno(int sys)
{
    switch (sys) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ERR_EXHAUSTED;
    case ETIMEDOUT:
        return ERR_DEADLINE;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_INTERNAL;
    }
}

VPRINTF(3)
static int set_errno(struct err *err, int sys, const char *fmt, va_list ap)
{
    char text[ERR_MSG_MAX_BYTES];
    char buf[128];
    size_t len;

    if (!err)
        return -1;
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    len = strlen(text);
    (void)snprintf(text + len, sizeof(text) - len, ": %s", strerror_r(sys, buf, sizeof(buf)));
    store(err, code_of_errno(sys), sys, text);
    return -1;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    char text[ERR_MSG_MAX_BYTES];
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    store(err, code, 0, text);
    return -1;
}

int err_sys(struct err *err, const char *fmt, ...)
{
    int sys = errno;
    va_list ap;

    va_start(ap, fmt);
    (void)set_errno(err, sys, fmt, ap);
    va_end(ap);
    return -1;
}

int err_errno(struct err *err, int sys, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)set_errno(err, sys, fmt, ap);
    va_end(ap);
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char text[ERR_MSG_MAX_BYTES];
    size_t len;
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    len = strlen(text);
    (void)snprintf(text + len, sizeof(text) - len, ": %s", err->msg);
    store(err, err->code, err->sys, text);
    return -1;
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[] = {
        [ERR_NONE] = "NONE",
        [ERR_INVALID] = "INVALID",
        [ERR_NOT_FOUND] = "NOT_FOUND",
        [ERR_EXISTS] = "EXISTS",
        [ERR_STATE] = "STATE",
        [ERR_UNSUPPORTED] = "UNSUPPORTED",
        [ERR_DENIED] = "DENIED",
        [ERR_EXHAUSTED] = "EXHAUSTED",
        [ERR_DEADLINE] = "DEADLINE",
        [ERR_CANCELLED] = "CANCELLED",
        [ERR_UNAVAILABLE] = "UNAVAILABLE",
        [ERR_CORRUPT] = "CORRUPT",
        [ERR_UNKNOWN] = "UNKNOWN",
        [ERR_INTERNAL] = "INTERNAL",
    };

    if ((size_t)code >= sizeof(names) / sizeof(names[0]))
        return "?";
    return names[code];
}
