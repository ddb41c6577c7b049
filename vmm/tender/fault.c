/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender's error value. No stdio streams: one formatted buffer and one write(2), which the jail
 * allows.
 */
#include "vmm/tender/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A message may quote names out of an image: keep it on one line and printable. */
static void make_printable(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
            *s = '?';
}

void fault_record(struct fault *f, int status, const char *fmt, ...)
{
    va_list ap;

    f->status = status;
    va_start(ap, fmt);
    (void)vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
    va_end(ap);
    make_printable(f->msg);
}

void fault_record_sys(struct fault *f, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    size_t used;

    f->status = STATUS_SETUP;
    va_start(ap, fmt);
    (void)vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
    va_end(ap);
    used = strlen(f->msg);
    (void)snprintf(f->msg + used, sizeof(f->msg) - used, ": %s", strerrordesc_np(saved));
    make_printable(f->msg);
}

void fault_exit(const struct fault *f)
{
    char line[FAULT_MSG_MAX + 32];
    int len = snprintf(line, sizeof(line), "unicri-tender: %s\n", f->msg);

    if (len > 0) {
        ssize_t done = write(STDERR_FILENO, line, (size_t)len);
        (void)done; /* nobody is left to tell */
    }
    _exit(f->status);
}
