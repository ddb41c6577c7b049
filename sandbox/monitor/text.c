/* SPDX-License-Identifier: Apache-2.0 */
/* text - see text.h. */
#include "sandbox/monitor/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void text_add(struct text *t, const char *s, size_t len)
{
    size_t room = t->size - 1 - t->len;

    if (len > room)
        len = room;
    memcpy(t->s + t->len, s, len);
    t->len += len;
    t->s[t->len] = '\0';
}

void text_str(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_padded(struct text *t, uint64_t n, unsigned width)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (at > 0 && (n > 0 || sizeof(digits) - at < width));
    text_add(t, digits + at, sizeof(digits) - at);
}

void text_num(struct text *t, int64_t n)
{
    if (n < 0)
        text_add(t, "-", 1);
    text_padded(t, n < 0 ? -(uint64_t)n : (uint64_t)n, 1);
}

bool text_number(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = *s == '-';
    int64_t n = 0;

    if (negative)
        s++;
    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_sub_overflow(n, *s - '0', &n))
            return false;
    }
    /* counted downwards, because the smallest number has no positive twin */
    if (!negative && __builtin_sub_overflow((int64_t)0, n, &n))
        return false;
    if (n < min || n > max)
        return false;
    *ret = n;
    return true;
}

int fault(struct fault *f, int code, const char *what, const char *object)
{
    struct text t = TEXT(f->text);
    const char *why = code != 0 ? strerrordesc_np(code) : NULL;

    f->code = code;
    f->text[0] = '\0';
    text_str(&t, what);
    if (object) {
        text_str(&t, " '");
        text_str(&t, object);
        text_str(&t, "'");
    }
    if (code != 0) {
        text_str(&t, ": ");
        text_str(&t, why ? why : "unknown error");
    }
    return -1;
}

int fault_words(struct fault *f, int code, const char *what, const char *words, size_t len)
{
    struct text t = TEXT(f->text);

    f->code = code;
    f->text[0] = '\0';
    text_str(&t, what);
    text_str(&t, ": ");
    text_add(&t, words, len);
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.s[i] < ' ')
            t.s[i] = ' ';
    return -1;
}

long read_small(int dirfd, const char *path, char *buf, size_t size)
{
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t len = 0;

    if (fd < 0)
        return -1;
    while (len < size - 1) {
        ssize_t n = read(fd, buf + len, size - 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int code = errno;

            close(fd);
            errno = code;
            return -1;
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    buf[len] = '\0';
    return (long)len;
}

int write_small(int dirfd, const char *path, const char *s)
{
    int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n;
    int code;

    if (fd < 0)
        return -1;
    do {
        n = write(fd, s, strlen(s));
    } while (n < 0 && errno == EINTR);
    code = errno;
    close(fd);
    errno = code;
    return n < 0 ? -1 : 0;
}
