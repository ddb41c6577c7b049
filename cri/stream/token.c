/* SPDX-License-Identifier: Apache-2.0 */
/* token - see token.h. Oldest first: those that have passed are dropped from the front whenever it
 * is used. */
#include "cri/stream/token.h"

#include <string.h>

#include "base/thread.h"

struct entry {
    struct stream_request *request; /* owned */
    nsec_t until;
    char token[TOKEN_LEN + 1];
};

struct tokens {
    struct mutex lock;
    struct entry entries[TOKENS_MAX]; /* in the order of their ends; only what waits counts */
    size_t n;
};

void stream_request_free(struct stream_request *request)
{
    if (!request)
        return;
    strv_free(request->argv);
    free(request);
}

struct tokens *tokens_new(void)
{
    struct tokens *t = XNEW(struct tokens);

    mutex_init(&t->lock);
    return t;
}

void tokens_free(struct tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        stream_request_free(t->entries[i].request);
    mutex_done(&t->lock);
    free(t);
}

static void drop(struct tokens *t, size_t at, size_t n) NEEDS(t->lock)
{
    memmove(&t->entries[at], &t->entries[at + n], (t->n - at - n) * sizeof(t->entries[0]));
    t->n -= n;
}

static void expire(struct tokens *t, nsec_t now) NEEDS(t->lock)
{
    size_t n = 0;

    for (; n < t->n && t->entries[n].until <= now; n++)
        stream_request_free(t->entries[n].request);
    if (n > 0)
        drop(t, 0, n);
}

int tokens_put(struct tokens *t, struct stream_request *request, nsec_t now,
               char ret[TOKEN_LEN + 1], struct err *err)
{
    bool full;

    id_new(ret);
    mutex_lock(&t->lock);
    expire(t, now);
    full = t->n == TOKENS_MAX;
    if (!full) {
        struct entry *e = &t->entries[t->n++];

        e->request = request;
        e->until = now + TOKEN_LIFETIME;
        memcpy(e->token, ret, TOKEN_LEN + 1);
    }
    mutex_unlock(&t->lock);
    if (!full)
        return 0;
    stream_request_free(request);
    return err_set(err, ERR_EXHAUSTED,
                   "%d streaming requests wait for their connections; try again in a minute",
                   TOKENS_MAX);
}

/* In a time that does not tell how much was right. */
static bool same(const char *a, const char *b)
{
    unsigned char different = 0;

    for (size_t i = 0; i < TOKEN_LEN; i++)
        different |= (unsigned char)(a[i] ^ b[i]);
    return different == 0;
}

struct stream_request *tokens_take(struct tokens *t, enum stream_kind kind, const char *token,
                                   nsec_t now)
{
    struct stream_request *found = NULL;

    if (strlen(token) != TOKEN_LEN)
        return NULL;
    mutex_lock(&t->lock);
    expire(t, now);
    for (size_t i = 0; i < t->n && !found; i++) {
        struct entry *e = &t->entries[i];

        if (e->request->kind == kind && same(e->token, token)) {
            found = TAKE_PTR(e->request);
            drop(t, i, 1);
        }
    }
    mutex_unlock(&t->lock);
    return found;
}
