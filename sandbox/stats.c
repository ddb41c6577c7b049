/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - see stats_private.h: when samples are taken.
 *
 * A round reads the control groups of all running containers, and of pods with their networks, as
 * deep as somebody has asked for lately. It happens each stats.period while someone asks, and once
 * soon after a request whose answer was older than REFRESH_AGE: so a client that asks twice to see
 * a difference gets two samples. Writable layers are walked by a job of their own, as seldom as
 * walking them is dear. A request samples by itself only what has no sample, or where few are asked
 * for: see stats_view.c.
 */
#include "sandbox/stats.h"

#include <string.h>

#include "sandbox/stats_private.h"

#define LAYER_TIMEOUT (10 * NSEC_PER_SEC)
#define ASKED_PERIODS 6 /* rounds go on for so many periods after the last request */
#define REFRESH_AGE   (600 * NSEC_PER_MSEC)
#define REFRESH_DELAY (300 * NSEC_PER_MSEC)

struct metric stats_round_seconds = {.name = "unicri_stats_round_seconds",
                                     .help = "sampling what all running containers use",
                                     .type = METRIC_HISTOGRAM};
/* -------------------------------------------------------------------- rounds */

bool sample_layer_is_due(struct stats *s, const struct container *c)
{
    mutex_lock(&s->lock);

    const struct sample *sample = idmap_get(&s->by_id, c->id);
    bool due = sample && deadline_passed(sample->layer_due);

    mutex_unlock(&s->lock);
    return due;
}

static void layers_work(struct engine *engine, void *arg)
{
    struct stats *s = arg;
    struct container **list;
    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++)
        if (container_state(list[i]) != CONTAINER_CREATING && sample_layer_is_due(s, list[i]))
            sample_layer(s, list[i], LAYER_TIMEOUT);
    containers_free(list, n);
    mutex_lock(&s->lock);
    s->layers_waits = false;
    mutex_unlock(&s->lock);
}

static void layers_begin(struct stats *s)
{
    mutex_lock(&s->lock);

    bool begin = !s->layers_waits;

    s->layers_waits = true;
    mutex_unlock(&s->lock);
    if (begin && !engine_background(s->engine, layers_work, s)) {
        mutex_lock(&s->lock);
        s->layers_waits = false;
        mutex_unlock(&s->lock);
    }
}

static void round_pods(struct stats *s, enum usage_depth depth)
{
    struct pod **pods;
    size_t n = pods_all(s->engine, &pods), n_ready = 0;
    autofree const struct pod **ready = xcalloc(n + 1, sizeof(struct pod *));

    for (size_t i = 0; i < n; i++) {
        if (pod_state(pods[i]) != POD_READY)
            continue;
        sample_take(s, &(struct target){.id = pods[i]->id, .cgroup = pods[i]->cgroup, .pod = true},
                    depth);
        ready[n_ready++] = pods[i];
    }
    sample_links(s, ready, n_ready);
    pods_free(pods, n);
}

static void round_container(struct stats *s, struct container *c, enum usage_depth depth)
{
    enum container_state state;
    pid_t root;

    mutex_lock(&s->engine->lock);
    state = (enum container_state)c->state;
    root = c->workload.pid;
    mutex_unlock(&s->engine->lock);
    if (container_runs(state)) {
        sample_take(s, &(struct target){.id = c->id, .cgroup = c->cgroup, .root = root}, depth);
        return;
    }
    mutex_lock(&s->lock);
    (void)sample_touch(s, c->id);
    mutex_unlock(&s->lock);
}

static bool asked_lately(const struct stats *s, enum usage_depth depth, nsec_t now)
{
    nsec_t at = s->asked_at[depth];

    return at && now - at < ASKED_PERIODS * s->engine->config->stats_period;
}

static enum usage_depth depth_wanted(struct stats *s)
{
    nsec_t now = clock_mono();
    enum usage_depth depth = USAGE_DETAIL;

    mutex_lock(&s->lock);
    while (depth > USAGE_BRIEF && !asked_lately(s, depth, now))
        depth--;
    mutex_unlock(&s->lock);
    return depth;
}

static void round_work(struct engine *engine, void *arg)
{
    struct stats *s = arg;
    struct container **list;
    nsec_t began = clock_mono();
    enum usage_depth depth = depth_wanted(s);

    mutex_lock(&s->lock);

    uint64_t round = ++s->round;

    s->round_at = began;
    mutex_unlock(&s->lock);

    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++)
        round_container(s, list[i], depth);
    containers_free(list, n);
    if (depth >= USAGE_PODS)
        round_pods(s, depth);
    samples_forget(s, round);
    metric_observe(&stats_round_seconds, clock_mono() - began);
    mutex_lock(&s->lock);
    s->round_waits = false;
    mutex_unlock(&s->lock);
    layers_begin(s);
}

static void round_begin(struct stats *s)
{
    mutex_lock(&s->lock);

    bool begin = !s->round_waits;

    s->round_waits = true;
    mutex_unlock(&s->lock);
    if (begin && !engine_background(s->engine, round_work, s)) {
        mutex_lock(&s->lock);
        s->round_waits = false;
        mutex_unlock(&s->lock);
    }
}

static bool any_runs(struct engine *engine)
{
    struct container *c;
    bool any = false;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (c, &engine->containers, link)
        if (container_runs((enum container_state)c->state)) {
            any = true;
            break;
        }
    mutex_unlock(&engine->lock);
    return any;
}

/* On the loop. */
static void on_period(void *arg)
{
    struct stats *s = arg;
    nsec_t period = s->engine->config->stats_period, now = clock_mono();
    bool wanted = false;

    mutex_lock(&s->lock);
    for (int depth = USAGE_BRIEF; depth < USAGE_DEPTHS; depth++)
        wanted = wanted || asked_lately(s, (enum usage_depth)depth, now);
    wanted = wanted && now - s->round_at > period / 2;
    mutex_unlock(&s->lock);
    if (wanted && any_runs(s->engine))
        round_begin(s);
}

static void on_refresh(void *arg)
{
    struct stats *s = arg;

    mutex_lock(&s->lock);
    s->refresh_waits = false;
    mutex_unlock(&s->lock);
    round_begin(s);
}

void stats_asked(struct stats *s, enum usage_depth depth)
{
    nsec_t now = clock_mono();

    mutex_lock(&s->lock);
    s->asked_at[depth] = now;

    bool refresh = !s->refresh_waits && !s->round_waits && now - s->round_at > REFRESH_AGE;

    if (refresh)
        s->refresh_waits = true;
    mutex_unlock(&s->lock);
    if (refresh)
        loop_every(s->engine->loop, REFRESH_DELAY, 0, on_refresh, s);
}

/* ------------------------------------------------------------ open and close */

struct stats *stats_open(struct engine *engine)
{
    struct stats *s = XNEW(struct stats);
    nsec_t period = engine->config->stats_period;

    s->engine = engine;
    mutex_init(&s->lock);
    TAILQ_INIT(&s->samples);
    loop_every(engine->loop, period, period, on_period, s);
    return s;
}

void stats_free(struct stats *s)
{
    if (!s)
        return;
    samples_forget(s, 0);
    idmap_done(&s->by_id);
    mutex_done(&s->lock);
    free(s);
}
