/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull_job - a pull is a job with a thread of its own, keyed by normalised name and a hash of the
 * credentials (so that nobody gets an image on another's password). Callers start or join it and
 * wait with their own deadline; the job does not notice when they leave.
 */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/auth.h"
#include "imagestore/pull.h"

#define CANCEL_POLL (100 * NSEC_PER_MSEC)

struct pull_job {
    struct pull_job *next;
    struct imagestore *s;
    char *key; /* owned */
    struct reference ref;
    struct registry *registry; /* owned */
    atomic_bool stop;
    unsigned refs;       /* waiters and the thread; under the store's lock */
    bool done;           /* then one of the two below is set */
    struct image *image; /* owned */
    struct err err;
};

static void job_free(struct pull_job *j)
{
    registry_close(j->registry);
    reference_done(&j->ref);
    image_unref(j->image);
    free(j->key);
    free(j);
}

/* Gives a reference back; the lock is released in between because freeing needs none. */
static void job_unref(struct imagestore *s, struct pull_job *j)
{
    mutex_lock(&s->lock);
    bool last = --j->refs == 0;
    mutex_unlock(&s->lock);
    if (last)
        job_free(j);
}

/* What a kubelet is told. A registry that does not answer is UNKNOWN with a prefix it looks for. */
static void phrase_error(struct pull_job *j, struct err *err)
{
    autofree char *name = reference_text(&j->ref);
    (void)err_wrap(err, "pull image '%s'", name);
    if (err->code == ERR_UNAVAILABLE) {
        err->code = ERR_UNKNOWN;
        (void)err_wrap(err, "RegistryUnavailable");
    }
}

static void unlink_job(struct imagestore *s, struct pull_job *j) NEEDS(s->lock)
{
    for (struct pull_job **p = &s->jobs; *p; p = &(*p)->next) {
        if (*p == j) {
            *p = j->next;
            return;
        }
    }
}

static void *job_thread(void *arg)
{
    struct pull_job *j = arg;
    struct imagestore *s = j->s;
    struct err err = ERR_INIT;
    nsec_t start = clock_mono();
    struct image *image = pull_run(s, j->registry, &j->ref, &j->stop, &err);
    nsec_t took = clock_mono() - start;
    if (image) {
        metric_observe(&image_pull_seconds_metric, took);
        log_info("pulled '%.*s' (%s) in %lld ms", (int)strcspn(j->key, " "), j->key, image->id,
                 (long long)(took / NSEC_PER_MSEC));
    } else {
        phrase_error(j, &err);
        metric_add(&image_pull_errors_metric, 1);
    }
    mutex_lock(&s->lock);
    j->image = image;
    j->err = err;
    j->done = true;
    unlink_job(s, j);
    bool last = --j->refs == 0;
    mutex_unlock(&s->lock);
    if (last && !image)
        log_warn("%s", err.msg); /* nobody is left to be told */
    if (last)
        job_free(j);
    mutex_lock(
        &s->lock); /* pulls_stop() may free the store once the list is empty and this is passed */
    s->running--;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
    return NULL;
}

static struct pull_job *find_job(struct imagestore *s, const char *key) NEEDS(s->lock)
{
    for (struct pull_job *j = s->jobs; j; j = j->next)
        if (str_eq(j->key, key))
            return j;
    return NULL;
}

static int start_job(struct imagestore *s, struct pull_job *j, struct err *err) NEEDS(s->lock)
{
    if (s->closing)
        return err_set(err, ERR_CANCELLED, "the daemon is stopping");
    j->refs = 2;
    if (thread_start("pull", job_thread, j, NULL, err) < 0) {
        j->refs = 0;
        return -1;
    }
    s->running++;
    j->next = s->jobs;
    s->jobs = j;
    metric_add(&image_pulls_metric, 1);
    return 0;
}

/* A job that nobody runs yet; most of the time thrown away again when one with its key runs. */
static struct pull_job *job_new(struct imagestore *s, const char *reference,
                                const struct registry_auth *auth, struct err *err)
{
    struct pull_job *j = XNEW(struct pull_job);
    struct credentials creds;
    j->s = s;
    j->err = ERR_INIT;
    if (reference_parse(reference, &j->ref, err) < 0 || credentials_init(&creds, auth, err) < 0) {
        job_free(j);
        return NULL;
    }
    autofree char *text = reference_text(&j->ref), *hash = credentials_hash(&creds);
    credentials_done(&creds);
    j->key = xasprintf("%s %.16s", text, hash);
    j->registry = registry_open(s->config, &j->ref, auth, &j->stop, err);
    if (!j->registry) {
        (void)err_wrap(err, "pull image '%s'", text);
        job_free(j);
        return NULL;
    }
    return j;
}

/* Returns: a job with a reference for the caller. */
static struct pull_job *join_or_start(struct imagestore *s, struct pull_job *fresh, struct err *err)
{
    int r = 0;
    mutex_lock(&s->lock);
    struct pull_job *j = find_job(s, fresh->key);
    if (j)
        j->refs++;
    else
        r = start_job(s, fresh, err);
    mutex_unlock(&s->lock);
    if (j)
        metric_add(&image_pull_joined_metric, 1);
    if (j || r < 0)
        job_free(fresh);
    return j ? j : r < 0 ? NULL : fresh;
}

static int wait_job(struct imagestore *s, struct pull_job *j, deadline_t deadline,
                    bool (*cancelled)(void *arg), void *arg, struct err *err)
{
    for (;;) {
        mutex_lock(&s->lock);
        bool done = j->done;
        if (!done) {
            deadline_t step = cancelled ? deadline_in(CANCEL_POLL) : DEADLINE_NEVER;
            (void)cond_wait(&s->changed, &s->lock, deadline_min(deadline, step));
            done = j->done;
        }
        mutex_unlock(&s->lock);
        if (done)
            return 0;
        if (cancelled && cancelled(arg))
            return err_set(err, ERR_CANCELLED,
                           "pull image '%s': the client has gone; the pull goes on", j->ref.path);
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE,
                           "pull image '%s': not done by the deadline; the pull goes on",
                           j->ref.path);
    }
}

struct image *imagestore_pull(struct imagestore *s, const char *reference,
                              const struct registry_auth *auth, deadline_t deadline,
                              bool (*cancelled)(void *arg), void *arg, struct err *err)
{
    struct pull_job *fresh = job_new(s, reference, auth, err);
    struct pull_job *j = fresh ? join_or_start(s, fresh, err) : NULL;
    struct image *image = NULL;
    if (!j)
        return NULL;
    if (wait_job(s, j, deadline, cancelled, arg, err) == 0) {
        if (j->image)
            image = image_ref(j->image);
        else
            *err = j->err;
    }
    job_unref(s, j);
    return image;
}

void pulls_stop(struct imagestore *s)
{
    mutex_lock(&s->lock);
    s->closing = true;
    for (struct pull_job *j = s->jobs; j; j = j->next)
        atomic_store(&j->stop, true);
    while (s->running)
        (void)cond_wait(&s->changed, &s->lock, DEADLINE_NEVER);
    mutex_unlock(&s->lock);
}
