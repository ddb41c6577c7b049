/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - allocation that cannot fail, cleanup attributes, handing over ownership.
 *
 * The daemon is crash-only: running out of memory on a small allocation aborts (the next start
 * finds everything again). Sizes chosen by a peer are bounded first, then allocated with
 * try_alloc().
 */
#ifndef UNICRI_BASE_MEM_H
#define UNICRI_BASE_MEM_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

#define CLEANUP(f)    __attribute__((cleanup(f)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hand over a pointer or a descriptor: the variable is emptied, so its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })
#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int take_ = (fd);                                                                          \
        (fd) = -1;                                                                                 \
        take_;                                                                                     \
    })

static inline void mem_cleanup_free(void *p)
{
    free(*(void **)p);
}

/** close_fd() - close unless -1; errno is kept. Returns: -1, for `fd = close_fd(fd)`. */
int close_fd(int fd);

static inline void mem_cleanup_fd(int *fd)
{
    (void)close_fd(*fd);
}
static inline void mem_cleanup_file(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}
static inline void mem_cleanup_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

#define autofree CLEANUP(mem_cleanup_free)
#define autofd   CLEANUP(mem_cleanup_fd)
#define autofile CLEANUP(mem_cleanup_file)
#define autodir  CLEANUP(mem_cleanup_dir)

/* Define `name_cleanup` for `autoX` use: DEFINE_CLEANUP(struct pod *, pod_free) ->
 * CLEANUP(pod_free_cleanup) */
/* NOLINTBEGIN(bugprone-macro-parentheses): `type` is a type */
#define DEFINE_CLEANUP(type, func)                                                                 \
    static inline void func##_cleanup(type *p)                                                     \
    {                                                                                              \
        if (*p)                                                                                    \
            (void)func(*p);                                                                        \
    }                                                                                              \
    struct mem_semicolon_
/* NOLINTEND(bugprone-macro-parentheses) */

/** Allocation that aborts when there is no memory; xcalloc zeroes and checks n * size. Caller
 * frees. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc_array(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull, nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
/** xstrdup_null() - NULL stays NULL. */
char *xstrdup_null(const char *s);

/** try_alloc() - for sizes that a peer chose and that are already bounded. Errors: EXHAUSTED. */
void *try_alloc(size_t size, struct err *err) MUST_CHECK;

#define XNEW(type) ((type *)xcalloc(1, sizeof(type)))

/*
 * strv - a NULL terminated vector of strings, all owned. NULL is an empty vector.
 */
size_t strv_len(char *const *v);
char **strv_dup(char *const *v);          /* deep copy; NULL for NULL */
void strv_free(char **v);                 /* the strings and the vector */
void strv_push(char ***v, const char *s); /* copies s */
void strv_take(char ***v, char *s);       /* takes s over */
int strv_contains(char *const *v, const char *s);
DEFINE_CLEANUP(char **, strv_free);
#define autostrv CLEANUP(strv_free_cleanup)

/*
 * A map of strings, as labels, annotations and options are; order kept. Lookup is linear: these are
 * small and bounded at the border.
 */
struct kv {
    char *key;   /* owned */
    char *value; /* owned */
};
struct kvs {
    struct kv *v; /* owned */
    size_t n;
};
const char *kvs_get(const struct kvs *m, const char *key);       /* NULL when absent; borrowed */
void kvs_set(struct kvs *m, const char *key, const char *value); /* copies; replaces */
void kvs_dup(struct kvs *dst, const struct kvs *src);            /* deep copy into an empty dst */
void kvs_done(struct kvs *m);                                    /* empties it */

#endif
