/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - see events.h. Rows come before memory: a follower is handed an event only when memory
 * has caught up with it, so that a status made then shows what the event tells. All changes are
 * broadcast by engine->changed; a follower looks again at least each LOOK_PAUSE.
 */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/container.h"

#define META_DELIVERED "events_delivered"
#define LOOK_PAUSE     NSEC_PER_SEC
#define MEMORY_LAG     (5 * NSEC_PER_SEC) /* memory follows its row within microseconds, mostly */

/* Migration 0003 has these numbers written in it: a change of one is a new migration. */
_Static_assert(POD_READY == 1 && POD_NOTREADY == 3, "triggers pod_ready, pod_notready");
_Static_assert(CONTAINER_CREATED == 1 && CONTAINER_RUNNING == 3 && CONTAINER_EXITED == 5,
               "trigger container_moved");
_Static_assert(EVENT_CREATED == 0 && EVENT_STARTED == 1 && EVENT_STOPPED == 2 && EVENT_DELETED == 3,
               "what the triggers write");

struct follower {
    struct engine *engine;
    int64_t seen;
    struct event_row *rows; /* owned */
    size_t n, next;
};

/* The last event that some client has got; 0: none, or it cannot be told. */
static int64_t delivered(struct engine *engine)
{
    autofree char *text = NULL;
    char *end;

    if (db_meta_get(engine->db, META_DELIVERED, &text, NULL) < 0 || !text)
        return 0;

    long long v = strtoll(text, &end, 10);

    return *end || v < 0 ? 0 : v;
}

static void set_delivered(struct engine *engine, int64_t seq)
{
    autofree char *text = xasprintf("%lld", (long long)seq);
    struct err err = ERR_INIT;

    if (db_meta_set(engine->db, META_DELIVERED, text, &err) < 0)
        log_debug("ignoring: which event was delivered last: %s", err.msg);
}

struct follower *follower_open(struct engine *engine, struct err *err)
{
    int64_t oldest, before, newest, last;
    struct follower *f;
    bool first, full;

    if (db_events_range(engine->db, clock_wall() - EVENTS_AGE, &oldest, &before, &newest, err) < 0)
        return NULL;
    mutex_lock(&engine->lock);
    full = engine->followers >= EVENT_FOLLOWERS_MAX;
    first = engine->followers == 0;
    engine->followers += !full;
    mutex_unlock(&engine->lock);
    if (full) {
        (void)err_set(err, ERR_EXHAUSTED, "events: %d clients follow them already",
                      EVENT_FOLLOWERS_MAX);
        return NULL;
    }
    f = XNEW(struct follower);
    f->engine = engine;
    f->seen = newest;
    last = first ? delivered(engine) : newest;
    if (last < newest)
        f->seen = last > before ? last : before;
    if (last == 0 && f->seen < oldest) /* what no client has ever followed is no loss */
        f->seen = oldest - 1;
    return f;
}

void follower_close(struct follower *f)
{
    struct engine *engine;

    if (!f)
        return;
    engine = f->engine;
    event_rows_free(f->rows, f->n);
    mutex_lock(&engine->lock);
    engine->followers--;
    mutex_unlock(&engine->lock);
    free(f);
}

static bool pod_caught_up(struct engine *engine, const struct event_row *e)
{
    const struct pod *pod = idmap_get(&engine->pods_by_id, e->pod_id);

    if (e->kind == EVENT_DELETED)
        return !pod;
    if (!pod)
        return true;
    return e->kind == EVENT_STOPPED ? pod->state >= POD_NOTREADY
                                    : pod->state >= POD_READY && pod->listed;
}

static bool container_caught_up(struct engine *engine, const struct event_row *e)
{
    static const int least[] = {[EVENT_CREATED] = CONTAINER_CREATED,
                                [EVENT_STARTED] = CONTAINER_RUNNING,
                                [EVENT_STOPPED] = CONTAINER_EXITED};
    const struct container *c = idmap_get(&engine->containers_by_id, e->id);

    if (e->kind == EVENT_DELETED)
        return !c;
    return !c || c->state >= least[e->kind];
}

static void wait_for_memory(struct engine *engine, const struct event_row *e)
{
    deadline_t deadline = deadline_in(MEMORY_LAG);
    bool of_pod = str_eq(e->id, e->pod_id), in_time = true;

    mutex_lock(&engine->lock);
    while (in_time && !(of_pod ? pod_caught_up(engine, e) : container_caught_up(engine, e)))
        in_time = cond_wait(&engine->changed, &engine->lock, deadline);
    mutex_unlock(&engine->lock);
}

/* Told once: who lists anew and follows again goes on with what is left. */
static int lost(struct follower *f, int64_t next, struct err *err)
{
    if (delivered(f->engine) < next - 1)
        set_delivered(f->engine, next - 1);
    return err_set(err, ERR_EXHAUSTED,
                   "events: %lld are lost, they were read too slowly: list pods and containers "
                   "anew, then follow again",
                   (long long)(next - f->seen - 1));
}

/* Rows that are there, or a moment later none. The first number ever is 1. */
static int look(struct follower *f, struct err *err)
{
    struct engine *engine = f->engine;

    event_rows_free(f->rows, f->n);
    f->rows = NULL;
    f->n = f->next = 0;
    if (db_events_after(engine->db, f->seen, EVENTS_AT_ONCE, &f->rows, &f->n, err) < 0)
        return -1;
    if (f->n && f->rows[0].seq != f->seen + 1)
        return lost(f, f->rows[0].seq, err);
    if (f->n)
        return 0;
    mutex_lock(&engine->lock);
    (void)cond_wait(&engine->changed, &engine->lock, deadline_in(LOOK_PAUSE));
    mutex_unlock(&engine->lock);
    return 0;
}

int follower_next(struct follower *f, const struct caller *caller, struct event *ret,
                  struct err *err)
{
    while (f->next == f->n) {
        if (caller->cancelled && caller->cancelled(caller->arg))
            return err_set(err, ERR_CANCELLED, "events: the client has gone");
        if (deadline_passed(caller->deadline))
            return err_set(err, ERR_DEADLINE, "events: the client's deadline has passed");
        if (look(f, err) < 0)
            return -1;
    }

    const struct event_row *e = &f->rows[f->next++];

    wait_for_memory(f->engine, e);
    f->seen = e->seq;
    *ret = (struct event){.seq = e->seq,
                          .at = e->at,
                          .kind = (enum event_kind)e->kind,
                          .id = e->id,
                          .pod_id = e->pod_id,
                          .namespace_ = e->namespace_,
                          .name = e->name,
                          .uid = e->uid,
                          .attempt = e->attempt};
    return 0;
}

/* A slower follower does not take back what a faster one has got. */
void follower_done(struct follower *f, const struct event *event)
{
    struct engine *engine = f->engine;

    mutex_lock(&engine->lock);

    bool newer = event->seq > engine->events_delivered;

    if (newer)
        engine->events_delivered = event->seq;
    mutex_unlock(&engine->lock);
    if (newer)
        set_delivered(engine, event->seq);
}
