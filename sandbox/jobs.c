/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs - see jobs.h. A job lives as long as someone runs it or still reads its answer; it is in the
 * table only while it runs. One lock for the table and all jobs: it is held for pointer work only.
 */
#include "sandbox/jobs.h"

#include <assert.h>
#include <string.h>

#include "base/thread.h"
#include "sandbox/idmap.h"

struct jobs {
    struct mutex lock;
    struct idmap running; /* key -> struct job; GUARDED */
    size_t n;
};

struct job {
    struct jobs *jobs; /* borrowed */
    char *key, *what;  /* owned */
    size_t refs;
    bool ended;
    int rc;
    struct err err;
    char id[ID_LEN + 1];
    struct cond done;
};

struct jobs *jobs_new(void)
{
    struct jobs *jobs = XNEW(struct jobs);

    mutex_init(&jobs->lock);
    return jobs;
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    assert(jobs->running.live == 0);
    idmap_done(&jobs->running);
    mutex_done(&jobs->lock);
    free(jobs);
}

int caller_check(const struct caller *caller, const char *what, struct err *err)
{
    if (!caller)
        return 0;
    if (caller->cancelled && caller->cancelled(caller->arg))
        return err_set(err, ERR_CANCELLED, "%s: the client went away", what);
    if (deadline_passed(caller->deadline))
        return err_set(err, ERR_DEADLINE, "%s: deadline passed; the work goes on", what);
    return 0;
}

deadline_t caller_deadline(const struct caller *caller)
{
    return caller ? caller->deadline : DEADLINE_NEVER;
}

static struct job *job_start(struct jobs *jobs, const char *key, const char *what)
{
    struct job *job = XNEW(struct job);

    job->jobs = jobs;
    job->key = xstrdup(key);
    job->what = xstrdup(what);
    job->refs = 1;
    cond_init(&job->done);
    idmap_put(&jobs->running, job->key, job);
    jobs->n++;
    return job;
}

static void job_unref_locked(struct job *job)
{
    if (--job->refs)
        return;
    cond_done(&job->done);
    free(job->key);
    free(job->what);
    free(job);
}

/* Wait for a job's end; the jobs' lock is held on entry and on return, not between. */
static int job_wait_locked(struct jobs *jobs, struct job *job, const struct caller *caller,
                           struct err *err) NEEDS(jobs->lock)
{
    while (!job->ended) {
        deadline_t until = caller_deadline(caller);

        if (caller && caller->cancelled)
            until = deadline_min(until, deadline_in(JOBS_CANCEL_POLL));
        (void)cond_wait(&job->done, &jobs->lock, until);
        if (job->ended)
            break;
        if (caller_check(caller, "wait for the same request", err) < 0)
            return -1;
    }
    return 0;
}

/* The answer of the job one has joined. */
static int job_answer_locked(const struct job *job, char *ret_id, struct err *err)
{
    if (job->rc < 0) {
        if (err)
            *err = job->err;
        return -1;
    }
    if (ret_id)
        memcpy(ret_id, job->id, sizeof(job->id));
    return 0;
}

static int enter_locked(struct jobs *jobs, const char *key, const char *what,
                        const struct caller *caller, struct job **ret_job, char *ret_id,
                        struct err *err) NEEDS(jobs->lock)
{
    struct job *job;

    while ((job = idmap_get(&jobs->running, key))) {
        bool same = strcmp(job->what, what) == 0;

        job->refs++;

        int rc = job_wait_locked(jobs, job, caller, err);

        if (rc == 0 && same)
            rc = job_answer_locked(job, ret_id, err);
        else if (rc == 0)
            rc = 1; /* another request's work has ended: look again */
        job_unref_locked(job);
        if (rc <= 0)
            return rc;
    }
    *ret_job = job_start(jobs, key, what);
    return 1;
}

int jobs_enter(struct jobs *jobs, const char *key, const char *what, const struct caller *caller,
               struct job **ret_job, char *ret_id, struct err *err)
{
    mutex_lock(&jobs->lock);

    int rc = enter_locked(jobs, key, what, caller, ret_job, ret_id, err);

    mutex_unlock(&jobs->lock);
    return rc;
}

int jobs_leave(struct job *job, int rc, const char *id, const struct err *err)
{
    struct jobs *jobs = job->jobs;

    mutex_lock(&jobs->lock);
    job->ended = true;
    job->rc = rc;
    if (rc < 0 && err)
        job->err = *err;
    if (id)
        (void)snprintf(job->id, sizeof(job->id), "%s", id);
    idmap_remove(&jobs->running, job->key);
    jobs->n--;
    cond_broadcast(&job->done);
    job_unref_locked(job);
    mutex_unlock(&jobs->lock);
    return rc;
}

size_t jobs_running(struct jobs *jobs)
{
    mutex_lock(&jobs->lock);

    size_t n = jobs->n;

    mutex_unlock(&jobs->lock);
    return n;
}
