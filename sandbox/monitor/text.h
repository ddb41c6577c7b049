/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - the monitor's own few helpers: numbers and strings without stdio, and errors.
 *
 * Nothing here allocates. stdio, locales and malloc are left out of the monitor so that an idle one
 * touches few pages.
 */
#ifndef UNICRI_SANDBOX_MONITOR_TEXT_H
#define UNICRI_SANDBOX_MONITOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bounded string under construction; what does not fit is cut. Always NUL terminated. */
struct text {
    char *s;
    size_t len, size;
};
#define TEXT(array)                                                                                \
    {                                                                                              \
        .s = (array), .len = 0, .size = sizeof(array)                                              \
    }

void text_add(struct text *t, const char *s, size_t len);
void text_str(struct text *t, const char *s);
void text_num(struct text *t, int64_t n);
/** text_padded() - n in decimal with at least `width` digits. */
void text_padded(struct text *t, uint64_t n, unsigned width);

/** text_number() - the whole of s is a decimal number within [min, max]; an optional '-' in front.
 */
bool text_number(const char *s, int64_t min, int64_t max, int64_t *ret);

#define FAULT_TEXT_MAX_BYTES 1024

/* Why something failed: an errno or 0, and words. */
struct fault {
    int code;
    char text[FAULT_TEXT_MAX_BYTES];
};
/**
 * fault() - fill in `what 'object': why`; object and code may be NULL and 0.
 * Returns: always -1.
 */
int fault(struct fault *f, int code, const char *what, const char *object);
/** fault_words() - `what: words` where the words come from elsewhere: line ends become blanks.
 * Returns: -1. */
int fault_words(struct fault *f, int code, const char *what, const char *words, size_t len);

/** read_small() - up to size - 1 bytes of a file into buf, NUL terminated. Returns: the length, or
 * -1 with errno. */
long read_small(int dirfd, const char *path, char *buf, size_t size);
/** write_small() - open an existing file and write one string to it (cgroup and /proc files).
 * Returns: 0, -1 with errno. */
int write_small(int dirfd, const char *path, const char *s);

#endif
