/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - what happens to pods and containers, in order, to those who follow. Part of the facade
 * (sandbox.h includes it).
 *
 * Events are rows written with the change that they tell of, so a kill of the daemon loses none,
 * and an end that is found at its next start is told then. A follower that begins while nobody else
 * follows goes on after the last event that was delivered, even to another daemon's client, but not
 * further back than EVENTS_AGE; else it begins with what comes next. One that is too slow for the
 * ring of rows is told so and must list everything anew: nothing is left out in silence.
 */
#ifndef UNICRI_SANDBOX_EVENTS_H
#define UNICRI_SANDBOX_EVENTS_H

#include "sandbox/sandbox.h"

#define EVENT_FOLLOWERS_MAX 8
#define EVENTS_AGE          (5 * 60 * NSEC_PER_SEC)
#define EVENTS_AT_ONCE      64

struct follower;
/** follower_open() - begin to follow. Errors: EXHAUSTED too many follow already. */
struct follower *follower_open(struct engine *engine, struct err *err);
void follower_close(struct follower *f);

/* The number of the API's event type. */
enum event_kind { EVENT_CREATED, EVENT_STARTED, EVENT_STOPPED, EVENT_DELETED };
struct event {
    int64_t seq;
    nsec_t at; /* wall clock */
    enum event_kind kind;
    const char *id, *pod_id; /* borrowed from the follower until its next call, as is all below */
    const char *namespace_, *name, *uid; /* of the pod, which may be gone */
    uint32_t attempt;
};
/** follower_next() - wait for the next event; what memory says of its pod and container is at least
 * as new. Errors: EXHAUSTED events were lost for this follower; CANCELLED, DEADLINE the caller's.
 */
int follower_next(struct follower *f, const struct caller *caller, struct event *ret,
                  struct err *err) MUST_CHECK;
/** follower_done() - the client has got it: a later follower need not. */
void follower_done(struct follower *f, const struct event *event);

#endif
