/* SPDX-License-Identifier: Apache-2.0 */
/* mem - see mem.h: allocation that aborts, vectors of strings, small maps of strings. */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

static void out_of_memory(void)
{
    static const char text[] = "unicri: out of memory\n";

    /* No stdio: it may allocate. */
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        abort();
    abort();
}

int close_fd(int fd)
{
    int saved = errno;

    /* EINTR included: on Linux the descriptor is gone either way. */
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return -1;
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc_array(void *p, size_t n, size_t size)
{
    void *q = reallocarray(p, n ? n : 1, size ? size : 1);

    if (!q)
        out_of_memory();
    return q;
}

char *xstrdup(const char *s)
{
    size_t size = strlen(s) + 1;

    return memcpy(xmalloc(size), s, size);
}

char *xstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = xmalloc(len + 1);

    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *xstrdup_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

char *xasprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return s;
}

void *try_alloc(size_t size, struct err *err)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        (void)err_set(err, ERR_EXHAUSTED, "allocate %zu bytes: out of memory", size);
    return p;
}

size_t strv_len(char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    return n;
}

char **strv_dup(char *const *v)
{
    size_t n = strv_len(v);
    char **copy;

    if (!v)
        return NULL;
    copy = xcalloc(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = xstrdup(v[i]);
    return copy;
}

void strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

void strv_take(char ***v, char *s)
{
    size_t n = strv_len(*v);

    *v = xrealloc_array(*v, n + 2, sizeof(**v));
    (*v)[n] = s;
    (*v)[n + 1] = NULL;
}

void strv_push(char ***v, const char *s)
{
    strv_take(v, xstrdup(s));
}

int strv_contains(char *const *v, const char *s)
{
    for (size_t i = 0; v && v[i]; i++) {
        if (strcmp(v[i], s) == 0)
            return 1;
    }
    return 0;
}

static struct kv *kvs_find(const struct kvs *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->v[i].key, key) == 0)
            return &m->v[i];
    }
    return NULL;
}

const char *kvs_get(const struct kvs *m, const char *key)
{
    const struct kv *kv = kvs_find(m, key);

    return kv ? kv->value : NULL;
}

static void kvs_append(struct kvs *m, const char *key, const char *value)
{
    m->v = xrealloc_array(m->v, m->n + 1, sizeof(*m->v));
    m->v[m->n++] = (struct kv){.key = xstrdup(key), .value = xstrdup(value)};
}

void kvs_set(struct kvs *m, const char *key, const char *value)
{
    struct kv *kv = kvs_find(m, key);

    if (kv) {
        char *copy = xstrdup(value); /* before the free: value may be the old one */

        free(kv->value);
        kv->value = copy;
        return;
    }
    kvs_append(m, key, value);
}

void kvs_dup(struct kvs *dst, const struct kvs *src)
{
    *dst = (struct kvs){.v = NULL, .n = 0};
    for (size_t i = 0; i < src->n; i++)
        kvs_append(dst, src->v[i].key, src->v[i].value);
}

void kvs_done(struct kvs *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].key);
        free(m->v[i].value);
    }
    free(m->v);
    *m = (struct kvs){.v = NULL, .n = 0};
}
