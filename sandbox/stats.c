/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - see stats.h: one sample a container, rounds in the background, answers.
 *
 * A round reads the control groups of all running containers. It happens each stats.period while
 * someone asks, and once soon after a request whose answer was older than REFRESH_AGE: so a client
 * that asks twice to see a difference gets two samples. Writable layers are walked by a job of
 * their own, as seldom as walking them is dear. A request samples by itself only what has no
 * sample, or where few containers are asked for.
 */
#include "sandbox/stats.h"

#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/container.h"

#define ASKED_PERIODS   6 /* rounds go on for so many periods after the last request */
#define STALE_PERIODS   2 /* a sample older than that is made anew before it is shown */
#define FEW_CONTAINERS  16
#define FEW_AGE         (500 * NSEC_PER_MSEC)
#define REFRESH_AGE     (600 * NSEC_PER_MSEC)
#define REFRESH_DELAY   (300 * NSEC_PER_MSEC)
#define RATE_WINDOW_MIN (800 * NSEC_PER_MSEC) /* of the two samples that make a rate */
#define RATE_WINDOW_MAX (120 * NSEC_PER_SEC)
#define LAYER_TIMEOUT   (10 * NSEC_PER_SEC)
#define LAYER_COST      20 /* walking takes at most one part in so many of the time */

struct sample {
    char id[ID_LEN + 1];
    struct container_stats stats;
    nsec_t at;      /* monotonic, of cpu and memory; 0: none */
    nsec_t base_at; /* the older sample of the rate; 0: none */
    uint64_t base_cpu;
    deadline_t layer_due;
    uint64_t round; /* the last that met this container */
    TAILQ_ENTRY(sample) link;
};
TAILQ_HEAD(sample_head, sample);

struct stats {
    struct engine *engine;
    struct mutex lock; /* of all below */
    struct idmap by_id;
    struct sample_head samples;
    uint64_t round;   /* number of the last that began */
    nsec_t round_at;  /* monotonic, when it began; 0: never */
    nsec_t asked_at;  /* monotonic; 0: never */
    bool round_waits; /* begun and not ended, or about to begin */
    bool layers_waits;
    bool refresh_waits; /* a timer runs */
};

struct metric stats_round_seconds = {.name = "unicri_stats_round_seconds",
                                     .help = "sampling what all running containers use",
                                     .type = METRIC_HISTOGRAM};
struct metric stats_layer_seconds = {.name = "unicri_stats_layer_seconds",
                                     .help = "walking one writable layer",
                                     .type = METRIC_HISTOGRAM};

/* ------------------------------------------------------------------- samples */

static bool runs(enum container_state state)
{
    return state == CONTAINER_RUNNING || state == CONTAINER_STOPPING;
}

static struct sample *sample_locked(struct stats *s, const char *id)
{
    struct sample *sample = idmap_get(&s->by_id, id);

    if (!sample) {
        sample = XNEW(struct sample);
        (void)snprintf(sample->id, sizeof(sample->id), "%s", id);
        idmap_put(&s->by_id, sample->id, sample);
        TAILQ_INSERT_TAIL(&s->samples, sample, link);
    }
    sample->round = s->round;
    return sample;
}

/* A rate needs two samples that lie neither too close nor too far apart. */
static void rate_locked(struct sample *sample, nsec_t now)
{
    nsec_t passed = now - sample->base_at;
    uint64_t cpu = sample->stats.cpu_nsec;

    if (sample->base_at && passed < RATE_WINDOW_MIN)
        return;
    if (sample->base_at && passed <= RATE_WINDOW_MAX && cpu >= sample->base_cpu) {
        double used = (double)(cpu - sample->base_cpu);

        sample->stats.cpu_nano_cores = (uint64_t)(used * (double)NSEC_PER_SEC / (double)passed);
        sample->stats.rate_known = true;
    } else {
        sample->stats.rate_known = false;
    }
    sample->base_at = now;
    sample->base_cpu = cpu;
}

/* Reads without the lock, then puts the result where answers come from. */
static void sample_cgroup(struct stats *s, const struct container *c)
{
    struct container_stats fresh = {0};
    int rc = cgroup_stats_read(&s->engine->cgroups, c->cgroup, &fresh);
    nsec_t now = clock_mono();

    mutex_lock(&s->lock);

    struct sample *sample = sample_locked(s, c->id);
    struct container_stats *old = &sample->stats;

    if (rc == 0 && now >= sample->at) { /* the later one of two at a time stays */
        fresh.rate_known = old->rate_known;
        fresh.cpu_nano_cores = old->cpu_nano_cores;
        fresh.layer_at = old->layer_at;
        fresh.layer_bytes = old->layer_bytes;
        fresh.layer_inodes = old->layer_inodes;
        *old = fresh;
        sample->at = now;
        rate_locked(sample, now);
    }
    mutex_unlock(&s->lock);
}

/* -------------------------------------------------------------------- rounds */

static void forget_the_gone(struct stats *s, uint64_t round)
{
    struct sample *sample, *next;

    mutex_lock(&s->lock);
    for (sample = TAILQ_FIRST(&s->samples); sample; sample = next) {
        next = TAILQ_NEXT(sample, link);
        if (sample->round >= round)
            continue;
        idmap_remove(&s->by_id, sample->id);
        TAILQ_REMOVE(&s->samples, sample, link);
        free(sample);
    }
    mutex_unlock(&s->lock);
}

static bool layer_is_due(struct stats *s, const struct container *c)
{
    mutex_lock(&s->lock);

    const struct sample *sample = idmap_get(&s->by_id, c->id);
    bool due = sample && deadline_passed(sample->layer_due);

    mutex_unlock(&s->lock);
    return due;
}

