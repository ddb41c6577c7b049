/* SPDX-License-Identifier: Apache-2.0 */
/* stats_sample - see stats_private.h: taking samples and keeping them. */
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/stats_private.h"

#define RATE_WINDOW_MIN (800 * NSEC_PER_MSEC) /* of the two samples that make a rate */
#define RATE_WINDOW_MAX (120 * NSEC_PER_SEC)
#define LAYER_COST      20 /* walking takes at most one part in so many of the time */

struct metric stats_layer_seconds = {.name = "unicri_stats_layer_seconds",
                                     .help = "walking one writable layer",
                                     .type = METRIC_HISTOGRAM};

struct sample *sample_find(struct stats *s, const char *id)
{
    return idmap_get(&s->by_id, id);
}

struct sample *sample_touch(struct stats *s, const char *id)
{
    struct sample *sample = sample_find(s, id);

    if (!sample) {
        sample = XNEW(struct sample);
        (void)snprintf(sample->id, sizeof(sample->id), "%s", id);
        idmap_put(&s->by_id, sample->id, sample);
        TAILQ_INSERT_TAIL(&s->samples, sample, link);
    }
    sample->round = s->round;
    return sample;
}

void samples_forget(struct stats *s, uint64_t round)
{
    struct sample *sample, *next;

    mutex_lock(&s->lock);
    for (sample = TAILQ_FIRST(&s->samples); sample; sample = next) {
        next = TAILQ_NEXT(sample, link);
        if (round && sample->round >= round)
            continue;
        idmap_remove(&s->by_id, sample->id);
        TAILQ_REMOVE(&s->samples, sample, link);
        free(sample->detail);
        free(sample->links);
        free(sample);
    }
    mutex_unlock(&s->lock);
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

/* What one look brings, before it is put where answers come from. */
struct fresh {
    struct container_stats stats;
    uint64_t processes;
    struct usage_detail *detail; /* owned */
};

static int look(struct stats *s, const struct target *t, enum usage_depth depth, struct fresh *ret)
{
    const struct cgroups *cgroups = &s->engine->cgroups;

    if (cgroup_stats_read(cgroups, t->cgroup, &ret->stats) < 0)
        return -1;
    if (t->pod)
        (void)cgroup_processes_count(cgroups, t->cgroup, &ret->processes);
    if (depth < USAGE_DETAIL)
        return 0;
    ret->detail = XNEW(struct usage_detail);
    cgroup_detail_read(cgroups, t->cgroup, ret->detail);
    if (!t->pod)
        cgroup_processes_read(cgroups, t->cgroup, t->root, ret->detail);
    return 0;
}

void sample_take(struct stats *s, const struct target *target, enum usage_depth depth)
{
    struct fresh fresh = {.detail = NULL};
    int rc = look(s, target, depth, &fresh);
    nsec_t now = clock_mono();

    mutex_lock(&s->lock);

    struct sample *sample = sample_touch(s, target->id);
    struct container_stats *old = &sample->stats;

    if (rc == 0 && now >= sample->at) { /* the later one of two at a time stays */
        fresh.stats.rate_known = old->rate_known;
        fresh.stats.cpu_nano_cores = old->cpu_nano_cores;
        fresh.stats.layer_at = old->layer_at;
        fresh.stats.layer_bytes = old->layer_bytes;
        fresh.stats.layer_inodes = old->layer_inodes;
        *old = fresh.stats;
        sample->at = now;
        sample->processes = fresh.processes;
        if (fresh.detail) {
            free(sample->detail);
            sample->detail = TAKE_PTR(fresh.detail);
            sample->detail_at = now;
        }
        rate_locked(sample, now);
    }
    mutex_unlock(&s->lock);
    free(fresh.detail);
}

/* --------------------------------------------------------------- interfaces */

struct links_arg {
    struct stats *stats;
    const struct pod **pods;
};

/* On the thread that visits namespaces. */
static void on_links(void *arg, size_t i, const struct link_stats *links, size_t n_links)
{
    const struct links_arg *a = arg;
    struct link_stats *copy = xcalloc(n_links + 1, sizeof(*copy));

    if (n_links)
        memcpy(copy, links, n_links * sizeof(*copy));
    mutex_lock(&a->stats->lock);

    struct sample *sample = sample_touch(a->stats, a->pods[i]->id);

    free(sample->links);
    sample->links = copy;
    sample->n_links = n_links;
    sample->links_at = clock_mono();
    sample->links_wall = clock_wall();
    mutex_unlock(&a->stats->lock);
}

void sample_links(struct stats *s, const struct pod *const *pods, size_t n)
{
    autofree const char **paths = xcalloc(n + 1, sizeof(*paths));
    autofree const struct pod **with = xcalloc(n + 1, sizeof(struct pod *));
    struct links_arg arg = {.stats = s, .pods = with};
    struct err err = ERR_INIT;
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (*pods[i]->netns) {
            with[m] = pods[i];
            paths[m++] = pods[i]->netns;
        }
    if (netns_link_stats(paths, m, on_links, &arg, &err) < 0)
        log_debug("ignoring: counters of pods' interfaces: %s", err.msg);
}

/* ----------------------------------------------------------- writable layers */

/* A container that has ended writes no more: it is looked at once. A unikernel has no such layer
 * and takes no room by it. */
void sample_layer(struct stats *s, struct container *c, nsec_t timeout)
{
    autofree char *upper = path_join(c->rootfs_dir, "upper");
    bool ended = container_state(c) >= CONTAINER_EXITED;
    struct err err = ERR_INIT;
    uint64_t bytes = 0, inodes = 0;
    nsec_t began = clock_mono();
    int rc = fs_disk_usage(AT_FDCWD, upper, deadline_in(timeout), &bytes, &inodes, &err);
    nsec_t took = clock_mono() - began;
    bool known = rc == 0 || err.code == ERR_NOT_FOUND;
    nsec_t pause = took * LAYER_COST;

    metric_observe(&stats_layer_seconds, took);
    if (!known)
        log_debug("ignoring: size of the writable layer of container %s: %s", c->id, err.msg);
    if (pause < s->engine->config->stats_period)
        pause = s->engine->config->stats_period;
    mutex_lock(&s->lock);

    struct sample *sample = sample_find(s, c->id);

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