/* A container that has ended writes no more: it is looked at once. A unikernel has no such layer
 * and takes no room by it. */
static void sample_layer(struct stats *s, struct container *c)
{
    autofree char *upper = path_join(c->rootfs_dir, "upper");
    bool ended = container_state(c) >= CONTAINER_EXITED;
    struct err err = ERR_INIT;
    uint64_t bytes = 0, inodes = 0;
    nsec_t began = clock_mono();
    int rc = fs_disk_usage(AT_FDCWD, upper, deadline_in(LAYER_TIMEOUT), &bytes, &inodes, &err);
    nsec_t took = clock_mono() - began;
    bool known = rc == 0 || err.code == ERR_NOT_FOUND;
    nsec_t pause = took * LAYER_COST;

    metric_observe(&stats_layer_seconds, took);
    if (!known)
        log_debug("ignoring: size of the writable layer of container %s: %s", c->id, err.msg);
    if (pause < s->engine->config->stats_period)
        pause = s->engine->config->stats_period;
    mutex_lock(&s->lock);

    struct sample *sample = idmap_get(&s->by_id, c->id);

    if (sample) {
        sample->layer_due = known && ended ? DEADLINE_NEVER : deadline_in(pause);
        if (known) {
            sample->stats.layer_at = clock_wall();
            sample->stats.layer_bytes = bytes;
            sample->stats.layer_inodes = inodes;
        }
    }
    mutex_unlock(&s->lock);
}

static void layers_work(struct engine *engine, void *arg)
{
    struct stats *s = arg;
    struct container **list;
    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++)
        if (container_state(list[i]) != CONTAINER_CREATING && layer_is_due(s, list[i]))
            sample_layer(s, list[i]);
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

static void round_work(struct engine *engine, void *arg)
{
    struct stats *s = arg;
    struct container **list;
    nsec_t began = clock_mono();

    mutex_lock(&s->lock);

    uint64_t round = ++s->round;

    s->round_at = began;
    mutex_unlock(&s->lock);

    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++) {
        if (runs(container_state(list[i]))) {
            sample_cgroup(s, list[i]);
            continue;
        }
        mutex_lock(&s->lock);
        (void)sample_locked(s, list[i]->id);
        mutex_unlock(&s->lock);
    }
    containers_free(list, n);
    forget_the_gone(s, round);
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
        if (runs((enum container_state)c->state)) {
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

    mutex_lock(&s->lock);

    bool wanted =
        s->asked_at && now - s->asked_at < ASKED_PERIODS * period && now - s->round_at > period / 2;

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

/* ------------------------------------------------------------------- answers */

/* What a view shows of its container's sample. Returns: false when a better one should be made
 * first. */
static bool answer_from_memory(struct stats *s, nsec_t max_age, struct container_stats_view *view)
{
    bool running = runs(view->container.state), fresh;

    mutex_lock(&s->lock);

    const struct sample *sample = idmap_get(&s->by_id, view->container.id);

    fresh = !running || (sample && sample->at && clock_mono() - sample->at < max_age);
    view->stats = sample ? sample->stats : (struct container_stats){0};
    mutex_unlock(&s->lock);
    if (!running)
        view->stats.cpu_at = view->stats.memory_at = 0;
    view->stats.layer_dir = s->engine->rootfs_dir;
    return fresh;
}

static void asked(struct stats *s)
{
    nsec_t now = clock_mono();

    mutex_lock(&s->lock);
    s->asked_at = now;

    bool refresh = !s->refresh_waits && !s->round_waits && now - s->round_at > REFRESH_AGE;

    if (refresh)
        s->refresh_waits = true;
    mutex_unlock(&s->lock);
    if (refresh)
        loop_every(s->engine->loop, REFRESH_DELAY, 0, on_refresh, s);
}

/* The views of containers are taken over. */
static void fill(struct stats *s, struct container_view *containers, size_t n,
                 struct container_stats_view *views)
{
    nsec_t max_age =
        n <= FEW_CONTAINERS ? FEW_AGE : STALE_PERIODS * s->engine->config->stats_period;

    for (size_t i = 0; i < n; i++) {
        views[i].container = containers[i];
        if (answer_from_memory(s, max_age, &views[i]))
            continue;
        sample_cgroup(s, containers[i].hold);
        (void)answer_from_memory(s, max_age, &views[i]);
    }
    if (n)
        asked(s);
}

size_t container_stats_list(struct engine *engine, const struct list_filter *filter,
                            struct container_stats_view **ret)
{
    struct container_view *containers;
    size_t n = container_list(engine, filter, &containers);

    *ret = xcalloc(n + 1, sizeof(**ret));
    fill(engine->stats, containers, n, *ret);
    free(containers);
    return n;
}

int container_stats_get(struct engine *engine, const char *id, struct container_stats_view **ret,
                        struct err *err)
{
    struct container_view container;

    if (container_get(engine, id, &container, err) < 0)
        return -1;
    *ret = xcalloc(1, sizeof(**ret));
    fill(engine->stats, &container, 1, *ret);
    return 0;
}

void container_stats_views_free(struct container_stats_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        container_view_done(&views[i].container);
    free(views);
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
    struct sample *sample;

    if (!s)
        return;
    while ((sample = TAILQ_FIRST(&s->samples))) {
        TAILQ_REMOVE(&s->samples, sample, link);
        free(sample);
    }
    idmap_done(&s->by_id);
    mutex_done(&s->lock);
    free(s);
}
